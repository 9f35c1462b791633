//! Copies: how fast memory takes bytes, by every manner that is worth trying.
//!
//! | row | what it is |
//! |---|---|
//! | `limit_memcpy_1t`, `limit_memcpy_2t` | memcpy of 100 MB between warm memory by one or two threads |
//! | `limit_copy_nt_1t`, `.._nt4_1t`, `.._nt8_2t`, .. | the same past the caches, straight or 4 or 8 pages interleaved |
//! | `limit_copy_best` | the fastest of all these, measured again in turns with the rows that it limits |
//! | `limit_memcpy_100KB`, `limit_memcpy_1MB` | memcpy by one thread, always to the same place |
//! | `limit_fresh_write` | memcpy of 100 MB by one thread to shared memory that nobody touched before |

use std::hint::black_box;

use memmap2::MmapMut;

use crate::clock::Clock;
use crate::error::Result;
use crate::sample::{Samples, in_turns};
use crate::session::{Figure, Session};
use crate::shared;
use crate::streamed::{self, Way};

/// The bytes of a large copy.
pub(crate) const LARGE: usize = 100_000_000;

/// Copies that are not counted: they fault memory in.
pub(crate) const WARM_UP: usize = 2;

pub(crate) const MEMCPY: &str = "limit_memcpy_1t";
pub(crate) const BEST: &str = "limit_copy_best";
pub(crate) const FRESH: &str = "limit_fresh_write";

/// Two threads part the bytes at a multiple of this.
const PART: usize = 8 * 4096;

/// A way to copy and how many threads do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    row: &'static str,
    way: Way,
    threads: usize,
}

impl Manner {
    /// One thread's memcpy.
    pub(crate) const MEMCPY: Manner = Manner { row: MEMCPY, way: Way::Plain, threads: 1 };

    /// Returns all manners that this machine knows.
    pub(crate) fn all() -> impl Iterator<Item = Manner> {
        let all = [
            Manner::MEMCPY,
            Manner { row: "limit_memcpy_2t", way: Way::Plain, threads: 2 },
            Manner { row: "limit_copy_nt_1t", way: Way::Streamed, threads: 1 },
            Manner { row: "limit_copy_nt_2t", way: Way::Streamed, threads: 2 },
            Manner { row: "limit_copy_nt4_1t", way: Way::Streamed4Pages, threads: 1 },
            Manner { row: "limit_copy_nt4_2t", way: Way::Streamed4Pages, threads: 2 },
            Manner { row: "limit_copy_nt8_1t", way: Way::Streamed8Pages, threads: 1 },
            Manner { row: "limit_copy_nt8_2t", way: Way::Streamed8Pages, threads: 2 },
        ];
        all.into_iter().filter(|manner| manner.way.is_possible())
    }

    fn copy(self, to: &mut [u8], from: &[u8]) {
        if self.threads == 1 {
            return streamed::copy(self.way, to, from);
        }
        let middle = from.len() / 2 / PART * PART;
        let (to_low, to_high) = to.split_at_mut(middle);
        let (from_low, from_high) = from.split_at(middle);
        std::thread::scope(|scope| {
            scope.spawn(|| streamed::copy(self.way, to_high, from_high));
            streamed::copy(self.way, to_low, from_low);
        });
    }
}

/// Copies into warm memory of its own.
#[derive(Debug)]
pub(crate) struct Copier {
    to: MmapMut,
}

impl Copier {
    /// Makes memory for copies of `len` bytes.
    pub(crate) fn new(len: usize) -> Result<Self> {
        Ok(Copier { to: shared::bytes(len)? })
    }

    /// Copies and returns the nanoseconds that it took.
    pub(crate) fn copy(&mut self, clock: Clock, manner: Manner, from: &[u8]) -> f64 {
        let to = &mut self.to[..from.len()];
        let start = clock.now();
        manner.copy(to, black_box(from));
        let time = clock.since(start);
        black_box(&self.to[..]);
        time
    }
}

/// Tries all manners, emits each as a row but memcpy of one thread, and returns the fastest.
pub(crate) fn best(
    session: &mut Session<'_>,
    suite: &'static str,
    copier: &mut Copier,
    source: &[u8],
) -> Result<Manner> {
    session.begin(BEST);
    let (clock, rounds) = (session.clock(), session.count(12, 3));
    let manners: Vec<Manner> = Manner::all().collect();
    let mut times = vec![Vec::new(); manners.len()];
    for round in 0..WARM_UP + rounds {
        for (manner, times) in manners.iter().zip(&mut times) {
            let time = copier.copy(clock, *manner, source);
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    let mut fastest = (Manner::MEMCPY, f64::INFINITY);
    for (manner, times) in manners.into_iter().zip(times) {
        let samples = Samples::new(times);
        if samples.median() < fastest.1 {
            fastest = (manner, samples.median());
        }
        if manner != Manner::MEMCPY {
            session.emit(suite, manner.row, Figure::rate(&samples, source.len()), None)?;
        }
    }
    Ok(fastest.0)
}

/// Copies to memory that nobody touched before and returns the nanoseconds that it took.
pub(crate) fn fresh(clock: Clock, source: &[u8]) -> Result<f64> {
    let mut to = shared::untouched(source.len())?;
    let start = clock.now();
    to.copy_from_slice(black_box(source));
    let time = clock.since(start);
    black_box(&to[..]);
    Ok(time)
}

/// Measures a copy of [`LARGE`] bytes by `operation` and by memcpy in turns, and emits both rows.
///
/// `operation` gets the source and returns the nanoseconds that it took.
pub(crate) fn beside(
    session: &mut Session<'_>,
    suite: &'static str,
    row: &'static str,
    mut operation: impl FnMut(&[f64]) -> Result<f64>,
) -> Result<()> {
    session.begin(row);
    let (clock, rounds) = (session.clock(), session.count(40, 6));
    let source: Vec<f64> = (0..LARGE / size_of::<f64>()).map(|i| i as f64).collect();
    let bytes: &[u8] = mobula::bytemuck::cast_slice(&source);
    let mut copier = Copier::new(bytes.len())?;
    let [limit, times] =
        in_turns(WARM_UP, rounds, [&mut || Ok(copier.copy(clock, Manner::MEMCPY, bytes)), &mut || operation(&source)])?;
    session.emit(suite, MEMCPY, Figure::rate(&limit, LARGE), None)?;
    session.emit(suite, row, Figure::rate(&times, LARGE), Some(MEMCPY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manner_copies_all_bytes() {
        let source: Vec<u8> = (0..5 * PART + 777).map(|i| (i % 251) as u8).collect();
        for manner in Manner::all() {
            let mut to = vec![0; source.len()];
            manner.copy(&mut to, &source);
            assert!(to == source, "{manner:?}");
        }
    }
}
