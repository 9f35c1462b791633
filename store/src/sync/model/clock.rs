//! A model's clock: it moves only where somebody sleeps until it does.
//!
//! While a sleep ends by a wake only ([`super::timeouts`]) it stands still, so that a model is the same
//! in every execution and no deadline is ever over.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use loom::thread::{self, ThreadId};

use super::TIMEOUTS;

thread_local!(static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) });
// Who has slept in this execution.
thread_local!(static RESTED: RefCell<Vec<ThreadId>> = const { RefCell::new(Vec::new()) });

/// Begins another execution.
pub(crate) fn reset() {
    PASSED.set(Duration::ZERO);
    RESTED.take();
}

/// Returns the time of this process's own waits.
pub(crate) fn now() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now) + PASSED.get()
}

/// Returns the same time in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    const ORIGIN: u64 = 1_000_000_000_000;
    ORIGIN + PASSED.get().as_nanos() as u64
}

/// Returns the same time in nanoseconds.
pub(crate) fn coarse_ns() -> u64 {
    monotonic_ns()
}

/// How much longer than they meant everybody sleeps: who has patience for some slices gives up after one.
const OVERSLEPT: u32 = 8;

/// Lets others go on; if sleeps end by themselves, time has passed.
///
/// A thread's first such sleep may pass without a step of anybody else, so that patience ends; later ones do
/// not, or who waits without an end would do nothing else.
pub(crate) fn nap(length: Duration) {
    if TIMEOUTS.get() {
        PASSED.set(PASSED.get() + OVERSLEPT * length);
        let me = thread::current().id();
        let is_first = RESTED.with_borrow_mut(|rested| {
            let is_first = !rested.contains(&me);
            rested.push(me);
            is_first
        });
        if is_first {
            return;
        }
    }
    thread::yield_now();
}
