//! What the machine can do at best: the figures that all others are compared with.
//!
//! | row | what it is |
//! |---|---|
//! | `limit_clock` | read the clock twice; it is subtracted from every time |
//! | `limit_atomic_pair` | add to a shared word and take it away again, alone on it |
//! | `limit_copy_1KB` | copy 1 KB, everything in the cache |
//! | `limit_spin_rtt` | two processes answer each other in a cache line, both spinning |
//! | `limit_stream` | 1,000 messages of a word there and back, both spinning, each on a processor of its own; both ways count as one |
//! | `limit_futex_rtt` | a process wakes another that sleeps on a word and sleeps until it answers, both wherever the kernel puts them |
//! | `limit_futex_rtt_1cpu`, `limit_futex_rtt_2cpu` | the same, both on one processor, or one on each of two |
//! | `limit_futex_rtt_asleep` | the same after both have slept for 2 ms and more |
//! | `limit_spawn_hello` | start this executable until its first byte is here |
//! | `limit_kill_seen` | kill a sleeping child until its process descriptor says so |
//!
//! Copies of more than a kilobyte are in [`copies`]. They, and `limit_futex_wake`, are measured in turns
//! with the rows that they limit: what disturbs the machine then disturbs both.
//!
//! Whatever blocks has two speeds, far apart: on one processor and across two. The kernel chooses, so
//! a row that sleeps is compared with a limit that was free to be moved as well.

pub(crate) mod copies;
pub(crate) mod rounds;

use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::Result;
use crate::machine::cpus;
use crate::sample::{batches, singles};
use crate::session::Figure;
use crate::shared::{self, Lines};

/// The messages of one batch of a stream, or calls of one of calls.
pub const BATCH: usize = 1000;

/// How long both sides do nothing before a round trip of sleepers. The side that answers falls asleep
/// a little later than the one that asks, hence more than the 2 ms that both sleep at least.
pub const IDLE: Duration = Duration::from_micros(2500);

/// How long the side that asks looks elsewhere first, so that the other one really sleeps: without it the
/// two answer each other so fast that neither does, in some runs and not in others.
const FALLING_ASLEEP: Duration = Duration::from_micros(20);

/// What can be measured of the machine alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// Read the clock twice.
    Clock,
    /// Add to a shared word and take it away again.
    AtomicPair,
    /// Copy 1 KB in the cache.
    Copy1KB,
    /// Two processes answer each other in a cache line, spinning.
    SpinRtt,
    /// 1,000 messages there and back, spinning.
    Stream,
    /// Two processes wake each other, wherever the kernel puts them.
    FutexRtt,
    /// The same on one processor.
    FutexRttOneCpu,
    /// The same on two.
    FutexRttTwoCpus,
    /// The same after both have slept for 2 ms.
    FutexRttAsleep,
    /// Start a process until its first byte is here.
    SpawnHello,
    /// Kill a process until that is seen.
    KillSeen,
}

impl Limit {
    /// Returns the row's name.
    pub const fn name(self) -> &'static str {
        match self {
            Limit::Clock => "limit_clock",
            Limit::AtomicPair => "limit_atomic_pair",
            Limit::Copy1KB => "limit_copy_1KB",
            Limit::SpinRtt => "limit_spin_rtt",
            Limit::Stream => "limit_stream",
            Limit::FutexRtt => "limit_futex_rtt",
            Limit::FutexRttOneCpu => "limit_futex_rtt_1cpu",
            Limit::FutexRttTwoCpus => "limit_futex_rtt_2cpu",
            Limit::FutexRttAsleep => "limit_futex_rtt_asleep",
            Limit::SpawnHello => "limit_spawn_hello",
            Limit::KillSeen => "limit_kill_seen",
        }
    }

    /// Says why this machine has no such figure, if so.
    pub(crate) fn obstacle(self) -> Option<&'static str> {
        let two = matches!(self, Limit::SpinRtt | Limit::Stream | Limit::FutexRttTwoCpus);
        (two && cpus() < 2).then_some("it takes two processors and this process may use one")
    }

    /// Measures it.
    pub(crate) fn measure(self, clock: Clock, quick: bool) -> Result<Figure> {
        let count = |full: usize| if quick { full / 10 } else { full };
        let single = |samples| Ok(Figure::of(&samples));
        match self {
            Limit::Clock => Ok(Figure::nanoseconds(clock.overhead_ns())),
            Limit::AtomicPair => atomic_pair(clock, count(100_000)),
            Limit::Copy1KB => copy_1kb(clock, count(100_000)),
            Limit::SpinRtt => single(rounds::spin_rtt(clock, count(200_000))?),
            Limit::Stream => Ok(Figure::per_second(&rounds::stream(clock, count(2_000))?.divided_by(BATCH))),
            Limit::FutexRtt => single(rounds::futex_rtt(clock, count(5_000), None, None)?),
            Limit::FutexRttOneCpu => single(rounds::futex_rtt(clock, count(5_000), Some(0), None)?),
            Limit::FutexRttTwoCpus => single(rounds::futex_rtt(clock, count(5_000), Some(1), None)?),
            Limit::FutexRttAsleep => single(rounds::futex_rtt(clock, count(1_000), None, Some(IDLE))?),
            Limit::SpawnHello => single(rounds::spawn_hello(clock, count(200))?),
            Limit::KillSeen => single(rounds::kill_seen(clock, count(200))?),
        }
    }
}

fn atomic_pair(clock: Clock, count: usize) -> Result<Figure> {
    let lines = Lines::new(1)?;
    let pair = |_| {
        lines.word(0).fetch_add(1, Ordering::SeqCst);
        lines.word(0).fetch_sub(1, Ordering::SeqCst);
        Ok(())
    };
    let timed = singles(clock, count, pair)?;
    Ok(Figure::of(&timed).with_value(batches(clock, count / 100, 100, pair)?.median()))
}

fn copy_1kb(clock: Clock, count: usize) -> Result<Figure> {
    const SIZE: usize = 1024;
    let from = [7_u8; SIZE];
    let mut to = shared::bytes(64 * SIZE)?;
    let mut copy = |i: usize| {
        let at = i % 64 * SIZE;
        to[at..at + SIZE].copy_from_slice(black_box(&from));
        black_box(&mut to);
        Ok(())
    };
    let timed = singles(clock, count, &mut copy)?;
    Ok(Figure::of(&timed).with_value(batches(clock, count / 100, 100, copy)?.median()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, check};

    #[test]
    fn what_needs_no_child_is_measured() -> Result<(), Error> {
        let clock = Clock::new();
        for limit in [Limit::AtomicPair, Limit::Copy1KB] {
            let figure = limit.measure(clock, true)?;
            check(limit.name(), figure.value > 0.0 && figure.value < 1e6, true)?;
        }
        Ok(())
    }
}
