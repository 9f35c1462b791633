//! What the node knows, and the loop that changes it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use ipc_channel::ipc::{self, IpcSender};
use mobula_store::{ClientKey, Store};

use super::actors::{Actor, Early};
use super::introductions::Letterbox;
use super::launch::Recipe;
use super::outlet::{Ear, Outlet, Position};
use super::tasks::{Task, TaskQueue};
use super::template::Template;
use super::workers::{Purpose, Worker};
use super::{NodeError, NodeInfo};
use crate::config::{CallPath, Waiting};
use crate::death::ActorDeath;
use crate::ids::{ActorId, ProcessId, TaskId};
use crate::logs;
use crate::protocol::{Answer, Envelope, FromProcess, RegistryKey, ToNode, ToProcess, Welcome};
use crate::resources::Pool;
use crate::watch::{self, Poster, Sighting};

/// How many events are taken before work is placed again.
const BATCH: usize = 256;

/// What the loop hears.
#[derive(Debug)]
pub(super) enum Event {
    /// A process has sent a message.
    Message { process: ProcessId, message: ToNode },
    /// Everything that a dead worker had sent has been handled.
    Barrier { worker: u64 },
    /// The watch thread has seen something of a worker.
    Sighting { worker: u64, sighting: Sighting },
    /// A client's process is about to be gone, if that is no mistake.
    Dying { client: ClientKey },
    /// A dead worker's output has been read to its end.
    Tail { worker: u64, tail: String },
    /// An object that is some actor's life may be gone.
    Reclaimed,
    /// A driver wants to join.
    Driver { registry_hash: u64, registry: Vec<RegistryKey>, reply: Sender<Result<Welcome, NodeError>> },
    /// A driver hears in the node's process what it can.
    Ear { process: ProcessId, ear: Ear },
    /// Somebody wants to know the workers' registry.
    WorkerRegistry { reply: Sender<Result<Option<Vec<RegistryKey>>, NodeError>> },
    /// Somebody wants the resource maps.
    Resources { reply: Sender<Vec<(String, f64, f64)>> },
    /// The node ends.
    Stop,
}

/// What the loop is made of.
pub(super) struct Parts {
    pub(super) info: NodeInfo,
    pub(super) store: Store,
    pub(super) pool: Pool,
    pub(super) recipe: Recipe,
    pub(super) inbox: Receiver<Event>,
    pub(super) loopback: IpcSender<FromProcess>,
    pub(super) own: ProcessId,
    pub(super) watch: Poster<watch::Order>,
    pub(super) logs: Poster<logs::Order>,
    pub(super) start_timeout: Duration,
    pub(super) process_limit: usize,
    pub(super) prestart: usize,
    pub(super) waiting: Waiting,
    pub(super) call_path: CallPath,
}

/// A process that has been welcomed.
pub(super) struct Process {
    pub(super) outlet: Outlet,
    /// Its client of the store, from its Ready on.
    pub(super) client: Option<ClientKey>,
    /// Its number if it is a worker.
    pub(super) worker: Option<u64>,
    /// The leases that were ended here without an answer yet, in order, and the messages that did.
    pub(super) ends: VecDeque<(TaskId, Position)>,
    /// Where it takes frames, if they do not travel through rings.
    pub(super) letterbox: Option<Letterbox>,
}

/// The registry that workers are compared with.
pub(super) struct DriverRegistry {
    pub(super) hash: u64,
    pub(super) entries: Vec<RegistryKey>,
}

pub(super) struct State {
    pub(super) parts: Parts,
    pub(super) processes: HashMap<ProcessId, Process>,
    pub(super) workers: HashMap<u64, Worker>,
    pub(super) next_worker: u64,
    pub(super) template: Template,
    /// Pool workers with nothing to do, the one that was busy last at the end.
    pub(super) idle: Vec<u64>,
    /// Work that has its resources and wants a fresh process.
    pub(super) launches: VecDeque<Purpose>,
    /// Pool workers that are still to be started ahead.
    pub(super) ahead: usize,
    /// Pool workers that did not join, since the last one that did.
    pub(super) failed_starts: u32,
    pub(super) last_failure: String,
    /// Set when something that placement has looked at already has changed.
    pub(super) again: bool,
    pub(super) driver: Option<DriverRegistry>,
    /// The registry of workers that run another executable.
    pub(super) worker_registry: Option<HashSet<RegistryKey>>,
    pub(super) registry_waiters: Vec<Sender<Result<Option<Vec<RegistryKey>>, NodeError>>>,

