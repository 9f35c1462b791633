//! Memory that two processes share: what the limits of the machine are measured on.
//!
//! A [`Lines`] is an anonymous memory file seen as atomic words, each alone on its pair of cache
//! lines (processors fetch neighbours together). The child gets the file as its standard input.

use std::fs::File;
use std::sync::atomic::{AtomicU32, AtomicU64};

use memmap2::{MmapMut, MmapRaw};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::error::{Error, Result};

/// Two cache lines.
const STRIDE: usize = 128;

/// Words in shared memory, each alone on its cache lines.
#[derive(Debug)]
pub(crate) struct Lines {
    file: File,
    map: MmapRaw,
    count: usize,
}

impl Lines {
    /// Makes `count` words of zero.
    pub(crate) fn new(count: usize) -> Result<Self> {
        let file = memory(count.max(1) * STRIDE)?;
        Self::of(file)
    }

    /// Maps the words of a file that another process made.
    pub(crate) fn of(file: File) -> Result<Self> {
        let len = file.metadata().map_err(Error::io("look at shared memory"))?.len();
        let count = usize::try_from(len).unwrap_or(0) / STRIDE;
        if count == 0 {
            let source = std::io::ErrorKind::UnexpectedEof.into();
            return Err(Error::Io { what: "use shared memory that is empty", source });
        }
        let map = MmapRaw::map_raw(&file).map_err(Error::io("map shared memory"))?;
        Ok(Lines { file, map, count })
    }

    /// Returns another descriptor of the file, for a child.
    pub(crate) fn file(&self) -> Result<File> {
        self.file.try_clone().map_err(Error::io("duplicate a descriptor"))
    }

    /// Returns the word at `index`, counted round.
    #[inline]
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        let at = self.map.as_mut_ptr().wrapping_add(index % self.count * STRIDE);
        // SAFETY: the remainder keeps `at` and the eight bytes behind it inside the mapping, which lives as
        // long as `self`; mappings are page-aligned, so `at` is aligned; both processes use the place
        // through atomics of this size only.
        unsafe { AtomicU64::from_ptr(at.cast()) }
    }

    /// Returns the word at `index`, counted round, as a futex.
    #[inline]
    pub(crate) fn futex(&self, index: usize) -> &AtomicU32 {
        let at = self.map.as_mut_ptr().wrapping_add(index % self.count * STRIDE);
        // SAFETY: as in `word`; a place is used by either of the two only, not both.
        unsafe { AtomicU32::from_ptr(at.cast()) }
    }
}

/// Makes `len` bytes of the memory that the store's arena is made of, mapped and warm.
pub(crate) fn bytes(len: usize) -> Result<MmapMut> {
    let mut map = untouched(len)?;
    map.fill(1);
    Ok(map)
}

/// Makes the same, mapped and without a single page.
pub(crate) fn untouched(len: usize) -> Result<MmapMut> {
    let file = memory(len)?;
    // SAFETY: the file has no name and this is its only descriptor and mapping: nobody changes it.
    unsafe { MmapMut::map_mut(&file) }.map_err(Error::io("map memory"))
}

fn memory(len: usize) -> Result<File> {
    let fd = memfd_create("mobula-bench", MemfdFlags::CLOEXEC).map_err(Error::os("make shared memory"))?;
    let file = File::from(fd);
    file.set_len(len as u64).map_err(Error::io("size shared memory"))?;
    Ok(file)
}
