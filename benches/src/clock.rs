//! The clock: the processor's time stamp counter where the kernel itself trusts it, otherwise
//! `Instant`.
//!
//! Reading a clock takes time, too. [`Clock::new`] measures how much two readings in a row lie apart
//! (the median of many) and [`Clock::since`] subtracts it, so that an empty operation takes zero.

use std::hint::black_box;
#[cfg(target_arch = "x86_64")]
use std::time::Duration;
use std::time::Instant;

use crate::sample::Samples;

/// How long the counter's frequency is compared with `Instant`.
#[cfg(target_arch = "x86_64")]
const CALIBRATION: Duration = Duration::from_millis(20);

/// How often the two clocks are read together.
#[cfg(target_arch = "x86_64")]
const TRIES: usize = 16;

/// How many pairs of readings the clock's own cost is the median of.
const PAIRS: usize = 20_001;

/// Measures short times.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    source: Source,
    overhead_ns: f64,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    #[cfg(target_arch = "x86_64")]
    Counter {
        ns_per_tick: f64,
    },
    Instant {
        origin: Instant,
    },
}

/// A moment, in the clock's own unit.
#[derive(Debug, Clone, Copy)]
pub struct Moment(u64);

impl Clock {
    /// Chooses the best clock of the machine and measures what reading it costs; takes some 20 ms.
    pub fn new() -> Self {
        let mut clock = Clock { source: Source::new(), overhead_ns: 0.0 };
        let pairs = (0..PAIRS).map(|_| {
            let start = clock.now();
            clock.since(black_box(start))
        });
        clock.overhead_ns = Samples::new(pairs.collect()).median();
        clock
    }

    /// Reads the clock.
    #[inline]
    pub fn now(&self) -> Moment {
        Moment(match self.source {
            #[cfg(target_arch = "x86_64")]
            Source::Counter { .. } => counter(),
            Source::Instant { origin } => nanoseconds(origin),
        })
    }

    /// Returns the nanoseconds since `start`, without those that reading the clock took.
    #[inline]
    pub fn since(&self, start: Moment) -> f64 {
        let end = self.now();
        let ticks = end.0.saturating_sub(start.0) as f64;
        let ns = match self.source {
            #[cfg(target_arch = "x86_64")]
            Source::Counter { ns_per_tick } => ticks * ns_per_tick,
            Source::Instant { .. } => ticks,
        };
        (ns - self.overhead_ns).max(0.0)
    }

    /// Returns what reading the clock costs, in nanoseconds.
    pub fn overhead_ns(&self) -> f64 {
        self.overhead_ns
    }

    /// Names the clock.
    pub fn name(&self) -> &'static str {
        match self.source {
            #[cfg(target_arch = "x86_64")]
            Source::Counter { .. } => "tsc",
            Source::Instant { .. } => "clock_monotonic",
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Source {
    #[cfg(target_arch = "x86_64")]
    fn new() -> Self {
        // The kernel watches the counter and gives it up if it drifts or differs between processors.
        let kernel = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
        if kernel.is_ok_and(|name| name.trim() == "tsc") {
            let (start, first) = both();
            while start.elapsed() < CALIBRATION {
                std::hint::spin_loop();
            }
            let (end, last) = both();
            let (elapsed, ticks) = (end.duration_since(start), last.saturating_sub(first));
            if ticks > 0 {
                return Source::Counter { ns_per_tick: elapsed.as_nanos() as f64 / ticks as f64 };
            }
        }
        Source::Instant { origin: Instant::now() }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn new() -> Self {
        Source::Instant { origin: Instant::now() }
    }
}

/// Returns a time that all processes of the machine agree on.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

fn nanoseconds(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Reads both clocks at the same moment: of several tries the one that took least, so that an
/// interruption between the two does no harm.
#[cfg(target_arch = "x86_64")]
fn both() -> (Instant, u64) {
    let mut best = (u64::MAX, Instant::now(), 0);
    for _ in 0..TRIES {
        let before = counter();
        let now = Instant::now();
        let after = counter();
        if after.saturating_sub(before) < best.0 {
            best = (after.saturating_sub(before), now, before.midpoint(after));
        }
    }
    (best.1, best.2)
}

/// Reads the counter when everything before has been done and before anything behind begins.
#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    use std::arch::x86_64::{_mm_lfence, _rdtsc};
    // Without the fences a processor starts operations before the first reading and ends them behind
    // the second one, and a short one seems to take no time at all.
    // SAFETY: every x86-64 processor has SSE2; the fence touches no memory.
    unsafe { _mm_lfence() };
    // SAFETY: every x86-64 processor has the counter, and Linux lets user code read it.
    let ticks = unsafe { _rdtsc() };
    // SAFETY: as above.
    unsafe { _mm_lfence() };
    ticks
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pause_takes_as_long_as_it_does() {
        let clock = Clock::new();
        let (start, moment) = (Instant::now(), clock.now());
        std::thread::sleep(Duration::from_millis(20));
        let ns = clock.since(moment);
        let outer = start.elapsed().as_nanos() as f64;
        assert!(ns >= 19.5e6 && ns <= outer * 1.05, "{ns} of {outer} by {}", clock.name());
    }
}
