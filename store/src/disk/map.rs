//! Files in memory: records that are read in place, objects that live in a file of their own.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;

use memmap2::{MmapOptions, MmapRaw};

use super::record::HEAD_BYTES;
use crate::sys::memory;

/// A record, mapped to be read; dereferences to its payload, which is 64-byte aligned.
///
/// It stays readable after the record was released and its file removed.
pub(crate) struct Mapped {
    map: MmapRaw,
}

impl Mapped {
    /// Maps the record at byte `at` with a payload of `len` bytes.
    ///
    /// The caller has made sure that the file is that long. A file that another program cuts off
    /// later cannot be guarded against; the folder is this user's alone.
    pub(super) fn new(file: &File, at: u64, len: usize) -> io::Result<Mapped> {
        let whole = HEAD_BYTES.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
        let map = MmapOptions::new().offset(at).len(whole).map_raw_read_only(file)?;
        let _ = map.advise(memmap2::Advice::DontDump);
        Ok(Mapped { map })
    }

    /// Takes header and payload apart.
    pub(super) fn parts(&self) -> (&[u8; HEAD_BYTES], &[u8]) {
        // SAFETY: all of the mapping, which lives as long as `self`. It shows a part of the file that is
        // written only before its record is handed out: appends go behind it, and no other file
        // ever gets its number.
        let bytes = unsafe { std::slice::from_raw_parts(self.map.as_ptr(), self.map.len()) };
        // `new` maps a header at least.
        bytes.split_first_chunk().unwrap_or((&[0; HEAD_BYTES], &[]))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.parts().1
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

    /// Writes bytes of an object that the caller is creating; what would lie beyond the end is left out.
    pub(crate) fn write(&self, from: usize, bytes: &[u8]) {
        let fits = from.checked_add(bytes.len()).is_some_and(|end| end <= self.map.len());
        let Some(start) = self.as_mut_ptr().filter(|_| fits) else { return };
        // SAFETY: the range lies in the mapping (checked above), which is writable; the file belongs to an object
        // that only the caller knows yet, and `bytes` is other memory.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.wrapping_add(from), bytes.len()) };
    }

    /// Returns how many bytes are mapped.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }
}
