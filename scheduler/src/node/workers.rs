//! The life of a worker process: its start, what it does, its order to end. How it joins is in `node/joining.rs`, its
//! end in `node/funerals.rs`.
//!
//! ```text
//!             hello, welcome            Ready                   work
//!   Starting ----------------> Starting ------> Ready, idle <-----------> Ready, busy
//!      |  (refused, silent,       |                 |                        |
//!      v   exits)                 v                 v                        v
//!   exited: kill the group, wait --> barrier behind all it sent --> reap its client --> tell everybody
//! ```
//!
//! A *pool* worker has the environment of the node and takes any actor or task without special
//! needs. A *dedicated* one was started for one piece of work, with its variables and GPUs, and ends
//! with it. Where it can be, a worker is a copy of the template (`node/template.rs`): it has its Welcome from
//! the start and says no hello; with variables of its own it is started by itself, so that they are there
//! before anything of it runs. Pool workers are not ended before the node, but for those that have worn out (`max_calls`): what their past tasks have left behind (refs,
//! calls under way) stays alive, and their number is bounded by `max_processes`.

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::actors::Actor;
use super::barrier;
use super::crews::CrewId;
use super::launch::{self, Launched};
use super::restarts::ProcessEnd;
use super::state::State;
use super::tasks::TaskState;
use crate::bootstrap::Hello;
use crate::death::DeathCause;
use crate::ids::{ActorId, ProcessId, TaskId};
use crate::logs::{self, Label};
use crate::protocol::{Answer, ToProcess};
use crate::resources::{Demand, Grant};
use crate::trace::tell;
use crate::watch::{Order, Words};

/// How long a retired worker may deliver before it is killed.
const RETIREMENT: Duration = Duration::from_secs(10);

/// What is most often wrong with a worker that does not join.
pub(super) const HINT: &str = "; does main call mobula::init (or carry #[mobula::main]) before anything else?";

/// What a dedicated worker is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Actor(ActorId),
    Task(TaskId),
}

/// What a worker does.
#[derive(Debug)]
pub(super) enum Duty {
    /// It has not joined yet.
    Starting,
    /// Pool: nothing. Dedicated: its work is done or not assigned.
    None,
    Actor(ActorId),
    /// The tasks that run in it, the nested ones last.
    Tasks(Vec<TaskId>),
}

/// The variables and GPUs that a process is started with.
type Needs = (Vec<(String, String)>, Vec<u32>);

pub(super) struct Worker {
    pub(super) process: ProcessId,
    /// The driver that it works for.
    pub(super) crew: CrewId,
    /// The child; `None` until the template has answered.
    pub(super) child: Option<Pid>,
    /// What tells its end, if the watch thread does not have it.
    pub(super) pidfd: Option<OwnedFd>,
    /// Its pid as it says itself; that of the child until then.
    pub(super) pid: u32,
    /// What it prints comes here, as long as nobody reads it.
    pub(super) output: Option<(PipeReader, PipeReader)>,
    pub(super) label: Label,
    pub(super) duty: Duty,
    /// `None` for a pool worker.
    pub(super) purpose: Option<Purpose>,
    /// The grant of a task that is over, or of an actor that has been declared dead, until the process is gone.
    pub(super) held: Option<Grant>,
    /// Who waits for the end of a process whose actor has been declared dead.
    pub(super) kills: Vec<(ProcessId, u64)>,
    /// True if a task has run in it: then it becomes no actor's process.
    pub(super) used: bool,
    /// A function has run in it as often as it may in one process.
    pub(super) worn_out: bool,
    /// A task in it was cancelled by force.
    pub(super) ends_by_force: bool,
    /// When it has begun what it does.
    pub(super) begun: Option<Instant>,
    /// Set when it is killed because memory is short: the message for who loses by it.
    pub(super) short_of_memory: Option<String>,
    /// Set when the node ends it: what its actor died of.
    pub(super) ending: Option<DeathCause>,
    /// True if the node ends the process and not its actor, which may be restarted.
    pub(super) spares: bool,
    /// When it is killed if it has not joined, not retired, or not ended its actor by then.
    pub(super) deadline: Option<Instant>,
    /// A hello that waits for the first driver.
    pub(super) hello: Option<Hello>,
    /// Why it could not join, if the node knows better than its exit status.
    pub(super) trouble: Option<String>,
    pub(super) status: Option<String>,
    /// That was SIGKILL.
    pub(super) was_killed: bool,
    /// It has said hello and was not there for the answer.
    pub(super) unreached: bool,
    pub(super) all_heard: bool,
    pub(super) tail: Option<String>,
}

