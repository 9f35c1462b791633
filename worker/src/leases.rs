//! Leases: the workers that the node has lent to this process for its tasks.
//!
//! ```text
//!   submit --> TaskQueue of the demand --> a lease with room --> ring --> seat in the worker
//!                  ^       ^                    |                             |
//!                  |       +---- Returned ------+-- Done: room for the next --+
//!                  |             (not begun)
//!   node: AskLease --> LeaseGranted ... RecallLease ... ReturnLease      LeaseLost: the worker died
//! ```
//!
//! Tasks of one demand are alike, so they share a queue and the leases that serve it: deepest first,
//! then oldest ([`queue`]). A lease takes as many tasks ahead as it answers in a tenth of a millisecond
//! ([`lease`]), so a worker that runs small tasks never waits for the next one, and behind a long task
//! waits none. What waits in a worker all the same comes back if the task before it sleeps in `get`
//! (the worker says so), or has not been answered for a tick (the caller recalls).
//!
//! - **WK-26** A task is in one place from its submission until it is settled: in its queue, or in the
//!   list of one lease, in the order in which the worker has them.
//! - **WK-27** Of the tasks in a lease's list at most the first has begun: a worker begins a task when the
//!   answers of those before it have left, and those that it gives back. So of a dead worker's tasks the
//!   first costs a try, if the worker had taken it out of its ring (WK-50), and the others go back to the queue.
//! - **WK-28** A lease goes back to the node when its list is empty: some milliseconds after its last
//!   task, or at once if it is recalled; while its queue has work it is kept for [`TENURE`] at least.

mod lease;
mod queue;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mobula_scheduler::config;
use mobula_scheduler::death::LostTask;
use mobula_scheduler::ids::TaskId;
use mobula_scheduler::protocol::{LeaseSpec, ToNode};
use mobula_scheduler::resources::Demand;
use mobula_store::ClientKey;

use crate::core::Core;
use crate::deferred::Work;
use crate::definition::{Entry, TaskFunction};
use crate::frames::{self, Nonce};
use crate::pump::TICK;
use crate::retries::Retries;

pub(crate) use self::queue::TaskQueue;

/// How long a lease without tasks is kept for the next one.
const QUIET: Duration = Duration::from_millis(10);

/// How long a lease that others want is used before it goes back to the node.
const TENURE: Duration = Duration::from_millis(2);

/// The index of a lease among the ids of its number.
const LEASE_INDEX: u8 = 253;

/// Returns the id by which the node knows a lease.
pub(crate) fn lease_id(nonce: Nonce, number: u64) -> TaskId {
    TaskId::from_object(frames::object_id(nonce, number, LEASE_INDEX))
}

/// Returns whose lease it is, and its number there.
pub(crate) fn lease_of(id: TaskId) -> (Nonce, u64) {
    frames::nonce_and_number(id.object())
}

/// What a function's tasks have in common that are submitted with the options of its attribute.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) queue: Arc<TaskQueue>,
    pub(crate) code: u64,
    pub(crate) retries: Retries,
}

/// The queues and leases of this process.
pub(crate) struct Leases {
    /// How many leases of one demand are worth asking for.
    most: usize,
    /// The `max_retries` of tasks that say nothing else, if the environment has one.
    retries: Option<i32>,
    queues: Mutex<Vec<Arc<TaskQueue>>>,
    /// What is known of each function that was submitted with the options of its attribute.
    known: Mutex<HashMap<usize, Known>>,
    /// Something must be looked at from time to time.
    ticking: AtomicBool,
    last_tick: Mutex<Instant>,
}

impl Leases {
    pub(crate) fn new(most: usize) -> Self {
        Leases {
            most,
            // A driver has refused what makes no sense.
            retries: config::task_retries().ok().flatten(),
            queues: Mutex::default(),
            known: Mutex::default(),
            ticking: AtomicBool::new(false),
            last_tick: Mutex::new(Instant::now()),
        }
    }

    pub(crate) fn default_retries(&self) -> Option<i32> {
        self.retries
    }

    /// Returns what is known of a function that was submitted before with its own options.
    pub(crate) fn known(&self, function: &'static TaskFunction) -> Option<Known> {
        lock(&self.known).get(&std::ptr::from_ref(function).addr()).cloned()
    }

    pub(crate) fn remember(&self, function: &'static TaskFunction, known: Known) {
        lock(&self.known).insert(std::ptr::from_ref(function).addr(), known);
    }

