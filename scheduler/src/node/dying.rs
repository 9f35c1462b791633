//! Declaring an actor dead while the kernel still takes its process apart.
//!
//! ```text
//!   SIGKILL --> threads end --> knell --> memory goes --> zombie: pidfd --> reaped
//!                                 |                                           |
//!                                 v                                           v
//!                       dying: its callers hear                    bury: all the rest (SC-13)
//! ```
//!
//! The kernel needs some hundred microseconds for the memory of a worker, in which nothing of it runs any more. The store's
//! knell tolls before (`mobula_store::Knell`). It is a hint, so the kernel is asked first; what cannot be known for certain
//! waits for the process's end as ever.
//!
//! - SC-25: of a process that a signal ends, and of which no instruction is executed any more, its actor's watchers hear
//!   at once, if the actor's constructor has run: what lies in its rings then is all that it will ever have answered. Its
//!   group has been killed. Everything else (its client, resources, the replies to who killed it, what it owns) waits until
//!   it is gone, since the kernel may still be at work for it.
//!
//! - SC-63: if the actor is going to be restarted they hear of that instead (`node/restarts.rs`); it gets its next
//!   process when this one is gone.
//!
//! The one message of its that could still change what its actor died of is that it ends in good order. A process that
//! a signal ends before that was heard has not.

use mobula_store::ClientKey;

use super::launch;
use super::state::State;
use super::workers::Duty;

impl State {
    /// The knell has tolled for a client.
    pub(super) fn dying(&mut self, client: ClientKey) {
        let number = self.processes.values().find(|entry| entry.client == Some(client)).and_then(|entry| entry.worker);
        let Some((number, worker)) = number.and_then(|number| Some((number, self.workers.get(&number)?))) else {
            return;
        };
        let (Duty::Actor(id), Some(child), false) = (&worker.duty, worker.child, worker.is_gone()) else {
            return;
        };
        // Behind a wrapper the child is another process.
        if child.as_raw_pid().unsigned_abs() != worker.pid {
            return;
        }
        let id = *id;
        // In this order: all its threads have been told to end, then none is left that has not seen it.
        if let Some(signal) = launch::ending_signal(child)
            && self.parts.store.knell().settle()
        {
            launch::kill_group(child);
            self.actor_dying(id, number, launch::describe_signal(signal));
        }
    }
}