/// How a worker comes to be.
pub(super) enum Origin {
    /// The child was started.
    Spawned(Launched),
    /// The template was asked for it.
    Ordered((PipeReader, PipeReader)),
}

impl Worker {
    pub(super) fn is_starting(&self) -> bool {
        matches!(self.duty, Duty::Starting)
    }

    /// True for a process that has ended, or soon will because the node wants it.
    pub(super) fn is_doomed(&self) -> bool {
        self.ending.is_some() || self.status.is_some() || self.trouble.is_some()
    }

    /// True for a process whose end has been seen.
    pub(super) fn is_gone(&self) -> bool {
        self.status.is_some()
    }

    pub(super) fn is_pool(&self) -> bool {
        self.purpose.is_none()
    }
}

impl State {
    /// Starts a process of a crew: for `purpose`, or for the pool.
    pub(super) fn launch(&mut self, crew: CrewId, purpose: Option<Purpose>) {
        let Some((env, gpu_ids)) = self.needs(purpose) else {
            return;
        };
        if !env.is_empty() || !self.order(crew, purpose, &gpu_ids) {
            self.spawn(crew, purpose, &env, &gpu_ids);
        }
    }

    /// Returns what a process for `purpose` is to be started with; `None` if its work is gone.
    fn needs(&self, purpose: Option<Purpose>) -> Option<Needs> {
        match purpose {
            None => Some((Vec::new(), Vec::new())),
            Some(Purpose::Actor(id)) => Some(self.actors.get(&id)?.needs()),
            Some(Purpose::Task(id)) => Some(self.tasks.get(&id)?.needs()),
        }
    }

    /// Returns how many threads the work of a process has CPUs for.
    fn threads(&self, purpose: Option<Purpose>) -> u32 {
        let demand = match purpose {
            None => None,
            Some(Purpose::Actor(id)) => self.actors.get(&id).map(Actor::demand),
            Some(Purpose::Task(id)) => self.tasks.get(&id).map(|task| &task.shape.demand),
        };
        demand.map_or(1, Demand::threads)
    }

    /// Returns the variables that worker `number` may set when it takes work.
    pub(super) fn thread_variables(&self, crew: CrewId, number: Option<u64>) -> Vec<String> {
        let purpose = number.and_then(|number| self.workers.get(&number)?.purpose);
        // What the template makes has no variables of its own.
        let env = purpose.and_then(|purpose| self.needs(Some(purpose))).map(|(env, _)| env).unwrap_or_default();
        let recipe = self.crews.get(&crew).map(|crew| &crew.recipe);
        recipe.into_iter().flat_map(|recipe| recipe.thread_variables(&env)).map(str::to_owned).collect()
    }

    pub(super) fn next_number(&mut self) -> u64 {
        let number = self.next_worker;
        self.next_worker += 1;
        number
    }

    fn spawn(&mut self, id: CrewId, purpose: Option<Purpose>, env: &[(String, String)], gpu_ids: &[u32]) {
        let threads = self.threads(purpose);
        let Some(crew) = self.crews.get(&id) else {
            return;
        };
        let launched = match crew.recipe.launch(env, gpu_ids, threads) {
            Ok(launched) => launched,
            Err(error) => {
                let program = crew.recipe.foreign().unwrap_or_else(|| "this executable".into());
                let message = format!("no worker process could be started from {program}: {error}");
                return self.start_failed(id, purpose, message);
            }
        };
        let number = self.next_number();
        self.add_worker(number, ProcessId::random(), id, purpose, Origin::Spawned(launched));
    }

