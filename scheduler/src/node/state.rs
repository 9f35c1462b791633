//! What the node knows, and the loop that changes it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use ipc_channel::ipc::{self, IpcSender};
use mobula_store::{ClientKey, Store};

use super::actors::{Actor, Early};
use super::crews::{Crew, CrewId};
use super::door::Knock;
use super::drivers::Guest;
use super::introductions::Letterbox;
use super::memory::MemoryWatch;
use super::names::Names;
use super::outlet::{Ear, Outlet, Position};
use super::stacks::Asker;
use super::stacks::Inquiry;
use super::tasks::{Task, TaskQueue};
use super::workers::{Purpose, Worker};
use super::{NodeError, NodeInfo};
use crate::config::{CallPath, Waiting};
use crate::death::ActorDeath;
use crate::ids::{ActorId, ProcessId, TaskId};
use crate::logs;
use crate::protocol::{Answer, Envelope, FromProcess, RegistryKey, ToNode, ToProcess, Welcome};
use crate::resources::Pool;
use crate::session;
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
    /// A process has come in by the door.
    Knock(Knock),
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
    /// That of the driver in this process, if there is to be one.
    pub(super) crew: Option<Crew>,
    pub(super) inbox: Receiver<Event>,
    pub(super) loopback: IpcSender<FromProcess>,
    pub(super) own: ProcessId,
    pub(super) watch: Poster<watch::Order>,
    pub(super) logs: Poster<logs::Order>,
    pub(super) memory: MemoryWatch,
    pub(super) start_timeout: Duration,
    pub(super) process_limit: usize,
    pub(super) prestart: usize,
    pub(super) waiting: Waiting,
    pub(super) call_path: CallPath,
}

impl Parts {
    /// Removes the folder of a process's one-shot server: it has been reached, or never will be.
    pub(super) fn clear_boot(&self, pid: u32) {
        // Most processes have removed it themselves, or had none.
        let _ = std::fs::remove_dir_all(session::own_boot_dir(&self.info.session_dir, pid));
    }
}

/// A process that has been welcomed.
pub(super) struct Process {
    pub(super) outlet: Outlet,
    /// Its client of the store, from its Ready on.
    pub(super) client: Option<ClientKey>,
    pub(super) crew: CrewId,
    /// Its number if it is a worker.
    pub(super) worker: Option<u64>,
    /// Its number if it is a driver of another process.
    pub(super) guest: Option<u64>,
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
    /// Each driver with what its workers have in common.
    pub(super) crews: BTreeMap<CrewId, Crew>,
    pub(super) last_crew: CrewId,
    /// Crews that take no work any more.
    pub(super) closing: HashSet<CrewId>,
    /// The drivers of other processes, by the numbers by which they are watched.
    pub(super) guests: HashMap<u64, Guest>,
    /// Pool workers with nothing to do, the one that was busy last at the end.
    pub(super) idle: Vec<u64>,
    /// Work that has its resources and wants a fresh process.
    pub(super) launches: VecDeque<Purpose>,
    /// Set when something that placement has looked at already has changed.
    pub(super) again: bool,

    pub(super) actors: HashMap<ActorId, Actor>,
    /// Actors that wait for resources, in the order of their creation.
    pub(super) waiting: VecDeque<ActorId>,
    /// Actors that have their resources and want a pool worker.
    pub(super) seats: VecDeque<ActorId>,
    /// Actors that somebody knows and nobody has created yet.
    pub(super) early: HashMap<ActorId, Early>,
    /// When actors that rest get their next process.
    pub(super) rests: BTreeSet<(Instant, ActorId)>,
    pub(super) dead: HashMap<ActorId, ActorDeath>,
    pub(super) dead_order: VecDeque<ActorId>,
    pub(super) names: Names,

    /// Who wants to know the stacks of all workers.
    pub(super) inquiries: Vec<Inquiry>,
    pub(super) next_inquiry: u64,

    pub(super) tasks: HashMap<TaskId, Task>,
    pub(super) queue: TaskQueue,
}

