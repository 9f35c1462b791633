//! Lending: a task that waits gives its CPUs to others meanwhile.
//!
//! ```text
//!   get, wait, ... --> Lending --\
//!                                 +--> Loan --> Lent of the task: the first lends, the last takes back
//!   a pending future -------------/                  the task's end takes back whatever is left
//! ```
//!
//! Futures of one task may wait on several threads and be dropped after its end, so the count is the task's own, and over
//! with it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mobula_scheduler::ids::TaskId;
use mobula_scheduler::protocol::ToNode;

use crate::context;
use crate::core::Core;
use crate::seats::SeatKey;

/// The CPUs of a task that runs.
pub(crate) struct Lent {
    core: Arc<Core>,
    /// What the node knows it by.
    lends: TaskId,
    seat: Option<SeatKey>,
    /// How many wait; `None` when the task is over. Locked before the executor.
    waiting: Mutex<Option<u32>>,
}

impl Lent {
    pub(crate) fn new(core: &Arc<Core>, lends: TaskId, seat: Option<SeatKey>) -> Arc<Self> {
        Arc::new(Lent { core: core.clone(), lends, seat, waiting: Mutex::new(Some(0)) })
    }

    fn borrow(self: &Arc<Self>) -> Loan {
        self.change(|waiting| match waiting {
            Some(waiting) => {
                *waiting += 1;
                (*waiting == 1).then_some(true)
            }
            None => None,
        });
        Loan(self.clone())
    }

    /// The task is over: what still waits in it has nothing to lend.
    pub(crate) fn close(&self) {
        self.change(|waiting| match waiting.take() {
            Some(1..) => Some(false),
            _ => None,
        });
    }

    /// Changes the count, and tells the node, under the lock so that it hears in this order, if that says whether the
    /// CPUs are lent.
    fn change(&self, change: impl FnOnce(&mut Option<u32>) -> Option<bool>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(asleep) = change(&mut waiting) else { return };
        if let Some(key) = self.seat {
            // First what has not begun goes back: the caller may be waiting for it, and this task for the caller.
            self.core.executor().sleeps(&self.core, key, asleep);
        }
        let message = if asleep { ToNode::Blocked(self.lends) } else { ToNode::Unblocked(self.lends) };
        self.core.link().send(message);
    }
}

/// One who waits in a task.
pub(crate) struct Loan(Arc<Lent>);

impl Loan {
    /// Lends the CPUs of the task that runs on this thread; `None` if there is none.
    pub(crate) fn of_this_call() -> Option<Loan> {
        context::scope()?.lent().map(|lent| lent.borrow())
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.0.change(|waiting| match waiting {
            Some(waiting) => {
                *waiting = waiting.saturating_sub(1);
                (*waiting == 0).then_some(false)
            }
            None => None,
        });
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loan").field(&self.0.lends).finish()
    }
}

/// Tells the node that the running task waits, until the guard is dropped; nothing for others.
pub(crate) struct Lending {
    begun: bool,
    loan: Option<Loan>,
}

impl Lending {
    pub(crate) fn none() -> Self {
        Lending { begun: false, loan: None }
    }

    /// Lends the CPUs of the running task; in an actor with an event loop, another thread drives that from here on.
    pub(crate) fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            #[cfg(feature = "async")]
            super::event_loop::hand_over();
            self.loan = Loan::of_this_call();
        }
    }
}