    /// Notes a worker that is being started.
    pub(super) fn add_worker(
        &mut self,
        number: u64,
        process: ProcessId,
        crew: CrewId,
        purpose: Option<Purpose>,
        origin: Origin,
    ) {
        let mut worker = Worker {
            process,
            crew,
            child: None,
            pidfd: None,
            pid: 0,
            output: None,
            label: Label::new(),
            duty: Duty::Starting,
            purpose,
            held: None,
            kills: Vec::new(),
            used: false,
            worn_out: false,
            ends_by_force: false,
            begun: None,
            short_of_memory: None,
            ending: None,
            spares: false,
            deadline: Some(Instant::now() + self.parts.start_timeout),
            hello: None,
            trouble: None,
            status: None,
            was_killed: false,
            unreached: false,
            all_heard: false,
            tail: None,
        };
        let ordered = matches!(origin, Origin::Ordered(_));
        match origin {
            Origin::Spawned(Launched { pid, pidfd, stream, out, err }) => {
                worker.output = Some((out, err));
                self.begin(number, &mut worker, pid);
                self.parts.watch.post(Order::Add { worker: number, pidfd, words: Words::Worker(stream) });
            }
            Origin::Ordered(output) => worker.output = Some(output),
        }
        self.workers.insert(number, worker);
        match purpose {
            Some(Purpose::Actor(id)) => {
                if let Some(actor) = self.actors.get_mut(&id) {
                    actor.launching(number);
                }
                if ordered {
                    self.send_ahead(id, number);
                }
            }
            Some(Purpose::Task(id)) => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.launching(number);
                }
            }
            None => {}
        }
    }

    /// Has what a worker prints read, whose child is known.
    fn begin(&mut self, number: u64, worker: &mut Worker, child: Pid) {
        let pid = child.as_raw_pid().unsigned_abs();
        tell!(Debug, debug, pid, "a worker process starts");
        (worker.child, worker.pid) = (Some(child), pid);
        if let Some((out, err)) = worker.output.take() {
            let label = worker.label.clone();
            let driver = worker.crew.number();
            self.parts.logs.post(logs::Order::Add { worker: number, driver, pid, label, out, err });
        }
    }

    /// The template has forked a worker.
    pub(super) fn adopt(&mut self, number: u64, child: Pid) {
        let Some(mut worker) = self.workers.remove(&number) else {
            return launch::kill_group(child);
        };
        self.begin(number, &mut worker, child);
        let doomed = worker.is_doomed();
        self.workers.insert(number, worker);
        let watched = launch::watch(child).and_then(|pidfd| {
            self.parts.watch.watch_end(number, &pidfd)?;
            Ok(pidfd)
        });
        match watched {
            Ok(pidfd) => {
                if let Some(worker) = self.workers.get_mut(&number) {
                    worker.pidfd = Some(pidfd);
                }
                if doomed {
                    self.kill_worker(number);
                }
            }
            Err(error) => {
                // Without a pidfd its end would go unnoticed.
                if let Some(worker) = self.workers.get_mut(&number) {
                    worker.trouble.get_or_insert_with(|| format!("it cannot be watched: {error}"));
                }
                self.kill_worker(number);
                self.exited(number);
                // The watch thread will not see it, so the barrier comes from here.
                if self.parts.loopback.send(barrier(self.parts.own, number)).is_err() {
                    self.all_heard(number);
                }
            }
        }
    }

    /// Starts by itself what the template was asked for and has not made, and never will.
    pub(super) fn spawn_instead(&mut self, number: u64) {
        let Some(worker) = self.workers.remove(&number) else {
            return;
        };
        self.processes.remove(&worker.process);
        self.again = true;
        match (worker.purpose, worker.ending) {
            // Its work is gone, so nobody waits for it.
            (Some(Purpose::Actor(id)), Some(cause)) => {
                let end = ProcessEnd { ending: Some(cause), spares: worker.spares, ..ProcessEnd::default() };
                self.actor_gone(id, number, end);
                for (process, request) in worker.kills {
                    self.send(process, ToProcess::Reply { request, answer: Answer::Done });
                }
            }
            (Some(Purpose::Task(id)), Some(_)) => self.forget_task(id),
            (None, Some(_)) => {}
            (purpose, None) => {
                if let Some((env, gpu_ids)) = self.needs(purpose) {
                    self.spawn(worker.crew, purpose, &env, &gpu_ids);
                }
            }
        }
    }

    /// Kills a worker and its group; what that means is settled when it is gone.
    pub(super) fn kill_worker(&mut self, number: u64) {
        if let Some(worker) = self.workers.get_mut(&number)
            && worker.status.is_none()
            // Otherwise it is killed when the template has answered.
            && let Some(child) = worker.child
        {
            launch::kill_group(child);
        }
    }

    /// Kills the worker that its actor or task has no use for any more.
    pub(super) fn end_worker(&mut self, number: u64, cause: DeathCause) {
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.ending = Some(cause);
            worker.spares = false;
            self.kill_worker(number);
        }
    }

    /// Kills the worker of an actor that may be restarted.
    pub(super) fn end_worker_only(&mut self, number: u64, cause: DeathCause) {
        if let Some(worker) = self.workers.get_mut(&number)
            && !worker.is_doomed()
        {
            worker.ending = Some(cause);
            worker.spares = true;
            self.kill_worker(number);
        }
    }

    /// Lets a dedicated worker end in peace, and keeps what it holds until it has.
    pub(super) fn retire(&mut self, number: u64, grant: Grant) {
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.held = Some(grant);
        }
        self.retire_worker(number);
    }

    /// Lets a worker end in peace.
    pub(super) fn retire_worker(&mut self, number: u64) {
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.ending = Some(DeathCause::OutOfScope);
            worker.deadline = Some(Instant::now() + RETIREMENT);
            let process = worker.process;
            self.send(process, ToProcess::Retire);
        }
    }

    /// Has a worker killed if it has not ended within that time.
    pub(super) fn limit_end(&mut self, number: u64, within: Duration) {
        if let Some(worker) = self.workers.get_mut(&number) {
            // A time that is too far away to be told is none.
            worker.deadline = Instant::now().checked_add(within);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let workers = self.workers.values().filter_map(|worker| worker.deadline);
        let templates = self.crews.values().filter_map(|crew| crew.template.next_deadline());
        workers
            .chain(templates)
            .chain(self.next_restart())
            .chain(self.next_look())
            .chain(self.next_inquiry_deadline())
            .min()
    }

    pub(super) fn check_deadlines(&mut self, now: Instant) {
        self.crews.values_mut().for_each(|crew| crew.template.check_deadline(now));
        self.end_rests(now);
        self.watch_memory(now);
        self.close_inquiries(now);
        let late = |worker: &Worker| worker.deadline.is_some_and(|deadline| deadline <= now);
        let numbers: Vec<_> =
            self.workers.iter().filter(|(_, worker)| late(worker)).map(|(&number, _)| number).collect();
        for number in numbers {
            if let Some(worker) = self.workers.get_mut(&number) {
                worker.deadline = None;
                if worker.is_starting() {
                    let limit = self.parts.start_timeout.as_secs_f64();
                    worker.trouble.get_or_insert_with(|| format!("it did not join within {limit} s{HINT}"));
                }
            }
            self.kill_worker(number);
        }
    }

    /// Returns the worker that runs `task`, if it does.
    pub(super) fn worker_of_task(&self, task: TaskId) -> Option<u64> {
        match self.tasks.get(&task)?.state {
            TaskState::Running { worker, .. } => Some(worker),
            _ => None,
        }
    }
}
