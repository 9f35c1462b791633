//! `max_calls`: how often functions have run in this worker, and what follows when one has run often enough.
//!
//! ```text
//!   n-th run answered --> seats closed: what waits here goes back, what comes too   Closed, Returned --> caller: no more to
//!                     --> WornOut --> node: nothing new is placed here                                   this lease, back
//!                                     no task left: Retire --> results delivered, exit                   it goes
//! ```
//!
//! A task that sleeps here goes on to its end, and so do those that run beside it; only then the process ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mobula_scheduler::protocol::ToNode;

use crate::core::Core;
use crate::definition::TaskFunction;
use crate::outbox::Peer;
use crate::seats::SeatKey;

/// The runs of functions that may run only so often in one process.
#[derive(Default)]
pub(crate) struct Runs(Mutex<HashMap<usize, usize>>);

impl Runs {
    /// Counts a run; true with the last one.
    fn count(&self, function: &'static TaskFunction, most: usize) -> bool {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = runs.entry(std::ptr::from_ref(function).addr()).or_default();
        *count += 1;
        *count == most
    }
}

/// A run of a function that has a bound has been answered. Kept out of the way of all others.
#[cold]
pub(crate) fn ran(core: &Core, function: &'static TaskFunction, seat: SeatKey, caller: &Arc<Peer>) {
    let most = function.defaults.max_calls.unwrap_or(0);
    if most != 0 && core.executor().runs().count(function, most) {
        core.executor().close(core, seat, caller);
        core.link().send(ToNode::WornOut);
    }
}
