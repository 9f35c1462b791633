//! The ends of a channel: who owns one, and whether it is still there.

use std::hint::spin_loop;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::words::{Refused, ticket};
use super::{E_PROCESSOR, Ring};
use crate::error::{ErrorKind, Result};
use crate::object::ObjectHold;
use crate::store::Store;
use crate::sync::Ordering;
use crate::sys::processor;
use crate::transfer;

/// How long who waits looks for what it waits for before it sleeps, if that has paid lately.
const LONGEST: Duration = Duration::from_micros(40);
/// The same if it has not.
const SHORTEST: Duration = Duration::from_micros(1);
/// Two that sleep on each other wait no longer than this, if both have a processor.
const WORTH: Duration = Duration::from_micros(30);
const QUICK_LOOKS: u32 = 200;
const LOOKS: u32 = 32;
/// Two waits on a crowded processor that are no farther apart than this are of one loop.
const AGAIN: Duration = Duration::from_millis(1);
/// Who has moved stays for so long.
const SETTLED: Duration = Duration::from_millis(5);

/// What this process knows of an end of its own.
#[derive(Debug)]
pub(super) struct End {
    /// Where the end word is.
    at: usize,
    /// This handle is the owner.
    claimed: AtomicBool,
    /// A copy of the handle is on its way or elsewhere: then that is the one that matters.
    sent: AtomicBool,
    /// Somebody may still come as long as anybody holds this.
    ticket: ObjectHold,
    /// How long looking may take.
    patience: Duration,
    /// When the processor was crowded last, and when this side has left one for that.
    crowded: Option<Instant>,
    moved: Option<Instant>,
}

impl End {
    /// Opens the end at byte `at`; there is no such end any more if nobody holds its ticket.
    pub(super) fn open(ring: &Ring, store: &Store, at: usize) -> Result<End> {
        let ticket = store.hold(ticket(&ring.board, at))?;
        let (claimed, sent) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(End { at, claimed, sent, ticket, patience: LONGEST, crowded: None, moved: None })
    }

    #[inline]
    pub(super) fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Relaxed)
    }

    /// Becomes the owner of the end (ST-C2); says whether it has just become so.
    pub(super) fn claim(&self, ring: &Ring, what: &str) -> Result<bool> {
        if self.is_claimed() {
            return Ok(false);
        }
        ring.board.usable()?;
        match ring.words().claim(self.at, ring.board.me()) {
            Ok(()) => {
                self.claimed.store(true, Ordering::Relaxed);
                Ok(true)
            }
            Err(Refused::Ended) => Err(ErrorKind::Closed(format!("{what} was closed")).into()),
            Err(Refused::Passed) => {
                Err(ErrorKind::Closed(format!("{what} is over: its process died, and the writer went on without it"))
                    .into())
            }
            Err(Refused::Taken) => Err(ErrorKind::InvalidArgument(format!(
                "{what} is another handle's: an end of a channel is used in one place at a time"
            ))
            .into()),
        }
    }

    /// Gives the end up for whoever gets the handle that is being encoded; false if nothing is.
    pub(super) fn send(&self, ring: &Ring) -> bool {
        if !transfer::note(ring.board.hold()) || !transfer::note(self.ticket.clone()) {
            return false;
        }
        self.sent.store(true, Ordering::Relaxed);
        if self.claimed.swap(false, Ordering::Relaxed) {
            ring.words().release(self.at);
        }
        true
    }

    /// Ends it for good, if it is this handle's, and wakes the other side.
    pub(super) fn end(&self, ring: &Ring) {
        let by = match (self.claimed.swap(false, Ordering::Relaxed), self.sent.load(Ordering::Relaxed)) {
            (true, _) => Some(ring.board.me()),
            (false, false) => None,
            (false, true) => return,
        };
        if ring.words().end(self.at, by) {
            ring.board.wake();
        }
    }

    /// Waits until `ready` gives a value: looks for a while, then sleeps. `None` if the time is over.
    ///
    /// `others` are the end words of those who are waited for. Who looks on the processor where one of them was last
    /// keeps it from running: so it sleeps at once, and if that happens again soon it moves to another processor, as
    /// neither would ever leave by itself.
    pub(super) fn wait<R>(
        &mut self,
        ring: &Ring,
        others: impl Iterator<Item = usize>,
        timeout: Option<Duration>,
        mut ready: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        for _ in 0..QUICK_LOOKS {
            if let Some(found) = ready() {
                return Some(found);
            }
            spin_loop();
        }
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return None;
        }
        let start = Instant::now();
        let mut looking = self.patience.min(timeout.unwrap_or(self.patience));
        if self.is_crowded(ring, others) && !self.step_aside(start) {
            looking = Duration::ZERO;
        }
        while start.elapsed() < looking {
            for _ in 0..LOOKS {
                if let Some(found) = ready() {
                    self.patience = LONGEST;
                    return Some(found);
                }
                spin_loop();
            }
        }
        let found = ring.board.wait(timeout.and_then(|timeout| start.checked_add(timeout)), ready);
        self.note_processor(ring);
        // What comes so soon would have been found by looking; for what takes longer somebody else needs the processor.
        self.patience = if start.elapsed() < WORTH { LONGEST } else { (self.patience / 2).max(SHORTEST) };
        found
    }

    /// Says where this side is; returns that.
    fn note_processor(&self, ring: &Ring) -> u32 {
        let here = processor::current().wrapping_add(1);
        let noted = ring.board.u32(self.at + E_PROCESSOR);
        if noted.load(Ordering::Relaxed) != here {
            noted.store(here, Ordering::Relaxed);
        }
        here
    }

    /// Says whether one of the others was on this processor when it waited last.
    fn is_crowded(&self, ring: &Ring, mut others: impl Iterator<Item = usize>) -> bool {
        let here = self.note_processor(ring);
        others.any(|other| ring.board.u32(other + E_PROCESSOR).load(Ordering::Relaxed) == here)
    }

    /// Moves this thread to another processor if that is worth it and it may; says whether it did.
    #[cold]
    fn step_aside(&mut self, now: Instant) -> bool {
        let is_again = self.crowded.replace(now).is_some_and(|before| now.duration_since(before) < AGAIN);
        if !is_again || self.moved.is_some_and(|moved| now.duration_since(moved) < SETTLED) {
            return false;
        }
        let mask = processor::allowed(0);
        let others = mask & !1u64.checked_shl(processor::current()).unwrap_or(0);
        if others == 0 {
            return false;
        }
        self.moved = Some(now);
        processor::allow(0, others);
        processor::allow(0, mask);
        true
    }
}