    /// Returns the queue of a demand.
    pub(crate) fn queue(&self, demand: &Demand) -> Arc<TaskQueue> {
        let mut queues = lock(&self.queues);
        match queues.iter().find(|queue| queue.demand() == demand) {
            Some(queue) => queue.clone(),
            None => {
                let queue = Arc::new(TaskQueue::new(demand.clone(), self.most));
                queues.push(queue.clone());
                queue
            }
        }
    }

    fn queues(&self) -> Vec<Arc<TaskQueue>> {
        lock(&self.queues).clone()
    }

    /// The node has granted a lease.
    pub(crate) fn granted(&self, core: &Core, id: TaskId, client: ClientKey) {
        let number = lease_of(id).1;
        for queue in self.queues() {
            if queue.granted(core, number, client) {
                return;
            }
        }
        // It was taken back meanwhile, by another thread perhaps before the node was asked for it.
        core.link().send(ToNode::ReturnLease(id));
    }

    /// The node wants a lease back.
    pub(crate) fn recalled(&self, core: &Core, id: TaskId) {
        let number = lease_of(id).1;
        for queue in self.queues() {
            if queue.recalled(core, number) {
                return;
            }
        }
    }

    /// A worker begins no more tasks of a lease.
    pub(crate) fn closed(&self, core: &Core, number: u64) {
        for queue in self.queues() {
            if queue.closed(core, number) {
                return;
            }
        }
    }

    /// A lease is no more; everything that its worker had sent was handled before.
    pub(crate) fn lost(&self, core: &Core, id: TaskId, reason: &LostTask, work: &mut Work) {
        let number = lease_of(id).1;
        for queue in self.queues() {
            if queue.lost(core, number, reason, work) {
                return;
            }
        }
    }

    /// Returns every lease that has nothing to do.
    pub(crate) fn return_idle(&self, core: &Core) {
        for queue in self.queues() {
            queue.tick(core, Some(Duration::ZERO));
        }
    }

    /// Forgets everything: the runtime has ended.
    pub(crate) fn clear(&self) {
        lock(&self.known).clear();
        let queues = std::mem::take(&mut *lock(&self.queues));
        for queue in queues {
            queue.clear();
        }
    }

    /// True if something must be looked at from time to time.
    pub(crate) fn needs_ticks(&self) -> bool {
        self.ticking.load(Ordering::SeqCst)
    }

    fn want_ticks(&self, core: &Core) {
        if !self.ticking.load(Ordering::SeqCst) && !self.ticking.swap(true, Ordering::SeqCst) {
            core.pump().kick_service();
        }
    }

    /// Looks at everything once a tick, on the service thread.
    pub(crate) fn tick(&self, core: &Core) {
        if !self.needs_ticks() {
            return;
        }
        {
            let mut last = lock(&self.last_tick);
            if last.elapsed() < TICK {
                return;
            }
            *last = Instant::now();
        }
        // Whoever needs another tick says so after this.
        self.ticking.store(false, Ordering::SeqCst);
        for queue in self.queues() {
            queue.tick(core, None);
        }
    }
}

/// What a queue wants done when its lock is free again.
#[derive(Default)]
struct Orders {
    /// Leases to ask for: number, depth, function of the first task.
    asks: Vec<(u64, u32, &'static TaskFunction)>,
    /// Leases, or wishes for one, to give back.
    returns: Vec<u64>,
    /// Tasks that will never run, with the reason.
    failures: Vec<(u64, crate::error::Error)>,
    tick: bool,
}

impl Orders {
    fn run(self, core: &Core, demand: &Demand, work: &mut Work) {
        for number in self.returns {
            core.link().send(ToNode::ReturnLease(lease_id(core.nonce(), number)));
        }
        for (number, depth, function) in self.asks {
            core.link().send(ToNode::AskLease(LeaseSpec {
                lease: lease_id(core.nonce(), number),
                demand: demand.clone(),
                depth,
                function: core.registry().key_of(Entry::Task(function)),
                function_name: function.name.to_owned(),
            }));
        }
        for (call, error) in self.failures {
            core.settle_failed(call, error, work);
        }
        if self.tick {
            core.leases().want_ticks(core);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_found_in_its_id() {
        assert_eq!(lease_of(lease_id(u64::MAX - 3, 70_000)), (u64::MAX - 3, 70_000));
    }
}
