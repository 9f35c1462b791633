//! What the machine can do at best: the figures that all others are compared with.
//!
//! | row | what it is |
//! |---|---|
//! | `limit_atomic_pair` | add to a shared word and take it away again, alone on it |
//! | `limit_copy_1KB` | copy 1 KB, everything in the cache |
//! | `limit_memcpy_1t` | copy 100 MB between warm memory, one thread; in turns with the row it limits ([`beside`]) |
//! | `limit_spin_rtt` | two processes answer each other in a cache line, both spinning |
//! | `limit_stream` | 1,000 messages of a word there and back, both spinning; both ways count as one |
//! | `limit_futex_rtt` | a process wakes another that sleeps on a word and sleeps until it answers, both wherever the kernel puts them |
//! | `limit_futex_rtt_1cpu`, `limit_futex_rtt_2cpu` | the same, both on one processor, or one on each of two |
//! | `limit_futex_rtt_asleep` | the same after both have slept for 2 ms and more |
//! | `limit_spawn_hello` | start this executable until its first byte is here |
//!
//! Whatever blocks has two speeds, far apart: on one processor and across two. The kernel chooses, so
//! a row that sleeps is compared with a limit that was free to be moved as well.

use std::hint::{black_box, spin_loop};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::futex;

use crate::child::{self, Child, Role};
use crate::clock::Clock;
use crate::error::Result;
use crate::machine::cpus;
use crate::process::Pinned;
use crate::sample::{Samples, batches, singles};
use crate::session::{Figure, Session};
use crate::shared::{self, Lines};

/// The bytes of a large copy.
pub(crate) const LARGE: usize = 100_000_000;

/// The messages of one batch of a stream, or calls of one of calls.
pub(crate) const BATCH: usize = 1000;

/// How long both sides do nothing before a round trip of sleepers. The side that answers falls asleep
/// a little later than the one that asks, hence more than the 2 ms that both sleep at least.
pub(crate) const IDLE: Duration = Duration::from_micros(2500);

/// How long the side that asks looks elsewhere first, so that the other one really sleeps: without it the
/// two answer each other so fast that neither does, in some runs and not in others.
const FALLING_ASLEEP: Duration = Duration::from_micros(20);

/// Copies that are not counted: they fault memory in.
const WARM_UP: usize = 2;

const REQUEST: usize = 0;
const REPLY: usize = 1;

/// What can be measured of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    AtomicPair,
    Copy1KB,
    Memcpy,
    SpinRtt,
    Stream,
    FutexRtt,
    FutexRttOneCpu,
    FutexRttTwoCpus,
    FutexRttAsleep,
    SpawnHello,
}

impl Limit {
    /// Returns the row's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Limit::AtomicPair => "limit_atomic_pair",
            Limit::Copy1KB => "limit_copy_1KB",
            Limit::Memcpy => "limit_memcpy_1t",
            Limit::SpinRtt => "limit_spin_rtt",
            Limit::Stream => "limit_stream",
            Limit::FutexRtt => "limit_futex_rtt",
            Limit::FutexRttOneCpu => "limit_futex_rtt_1cpu",
            Limit::FutexRttTwoCpus => "limit_futex_rtt_2cpu",
            Limit::FutexRttAsleep => "limit_futex_rtt_asleep",
            Limit::SpawnHello => "limit_spawn_hello",
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
            Limit::AtomicPair => atomic_pair(clock, count(100_000)),
            Limit::Copy1KB => copy_1kb(clock, count(100_000)),
            Limit::Memcpy => Ok(Figure::rate(&memcpy(clock, count(50))?, LARGE)),
            Limit::SpinRtt => single(spin_rtt(clock, count(200_000))?),
            Limit::Stream => Ok(Figure::per_second(&stream(clock, count(2_000))?.divided_by(BATCH))),
            Limit::FutexRtt => single(futex_rtt(clock, count(5_000), None, None)?),
            Limit::FutexRttOneCpu => single(futex_rtt(clock, count(5_000), Some(0), None)?),
            Limit::FutexRttTwoCpus => single(futex_rtt(clock, count(5_000), Some(1), None)?),
            Limit::FutexRttAsleep => single(futex_rtt(clock, count(1_000), None, Some(IDLE))?),
            Limit::SpawnHello => single(spawn_hello(clock, count(200))?),
        }
    }
}

/// Measures a copy of [`LARGE`] bytes by `operation` and by memcpy in turns, and emits both rows: what
/// disturbs the machine disturbs both.
///
/// `operation` gets the source and returns the nanoseconds that it took.
pub(crate) fn beside(
    session: &mut Session<'_>,
    suite: &'static str,
    row: &'static str,
    mut operation: impl FnMut(&[f64]) -> Result<f64>,
) -> Result<()> {
    session.begin(row);
    let source: Vec<f64> = (0..LARGE / size_of::<f64>()).map(|i| i as f64).collect();
    let mut copier = Copier::new(&source)?;
    let (mut limits, mut times) = (Vec::new(), Vec::new());
    for i in 0..WARM_UP + session.count(40, 6) {
        let limit = copier.copy(session.clock());
        let time = operation(&source)?;
        if i >= WARM_UP {
            limits.push(limit);
            times.push(time);
        }
    }
    session.emit_limit(suite, Limit::Memcpy, Figure::rate(&Samples::new(limits), LARGE))?;
    session.emit(suite, row, Figure::rate(&Samples::new(times), LARGE), Some(Limit::Memcpy))
}

/// Copies between warm memory.
struct Copier<'a> {
    from: &'a [u8],
    to: memmap2::MmapMut,
}

