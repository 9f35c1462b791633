//! Files in memory: records that are read in place, objects that live in a file of their own.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;

use memmap2::{MmapOptions, MmapRaw};

use crate::sys::memory;

/// The payload of a record, mapped for reading; 64-byte aligned.
///
/// It stays readable after the record was released and its file removed.
pub(crate) struct Mapped {
    map: MmapRaw,
    skip: usize,
}

impl Mapped {
    /// Maps `skip + len` bytes from `at`, to hand out the last `len`.
    ///
    /// The caller has made sure that the file is that long. A file that another program cuts off
    /// later cannot be guarded against; the folder is this user's alone.
    pub(super) fn new(file: &File, at: u64, skip: usize, len: usize) -> io::Result<Mapped> {
        let whole = skip.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
        let map = MmapOptions::new().offset(at).len(whole).map_raw_read_only(file)?;
        let _ = map.advise(memmap2::Advice::DontDump);
        Ok(Mapped { map, skip })
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let start = self.map.as_ptr().wrapping_add(self.skip);
        // SAFETY: the mapping has `skip` bytes and then these, lives as long as `self`, and is
        // of a part of the file that is written only before its record is handed out: appends go
        // behind it, and a file of that number is never made again.
        unsafe { std::slice::from_raw_parts(start, self.map.len() - self.skip) }
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A file of an object's own, mapped whole.
///
/// It stays usable after the file was removed.
#[derive(Debug)]
pub(crate) struct Mapping {
    map: MmapRaw,
    writable: bool,
}

impl Mapping {
    /// Maps the first `len` bytes of a file that is that long.
    pub(super) fn new(file: &File, len: usize, writable: bool) -> io::Result<Mapping> {
        let map = if writable { memory::map(file, len) } else { memory::map_read_only(file, len) };
        Ok(Mapping { map: map?, writable })
    }

    /// Returns the address of the bytes.
    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.map.as_ptr()
    }

    /// Returns the address of the bytes, if they may be written.
    pub(crate) fn as_mut_ptr(&self) -> Option<*mut u8> {
        self.writable.then(|| self.map.as_mut_ptr())
    }

    /// Returns how many bytes are mapped.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }
}
