//! Mappings that the kernel's large pages fit, and having it use them.
//!
//! A table of many objects is looked at all over, and with pages of 4 KiB each look costs a walk through
//! the page table besides. One page of 2 MiB covers 16,384 slots. The kernel can put the pages of a file
//! together while they are in use, wherever the file lies at the same multiple of 2 MiB in memory.

use std::fs::File;
use std::io;
use std::ops::Range;

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::fs::{SeekFrom, seek};
use rustix::mm::{MapFlags, ProtFlags, mmap};

/// The size of a large page.
pub(crate) const LARGE: usize = 2 << 20;

/// A file mapped with large pages in mind.
#[derive(Debug)]
pub(crate) struct AlignedMap {
    /// The addresses that were reserved, with room to choose among.
    whole: MmapRaw,
    /// Where the file starts in them.
    skip: usize,
    len: usize,
}

impl AlignedMap {
    /// Maps all of a file, shared; if it is for reading only, the kernel refuses every write through it.
    pub(crate) fn new(file: &File, len: usize, writable: bool) -> io::Result<AlignedMap> {
        let reserved = len.checked_add(LARGE).ok_or(io::ErrorKind::InvalidInput)?;
        let whole = MmapRaw::from(MmapOptions::new().len(reserved).no_reserve_swap().map_anon()?);
        let skip = whole.as_ptr().addr().next_multiple_of(LARGE) - whole.as_ptr().addr();
        let map = AlignedMap { whole, skip, len };
        map.put(file, 0..len, writable)?;
        Ok(map)
    }

    /// Maps a part of a file for reading and writing over the same part of a mapping of it that only reads.
    ///
    /// It goes with the mapping. `at` and `len` are whole pages inside of it.
    pub(crate) fn open_area(&self, file: &File, at: usize, len: usize) -> io::Result<()> {
        self.put(file, at..at.saturating_add(len), true)
    }

    fn put(&self, file: &File, part: Range<usize>, writable: bool) -> io::Result<()> {
        if part.end > self.len || part.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let start = self.as_mut_ptr().wrapping_add(part.start).cast();
        let access = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: replaces pages of `whole` (checked above), of which no reference is more than atomic words of shared
        // memory, by pages of the file; they are unmapped with `whole`.
        unsafe { mmap(start, part.len(), access, flags, file, part.start as u64) }?;
        // Shared memory stays out of core dumps; a kernel that cannot do it is no reason to fail.
        let _ = self.whole.advise(Advice::DontDump);
        Ok(())
    }

    /// Returns where the file starts.
    pub(crate) fn as_mut_ptr(&self) -> *mut u8 {
        self.whole.as_mut_ptr().wrapping_add(self.skip)
    }

    /// Returns how many bytes of the file are mapped.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Has the kernel put the small pages at `at`, a multiple of [`LARGE`], together as a large one.
    ///
    /// Their contents stay; who touches them meanwhile waits. Where there are holes they are filled.
    ///
    /// # Errors
    ///
    /// If there is no large page to be had now, or this kernel has none at all.
    pub(crate) fn join(&self, at: usize) -> io::Result<()> {
        if !at.is_multiple_of(LARGE) || at.checked_add(LARGE).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let start = self.as_mut_ptr().wrapping_add(at).cast();
        // SAFETY: the range lies in the mapping (checked above), and what it reads as does not change.
        match unsafe { libc::madvise(start, LARGE, libc::MADV_COLLAPSE) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Returns the next part of a file, at or behind `from`, that has memory; where holes are is not asked at once.
pub(crate) fn next_data(file: &File, from: usize) -> Option<Range<usize>> {
    // Moves the file's position, which nobody uses.
    let data = seek(file, SeekFrom::Data(from as u64)).ok()?;
    let hole = seek(file, SeekFrom::Hole(data)).ok()?;
    Some(usize::try_from(data).ok()?..usize::try_from(hole).ok()?)
}
