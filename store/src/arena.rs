//! The arena: payload and nothing else, mapped twice.
//!
//! Views point into the read-only mapping, so that a stray write through one faults in the process
//! that made it and changes nothing. Only buffers that are being filled point into the read-write
//! mapping.
//!
//! - ST-6: memory is committed (`fallocate`) before the first touch: when there is none, creation
//!   fails with an error and no process ever gets SIGBUS.

mod access;

use std::fmt;
use std::fs::File;
use std::io;

use memmap2::MmapRaw;

use crate::layout::{ALLOC_HEADER_BYTES, CHUNK};
use crate::shared::Shared;
use crate::sync::Ordering;
use crate::sys::memory;

/// The mappings of the arena in this process.
pub(crate) struct Arena {
    file: File,
    read: MmapRaw,
    write: MmapRaw,
    len: usize,
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Arena {
    /// Maps the arena, once to read and once to write.
    pub(crate) fn map(file: File, len: usize) -> io::Result<Arena> {
        let read = memory::map_read_only(&file, len)?;
        let write = memory::map(&file, len)?;
        Ok(Arena { file, read, write, len })
    }

    /// Returns the file behind the mappings.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Returns the address of sealed bytes, if the range lies inside.
    #[inline]
    pub(crate) fn sealed(&self, offset: usize, len: usize) -> Option<*const u8> {
        let end = offset.checked_add(len)?;
        // `wrapping_add` stays inside the mapping, which the check has just shown.
        (end <= self.len).then(|| self.read.as_ptr().wrapping_add(offset))
    }

    /// Returns the address of bytes that are being written.
    pub(crate) fn writable(&self, offset: usize, len: usize) -> Option<*mut u8> {
        let end = offset.checked_add(len)?;
        (end <= self.len).then(|| self.write.as_mut_ptr().wrapping_add(offset))
    }

    /// Writes bytes into memory that the caller's unsealed object owns.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        let Some(to) = self.writable(offset, bytes.len()) else { return };
        // SAFETY: `writable` checked the range; it belongs to the block that the caller's creation owns
        // (ST-13), so nobody else touches it, and `bytes` is private memory.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Reads `count` words that were written before their object was sealed.
    pub(crate) fn words(&self, offset: usize, count: usize) -> Vec<u64> {
        let Some(start) = self.sealed(offset, count.saturating_mul(8)) else { return Vec::new() };
        let read = |i: usize| {
            let at = start.wrapping_add(8 * i).cast::<u64>();
            // SAFETY: inside the mapping (checked by `sealed`); the object is sealed or owned by the caller, so
            // nobody writes these bytes (ST-9); unaligned reads allow any offset.
            unsafe { at.read_unaligned() }
        };
        (0..count).map(read).collect()
    }

    /// Commits the chunks of a range that were never committed before (ST-6).
    pub(crate) fn commit(&self, shared: &Shared, offset: usize, len: usize) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let bits = shared.layout.alloc_at + ALLOC_HEADER_BYTES;
        let (first, last) = (offset / CHUNK, (offset + len - 1) / CHUNK);
        let mut chunk = first;
        while chunk <= last {
            let is_set = |c: usize| shared.ctl.u64(bits + c / 64 * 8).load(Ordering::Acquire) & 1 << (c % 64) != 0;
            if is_set(chunk) {
                chunk += 1;
                continue;
            }
            let start = chunk;
            while chunk <= last && !is_set(chunk) {
                chunk += 1;
            }
            let end = (chunk * CHUNK).min(self.len);
            memory::commit(&self.file, start * CHUNK, end - start * CHUNK)?;
            // Two processes may commit the same chunk; the bits only ever say what has been done.
            for c in start..chunk {
                shared.ctl.u64(bits + c / 64 * 8).fetch_or(1 << (c % 64), Ordering::AcqRel);
            }
        }
        Ok(())
    }

    /// Faults a writable range in ahead of use; best effort.
    pub(crate) fn populate(&self, offset: usize, len: usize) {
        memory::populate(&self.write, offset, len.min(self.len.saturating_sub(offset)));
    }
}