    pub(super) actors: HashMap<ActorId, Actor>,
    /// Actors that wait for resources, in the order of their creation.
    pub(super) waiting: VecDeque<ActorId>,
    /// Actors that have their resources and want a pool worker.
    pub(super) seats: VecDeque<ActorId>,
    /// Actors that somebody knows and nobody has created yet.
    pub(super) early: HashMap<ActorId, Early>,
    pub(super) dead: HashMap<ActorId, ActorDeath>,
    pub(super) dead_order: VecDeque<ActorId>,

    pub(super) tasks: HashMap<TaskId, Task>,
    pub(super) queue: TaskQueue,
}

impl State {
    pub(super) fn new(parts: Parts) -> Self {
        let ahead = parts.prestart;
        State {
            parts,
            processes: HashMap::new(),
            workers: HashMap::new(),
            next_worker: 0,
            template: Template::default(),
            idle: Vec::new(),
            launches: VecDeque::new(),
            ahead,
            failed_starts: 0,
            last_failure: String::new(),
            again: false,
            driver: None,
            worker_registry: None,
            registry_waiters: Vec::new(),
            actors: HashMap::new(),
            waiting: VecDeque::new(),
            seats: VecDeque::new(),
            early: HashMap::new(),
            dead: HashMap::new(),
            dead_order: VecDeque::new(),
            tasks: HashMap::new(),
            queue: TaskQueue::default(),
        }
    }

