//! The ways of copying one piece of memory.
//!
//! ```text
//!   Plain     memcpy                       through the caches
//!   Stream    a b c d e f g h ...          non-temporal stores, line after line
//!   Pages     a0 b0 c0 d0 a1 b1 c1 d1 ...  non-temporal stores, the lines of four pages in turn
//! ```
//!
//! Non-temporal stores do not read the line they replace and do not push others out of the caches.
//! `Pages` keeps several streams of reads going, which some processors need to fetch ahead enough.

/// A way of copying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    Plain,
    Stream,
    Pages,
}

impl Kernel {
    /// Lists the kernels that this processor has.
    pub(super) fn available() -> &'static [Kernel] {
        if has_stream() { &[Kernel::Plain, Kernel::Stream, Kernel::Pages] } else { &[Kernel::Plain] }
    }

    /// Copies `from` into `to`, which has the same length; afterwards the bytes are ordered like any other stores.
    pub(super) fn copy(self, to: &mut [u8], from: &[u8]) {
        match self {
            Kernel::Stream if has_stream() => streams::copy::<1>(to, from),
            Kernel::Pages if has_stream() => streams::copy::<4>(to, from),
            _ => to.copy_from_slice(from),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_stream() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_stream() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
mod streams {
    use std::arch::x86_64::{__m256i, _mm_sfence, _mm256_loadu_si256, _mm256_stream_si256};

    /// What a stream takes a turn on.
    const RUN: usize = 4096;
    /// Two registers.
    const LINE: usize = 64;

    /// Copies with non-temporal stores that take turns on `N` runs.
    pub(super) fn copy<const N: usize>(to: &mut [u8], from: &[u8]) {
        // Streaming stores need an aligned target; what is left over at both ends goes the plain way.
        let head = to.as_ptr().align_offset(LINE).min(to.len()).min(from.len());
        let (to_head, to) = to.split_at_mut(head);
        let (from_head, from) = from.split_at(head);
        to_head.copy_from_slice(from_head);
        let body = from.len().min(to.len()) / (N * RUN) * (N * RUN);
        let (to, to_tail) = to.split_at_mut(body);
        let (from, from_tail) = from.split_at(body);
        // SAFETY: the caller has asked the processor for AVX2 (`has_stream`); both slices have `body`
        // bytes, a multiple of N runs, and the target starts at a multiple of a line.
        unsafe { stream::<N>(to, from) };
        to_tail.copy_from_slice(from_tail);
    }

    /// Copies whole runs.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; the slices have the same length, a multiple of `N * RUN`; the target is
    /// aligned to a line.
    #[target_feature(enable = "avx2")]
    unsafe fn stream<const N: usize>(to: &mut [u8], from: &[u8]) {
        for (to, from) in to.chunks_exact_mut(N * RUN).zip(from.chunks_exact(N * RUN)) {
            for line in (0..RUN).step_by(LINE) {
                for run in 0..N {
                    let at = run * RUN + line;
                    let source = from.as_ptr().wrapping_add(at).cast::<__m256i>();
                    let target = to.as_mut_ptr().wrapping_add(at).cast::<__m256i>();
                    // SAFETY: `at + LINE <= N * RUN`, the length of both chunks; unaligned loads are allowed.
                    let low = unsafe { _mm256_loadu_si256(source) };
                    // SAFETY: as above, the second half of the line.
                    let high = unsafe { _mm256_loadu_si256(source.wrapping_add(1)) };
                    // SAFETY: inside the chunk as above, and a multiple of 64 behind the aligned start.
                    unsafe { _mm256_stream_si256(target, low) };
                    // SAFETY: as above, the second half of the line, aligned to 32.
                    unsafe { _mm256_stream_si256(target.wrapping_add(1), high) };
                }
            }
        }
        // Non-temporal stores are ordered by nothing else, not even by the Release of a seal.
        _mm_sfence();
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod streams {
    /// Never called: `has_stream` says no.
    pub(super) fn copy<const N: usize>(to: &mut [u8], from: &[u8]) {
        to.copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_copies_exactly_the_bytes_it_was_given() {
        for &kernel in Kernel::available() {
            for len in [0, 31, 64, 4096, 16 << 10, (16 << 10) + 1, 70_001] {
                for shift in [0, 1, 32, 63] {
                    let from: Vec<u8> = (0..len).map(|i| (i * 31 + i / 4096) as u8).collect();
                    let mut to = vec![0xee; len + 128];
                    kernel.copy(&mut to[shift..shift + len], &from);
                    assert!(to[shift..shift + len] == from[..], "{kernel:?}, {len} bytes at {shift}");
                    let around = to[..shift].iter().chain(&to[shift + len..]);
                    assert!(around.copied().all(|b| b == 0xee), "{kernel:?}, {len} bytes at {shift}");
                }
            }
        }
    }
}
