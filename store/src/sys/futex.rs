//! Sleeping on a shared word and waking who sleeps there.
//!
//! The futexes are shared ones (keyed by the page behind the address, not by the address), because
//! their words lie in a segment that many processes map at different places.

use std::num::NonZeroU32;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, Timespec};

use super::clock;
use crate::sync::AtomicU32;

/// Sleeps while `word` is `expected`; false if the timeout ended first.
///
/// Returns true at once if the word differs, and may return true for no reason at all: look at the
/// word again. Only a wake whose bits meet `bitset` ends the sleep. A signal does not end it and
/// does not prolong it.
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>, bitset: u32) -> bool {
    let Some(bits) = NonZeroU32::new(bitset) else {
        return true;
    };
    let deadline = timeout.and_then(deadline);
    loop {
        match futex::wait_bitset(word.as_std(), Flags::empty(), expected, deadline.as_ref(), bits) {
            Err(Errno::INTR) => {}
            Err(Errno::TIMEDOUT) => return false,
            // Woken, or the word had changed (`AGAIN`). Nothing else can come of a valid word and a
            // valid time; if something does, the caller's look at the word decides.
            Ok(()) | Err(_) => return true,
        }
    }
}

/// Wakes at most `count` of those who sleep on `word` with a bit of `bitset`; `u32::MAX` wakes all.
pub(crate) fn wake(word: &AtomicU32, count: u32, bitset: u32) {
    let Some(bits) = NonZeroU32::new(bitset) else {
        return;
    };
    // The kernel reads the count as a signed number and stops at once at a negative one.
    let count = count.min(i32::MAX.unsigned_abs());
    // It can only fail for an address that is not mapped, which a reference rules out.
    let _ = futex::wake_bitset(word.as_std(), Flags::empty(), count, bits);
}

/// Returns the moment of `CLOCK_MONOTONIC` after `timeout`; `None`, for ever, if no clock goes that far.
fn deadline(timeout: Duration) -> Option<Timespec> {
    let at = Duration::from_nanos(clock::monotonic_ns()).checked_add(timeout)?;
    let tv_sec = i64::try_from(at.as_secs()).ok()?;
    // The kernel refuses times beyond its own 64-bit nanoseconds.
    (tv_sec < i64::MAX / 1_000_000_000).then(|| Timespec { tv_sec, tv_nsec: at.subsec_nanos().into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Ordering;

    #[test]
    fn wait_returns_when_the_word_differs_or_the_time_is_over() {
        let word = AtomicU32::new(1);
        assert!(wait(&word, 0, None, 1));
        assert!(!wait(&word, 1, Some(Duration::ZERO), 1));
        assert!(!wait(&word, 1, Some(Duration::from_millis(1)), 1));
        assert!(wait(&word, 0, Some(Duration::MAX), 1));
    }

    #[test]
    fn wake_reaches_all_sleepers_of_the_bitset() {
        let word = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let sleepers: Vec<_> = [1, 2, 3]
                .map(|bits| {
                    let word = &word;
                    scope.spawn(move || {
                        while word.load(Ordering::Acquire) == 0 {
                            wait(word, 0, Some(Duration::from_secs(20)), bits);
                        }
                    })
                })
                .into_iter()
                .collect();
            word.store(1, Ordering::Release);
            for bits in [1, 2] {
                wake(&word, u32::MAX, bits);
            }
            for sleeper in sleepers {
                sleeper.join().unwrap();
            }
        });
    }
}
