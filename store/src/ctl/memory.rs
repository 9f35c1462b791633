//! Words that lie in memory: shared and mapped, or private and on the heap.

use std::fmt;
use std::fs::File;
use std::io;
use std::ptr;

use crate::layout::SLOT_WORDS;
use crate::sync::{AtomicU32, AtomicU64};
use crate::sys::aligned::AlignedMap;

/// Words of 64 bits that were checked against the mapping together: those of a bucket or of a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<'a, const N: usize>(&'a [AtomicU64; N]);

impl<'a, const N: usize> Block<'a, N> {
    /// Returns the 64-bit word at byte `field` (a multiple of 8); any number is brought inside.
    #[inline]
    pub(crate) fn u64(&self, field: usize) -> &'a AtomicU64 {
        &self.0[field / 8 % N]
    }

    /// Returns the 32-bit word at byte `field` (a multiple of 4); any number is brought inside.
    #[inline]
    pub(crate) fn u32(&self, field: usize) -> &'a AtomicU32 {
        let word = ptr::from_ref(self.u64(field)).cast::<AtomicU32>();
        // SAFETY: one half of the word or the other is inside of it.
        let half = unsafe { word.add(field / 4 % 2) };
        // SAFETY: aligned to 4, alive as long as the word, and only ever accessed as an atomic.
        unsafe { &*half }
    }
}

/// A mapped (or, for tests, private) control segment.
pub(crate) struct Ctl {
    base: *mut u8,
    len: usize,
    /// What an access beyond the end goes to.
    sink: (AtomicU32, AtomicU64, [AtomicU64; SLOT_WORDS]),
    backing: Backing,
}

#[allow(dead_code, reason = "most of it only keeps the memory alive")]
enum Backing {
    Mapped(AlignedMap, File),
    Heap(Vec<u64>),
}

// SAFETY: `base` points into memory that `backing` keeps alive and never moves; every access goes
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
    /// Wraps a shared mapping and the file behind it, which stays open (adopt.rs).
    ///
    /// Of a mapping that only reads, words outside of an open area may only be loaded: a store to one faults. Loads
    /// of up to 64 bits are plain loads on every machine that this runs on, whatever their ordering.
    pub(crate) fn mapped(map: AlignedMap, file: File) -> Ctl {
        let (base, len) = (map.as_mut_ptr(), map.len() & !7);
        Ctl { base, len, sink: Default::default(), backing: Backing::Mapped(map, file) }
    }

    /// Returns the file behind the mapping; private memory has none.
    pub(crate) fn file(&self) -> Option<&File> {
        match &self.backing {
            Backing::Mapped(_, file) => Some(file),
            Backing::Heap(_) => None,
        }
    }

    /// Makes a part of a mapping that only reads writable, through a file that may be written.
    pub(crate) fn open_area(&self, file: &File, at: usize, len: usize) -> io::Result<()> {
        match &self.backing {
            Backing::Mapped(map, _) => map.open_area(file, at, len),
            Backing::Heap(_) => Ok(()),
        }
    }

    /// Has the kernel join the small pages at `at` to a large one (sys/aligned.rs).
    pub(crate) fn join(&self, at: usize) -> io::Result<()> {
        match &self.backing {
            Backing::Mapped(map, _) => map.join(at),
            Backing::Heap(_) => Ok(()),
        }
    }

    /// Makes zeroed private memory of `len` bytes: the same protocols without processes.
    #[cfg(test)]
    pub(crate) fn heap(len: usize) -> Ctl {
        let mut words = vec![0u64; len.div_ceil(8)];
        let base = words.as_mut_ptr().cast();
        Ctl { base, len: words.len() * 8, sink: Default::default(), backing: Backing::Heap(words) }
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
            return &self.sink.1;
        }
        // SAFETY: the offset is inside the live mapping (checked above; `len` is a multiple of 8).
        let word = unsafe { self.base.add(offset) }.cast::<AtomicU64>();
        // SAFETY: aligned (base is page or u64 aligned, offset a multiple of 8), alive as long as
        // `self`, laid out as a plain u64, and only ever accessed as an atomic by every process.
        unsafe { &*word }
    }

    /// Returns `N` words of 64 bits from byte `offset` (a multiple of 8) on.
    #[inline]
    pub(crate) fn block<const N: usize>(&self, offset: usize) -> Block<'_, N> {
        debug_assert!(offset.is_multiple_of(8) && offset + 8 * N <= self.len, "{N} words at {offset} of {}", self.len);
        const { assert!(N <= SLOT_WORDS) };
        let words = if offset & 7 != 0 || offset.saturating_add(8 * N) > self.len {
            ptr::from_ref(&self.sink.2).cast::<[AtomicU64; N]>()
        } else {
            self.base.wrapping_add(offset).cast::<[AtomicU64; N]>().cast_const()
        };
        // SAFETY: so many words are inside the sink (checked when this is compiled) or the live mapping (checked above);
        // aligned and alive as in `u64`, and only ever accessed as atomics.
        Block(unsafe { &*words })
    }

    /// Has the line of byte `offset` on its way to the cache, without waiting for it.
    ///
    /// A load would be waited for by the next locked instruction.
    #[inline]
    pub(crate) fn prefetch(&self, offset: usize) {
        let _line = self.base.wrapping_add(offset.min(self.len));
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: every x86-64 processor has the instruction, and it never faults whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(_line.cast_const().cast()) };
        }
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        // SAFETY: a hint that changes nothing and never faults, whatever the address.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{}]", in(reg) _line, options(nostack, preserves_flags, readonly));
        }
    }

    /// Returns the 32-bit word at byte `offset` (a multiple of 4).
    ///
    /// A word is used either as 32 or as 64 bits everywhere, never as both.
    #[inline]
    pub(crate) fn u32(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset.is_multiple_of(4) && offset + 4 <= self.len, "word at {offset} of {}", self.len);
        if offset & 3 != 0 || offset >= self.len {
            return &self.sink.0;
        }
        // SAFETY: the offset is inside the live mapping (checked above).
        let word = unsafe { self.base.add(offset) }.cast::<AtomicU32>();
        // SAFETY: aligned to 4, alive as long as `self`, laid out as a plain u32, and only ever
        // accessed as an atomic.
        unsafe { &*word }
    }
}
