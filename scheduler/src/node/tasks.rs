//! Tasks: those that wait, and those that run.
//!
//! The queue is ordered by depth, deepest first, then by time of submission: a child is what some
//! parent waits for, so finishing children first keeps the number of begun tasks small. Tasks of the
//! same *shape* (demand, and whether they need a process of their own) are alike to placement: if the
//! first of them does not fit, none does. So placement looks at the first of each shape, and a queue
//! of a hundred thousand tasks costs no more than one of ten.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::crews::CrewId;
use super::outlet::Position;
use super::state::State;
use super::workers::{Duty, Purpose};
use crate::death::{DeathCause, LostTask};
use crate::ids::{ProcessId, TaskId};
use crate::protocol::{LeaseSpec, TaskSpec, ToProcess};
use crate::resources::{Demand, Grant};
use crate::trace::tell;

/// What placement needs to know of a task.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) crew: CrewId,
    pub(super) demand: Demand,
    /// True if it needs a process of its own: for its variables or its GPUs.
    pub(super) dedicated: bool,
}

/// A task's place in the queue: deepest first, then oldest first.
pub(super) type Rank = (Reverse<u32>, u64);

/// The tasks that wait.
#[derive(Debug, Default)]
pub(super) struct TaskQueue {
    shapes: HashMap<Shape, BTreeMap<Rank, TaskId>>,
    submitted: u64,
}

impl TaskQueue {
    pub(super) fn push(&mut self, shape: Shape, depth: u32, task: TaskId) -> Rank {
        self.submitted += 1;
        let rank = (Reverse(depth), self.submitted);
        self.shapes.entry(shape).or_default().insert(rank, task);
        rank
    }

