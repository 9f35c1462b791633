//! Going from ring to ring in a queue without a bound: who puts where, and who takes from where.
//!
//! The protocol stands in [`chain`](super::chain); here are its steps, written once for boards and for models.

use super::cells::{NoRoom, Seen};
use crate::sync::{AtomicU64, Ordering};

/// A ring, as one handle works on it.
pub(crate) trait Link {
    /// Returns which of the queue's rings it is.
    fn number(&self) -> u64;

    /// Says whether nothing more is put here.
    fn is_over(&self) -> bool;

    /// Puts a message, unless `is_over`, which is asked before and after a cell is claimed.
    fn put(&self, message: &[u8], is_over: impl Fn() -> bool) -> Result<(), NoRoom>;

    /// Claims the next message; `ended` says whether nothing more is put here, and was looked at before.
    fn claim(&self, ended: bool) -> Seen;
}

/// The rings of a queue, as one handle works on them.
pub(crate) trait Line {
    type Link: Link;
    type Error;

    /// Says whether the queue is closed.
    fn is_closed(&self) -> bool;

    /// Returns how many rings were ever brought into use.
    fn made(&self) -> u64;

    /// Returns the ring in which this handle puts: the newest one when it has none.
    fn putting(&self) -> Result<Self::Link, Self::Error>;

    /// Returns the ring from which this handle takes: the oldest one when it has none.
    fn taking(&self) -> Result<Self::Link, Self::Error>;

    /// Puts into the newest ring from now on, which is made if that is the one given.
    fn grow(&self, full: &Self::Link) -> Result<(), Self::Error>;

    /// Takes from what is behind a ring from now on, and takes that out of use.
    fn leave(&self, drained: &Self::Link) -> Result<(), Self::Error>;

    /// Returns what is said of a ring whose cells contradict each other.
    fn nonsense(&self, link: &Self::Link) -> Self::Error;

    /// Wakes all who wait at the queue.
    fn wake(&self);
}

/// What was found at the head.
pub(crate) enum Head<L> {
    /// The message is the caller's.
    Mine(L, u64),
    Nothing,
    /// Nothing, and nothing will come.
    Closed,
}

/// Puts a message; false if the queue is closed.
///
/// # Errors
///
/// Those of the rings.
#[inline]
pub(crate) fn put<L: Line>(line: &L, message: &[u8]) -> Result<bool, L::Error> {
    loop {
        let link = line.putting()?;
        match link.put(message, || link.is_over() || line.is_closed()) {
            Ok(()) => return Ok(true),
            Err(NoRoom::Over) if line.is_closed() => {
                // A consumer may have waited for the cell that was given up.
                line.wake();
                return Ok(false);
            }
            Err(NoRoom::Nonsense) => return Err(line.nonsense(&link)),
            Err(NoRoom::Full | NoRoom::Over) => {
                line.wake();
                line.grow(&link)?;
            }
        }
    }
}

/// Claims the next message.
///
/// # Errors
///
/// Those of the rings.
#[inline]
pub(crate) fn claim<L: Line>(line: &L) -> Result<Head<L::Link>, L::Error> {
    loop {
        let link = line.taking()?;
        // Both before the look at the cells ("Closing").
        let closed = line.is_closed();
        let over = link.is_over();
        match link.claim(over || closed) {
            Seen::Message(position) => return Ok(Head::Mine(link, position)),
            Seen::Nothing => return Ok(Head::Nothing),
            Seen::Nonsense => return Err(line.nonsense(&link)),
            Seen::End => {}
        }
        if line.made() <= link.number() + 1 {
            // Nobody was told of a ring behind this one.
            return Ok(if closed { Head::Closed } else { Head::Nothing });
        }
        // If it was not over, the next one was made meanwhile.
        if over {
            line.leave(&link)?;
        }
    }
}

/// Brings the ring of a number into use, unless somebody has, under the lock of children: `add` makes it a child, `end` the
/// one before over. False if `add` could not.
pub(crate) fn bring_in(made: &AtomicU64, number: u64, add: impl FnOnce() -> bool, end: impl FnOnce()) -> bool {
    if made.load(Ordering::SeqCst) != number {
        return true;
    }
    if !add() {
        return false;
    }
    end();
    made.store(number + 1, Ordering::SeqCst);
    true
}

/// Takes a ring out of use, and all before it; returns the oldest one that is in use then.
pub(crate) fn retire(oldest: &AtomicU64, number: u64) -> u64 {
    oldest.fetch_max(number + 1, Ordering::SeqCst).max(number + 1)
}
