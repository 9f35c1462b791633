//! Leases: pool workers lent to a process for its tasks.
//!
//! ```text
//!   caller                     node                          worker
//!     | -- AskLease ----------> |  a place in the queue of tasks  |
//!     |                         | -- RunLease ------------------> |
//!     | <------- LeaseGranted --|                                 |
//!     | == tasks and answers, through rings ====================> |
//!     | <-------- RecallLease --|  others wait for what it holds  |
//!     | -- ReturnLease -------> |  no task under way any more     |
//!     |                         | -- EndLease ------------------> |
//!     |                         | <------------------ LeaseEnded -|
//! ```
//!
//! To placement a lease is one long task of its demand. Its tasks never pass here: the caller sends
//! them to the worker and counts which are answered. A caller keeps a lease for some milliseconds after
//! its last task, unless it is asked for it back.
//!
//! - SC-19: a lease is recalled once, and only if somebody else waits whom its resources or its worker
//!   would serve.
//! - SC-20: when a caller has died the worker says whether a task of the lease runs: only then must it
//!   end, for what earlier tasks have left there may be wanted. If somebody else's task sleeps beside that
//!   one, both go on: the lease is over when its task is, or its worker ends when the others have left.

use std::collections::HashSet;

use super::outlet::Position;
use super::state::State;
use super::tasks::{Shape, Task, TaskState};
use super::workers::Duty;
use crate::ids::{ProcessId, TaskId};
use crate::protocol::{Granted, ToProcess};

impl State {
    /// Introduces worker and caller of a lease to each other; returns the position of the caller's message.
    pub(super) fn run_lease(&mut self, lease: TaskId, worker: ProcessId, granted: Granted, nested: bool) -> Position {
        self.send(worker, ToProcess::RunLease { lease, granted, nested });
        let client = self.processes.get(&worker).and_then(|entry| entry.client);
        let caller = self.tasks.get(&lease).map(|task| task.submitter);
        match (client, caller) {
            (Some(client), Some(caller)) => self.send(caller, ToProcess::LeaseGranted { lease, client }),
            _ => Position::default(),
        }
    }

    /// The caller gives a lease back, or takes back that it has asked for one.
    pub(super) fn return_lease(&mut self, process: ProcessId, lease: TaskId) {
        let Some(task) = self.tasks.get(&lease) else {
            return;
        };
        if task.submitter != process || !task.is_lease() {
            return;
        }
        match self.worker_of_task(lease) {
            Some(number) => {
                self.end_lease_in(number, lease);
                self.finish_lease(lease, number);
            }
            None => self.forget_task(lease),
        }
    }

    fn end_lease_in(&mut self, number: u64, lease: TaskId) {
        if let Some(process) = self.workers.get(&number).map(|worker| worker.process)
            && let Some(entry) = self.processes.get_mut(&process)
        {
            let position = entry.outlet.send(ToProcess::EndLease(lease));
            entry.ends.push_back((lease, position));
        }
    }

    /// Frees what a lease holds and its worker.
    fn finish_lease(&mut self, lease: TaskId, number: u64) {
        let Some(task) = self.tasks.remove(&lease) else {
            return;
        };
        let owner = task.owner;
        if let TaskState::Running { grant, position, .. } = task.state {
            self.parts.pool.give_back(grant);
            if let Some(caller) = self.processes.get_mut(&task.submitter) {
                caller.outlet.proved(position);
            }
        }
        let process = self.workers.get(&number).map(|worker| worker.process);
        if self.leave_worker(lease, number)
            && let Some(process) = process
        {
            // What the tasks have started and left belongs to their caller now.
            self.inherit(process, owner);
        }
    }

    /// The owner of a lease has died: asks the worker whether a task runs (SC-20).
    pub(super) fn abandon_lease(&mut self, lease: TaskId) {
        if let Some(number) = self.worker_of_task(lease) {
            self.end_lease_in(number, lease);
        }
    }

    /// A worker has read `EndLease`, or the task has ended that ran when it did.
    pub(super) fn lease_ended(&mut self, process: ProcessId, lease: TaskId, over: bool) {
        if let Some(entry) = self.processes.get_mut(&process)
            && let Some((_, position)) = entry.ends.pop_front_if(|(asked, _)| *asked == lease)
        {
            entry.outlet.proved(position);
        }
        let Some(number) = self.runs_in(process, lease) else {
            return;
        };
        // Still here: its owner died.
        if over {
            self.finish_lease(lease, number);
        } else if let Some(owner) = self.tasks.get(&lease).map(|task| task.owner) {
            self.end_worker_of(owner, number);
        }
    }

    /// Asks anew about the leases that the dead have left to a worker: now nobody else may run there.
    pub(super) fn ask_for_orphans(&mut self, number: u64) {
        let Some(Duty::Tasks(running)) = self.workers.get(&number).map(|worker| &worker.duty) else {
            return;
        };
        let is_orphan = |task: &Task| task.is_lease() && !self.processes.contains_key(&task.owner);
        let orphans: Vec<_> = running.iter().copied().filter(|id| self.tasks.get(id).is_some_and(is_orphan)).collect();
        for lease in orphans {
            self.abandon_lease(lease);
        }
    }

    /// A lease has come to another function.
    pub(super) fn lease_runs(&mut self, process: ProcessId, lease: TaskId, function_name: &str) {
        if let Some(number) = self.runs_in(process, lease)
            && let Some(worker) = self.workers.get(&number)
        {
            worker.label.set(function_name);
        }
    }

    /// Asks leases back that others wait for (SC-19).
    pub(super) fn recall_leases(&mut self) {
        if self.waiting.is_empty() && self.queue.is_empty() {
            return;
        }
        let demands: Vec<(Option<ProcessId>, Shape)> = self.waiters();
        let mut recalled = Vec::new();
        for (&id, task) in self.tasks.iter_mut().filter(|(_, task)| task.is_lease()) {
            let TaskState::Running { grant, .. } = &task.state else {
                continue;
            };
            let serves = |(process, shape): &(Option<ProcessId>, Shape)| {
                let other = *process != Some(task.submitter) || *shape != task.shape;
                other && self.parts.pool.fits_with(&shape.demand, grant)
            };
            if demands.iter().any(serves) && task.recall() {
                recalled.push((task.submitter, id));
            }
        }
        for (caller, lease) in recalled {
            self.send(caller, ToProcess::RecallLease(lease));
        }
    }

    /// Lists who waits for resources or a worker: one of each shape and submitter.
    fn waiters(&self) -> Vec<(Option<ProcessId>, Shape)> {
        let actors = self.waiting.iter().filter_map(|id| self.actors.get(id)).map(|actor| {
            let shape = Shape { crew: actor.crew(), demand: actor.demand().clone(), dedicated: actor.is_dedicated() };
            (None, shape)
        });
        // Of those that want a process of their own one is enough: they are no lease's like.
        let tasks = self.queue.by_shape().flat_map(|(shape, tasks)| {
            let count = if shape.dedicated { 1 } else { usize::MAX };
            tasks.take(count).map(move |id| (id, shape))
        });
        let tasks = tasks.filter_map(|(id, shape)| Some((Some(self.tasks.get(&id)?.submitter), shape.clone())));
        let waiters: HashSet<_> = actors.chain(tasks).collect();
        waiters.into_iter().collect()
    }
}
