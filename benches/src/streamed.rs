//! Copies past the caches: what a processor does at best with more bytes than they hold.
//!
//! A store that goes past the caches does not read the line that it overwrites first, which saves a
//! third of the traffic. One copy that goes along several pages at once,
//!
//! ```text
//!   page 0: | 1  5  9 ..     page 1: | 2  6 10 ..     page 2: | 3  7 11 ..     page 3: | 4  8 12 ..
//! ```
//!
//! reads as many streams, and the processor fetches each ahead of its use by itself.

/// How bytes are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As the standard library does.
    Plain,
    /// By stores that go past the caches.
    Streamed,
    /// The same, four pages interleaved.
    Streamed4Pages,
    /// The same, eight pages interleaved.
    Streamed8Pages,
}

impl Way {
    /// Says whether this processor can.
    pub(crate) fn is_possible(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let streams = std::arch::is_x86_feature_detected!("avx2");
        #[cfg(not(target_arch = "x86_64"))]
        let streams = false;
        self == Way::Plain || streams
    }
}

/// Copies `from` into `to`, which has the same length; plainly where the way is not possible.
pub(crate) fn copy(way: Way, to: &mut [u8], from: &[u8]) {
    assert_eq!(to.len(), from.len(), "a copy has as many bytes as its source");
    #[cfg(target_arch = "x86_64")]
    if way.is_possible() {
        match way {
            Way::Plain => {}
            // SAFETY: `is_possible` has just found AVX2.
            Way::Streamed => return unsafe { avx2::copy::<1>(to, from) },
            // SAFETY: as above.
            Way::Streamed4Pages => return unsafe { avx2::copy::<4>(to, from) },
            // SAFETY: as above.
            Way::Streamed8Pages => return unsafe { avx2::copy::<8>(to, from) },
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = way;
    to.copy_from_slice(from);
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{__m256i, _mm_sfence, _mm256_loadu_si256, _mm256_stream_si256};

    const PAGE: usize = 4096;
    const LINE: usize = 64;
    const VECTOR: usize = size_of::<__m256i>();

    /// Copies groups of `PAGES` pages past the caches and the rest of both ends plainly.
    #[target_feature(enable = "avx2")]
    pub(super) fn copy<const PAGES: usize>(to: &mut [u8], from: &[u8]) {
        let head = to.as_ptr().align_offset(LINE).min(to.len());
        let (to_head, to) = to.split_at_mut(head);
        let (from_head, from) = from.split_at(head);
        to_head.copy_from_slice(from_head);
        let mut targets = to.chunks_exact_mut(PAGES * PAGE);
        let mut sources = from.chunks_exact(PAGES * PAGE);
        for (target, source) in targets.by_ref().zip(sources.by_ref()) {
            for line in (0..PAGE).step_by(LINE) {
                for page in 0..PAGES {
                    let at = page * PAGE + line;
                    copy_line(&mut target[at..at + LINE], &source[at..at + LINE]);
                }
            }
        }
        targets.into_remainder().copy_from_slice(sources.remainder());
        // Streaming stores are not ordered with others: all are done before anybody is told.
        _mm_sfence();
    }

    /// Copies one line to a place that is aligned to lines.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn copy_line(to: &mut [u8], from: &[u8]) {
        for half in (0..LINE).step_by(VECTOR) {
            let source = from[half..half + VECTOR].as_ptr().cast();
            // SAFETY: the slice has the bytes of a vector, and the load asks for no alignment.
            let vector = unsafe { _mm256_loadu_si256(source) };
            let target = to[half..half + VECTOR].as_mut_ptr().cast();
            // SAFETY: the slice has the bytes of a vector; `copy` starts it at a multiple of a line behind an
            // aligned place, so it is aligned to 32 bytes.
            unsafe { _mm256_stream_si256(target, vector) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_whole_wherever_they_start_and_end() {
        let source: Vec<u8> = (0..3 * 8 * 4096 + 100).map(|i| (i % 253) as u8).collect();
        for way in [Way::Plain, Way::Streamed, Way::Streamed4Pages, Way::Streamed8Pages] {
            for (start, len) in [(0, 0), (0, 1), (1, 63), (3, 4096), (5, 16 * 4096 + 7), (9, source.len() - 9)] {
                let mut to = vec![0; source.len()];
                copy(way, &mut to[start..start + len], &source[start..start + len]);
                assert!(to[start..start + len] == source[start..start + len], "{way:?} {start} {len}");
                assert!(to[..start].iter().chain(&to[start + len..]).all(|&byte| byte == 0), "{way:?} {start} {len}");
            }
        }
    }
}
