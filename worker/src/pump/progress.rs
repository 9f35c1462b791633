//! Sleeping until something has changed that somebody else sees to.
//!
//! ```text
//!   who waits                              who changes a condition
//!   F1 read the sequence                   C1 change it
//!   F2 look at the condition: there? done  C2 sequence + 1
//!   F3 followers + 1                       C3 followers? none: done
//!   F4 lock; sequence as in F1?            C4 lock, unlock
//!        sleep, which unlocks              C5 wake all who sleep
//!   F5 followers - 1, to F1
//! ```
//!
//! F3 and F4, C2 and C3 are store-then-look, sequentially consistent (PROGRESS): who changes sees the follower, or the
//! follower sees the sequence move. In the first case C4 waits until the follower sleeps, or has read what C2 wrote.
//!
//! - **WK-12** Every thread that leads or waits reads the sequence before it looks at its condition, and whoever changes
//!   a condition moves the sequence afterwards; nobody sleeps past a change.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::sync::{AtomicU32, Condvar, Mutex};

/// A sequence that moves whenever a condition that somebody may wait for has changed.
#[derive(Debug)]
pub(crate) struct Progress {
    sequence: AtomicU32,
    followers: AtomicU32,
    lock: Mutex<()>,
    moved: Condvar,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Progress {
            sequence: AtomicU32::new(0),
            followers: AtomicU32::new(0),
            lock: Mutex::new(()),
            moved: Condvar::new(),
        }
    }

    /// Step F1.
    #[inline]
    pub(crate) fn now(&self) -> u32 {
        self.sequence.load(Ordering::SeqCst)
    }

    /// Steps C2 to C5.
    #[inline]
    pub(crate) fn bump(&self) {
        // SYNC PROGRESS: pairs with `wait`.
        self.sequence.fetch_add(1, Ordering::SeqCst);
        if self.followers.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.moved.notify_all();
        }
    }

    /// Has those who sleep look again, if there are any.
    #[inline]
    pub(crate) fn stir(&self) {
        if self.followers.load(Ordering::SeqCst) > 0 {
            self.bump();
        }
    }

    /// Steps F3 to F5: sleeps until the sequence is no longer what it was at F1, or may be longer than the timeout.
    pub(crate) fn wait(&self, seen: u32, timeout: Option<Duration>) {
        // SYNC PROGRESS: pairs with `bump`.
        self.followers.fetch_add(1, Ordering::SeqCst);
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.now() == seen {
            match timeout {
                None => drop(self.moved.wait(guard).unwrap_or_else(PoisonError::into_inner)),
                Some(timeout) => {
                    drop(self.moved.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
        self.followers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(all(test, loom))]
mod proof;