impl<'a> Copier<'a> {
    fn new(source: &'a [f64]) -> Result<Self> {
        let from = mobula::bytemuck::cast_slice(source);
        Ok(Copier { from, to: shared::bytes(from.len())? })
    }

    fn copy(&mut self, clock: Clock) -> f64 {
        let start = clock.now();
        self.to.copy_from_slice(black_box(self.from));
        black_box(&self.to[..]);
        clock.since(start)
    }
}

fn memcpy(clock: Clock, count: usize) -> Result<Samples> {
    let source: Vec<f64> = (0..LARGE / size_of::<f64>()).map(|i| i as f64).collect();
    let mut copier = Copier::new(&source)?;
    let times: Vec<f64> = (0..WARM_UP + count.max(6)).map(|_| copier.copy(clock)).collect();
    Ok(Samples::new(times.get(WARM_UP..).unwrap_or_default().to_vec()))
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

fn spin_rtt(clock: Clock, count: usize) -> Result<Samples> {
    let lines = Lines::new(2)?;
    let _child = Child::with_lines(Role::Spin, &lines)?;
    let round = |i: u64| {
        lines.word(REQUEST).store(i, Ordering::Release);
        while lines.word(REPLY).load(Ordering::Acquire) != i {
            spin_loop();
        }
        Ok(())
    };
    let warm_up = count as u64 / 10;
    (1..=warm_up).try_for_each(round)?;
    singles(clock, count, |i| round(warm_up + 1 + i as u64))
}

/// The child's side of `limit_spin_rtt`; the parent kills it.
pub(crate) fn spin_echo(lines: &Lines) -> Result<()> {
    child::ready()?;
    let mut last = 0;
    loop {
        let now = lines.word(REQUEST).load(Ordering::Acquire);
        if now != last {
            lines.word(REPLY).store(now, Ordering::Release);
            last = now;
        } else {
            spin_loop();
        }
    }
}

/// Both rings of a stream lie in one mapping; a batch fits, so nobody ever waits for room.
const RING: usize = 1024;

fn stream(clock: Clock, count: usize) -> Result<Samples> {
    let lines = Lines::new(2 * RING)?;
    let _child = Child::with_lines(Role::Stream, &lines)?;
    let mut sent = 0_u64;
    let mut batch = |_| {
        let (first, last) = (sent + 1, sent + BATCH as u64);
        for message in first..=last {
            lines.word(message as usize % RING).store(message, Ordering::Release);
        }
        for message in first..=last {
            let answer = lines.word(RING + message as usize % RING);
            while answer.load(Ordering::Acquire) != message {
                spin_loop();
            }
        }
        sent = last;
        Ok(())
    };
    (0..count / 10).try_for_each(&mut batch)?;
    singles(clock, count, batch)
}

/// The child's side of `limit_stream`; the parent kills it.
pub(crate) fn stream_echo(lines: &Lines) -> Result<()> {
    child::ready()?;
    for message in 1_u64.. {
        let place = message as usize % RING;
        while lines.word(place).load(Ordering::Acquire) != message {
            spin_loop();
        }
        lines.word(RING + place).store(message, Ordering::Release);
    }
    Ok(())
}

/// `place` says on which of the allowed processors the child is, this thread being on the first.
fn futex_rtt(clock: Clock, count: usize, place: Option<usize>, idle: Option<Duration>) -> Result<Samples> {
    let lines = Lines::new(2)?;
    let child = Child::with_lines(Role::Futex, &lines)?;
    let _pinned = place.map(|number| Pinned::new(child.id(), number)).transpose()?;
    let (request, reply) = (lines.futex(REQUEST), lines.futex(REPLY));
    let round = |i: u32| {
        request.store(i, Ordering::Release);
        wake(request);
        while reply.load(Ordering::Acquire) != i {
            sleep_while(reply, i.wrapping_sub(1));
        }
    };
    let warm_up = count as u32 / 20;
    (1..=warm_up).for_each(round);
    let times = (1..=count as u32).map(|i| {
        match idle {
            Some(idle) => std::thread::sleep(idle),
            None => spin(FALLING_ASLEEP),
        }
        let start = clock.now();
        round(warm_up + i);
        clock.since(start)
    });
    Ok(Samples::new(times.collect()))
}

/// The child's side of `limit_futex_rtt`; the parent kills it.
pub(crate) fn futex_echo(lines: &Lines) -> Result<()> {
    child::ready()?;
    let (request, reply) = (lines.futex(REQUEST), lines.futex(REPLY));
    let mut last = 0;
    loop {
        while request.load(Ordering::Acquire) == last {
            sleep_while(request, last);
        }
        last = request.load(Ordering::Acquire);
        reply.store(last, Ordering::Release);
        wake(reply);
    }
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        spin_loop();
    }
}

fn sleep_while(word: &AtomicU32, value: u32) {
    // An error means that the word has changed or a signal came: the caller looks again.
    let _ = futex::wait(word, futex::Flags::empty(), value, None);
}

fn wake(word: &AtomicU32) {
    // It cannot fail for a mapped word.
    let _ = futex::wake(word, futex::Flags::empty(), 1);
}

fn spawn_hello(clock: Clock, count: usize) -> Result<Samples> {
    let times: Result<Vec<f64>> = (0..count.max(20))
        .map(|_| {
            let start = clock.now();
            let mut child = Child::start(Role::Hello, &[], Stdio::null())?;
            child.wait_ready()?;
            Ok(clock.since(start))
        })
        .collect();
    times.map(Samples::new)
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