    /// Runs until `Stop`; returns when no worker is left.
    pub(super) fn run(mut self) {
        loop {
            self.place();
            let event = match self.next_deadline() {
                None => self.parts.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(deadline) => self.parts.inbox.recv_deadline(deadline),
            };
            match event {
                Ok(event) => {
                    let more: Vec<_> = self.parts.inbox.try_iter().take(BATCH).collect();
                    let mut stop = false;
                    for event in std::iter::once(event).chain(more) {
                        // What came with it is handled first: the ends of workers that `stop` would wait for.
                        stop |= matches!(event, Event::Stop);
                        self.handle(event);
                    }
                    if stop {
                        return self.stop();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Nobody could ask for anything any more.
                Err(RecvTimeoutError::Disconnected) => return self.stop(),
            }
            self.check_deadlines(Instant::now());
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Message { process, message } => self.message(process, message),
            Event::Barrier { worker } => self.all_heard(worker),
            Event::Sighting { worker, sighting } => match sighting {
                Sighting::Exited => self.exited(worker),
                Sighting::Hello(hello) => self.hello(worker, hello),
                Sighting::BadHello(_) if self.template.is(worker) => self.template.kill(),
                Sighting::BadHello(reason) => self.refuse(worker, &reason),
                Sighting::Forked => self.look_at_forks(),
            },
            Event::Dying { client } => self.dying(client),
            Event::Tail { worker, tail } => self.all_read(worker, tail),
            Event::Reclaimed => self.check_lives(),
            Event::Driver { registry_hash, registry, reply } => {
                let welcome = self.connect_driver(registry_hash, registry);
                // A driver that went away meanwhile hears nothing.
                let _ = reply.send(welcome);
            }
            Event::Ear { process, ear } => {
                if let Some(entry) = self.processes.get_mut(&process) {
                    entry.outlet.lend(ear);
                }
            }
            Event::WorkerRegistry { reply } => {
                self.registry_waiters.push(reply);
                self.answer_registry_waiters();
            }
            Event::Resources { reply } => {
                let _ = reply.send(self.parts.pool.report());
            }
            Event::Stop => {}
        }
    }

    fn message(&mut self, process: ProcessId, message: ToNode) {
        if !self.processes.contains_key(&process) {
            // It was mourned already, or was never welcomed.
            return;
        }
        match message {
            ToNode::Ready { pid, client, registry_hash, registry } => {
                self.ready(process, pid, client, registry_hash, registry);
            }
            ToNode::Listens(sender) => self.listens(process, sender),
            ToNode::Introduce(client) => self.introduce(process, client),
            ToNode::ExpectActor { actor, class_name } => self.expect_actor(process, actor, class_name),
            ToNode::CreateActor(spec) => self.create_actor(process, spec),
            ToNode::SubmitTask(spec) => self.submit_task(process, spec),
            ToNode::AskLease(spec) => self.ask_lease(process, spec),
            ToNode::ReturnLease(lease) => self.return_lease(process, lease),
            ToNode::LeaseEnded { lease, over } => self.lease_ended(process, lease, over),
            ToNode::Runs { lease, function_name } => self.lease_runs(process, lease, &function_name),
            ToNode::WatchActor(actor) => self.watch_actor(process, actor),
            ToNode::KillActor { actor, request } => self.kill_actor(process, actor, request),
            ToNode::ActorStarted { actor } => self.actor_started(process, actor),
            ToNode::ActorFailed { actor, message } => self.actor_failed(process, actor, message),
            ToNode::ActorEnded { actor, exited } => self.actor_ended(process, actor, exited),
            ToNode::TaskFinished(task) => self.task_finished(process, task),
            ToNode::Blocked(task) => self.task_blocked(process, task, true),
            ToNode::Unblocked(task) => self.task_blocked(process, task, false),
            ToNode::Resources { request } => {
                let answer = Answer::Resources(self.parts.pool.report());
                self.send(process, ToProcess::Reply { request, answer });
            }
        }
    }

    fn connect_driver(&mut self, hash: u64, entries: Vec<RegistryKey>) -> Result<Welcome, NodeError> {
        let own_executable = self.parts.recipe.exe.is_none();
        let registry = self.driver.get_or_insert(DriverRegistry { hash, entries });
        let registry_hash = registry.hash;
        let process = ProcessId::random();
        let mut welcome = self
            .welcome(process, None)
            .map_err(|source| NodeError::Io { step: "make a channel for its driver", source })?;
        welcome.registry_hash = registry_hash;
        welcome.same_executable = own_executable;
        self.welcome_waiting_workers();
        Ok(welcome)
    }

    /// Makes the two ends of a link: the node's goes into the table, the process's into a Welcome.
    pub(super) fn welcome(&mut self, process: ProcessId, worker: Option<u64>) -> std::io::Result<Welcome> {
        let (sender, inbox) = ipc::channel::<Envelope<ToProcess>>()?;
        let info = &self.parts.info;
        let welcome = Welcome {
            process,
            node_id: info.node_id.clone(),
            node_pid: info.pid,
            session_dir: info.session_dir.clone(),
            control_address: info.control_address.clone(),
            store_address: info.store_address.clone(),
            namespace: info.namespace.clone(),
            registry_hash: self.driver.as_ref().map_or(0, |driver| driver.hash),
            same_executable: self.parts.recipe.exe.is_none(),
            num_gpus: self.parts.pool.total_gpus(),
            waiting: self.parts.waiting,
            call_path: self.parts.call_path,
            most_leases: self.parts.process_limit,
            inbox,
            node: self.parts.loopback.clone(),
        };
        let outlet = Outlet::new(sender);
        let entry = Process { outlet, client: None, worker, ends: VecDeque::new(), letterbox: None };
        self.processes.insert(process, entry);
        Ok(welcome)
    }

    /// Sends to a process; one that is gone gets nothing.
    pub(super) fn send(&mut self, process: ProcessId, message: ToProcess) -> Position {
        match self.processes.get_mut(&process) {
            Some(entry) => entry.outlet.send(message),
            None => Position::default(),
        }
    }
}
