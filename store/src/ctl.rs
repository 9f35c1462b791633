//! The control segment as words.
//!
//! Everything that processes share besides payload lives in `ctl` and is touched only through the
//! atomic words that [`Ctl`] hands out: there is no reference to plain shared memory anywhere, so
//! a hostile or half-dead peer can make a word wrong but never make reading it undefined.
//!
//! Offsets come from [`crate::layout`]; indices are masked by their owners, and [`Ctl`] checks
//! every access against the mapping once more: an offset beyond it reads and writes the *sink*, a
//! private word that belongs to nobody (ST-1: no word of `ctl` leads outside of `ctl`).

use std::fmt;

use memmap2::MmapRaw;

use crate::sync::{AtomicU32, AtomicU64};

/// A mapped (or, for tests, private) control segment.
pub(crate) struct Ctl {
    base: *mut u8,
    len: usize,
    sink: Box<AtomicU64>,
    _backing: Backing,
}

#[allow(dead_code, reason = "the variants only keep the memory alive")]
enum Backing {
    Mapped(MmapRaw),
    Heap(Vec<u64>),
}

// SAFETY: `base` points into memory that `_backing` keeps alive and never moves; every access goes
// through atomics.
unsafe impl Send for Ctl {}
// SAFETY: as for Send; shared access is what the atomics are for.
unsafe impl Sync for Ctl {}

impl fmt::Debug for Ctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctl").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Ctl {
    /// Wraps a read-write shared mapping.
    pub(crate) fn mapped(map: MmapRaw) -> Ctl {
        Ctl { base: map.as_mut_ptr(), len: map.len() & !7, sink: Box::default(), _backing: Backing::Mapped(map) }
    }

    /// Makes zeroed private memory of `len` bytes: the same protocols without processes.
    #[cfg(test)]
    pub(crate) fn heap(len: usize) -> Ctl {
        let mut words = vec![0u64; len.div_ceil(8)];
        let base = words.as_mut_ptr().cast();
        Ctl { base, len: words.len() * 8, sink: Box::default(), _backing: Backing::Heap(words) }
    }

    /// Returns how many bytes are mapped.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the 64-bit word at byte `offset` (a multiple of 8).
    #[inline]
    pub(crate) fn u64(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8) && offset + 8 <= self.len, "word at {offset} of {}", self.len);
        if offset & 7 != 0 || offset >= self.len {
            return &self.sink;
        }
        // SAFETY: the offset is inside the live mapping (checked above; `len` is a multiple of 8).
        let word = unsafe { self.base.add(offset) };
        // SAFETY: aligned (base is page or u64 aligned, offset a multiple of 8), alive as long as
        // `self`, and only ever accessed as an atomic by every process.
        unsafe { AtomicU64::from_ptr(word.cast()) }
    }

    /// Returns the 32-bit word at byte `offset` (a multiple of 4).
    ///
    /// A word is used either as 32 or as 64 bits everywhere, never as both.
    #[inline]
    pub(crate) fn u32(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset.is_multiple_of(4) && offset + 4 <= self.len, "word at {offset} of {}", self.len);
        let word = if offset & 3 != 0 || offset >= self.len {
            self.sink.as_ptr().cast::<u8>()
        } else {
            // SAFETY: the offset is inside the live mapping (checked above).
            unsafe { self.base.add(offset) }
        };
        // SAFETY: aligned to 4, alive as long as `self`, only ever accessed as an atomic.
        unsafe { AtomicU32::from_ptr(word.cast()) }
    }
}
