//! Calls that can be made again: how often, and what has to be kept for that.
//!
//! ```text
//!   call of an actor that may be restarted --+
//!   call with `retry_errors` and retries ----+--> kept: its frame stays here until it is answered
//!   any other call -------------------------------> its frame is forgotten as it leaves
//! ```
//!
//! The calls that were sent are kept in the order in which they left. When a process of the actor has ended each of
//! them either is known not to have begun there, and goes to the next process for nothing, or its attempt is broken and
//! costs one retry; without any it fails.
//!
//! - **WK-60** A call that may have begun is sent again only at the cost of a retry. Known not to have begun is what lies
//!   in the ring of the process that ended, what came to one whose constructor had not run, and, of an actor that runs one
//!   call at a time, everything behind the first unanswered call: its process begins a call of this one only when it has
//!   sent the answers of all before it (WK-61, executor.rs).
//! - **WK-62** Calls that are sent again leave before all others, in the order in which they left at first.

use std::collections::VecDeque;

use crate::core::Core;
use crate::outbox::Peer;

/// How often a call can be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempts {
    /// How many attempts may break; -1: any number.
    pub(crate) left: i32,
    /// An `Err` or a panic breaks one, too.
    pub(crate) errors: bool,
}

impl Attempts {
    /// Pays for a broken attempt; false if nothing is left.
    fn pay(&mut self) -> bool {
        let any = self.left != 0;
        self.left -= i32::from(self.left > 0);
        any
    }
}

/// A call that was sent and is not answered.
pub(crate) struct Sent {
    pub(crate) call: u64,
    pub(crate) frame: Vec<u8>,
    pub(crate) attempts: Attempts,
    /// The position behind its frame.
    pub(crate) position: u64,
}

/// The kept calls of one process to one actor, in the order in which they left.
#[derive(Default)]
pub(crate) struct Kept(VecDeque<Sent>);

/// What becomes of the kept calls when a process has ended.
#[derive(Default)]
pub(crate) struct Sorted {
    /// They go to the next process, in this order.
    pub(crate) again: Vec<Sent>,
    /// They may have begun and cannot be made again, or nobody wants them.
    pub(crate) broken: Vec<u64>,
}

impl Kept {
    pub(crate) fn push(&mut self, sent: Sent) {
        self.0.push_back(sent);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes out a call that is answered.
    pub(crate) fn take(&mut self, core: &Core, call: u64) -> Option<Sent> {
        let index = self.0.iter().position(|sent| sent.call == call)?;
        let found = self.0.remove(index);
        if index > 0 {
            // Of those before it some may never be answered, since nobody waits any more.
            let waits = |sent: &Sent| core.pending().contains(sent.call);
            let mut seen = 0;
            self.0.retain(|sent| {
                seen += 1;
                seen > index || waits(sent)
            });
        }
        found
    }

    /// Takes out a call whose attempt failed with an error, if that can be made again; pays for it.
    pub(crate) fn take_failed(&mut self, call: u64) -> Option<Sent> {
        let index = self.0.iter().position(|sent| sent.call == call && sent.attempts.errors)?;
        self.0.get_mut(index)?.attempts.pay().then(|| self.0.remove(index)).flatten()
    }

    /// Sorts all calls after the end of the process that they were sent to. `serial`: it ran one call at a time.
    pub(crate) fn sort(&mut self, core: &Core, peer: Option<&Peer>, begun: bool, serial: bool) -> Sorted {
        let mut sorted = Sorted::default();
        let mut first_found = false;
        for mut sent in self.0.drain(..) {
            // Somebody may have given up on it, who need not wait until it had ended.
            if !core.pending().contains(sent.call) {
                continue;
            }
            let may_have_begun =
                begun && !(serial && first_found) && peer.is_some_and(|peer| peer.may_have_taken(sent.position));
            first_found = true;
            if core.pending().is_called_off(sent.call) {
                // Its refs have failed already (WK-51).
                sorted.broken.push(sent.call);
            } else if !may_have_begun || sent.attempts.pay() {
                sorted.again.push(sent);
            } else {
                sorted.broken.push(sent.call);
            }
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_paid_for() {
        let mut attempts = Attempts { left: 2, errors: false };
        assert!(attempts.pay() && attempts.pay());
        assert!(!attempts.pay() && !attempts.pay());
        let mut always = Attempts { left: -1, errors: false };
        assert!((0..10).all(|_| always.pay()));
        assert_eq!(always.left, -1);
    }
}
