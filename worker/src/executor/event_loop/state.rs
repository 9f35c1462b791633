//! Who polls a call next, in a word.
//!
//! ```text
//!             begin                    pause
//!   QUEUED ---------> POLLED --------------------> WAITING
//!     ^                 | | wake                      | wake: into the queue
//!     |                 | '---> WOKEN -- pause ----+  |
//!     +-----------------|--------------------------+--+
//!                       '-- end --> DONE
//! ```
//!
//! Every step is an exchange, also one that changes nothing: a waker that finds a call queued or woken leaves by it what
//! came before, and who polls next takes it up by theirs. With a load and a store the waker could see QUEUED while the poll
//! that it relies on has begun, and does not see yet what the waker has done: both would rely on the other.

use std::sync::atomic::Ordering;

use crate::sync::AtomicU64;

const QUEUED: u64 = 0;
const POLLED: u64 = 1;
/// Woken while it is polled: it is polled again.
const WOKEN: u64 = 2;
const WAITING: u64 = 3;
const DONE: u64 = 4;

/// How a call stands.
#[derive(Debug)]
pub(super) struct State(AtomicU64);

impl State {
    /// That of a call that is to be polled.
    pub(super) fn queued() -> Self {
        State(AtomicU64::new(QUEUED))
    }

    /// The one who took it out of the queue polls it.
    pub(super) fn begin(&self) {
        // SYNC COROUTINE: what was done before a wake-up that found it queued is seen by this poll.
        self.0.swap(POLLED, Ordering::AcqRel);
    }

    /// The poll has found that it waits; true if it was woken meanwhile: then it is to be queued.
    #[must_use]
    pub(super) fn pause(&self) -> bool {
        let before = self.change(|state| if state == WOKEN { QUEUED } else { WAITING });
        before == WOKEN
    }

    /// It will not be polled again.
    pub(super) fn end(&self) {
        self.0.swap(DONE, Ordering::AcqRel);
    }

    /// Wakes it; true if it is to be queued.
    #[must_use]
    pub(super) fn wake(&self) -> bool {
        let before = self.change(|state| match state {
            WAITING => QUEUED,
            POLLED => WOKEN,
            same => same,
        });
        before == WAITING
    }

    /// Exchanges the state; returns the one before.
    fn change(&self, next: impl Fn(u64) -> u64) -> u64 {
        let mut state = self.0.load(Ordering::Relaxed);
        loop {
            // SYNC COROUTINE: as above, from who wakes to who polls.
            match self.0.compare_exchange_weak(state, next(state), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(before) => return before,
                Err(now) => state = now,
            }
        }
    }
}

#[cfg(all(test, loom))]
mod proof;
