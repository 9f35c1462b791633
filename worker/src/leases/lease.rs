//! One lease: the tasks that its worker has, and how many it may have.
//!
//! The *window* is how many tasks the worker may have at once. It doubles while the worker answers
//! twice as many within [`AHEAD`], and halves when it takes much longer than that for what it has.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mobula_store::SendError;

use super::TENURE;
use crate::call;
use crate::definition::TaskFunction;
use crate::frames::{self, Nonce};
use crate::outbox::Peer;
use crate::retries::Retries;

/// How much work a worker has ahead.
const AHEAD: Duration = Duration::from_micros(100);

/// The most tasks that a worker has ahead: their frames fill half a ring.
const MOST: usize = 512;

/// A task and its frame.
pub(super) struct Task {
    pub(super) call: u64,
    pub(super) depth: u32,
    pub(super) retries: Retries,
    pub(super) function: &'static TaskFunction,
    pub(super) frame: Vec<u8>,
    /// Nobody wants it any more.
    pub(super) called_off: bool,
    /// Where among the frames to the worker of its lease it is.
    pub(super) position: u64,
}

/// There may be many of them.
const _: () = assert!(size_of::<Task>() <= 64);

/// A worker that takes tasks from here.
pub(super) struct Lease {
    number: u64,
    peer: Arc<Peer>,
    /// What was sent and is not answered, in the order of sending.
    sent: VecDeque<Task>,
    window: usize,
    /// How many were answered since `measured`.
    answered: u32,
    measured: Instant,
    granted: Instant,
    /// Since when there is nothing to do; as of the last tick.
    quiet: Option<Instant>,
    /// The first task sleeps, or takes long: nothing is sent until it is answered.
    stuck: bool,
    /// An answer has come since the last tick.
    moved: bool,
    gone: bool,
    recalled: bool,
    /// Its worker begins no more tasks.
    closed: bool,
}

impl Lease {
    pub(super) fn new(number: u64, peer: Arc<Peer>) -> Self {
        let now = Instant::now();
        Lease {
            number,
            peer,
            sent: VecDeque::new(),
            window: 1,
            answered: 0,
            measured: now,
            granted: now,
            quiet: None,
            stuck: false,
            moved: false,
            gone: false,
            recalled: false,
            closed: false,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// True if it will take more tasks.
    pub(super) fn is_live(&self) -> bool {
        !self.gone && !self.stuck && !self.recalled && !self.closed
    }

    /// How many tasks may wait in its worker behind the one that runs.
    pub(super) fn spare_room(&self) -> usize {
        self.window - 1
    }

    pub(super) fn has_room(&self) -> bool {
        let is_closed = self.stuck || self.gone || self.closed || (self.recalled && self.is_tenure_over());
        self.sent.len() < self.window && !is_closed
    }

    fn is_tenure_over(&self) -> bool {
        self.granted.elapsed() >= TENURE
    }

    /// Sends a task, or gives it back.
    pub(super) fn send(&mut self, mut task: Task) -> Result<(), (Task, SendError)> {
        frames::set_lease(&mut task.frame, self.number);
        match self.peer.call(&task.frame) {
            Ok(position) => {
                task.position = position;
                if self.sent.is_empty() {
                    self.measured = Instant::now();
                    self.answered = 0;
                    self.quiet = None;
                }
                self.sent.push_back(task);
                Ok(())
            }
            Err(error) => {
                self.gone |= matches!(error, SendError::PeerGone);
                Err((task, error))
            }
        }
    }

    /// Takes a task off the list that was answered; `None` if it is not here.
    pub(super) fn answered(&mut self, call: u64) -> Option<Task> {
        let task = self.take(call)?;
        self.stuck = false;
        self.moved = true;
        self.answered += 1;
        if self.answered as usize >= self.window {
            self.adapt(Instant::now());
        }
        Some(task)
    }

    fn adapt(&mut self, now: Instant) {
        let each = now.saturating_duration_since(self.measured) / self.answered.max(1);
        let (window, wide) = (self.window as u32, (self.window * 2).min(MOST));
        if each * wide as u32 <= AHEAD {
            self.window = wide;
        } else if each * window > AHEAD * 4 {
            self.window = (self.window / 2).max(1);
        }
        self.answered = 0;
        self.measured = now;
    }

    /// Takes a task off the list that the worker has not begun.
    pub(super) fn returned(&mut self, call: u64) -> Option<Task> {
        let task = self.take(call)?;
        // What is left is what the task waited for.
        self.stuck = !self.sent.is_empty();
        Some(task)
    }

    fn take(&mut self, call: u64) -> Option<Task> {
        match self.sent.front() {
            Some(first) if first.call == call => self.sent.pop_front(),
            _ => {
                let place = self.sent.iter().position(|task| task.call == call)?;
                self.sent.remove(place)
            }
        }
    }

    /// Notes that a task that was sent is not wanted; returns who has it, or `None` if it is not here.
    pub(super) fn call_off(&mut self, call: u64) -> Option<Arc<Peer>> {
        let task = self.sent.iter_mut().find(|task| task.call == call)?;
        task.called_off = true;
        Some(self.peer.clone())
    }

    /// The worker is gone: returns the task that may have begun, if there is one, and those that have not.
    pub(super) fn into_tasks(mut self) -> (Option<Task>, VecDeque<Task>) {
        let peer = &self.peer;
        let begun = self.sent.pop_front_if(|task| peer.may_have_taken(task.position));
        (begun, self.sent)
    }

    /// The node wants it back.
    pub(super) fn recall(&mut self) {
        self.recalled = true;
    }

    /// Its worker has worn out.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// True if it should go back now: it is closed, or recalled and its queue need not have it any longer.
    pub(super) fn is_due(&self, has_work: bool) -> bool {
        let over = self.closed || (self.recalled && (!has_work || self.is_tenure_over()));
        over && self.sent.is_empty()
    }

    /// Looks at it after a tick; true if it has been quiet for so long.
    pub(super) fn tick(&mut self, now: Instant, quiet: Duration, nonce: Nonce) -> bool {
        if self.sent.is_empty() {
            return now.saturating_duration_since(*self.quiet.get_or_insert(now)) >= quiet;
        }
        if !std::mem::take(&mut self.moved) && self.sent.len() > 1 && !self.stuck && !self.gone {
            // One tick without an answer: what has not begun runs elsewhere sooner.
            self.stuck = call::with_writer(|writer| {
                writer.recall(self.number, nonce);
                self.peer.call(writer.bytes()).is_ok()
            });
        }
        false
    }

    /// True if it must be looked at again after a tick: to go back, or to have tasks back.
    pub(super) fn needs_ticks(&self) -> bool {
        !self.gone && (self.sent.is_empty() || (self.sent.len() > 1 && !self.stuck))
    }
}