impl State {
    pub(super) fn new(mut parts: Parts) -> Self {
        let crews = parts.crew.take().map(|crew| (CrewId::OWN, crew)).into_iter().collect();
        State {
            parts,
            processes: HashMap::new(),
            workers: HashMap::new(),
            next_worker: 0,
            crews,
            last_crew: CrewId::OWN,
            closing: HashSet::new(),
            guests: HashMap::new(),
            idle: Vec::new(),
            launches: VecDeque::new(),
            again: false,
            actors: HashMap::new(),
            waiting: VecDeque::new(),
            seats: VecDeque::new(),
            early: HashMap::new(),
            rests: BTreeSet::new(),
            dead: HashMap::new(),
            dead_order: VecDeque::new(),
            names: Names::default(),
            inquiries: Vec::new(),
            next_inquiry: 0,
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
                Sighting::BadHello(_) if self.kill_template(worker) => {}
                Sighting::BadHello(reason) => self.refuse(worker, &reason),
                Sighting::Forked => {
                    if let Some(crew) = self.crew_of_template(worker) {
                        self.look_at_forks(crew);
                    }
                }
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
            Event::Knock(knock) => self.knock(knock),
            Event::WorkerRegistry { reply } => match self.crews.get_mut(&CrewId::OWN) {
                Some(crew) => {
                    crew.registry_waiters.push(reply);
                    self.answer_registry_waiters(CrewId::OWN);
                }
                None => drop(reply.send(Ok(None))),
            },
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
            ToNode::ClaimName { claim, request } => self.claim_name(process, request, claim),
            ToNode::FindActor { name, request } => self.find_actor(process, request, &name),
            ToNode::ListNames { namespace, request } => self.list_names(process, request, namespace.as_deref()),
            ToNode::CreateActor(spec) => self.create_actor(process, spec),
            ToNode::SubmitTask(spec) => self.submit_task(process, spec),
            ToNode::AskLease(spec) => self.ask_lease(process, spec),
            ToNode::ReturnLease(lease) => self.return_lease(process, lease),
            ToNode::LeaseEnded { lease, over } => self.lease_ended(process, lease, over),
            ToNode::Runs { lease, function_name } => self.lease_runs(process, lease, &function_name),
            ToNode::Lead(leader) => self.lead(process, *leader),
            ToNode::Leave { request } => self.leave(process, request),
            ToNode::WatchActor(actor) => self.watch_actor(process, actor),
            ToNode::KillActor { actor, restart, request } => self.kill_actor(process, actor, restart, request),
            ToNode::ActorStarted { actor } => self.actor_started(process, actor),
            ToNode::ActorFailed { actor, message } => self.actor_failed(process, actor, message),
            ToNode::ActorLeaving(actor) => self.actor_leaving(process, actor),
            ToNode::ActorEnding { actor, exited, within } => self.actor_ending(process, actor, exited, within),
            ToNode::ActorEnded { actor, exited } => self.actor_ended(process, actor, exited),
            ToNode::TaskFinished(task) => self.task_finished(process, task),
            ToNode::CancelTask { task, force, recursive } => self.cancel_task(process, task, force, recursive),
            ToNode::Cancel { object, force, recursive } => self.cancel_elsewhere(object, force, recursive),
            ToNode::EndsByForce => self.ends_by_force(process),
            ToNode::WornOut => self.worn_out(process),
            ToNode::Blocked(task) => self.task_blocked(process, task, true),
            ToNode::Unblocked(task) => self.task_blocked(process, task, false),
            ToNode::Say { text, aloud } => {
                let worker = self.processes.get(&process).and_then(|entry| entry.worker);
                let driver = self.crew_of(process).number();
                self.parts.logs.post(logs::Order::Say { worker, driver, text, aloud });
            }
            ToNode::AskStacks { request } => self.ask_stacks(Asker::Process { process, request }),
            ToNode::Stacks { inquiry, threads } => self.stacks(process, inquiry, threads),
            ToNode::Resources { request } => {
                let answer = Answer::Resources(self.parts.pool.report());
                self.send(process, ToProcess::Reply { request, answer });
            }
        }
    }

    /// Makes the two ends of a link: the node's goes into the table, the process's into a Welcome.
    pub(super) fn welcome(
        &mut self,
        process: ProcessId,
        crew: CrewId,
        worker: Option<u64>,
    ) -> std::io::Result<Welcome> {
        let (sender, inbox) = ipc::channel::<Envelope<ToProcess>>()?;
        let info = &self.parts.info;
        let of = self.crews.get(&crew);
        let welcome = Welcome {
            process,
            node_id: info.node_id.clone(),
            node_pid: info.pid,
            session_dir: info.session_dir.clone(),
            control_address: info.control_address.clone(),
            store_address: info.store_address.clone(),
            namespace: of.map_or_else(|| format!("anonymous-{process}"), |crew| crew.namespace.clone()),
            registry_hash: of.and_then(|crew| crew.registry.as_ref()).map_or(0, |registry| registry.hash),
            same_executable: of.is_none_or(|crew| crew.recipe.foreign().is_none()),
            num_gpus: self.parts.pool.total_gpus(),
            thread_variables: self.thread_variables(crew, worker),
            waiting: self.parts.waiting,
            call_path: self.parts.call_path,
            most_leases: of.map_or(self.parts.process_limit, |crew| crew.limit),
            inbox,
            node: self.parts.loopback.clone(),
        };
        let outlet = Outlet::new(sender);
        let entry = Process { outlet, client: None, crew, worker, guest: None, ends: VecDeque::new(), letterbox: None };
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
