//! The life of a worker process, from its start to its funeral.
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
//! before anything of it runs. Pool workers are never ended before the node: what their past tasks have left behind (refs,
//! calls under way) stays alive, and their number is bounded by `max_processes`.

use std::collections::HashSet;
use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ipc_channel::ipc::IpcSender;
use mobula_store::ClientKey;
use rustix::process::Pid;

use super::actors::Actor;
use super::launch::{self, Launched};
use super::state::State;
use super::tasks::TaskState;
use super::{NodeError, barrier};
use crate::bootstrap::Hello;
use crate::death::{DeathCause, LostTask};
use crate::ids::{ActorId, ProcessId, TaskId};
use crate::logs::{self, Label};
use crate::protocol::{Answer, Envelope, RegistryKey, ToProcess, Welcome};
use crate::resources::Grant;
use crate::trace::tell;
use crate::watch::{Order, Sighting, Words};

/// After so many failed starts in a row everything that waits for a worker fails.
const MOST_FAILED_STARTS: u32 = 3;

/// How long a retired worker may deliver before it is killed.
const RETIREMENT: Duration = Duration::from_secs(10);

/// How long the node's end waits for killed processes: only the kernel can hold one up longer.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// What is most often wrong with a worker that does not join.
const HINT: &str = "; does main call mobula::init (or carry #[mobula::main]) before anything else?";

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
    /// The child; `None` until the template has answered.
    pub(super) child: Option<Pid>,
    /// What tells its end, if the watch thread does not have it.
    pidfd: Option<OwnedFd>,
    /// Its pid as it says itself; that of the child until then.
    pub(super) pid: u32,
    /// What it prints comes here, as long as nobody reads it.
    output: Option<(PipeReader, PipeReader)>,
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
    /// Set when the node ends it: what its actor died of.
    pub(super) ending: Option<DeathCause>,
    /// When it is killed if it has not joined, or not retired, by then.
    deadline: Option<Instant>,
    /// A hello that waits for the first driver.
    hello: Option<Hello>,
    /// Why it could not join, if the node knows better than its exit status.
    trouble: Option<String>,
    status: Option<String>,
    all_heard: bool,
    tail: Option<String>,
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
    /// Starts a process: for `purpose`, or for the pool.
    pub(super) fn launch(&mut self, purpose: Option<Purpose>) {
        let Some((env, gpu_ids)) = self.needs(purpose) else {
            return;
        };
        if !env.is_empty() || !self.order(purpose, &gpu_ids) {
            self.spawn(purpose, &env, &gpu_ids);
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

    pub(super) fn next_number(&mut self) -> u64 {
        let number = self.next_worker;
        self.next_worker += 1;
        number
    }

    fn spawn(&mut self, purpose: Option<Purpose>, env: &[(String, String)], gpu_ids: &[u32]) {
        let launched = match self.parts.recipe.launch(env, gpu_ids) {
            Ok(launched) => launched,
            Err(error) => {
                let program = self.parts.recipe.exe.as_deref();
                let program = program.map_or("this executable".into(), |path| path.display().to_string());
                let message = format!("no worker process could be started from {program}: {error}");
                return self.start_failed(purpose, message);
            }
        };
        let number = self.next_number();
        self.add_worker(number, ProcessId::random(), purpose, Origin::Spawned(launched));
    }

    /// Notes a worker that is being started.
    pub(super) fn add_worker(&mut self, number: u64, process: ProcessId, purpose: Option<Purpose>, origin: Origin) {
        let mut worker = Worker {
            process,
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
            ending: None,
            deadline: Some(Instant::now() + self.parts.start_timeout),
            hello: None,
            trouble: None,
            status: None,
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
            self.parts.logs.post(logs::Order::Add { worker: number, pid, label, out, err });
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
            (Some(Purpose::Actor(id)), Some(cause)) => self.actor_gone(id, 0, "", Some(cause)),
            (Some(Purpose::Task(id)), Some(_)) => self.forget_task(id),
            (None, Some(_)) => {}
            (purpose, None) => {
                if let Some((env, gpu_ids)) = self.needs(purpose) {
                    self.spawn(purpose, &env, &gpu_ids);
                }
            }
        }
    }

    /// Step 1 of the bootstrap has come. The Welcome waits until a driver's registry is known.
    pub(super) fn hello(&mut self, number: u64, hello: Hello) {
        if self.template.is(number) {
            return self.template_hello(hello);
        }
        let Some(worker) = self.workers.get_mut(&number) else {
            return;
        };
        worker.pid = hello.pid;
        if self.driver.is_none() {
            worker.hello = Some(hello);
            worker.deadline = None;
            return;
        }
        let process = worker.process;
        let admitted = self.welcome(process, Some(number)).and_then(|welcome| admit(hello.name, welcome));
        match admitted {
            Ok(()) => self.parts.watch.post(Order::Admit { worker: number }),
            Err(error) => self.refuse(number, &format!("its welcome could not be sent: {error}")),
        }
    }

    pub(super) fn welcome_waiting_workers(&mut self) {
        let deadline = Instant::now() + self.parts.start_timeout;
        let waiting: Vec<_> = self
            .workers
            .iter_mut()
            .filter_map(|(&number, worker)| {
                let hello = worker.hello.take()?;
                worker.deadline = Some(deadline);
                Some((number, hello))
            })
            .collect();
        for (number, hello) in waiting {
            self.hello(number, hello);
        }
    }

    /// Sends a process that may not join away.
    pub(super) fn refuse(&mut self, number: u64, reason: &str) {
        let Some(worker) = self.workers.get_mut(&number) else {
            return;
        };
        worker.trouble.get_or_insert_with(|| reason.to_owned());
        let process = worker.process;
        self.parts.watch.post(Order::Refuse { worker: number, text: reason.to_owned() });
        self.send(process, ToProcess::Refused(reason.to_owned()));
        self.kill_worker(number);
    }

    /// The process has attached the store.
    pub(super) fn ready(
        &mut self,
        process: ProcessId,
        pid: u32,
        client: ClientKey,
        hash: u64,
        registry: Vec<RegistryKey>,
    ) {
        let Some(entry) = self.processes.get_mut(&process) else {
            return;
        };
        entry.client = Some(client);
        let Some(number) = entry.worker else {
            return;
        };
        if self.workers.get(&number).is_some_and(|worker| worker.child.is_none()) {
            // It is faster than its template's answer.
            self.look_at_forks();
        }
        if let Err(reason) = self.compare_registries(hash, registry) {
            return self.refuse(number, &reason);
        }
        let Some(worker) = self.workers.get_mut(&number) else {
            return;
        };
        // One that was born with its work may have done it and ended: what it has said of it counts.
        let ended = worker.status.is_some() && !matches!(worker.purpose, Some(Purpose::Actor(_)));
        if ended || worker.ending.is_some() || worker.trouble.is_some() || !worker.is_starting() {
            return;
        }
        worker.pid = pid;
        worker.deadline = None;
        worker.duty = Duty::None;
        let purpose = worker.purpose;
        tell!(Debug, debug, pid, "a worker process has joined");
        self.failed_starts = 0;
        self.answer_registry_waiters();
        match purpose {
            None => self.idle.push(number),
            Some(Purpose::Actor(id)) => self.seat_actor(id, number),
            Some(Purpose::Task(id)) => self.run_task(id, number, false),
        }
    }

    /// Compares a worker's registry with the driver's: all of it if they run the same executable,
    /// otherwise what both have.
    fn compare_registries(&mut self, hash: u64, registry: Vec<RegistryKey>) -> Result<(), String> {
        let Some(driver) = &self.driver else {
            return Ok(());
        };
        let same_executable = self.parts.recipe.exe.is_none();
        let registry = if hash == driver.hash { driver.entries.clone() } else { registry };
        let theirs = |name: &str| registry.iter().find(|entry| entry.name == name);
        for ours in &driver.entries {
            match theirs(&ours.name) {
                Some(entry) if entry.signature != ours.signature => {
                    return Err(format!(
                        "worker and driver disagree about the signature of {}; build both from the same sources",
                        ours.name
                    ));
                }
                None if same_executable => {
                    return Err(format!("the worker does not know {}, which the driver does", ours.name));
                }
                _ => {}
            }
        }
        if same_executable {
            let known = |entry: &&RegistryKey| !driver.entries.contains(entry);
            if let Some(entry) = registry.iter().find(known) {
                return Err(format!("the driver does not know {}, which the worker does", entry.name));
            }
            if hash != driver.hash {
                return Err("the registries of worker and driver differ as a whole".to_owned());
            }
        } else if self.worker_registry.is_none() {
            self.worker_registry = Some(registry.into_iter().collect());
        }
        Ok(())
    }

    /// Says what is wrong with `key` if workers that run another executable do not have it.
    pub(super) fn missing_in_workers(&self, key: &RegistryKey) -> Option<String> {
        let registry = self.worker_registry.as_ref()?;
        let program = self.parts.recipe.exe.as_deref()?;
        (!registry.contains(key))
            .then(|| format!("the worker executable {} does not contain {}", program.display(), key.name))
    }

    /// Answers those who wait for the workers' registry, if it is known or will not be.
    pub(super) fn answer_registry_waiters(&mut self) {
        let answer = if self.parts.recipe.exe.is_none() {
            None
        } else if let Some(registry) = &self.worker_registry {
            Some(registry.iter().cloned().collect::<Vec<_>>())
        } else if self.failed_starts > 0 && self.workers.is_empty() && self.ahead == 0 {
            for waiter in self.registry_waiters.drain(..) {
                let _ = waiter.send(Err(NodeError::Worker(self.last_failure.clone())));
            }
            return;
        } else {
            return;
        };
        for waiter in self.registry_waiters.drain(..) {
            let _ = waiter.send(Ok(answer.clone()));
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
            self.kill_worker(number);
        }
    }

    /// Lets a dedicated worker end in peace, and keeps what it holds until it has.
    pub(super) fn retire(&mut self, number: u64, grant: Grant) {
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.held = Some(grant);
            worker.ending = Some(DeathCause::OutOfScope);
            worker.deadline = Some(Instant::now() + RETIREMENT);
            let process = worker.process;
            self.send(process, ToProcess::Retire);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let workers = self.workers.values().filter_map(|worker| worker.deadline);
        workers.chain(self.template.next_deadline()).min()
    }

    pub(super) fn check_deadlines(&mut self, now: Instant) {
        self.template.check_deadline(now);
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

    /// The process has ended: kill what it has started and wait for it. Behind this comes the barrier that tells that
    /// its last messages have passed.
    pub(super) fn exited(&mut self, number: u64) {
        if self.template.is(number) {
            return self.template_gone();
        }
        let Some(worker) = self.workers.get_mut(&number) else {
            return;
        };
        let Some(child) = worker.child else {
            return;
        };
        launch::kill_group(child);
        worker.status = Some(launch::describe(launch::reap(child)));
        worker.deadline = None;
        self.idle.retain(|&idle| idle != number);
        self.parts.logs.post(logs::Order::Finish { worker: number });
    }

    pub(super) fn all_heard(&mut self, number: u64) {
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.all_heard = true;
        }
        self.bury_if_due(number);
    }

    pub(super) fn all_read(&mut self, number: u64, tail: String) {
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.tail = Some(tail);
        }
        self.bury_if_due(number);
    }

    fn bury_if_due(&mut self, number: u64) {
        let Some(worker) = self.workers.get(&number) else {
            return;
        };
        // Only for one that never joined do its last words matter, and they are worth waiting for.
        if worker.all_heard && (worker.tail.is_some() || !worker.is_starting()) {
            self.bury(number);
        }
    }

    /// SC-13, from the reaping on.
    fn bury(&mut self, number: u64) {
        let Some(mut worker) = self.workers.remove(&number) else {
            return;
        };
        let process = worker.process;
        let client = self.processes.remove(&process).and_then(|entry| entry.client);
        let mut concerned = self.concerned(&worker.duty);
        concerned.extend(worker.kills.iter().map(|&(process, _)| process));
        if let Some(client) = client {
            self.parts.store.reap(client);
            self.tell_gone(client, |process| concerned.contains(&process));
        }
        if let Some(grant) = worker.held.take() {
            self.parts.pool.give_back(grant);
        }
        let status = worker.status.take().unwrap_or_default();
        tell!(Debug, debug, pid = worker.pid, status, "a worker process has ended");
        match std::mem::replace(&mut worker.duty, Duty::None) {
            Duty::Starting => match (worker.purpose, worker.ending.clone()) {
                // Its work is gone, so nobody waits for it.
                (Some(Purpose::Actor(id)), Some(cause)) => self.actor_gone(id, worker.pid, &status, Some(cause)),
                (Some(Purpose::Task(id)), Some(_)) => self.forget_task(id),
                (purpose, _) => {
                    let message = start_message(&worker, &status);
                    self.start_failed(purpose, message);
                }
            },
            Duty::None => {}
            Duty::Actor(id) => self.actor_gone(id, worker.pid, &status, worker.ending.clone()),
            Duty::Tasks(ids) => {
                for id in ids {
                    let reason = LostTask::WorkerCrashed { pid: worker.pid, status: status.clone() };
                    self.lose_task(id, reason);
                }
            }
        }
        for (process, request) in std::mem::take(&mut worker.kills) {
            self.send(process, ToProcess::Reply { request, answer: Answer::Done });
        }
        // Nobody of these waits for it, and waking them holds up the loop.
        if let Some(client) = client {
            self.tell_gone(client, |process| !concerned.contains(&process));
        }
        self.owner_died(process);
    }

    /// Returns who hears more of a worker's end than that it is gone.
    fn concerned(&self, duty: &Duty) -> HashSet<ProcessId> {
        match duty {
            Duty::Actor(id) => self.actors.get(id).map(Actor::hearers).unwrap_or_default(),
            Duty::Tasks(ids) => ids.iter().filter_map(|id| self.tasks.get(id)).map(|task| task.submitter).collect(),
            Duty::Starting | Duty::None => self.processes.keys().copied().collect(),
        }
    }

    fn tell_gone(&mut self, client: ClientKey, whom: impl Fn(ProcessId) -> bool) {
        for (_, entry) in self.processes.iter_mut().filter(|(process, _)| whom(**process)) {
            entry.outlet.send(ToProcess::ProcessGone(client));
        }
    }

    /// A process could not be started or has not joined.
    pub(super) fn start_failed(&mut self, purpose: Option<Purpose>, message: String) {
        tell!(Warn, warn, "{message}");
        self.again = true;
        match purpose {
            Some(Purpose::Actor(id)) => self.actor_down(id, DeathCause::CreationFailed(message)),
            Some(Purpose::Task(id)) => self.lose_task(id, LostTask::NoWorker(message)),
            None => {
                self.failed_starts += 1;
                self.last_failure = message;
                // Started ahead or not: more of the same would only fail in the same way.
                self.ahead = 0;
                if self.has_given_up() {
                    self.fail_all_that_wait();
                }
                self.answer_registry_waiters();
            }
        }
    }

    /// True while starts fail in a row: then work that comes gets one more try, not three.
    pub(super) fn has_given_up(&self) -> bool {
        self.failed_starts >= MOST_FAILED_STARTS
    }

    fn fail_all_that_wait(&mut self) {
        let message = self.last_failure.clone();
        for id in std::mem::take(&mut self.seats) {
            self.actor_down(id, DeathCause::CreationFailed(message.clone()));
        }
        let serving = |worker: &Worker| worker.is_pool() && !matches!(worker.duty, Duty::Starting | Duty::Actor(_));
        if !self.workers.values().any(serving) {
            for id in self.queue.take_pooled() {
                self.lose_task(id, LostTask::NoWorker(message.clone()));
            }
        }
    }

    /// Kills everything and waits until it is gone.
    pub(super) fn stop(mut self) {
        for process in self.processes.values_mut().filter(|process| process.worker.is_none()) {
            process.outlet.send(ToProcess::Shutdown);
        }
        let deadline = Instant::now() + LAST_WAIT;
        self.workers.retain(|_, worker| worker.status.is_none());
        self.template.kill();
        for worker in self.workers.values_mut() {
            worker.ending.get_or_insert(DeathCause::NodeDied);
            worker.child.into_iter().for_each(launch::kill_group);
        }
        while !self.workers.is_empty() || self.template.is_running() {
            match self.parts.inbox.recv_deadline(deadline) {
                Ok(super::state::Event::Sighting { worker, sighting: Sighting::Exited }) => {
                    if self.template.is(worker) {
                        // What it has forked is known now, and killed; nothing else will come.
                        self.template_gone();
                    } else if let Some(child) = self.workers.remove(&worker).and_then(|worker| worker.child) {
                        launch::kill_group(child);
                        // Waited for here, so that no zombie stays; how it ended interests nobody now.
                        let _ = launch::reap(child);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    let left = self.workers.len();
                    tell!(Error, error, %error, left, "killed worker processes do not end");
                    return;
                }
            }
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

/// Sends step 2 of the bootstrap.
fn admit(name: String, welcome: Welcome) -> std::io::Result<()> {
    let sender: IpcSender<Envelope<Welcome>> = IpcSender::connect(name)?;
    sender.send(Envelope::new(welcome)).map_err(std::io::Error::other)
}

/// Explains a failed start to whoever wrote the program.
fn start_message(worker: &Worker, status: &str) -> String {
    let pid = worker.pid;
    let mut message = match &worker.trouble {
        Some(trouble) => format!("worker process {pid} could not join: {trouble}"),
        None => format!("worker process {pid} ended with {status} before it joined{HINT}"),
    };
    match worker.tail.as_deref() {
        Some(tail) if !tail.is_empty() => {
            message.push_str(" Its last words on stderr: ");
            message.push_str(tail);
        }
        _ => {}
    }
    message
}
