//! The clock that all processes of a machine share.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Returns the time of this process's own waits.
#[inline]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Sleeps for a while, whatever happens.
pub(crate) fn nap(length: Duration) {
    std::thread::sleep(length);
}

/// Returns nanoseconds of `CLOCK_MONOTONIC`, which is the same in every process.
pub(crate) fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Returns the same clock as of the last timer tick: some milliseconds behind, and much cheaper to read.
#[inline]
pub(crate) fn coarse_ns() -> u64 {
    nanoseconds(ClockId::MonotonicCoarse)
}

#[inline]
fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