    pub(super) fn remove(&mut self, shape: &Shape, rank: Rank) {
        if let Some(tasks) = self.shapes.get_mut(shape) {
            tasks.remove(&rank);
            if tasks.is_empty() {
                self.shapes.remove(shape);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    /// Returns the first task of all shapes that `passes`, leaving out as many of the shape as `skip` says.
    pub(super) fn first(&self, mut skip: impl FnMut(&Shape) -> Option<usize>) -> Option<(&Shape, TaskId)> {
        let heads = self.shapes.iter().filter_map(|(shape, tasks)| {
            let (rank, &task) = tasks.iter().nth(skip(shape)?)?;
            Some((rank, shape, task))
        });
        heads.min_by_key(|(rank, ..)| **rank).map(|(_, shape, task)| (shape, task))
    }

    /// Gives the tasks of each shape, first comes first.
    pub(super) fn by_shape(&self) -> impl Iterator<Item = (&Shape, impl Iterator<Item = TaskId>)> {
        self.shapes.iter().map(|(shape, tasks)| (shape, tasks.values().copied()))
    }

    /// Lists the tasks of a crew that wait for a pool worker.
    pub(super) fn take_pooled(&self, crew: CrewId) -> Vec<TaskId> {
        let pooled = self.shapes.iter().filter(|(shape, _)| shape.crew == crew && !shape.dedicated);
        pooled.flat_map(|(_, tasks)| tasks.values().copied()).collect()
    }
}

/// Where a task is.
#[derive(Debug)]
pub(super) enum TaskState {
    Queued {
        rank: Rank,
    },
    /// It has its resources; `worker` is the process that was started for it, if it has been.
    Granted {
        grant: Grant,
        worker: Option<u64>,
    },
    Running {
        grant: Grant,
        worker: u64,
        position: Position,
    },
}

/// What a task is made of.
#[derive(Debug)]
enum Content {
    /// Given out when it is started.
    Task(Option<Box<TaskSpec>>),
    /// A worker for the tasks of `submitter`.
    Lease { function_name: String, recalled: bool },
}

/// A task or lease that is not over.
#[derive(Debug)]
pub(super) struct Task {
    content: Content,
    pub(super) shape: Shape,
    env: Vec<(String, String)>,
    /// Who hears of its loss.
    pub(super) submitter: ProcessId,
    /// With whom it ends.
    pub(super) owner: ProcessId,
    /// The submitter's number of a task.
    call: u64,
    pub(super) blocked: bool,
    pub(super) state: TaskState,
}

impl Task {
    pub(super) fn is_lease(&self) -> bool {
        matches!(self.content, Content::Lease { .. })
    }

    /// Notes that a lease has been asked back; false if it was before, or has no worker yet, or is a task.
    pub(super) fn recall(&mut self) -> bool {
        match (&self.state, &mut self.content) {
            (TaskState::Running { .. }, Content::Lease { recalled, .. }) => !std::mem::replace(recalled, true),
            _ => false,
        }
    }

    /// Returns the variables and GPUs that its own process is started with.
    pub(super) fn needs(&self) -> (Vec<(String, String)>, Vec<u32>) {
        let gpu_ids = match &self.state {
            TaskState::Granted { grant, .. } => grant.gpu_ids().collect(),
            _ => Vec::new(),
        };
        (self.env.clone(), gpu_ids)
    }

    pub(super) fn launching(&mut self, number: u64) {
        if let TaskState::Granted { worker, .. } = &mut self.state {
            *worker = Some(number);
        }
    }
}

impl State {
    pub(super) fn submit_task(&mut self, process: ProcessId, spec: TaskSpec) {
        let id = spec.task;
        let call = spec.call;
        let crew = self.crew_of(process);
        let lost = match self.parts.pool.infeasible(&spec.demand) {
            Some(message) => Some(LostTask::Infeasible(message)),
            None => self.missing_in_workers(crew, &spec.function).map(LostTask::NoWorker),
        };
        if let Some(reason) = lost {
            self.send(process, ToProcess::TaskLost { call, reason });
            return;
        }
        let dedicated = spec.demand.has_gpus() || !spec.env.is_empty();
        let shape = Shape { crew, demand: spec.demand.clone(), dedicated };
        let (depth, env) = (spec.depth, spec.env.clone());
        self.enqueue(process, id, call, shape, depth, env, Content::Task(Some(Box::new(spec))));
    }

    pub(super) fn ask_lease(&mut self, process: ProcessId, spec: LeaseSpec) {
        let LeaseSpec { lease, demand, depth, function, function_name } = spec;
        let crew = self.crew_of(process);
        let lost = match self.parts.pool.infeasible(&demand) {
            Some(message) => Some(LostTask::Infeasible(message)),
            None => self.missing_in_workers(crew, &function).map(LostTask::NoWorker),
        };
        if let Some(reason) = lost {
            self.send(process, ToProcess::LeaseLost { lease, reason });
            return;
        }
        let shape = Shape { crew, demand, dedicated: false };
        let content = Content::Lease { function_name, recalled: false };
        self.enqueue(process, lease, 0, shape, depth, Vec::new(), content);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one entry")]
    fn enqueue(
        &mut self,
        process: ProcessId,
        id: TaskId,
        call: u64,
        shape: Shape,
        depth: u32,
        env: Vec<(String, String)>,
        content: Content,
    ) {
        if self.tasks.contains_key(&id) {
            // Whatever the first one holds would be lost with it.
            tell!(Warn, warn, %id, "a task or lease was asked for twice");
            return;
        }
        let rank = self.queue.push(shape.clone(), depth, id);
        let state = TaskState::Queued { rank };
        let task = Task { content, shape, env, submitter: process, owner: process, call, blocked: false, state };
        self.tasks.insert(id, task);
    }

    /// Takes a task out of the queue and gives it its resources.
    pub(super) fn grant_task(&mut self, id: TaskId, grant: Grant) {
        if let Some(task) = self.tasks.get_mut(&id) {
            if let TaskState::Queued { rank } = task.state {
                self.queue.remove(&task.shape, rank);
            }
            task.state = TaskState::Granted { grant, worker: None };
        }
    }

    /// Starts a task that has its resources in worker `number`.
    pub(super) fn run_task(&mut self, id: TaskId, number: u64, nested: bool) {
        let Some(worker) = self.workers.get_mut(&number) else {
            return;
        };
        let Some(task) = self.tasks.get_mut(&id) else {
            return self.end_worker(number, DeathCause::OutOfScope);
        };
        let (spec, function_name) = match &mut task.content {
            Content::Task(spec) => match spec.take() {
                Some(spec) => {
                    let name = spec.function_name.clone();
                    (Some(spec), name)
                }
                None => return,
            },
            Content::Lease { function_name, .. } => (None, std::mem::take(function_name)),
        };
        match &mut worker.duty {
            Duty::Tasks(running) => running.push(id),
            duty => *duty = Duty::Tasks(vec![id]),
        }
        worker.used = true;
        worker.begun = Some(Instant::now());
        let dedicated = !worker.is_pool();
        worker.label.set(&function_name);
        let process = worker.process;
        let crew = worker.crew;
        let missing = spec.as_ref().and_then(|spec| self.missing_in_workers(crew, &spec.function));
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let TaskState::Granted { grant, .. } =
            std::mem::replace(&mut task.state, TaskState::Queued { rank: (Reverse(0), 0) })
        else {
            return;
        };
        let granted = grant.describe();
        task.state = TaskState::Running { grant, worker: number, position: Position::default() };
        if let Some(message) = missing {
            self.leave_worker(id, number);
            if dedicated {
                self.end_worker(number, DeathCause::OutOfScope);
            }
            return self.lose_task(id, LostTask::NoWorker(message));
        }
        let sent = match spec {
            Some(spec) => self.send(process, ToProcess::RunTask { spec: *spec, granted, nested }),
            None => self.run_lease(id, process, granted, nested),
        };
        if let Some(Task { state: TaskState::Running { position, .. }, .. }) = self.tasks.get_mut(&id) {
            *position = sent;
        }
    }

    /// Returns true if `process` is the one that the task runs in.
    pub(super) fn runs_in(&self, process: ProcessId, id: TaskId) -> Option<u64> {
        let number = self.worker_of_task(id)?;
        (self.workers.get(&number)?.process == process).then_some(number)
    }

    pub(super) fn task_finished(&mut self, process: ProcessId, id: TaskId) {
        let Some(number) = self.runs_in(process, id) else {
            return;
        };
        let Some(task) = self.tasks.remove(&id) else {
            return;
        };
        let TaskState::Running { grant, position, .. } = task.state else {
            return;
        };
        if let Some(entry) = self.processes.get_mut(&process) {
            entry.outlet.proved(position);
        }
        if self.workers.get(&number).is_some_and(|worker| worker.is_pool()) {
            self.parts.pool.give_back(grant);
        } else {
            // GPUs are free only when the process that has used them is gone.
            self.retire(number, grant);
        }
        if self.leave_worker(id, number) {
            // What the task has started and left belongs to its caller now.
            self.inherit(process, task.owner);
        }
    }

    /// Takes a task off its worker; true if that has nothing else to do now.
    pub(super) fn leave_worker(&mut self, id: TaskId, number: u64) -> bool {
        let Some(worker) = self.workers.get_mut(&number) else {
            return false;
        };
        let Duty::Tasks(running) = &mut worker.duty else {
            return false;
        };
        running.retain(|&other| other != id);
        if !running.is_empty() {
            self.ask_for_orphans(number);
            return false;
        }
        worker.duty = Duty::None;
        if worker.worn_out {
            self.retire_worker(number);
        } else if worker.is_pool() && !worker.is_doomed() {
            worker.label.set("worker");
            self.idle.push(number);
        }
        true
    }

    /// A function has run as often in a worker as it may: nothing new is placed there, and it retires when it is empty.
    pub(super) fn worn_out(&mut self, process: ProcessId) {
        let number = self.processes.get(&process).and_then(|entry| entry.worker);
        let Some((number, worker)) = number.and_then(|number| Some((number, self.workers.get_mut(&number)?))) else {
            return;
        };
        if !worker.is_pool() || worker.is_doomed() {
            return;
        }
        worker.worn_out = true;
        if matches!(worker.duty, Duty::None) {
            self.idle.retain(|&idle| idle != number);
            self.retire_worker(number);
        }
    }

    /// The task's thread waits, and lends its CPUs, or goes on, and takes them back at once.
    pub(super) fn task_blocked(&mut self, process: ProcessId, id: TaskId, blocked: bool) {
        if self.runs_in(process, id).is_none() {
            return;
        }
        if let Some(task) = self.tasks.get_mut(&id)
            && let TaskState::Running { grant, .. } = &mut task.state
        {
            task.blocked = blocked;
            if blocked {
                self.parts.pool.lend_cpu(grant);
            } else {
                self.parts.pool.reclaim_cpu(grant);
            }
        }
    }

    /// Ends a task that will never answer, or a lease that is no more, and tells the submitter.
    pub(super) fn lose_task(&mut self, id: TaskId, reason: LostTask) {
        self.tell_lost(id, reason);
        self.forget_task(id);
    }

    /// Tells the submitter that a task will never answer, or a lease is no more.
    pub(super) fn tell_lost(&mut self, id: TaskId, reason: LostTask) {
        if let Some(task) = self.tasks.get(&id) {
            let (submitter, call, lease) = (task.submitter, task.call, task.is_lease());
            let news =
                if lease { ToProcess::LeaseLost { lease: id, reason } } else { ToProcess::TaskLost { call, reason } };
            self.send(submitter, news);
        }
    }

    /// Counts the tasks and leases that wait, and those that run.
    pub(super) fn count_tasks(&self) -> (usize, usize) {
        let running = |task: &&Task| matches!(task.state, TaskState::Running { .. });
        let count = self.tasks.values().filter(running).count();
        (self.tasks.len() - count, count)
    }

    /// The process that was started for a task is gone before it joined: another one is started.
    pub(super) fn launch_task_again(&mut self, id: TaskId) {
        if let Some(Task { state: TaskState::Granted { worker, .. }, .. }) = self.tasks.get_mut(&id) {
            *worker = None;
            self.launches.push_back(Purpose::Task(id));
        }
    }

    /// Takes a task out of everything.
    pub(super) fn forget_task(&mut self, id: TaskId) {
        let Some(task) = self.tasks.remove(&id) else {
            return;
        };
        match task.state {
            TaskState::Queued { rank } => self.queue.remove(&task.shape, rank),
            TaskState::Granted { grant, .. } => {
                self.launches.retain(|&other| other != Purpose::Task(id));
                self.parts.pool.give_back(grant);
            }
            TaskState::Running { grant, .. } => self.parts.pool.give_back(grant),
        }
    }

    /// Ends the tasks that a process owns: those that wait at once, those that run if nothing of
    /// anybody else runs in the same worker.
    pub(super) fn end_owned_tasks(&mut self, process: ProcessId) {
        // One that lives gives its leases back by itself.
        let alive = self.processes.contains_key(&process);
        let ends = |task: &Task| task.owner == process && !(alive && task.is_lease());
        let owned: Vec<_> = self.tasks.iter().filter(|(_, task)| ends(task)).map(|(&id, _)| id).collect();
        for id in owned {
            match self.tasks.get(&id).map(|task| &task.state) {
                Some(&TaskState::Granted { worker: Some(worker), .. }) => {
                    self.end_worker(worker, DeathCause::OwnerDied);
                }
                Some(TaskState::Running { .. }) if self.tasks.get(&id).is_some_and(Task::is_lease) => {
                    self.abandon_lease(id);
                }
                Some(&TaskState::Running { worker, .. }) => self.end_worker_of(process, worker),
                Some(_) => self.forget_task(id),
                None => {}
            }
        }
    }

    /// Ends a worker if nothing of anybody runs in it but of `process` and the dead.
    pub(super) fn end_worker_of(&mut self, process: ProcessId, worker: u64) {
        let running = match self.workers.get(&worker).map(|worker| &worker.duty) {
            Some(Duty::Tasks(running)) => running.as_slice(),
            _ => &[],
        };
        let foreign = |task: &Task| task.owner != process && self.processes.contains_key(&task.owner);
        let foreign = |id| self.tasks.get(id).is_some_and(foreign);
        if !running.iter().any(foreign) {
            self.end_worker(worker, DeathCause::OwnerDied);
        }
    }

    pub(super) fn inherit_tasks(&mut self, from: ProcessId, to: ProcessId) {
        // A lease stays with who uses it.
        for task in self.tasks.values_mut().filter(|task| task.owner == from && !task.is_lease()) {
            task.owner = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(cpus: f64) -> Shape {
        Shape { crew: CrewId::OWN, demand: Demand::new().cpus(cpus).unwrap(), dedicated: false }
    }

    #[test]
    fn the_deepest_comes_first_then_the_oldest() {
        let mut queue = TaskQueue::default();
        let ids: Vec<_> = (0..4).map(|_| TaskId::random()).collect();
        queue.push(shape(1.0), 0, ids[0]);
        let deep = queue.push(shape(2.0), 2, ids[1]);
        queue.push(shape(1.0), 2, ids[2]);
        queue.push(shape(1.0), 0, ids[3]);
        assert_eq!(queue.first(|_| Some(0)).unwrap().1, ids[1]);
        queue.remove(&shape(2.0), deep);
        assert_eq!(queue.first(|_| Some(0)).unwrap().1, ids[2]);
        assert_eq!(queue.first(|_| Some(1)).unwrap().1, ids[0]);
        assert_eq!(queue.first(|_| Some(2)).unwrap().1, ids[3]);
        assert!(queue.first(|_| Some(3)).is_none());
        assert!(queue.first(|_| None).is_none());
    }

    #[test]
    fn an_emptied_queue_is_empty() {
        let mut queue = TaskQueue::default();
        let task = TaskId::random();
        let rank = queue.push(shape(1.0), 0, task);
        assert_eq!(queue.take_pooled(CrewId::OWN), [task]);
        queue.remove(&shape(1.0), rank);
        assert!(queue.is_empty() && queue.take_pooled(CrewId::OWN).is_empty());
    }
}
