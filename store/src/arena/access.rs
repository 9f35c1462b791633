//! Bytes of the arena as slices, for those who move objects.

use super::Arena;
use crate::layout::CHUNK;
use crate::shared::Shared;
#[cfg(loom)]
use crate::sync::payload;

impl Arena {
    /// Borrows the bytes of an object that the caller holds, so that nobody writes them meanwhile (ST-9, ST-17).
    pub(crate) fn bytes(&self, offset: usize, len: usize) -> Option<&[u8]> {
        #[cfg(loom)]
        payload::read(offset, len);
        let start = self.sealed(offset, len)?;
        // SAFETY: `sealed` checked that the range lies in the mapping, which lives as long as `self`; the caller
        // holds the object, and a sealed object's bytes do not change while it exists.
        Some(unsafe { std::slice::from_raw_parts(start, len) })
    }

    /// Borrows bytes that belong to nobody but the caller's move or creation (ST-13, ST-22).
    #[allow(clippy::mut_from_ref, reason = "the range is the caller's alone, in all processes")]
    pub(crate) fn bytes_mut(&self, offset: usize, len: usize) -> Option<&mut [u8]> {
        #[cfg(loom)]
        payload::written(offset, len);
        let start = self.writable(offset, len)?;
        // SAFETY: `writable` checked that the range lies in the mapping, which lives as long as `self`; the place
        // was taken from the allocator by the caller and no slot names it yet, so nobody else touches it.
        Some(unsafe { std::slice::from_raw_parts_mut(start, len) })
    }

    /// Gives the memory of whole chunks back to the system; nobody uses any of them or takes them meanwhile.
    pub(crate) fn decommit(&self, shared: &Shared, offset: usize, len: usize) {
        for chunk in offset / CHUNK..(offset + len).div_ceil(CHUNK) {
            let _ = self.decommit_chunk(shared, chunk);
        }
    }
}
