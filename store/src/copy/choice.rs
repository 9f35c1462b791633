//! Which kernel is fastest here, found out on the first large copies of the process.
//!
//! ```text
//!   pieces    P S I P S I P S I ...      each kernel SAMPLES times, in turn, timed
//!             afterwards                 the one with the smallest median, for good
//! ```
//!
//! The samples are pieces of real copies, so that finding out costs no memory and next to no time, and
//! they are taken while the other thread copies too, as it will be later. The median keeps a piece
//! that was interrupted, or that happened to lie in a cache, from deciding. A wrong choice would cost
//! speed only.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

use super::kernel::Kernel;

/// How often each kernel is tried.
const SAMPLES: usize = 5;
const KERNELS: usize = 3;
const UNDECIDED: u8 = u8::MAX;

/// The kernel for large copies, once it is known.
#[derive(Debug)]
pub(super) struct Choice {
    /// Place in `Kernel::available`, or `UNDECIDED`.
    chosen: AtomicU8,
    /// The next sample to take.
    next: AtomicUsize,
    taken: AtomicUsize,
    /// Nanoseconds of each piece; of the same length, or they are no samples.
    times: [[AtomicU32; SAMPLES]; KERNELS],
}

impl Choice {
    pub(super) const fn new() -> Choice {
        Choice {
            chosen: AtomicU8::new(UNDECIDED),
            next: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            times: [const { [const { AtomicU32::new(0) }; SAMPLES] }; KERNELS],
        }
    }

    /// Copies a piece of a large copy.
    pub(super) fn copy(&self, to: &mut [u8], from: &[u8]) {
        let kernels = Kernel::available();
        if let Some(kernel) = kernels.get(usize::from(self.chosen.load(Ordering::Relaxed))) {
            return kernel.copy(to, from);
        }
        // The rest at the end of a copy is too short to compare.
        let sample = if from.len() == super::PIECE { self.next.fetch_add(1, Ordering::Relaxed) } else { usize::MAX };
        let Some(&kernel) = kernels.get(sample % kernels.len()).filter(|_| sample < SAMPLES * kernels.len()) else {
            return to.copy_from_slice(from);
        };
        let start = Instant::now();
        kernel.copy(to, from);
        let time = u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX);
        self.times[sample % kernels.len()][sample / kernels.len()].store(time, Ordering::Relaxed);
        // SYNC samples: whoever takes the last one sees all the others.
        if self.taken.fetch_add(1, Ordering::AcqRel) + 1 == SAMPLES * kernels.len() {
            self.decide(kernels);
        }
    }

    fn decide(&self, kernels: &[Kernel]) {
        let median = |times: &[AtomicU32; SAMPLES]| {
            let mut times = times.each_ref().map(|t| t.load(Ordering::Relaxed));
            times.sort_unstable();
            times[SAMPLES / 2]
        };
        let medians = self.times[..kernels.len()].iter().map(median);
        let best = medians.enumerate().min_by_key(|&(_, time)| time).map_or(0, |(kernel, _)| kernel);
        tracing::debug!(kernel = ?kernels[best], "chose how to copy large objects");
        self.chosen.store(best as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_median_wins_although_one_sample_was_interrupted() {
        let choice = Choice::new();
        let kernels = Kernel::available();
        for (kernel, times) in choice.times[..kernels.len()].iter().enumerate() {
            for (i, time) in times.iter().enumerate() {
                // The last kernel is best but for one outlier; the first has one lucky piece.
                let usual = 1000 - 100 * kernel as u32;
                let odd = if kernel == 0 { 1 } else { 1_000_000 };
                time.store(if i == 2 { odd } else { usual }, Ordering::Relaxed);
            }
        }
        choice.decide(kernels);
        assert_eq!(usize::from(choice.chosen.load(Ordering::Relaxed)), kernels.len() - 1);
    }

    #[test]
    fn it_decides_after_a_fixed_number_of_whole_pieces_and_copies_all_along() {
        let choice = Choice::new();
        let from = vec![5; super::super::PIECE];
        for round in 0..SAMPLES * Kernel::available().len() {
            assert_eq!(choice.chosen.load(Ordering::Relaxed), UNDECIDED, "round {round}");
            let mut short = vec![0; 100];
            choice.copy(&mut short, &from[..100]);
            let mut to = vec![0; from.len()];
            choice.copy(&mut to, &from);
            assert!(to == from && short == from[..100]);
        }
        assert_ne!(choice.chosen.load(Ordering::Relaxed), UNDECIDED);
    }
}
