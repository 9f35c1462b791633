//! The node: starts workers, places actors and tasks, hears of every death.
//!
//! ```text
//!   mobula-control  ipc-channel --+                 +--> outlets (ToProcess, one each process)
//!   mobula-watch    pidfds -------+--> mobula-node -+--> processes (spawned and killed here)
//!   mobula-life     store --------+     (State)     +--> mobula-logs
//!   mobula-knell    store --------+
//!   mobula-logs     ends of logs -+
//! ```
//!
//! All state belongs to one thread, the loop; the others turn what they wait for into events. The
//! loop takes all events that are there, then places what fits (`node/placement.rs`), then sleeps.
//!
//! Invariants:
//! - SC-12: all workers are started by `mobula-node`, or forked by a template that it has started, as
//!   children of that same thread; it ends after the last of them: the kernel kills a worker when the
//!   thread that it is a child of ends.
//! - SC-13: a dead process is mourned in one order: its group is killed, it is waited for, everything
//!   it had sent is handled, the store reaps its client, and only then does anybody hear of it; but for
//!   what is said of its actor while it still ends (`node/dying.rs`, SC-25).
//! - SC-14: each watcher of an actor gets `ActorDown` exactly once for each time it asked or created.
//! - SC-15: a grant goes back to the pool exactly once, when the process that used it is gone, or its
//!   task has finished.
//! - SC-16: the loop never waits for a process (SC-11), a printer (SC-10) or a disk other than that of
//!   the executable.
//!
//! The node does not see calls or results: those go from process to process.

mod actors;
mod dying;
mod introductions;
mod launch;
mod leases;
mod outlet;
mod placement;
mod state;
mod tasks;
mod template;
mod workers;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use ipc_channel::ipc::{self, IpcReceiver, IpcSender};
use mobula_store::{Knell, ObjectId, Segment, Store, StoreOptions};

use crate::config::{self, CallPath, LogLevel, Waiting};
use crate::ids::ProcessId;
use crate::logs;
use crate::machine;
use crate::protocol::{FromProcess, PROTOCOL, RegistryKey, ToNode, Welcome};
use crate::resources::{Pool, ResourceError};
use crate::session::Session;
use crate::sys;
use crate::trace::{self, tell};
use crate::watch::{self, Sighting};

pub use self::outlet::Ear;

use self::launch::Recipe;
use self::state::{Event, Parts, State};

/// How long a worker may take from its start until it has joined.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the node's end waits for the last lines of its workers to be printed.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The number of a barrier that ends `mobula-control`.
pub(crate) const LAST_BARRIER: u64 = u64::MAX;

/// What a node is started with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NodeOptions {
    /// The CPUs in the totals.
    pub num_cpus: f64,
    /// The GPUs in the totals.
    pub num_gpus: f64,
    /// The custom resources in the totals.
    pub resources: BTreeMap<String, f64>,
    /// The size of the store in bytes.
    pub object_store_memory: usize,
    /// How many bytes of the store are backed by memory at once.
    pub prefault: usize,
    /// How other processes find the store's memory.
    pub segment: Segment,
    /// The namespace of the driver; `None`: one of its own.
    pub namespace: Option<String>,
    /// Whether what workers print goes to this process's stderr, too.
    pub log_to_driver: bool,
    /// The least important events that this process tells through `tracing`.
    pub log_level: LogLevel,
    /// The executable of workers; `None`: that of this process.
    pub worker_exe: Option<PathBuf>,
    /// A command that workers are started through.
    pub worker_wrapper: Vec<String>,
    /// Environment variables of all workers.
    pub env: Vec<(String, String)>,
    /// The most processes that tasks may occupy; `None`: twice the CPUs, at least four.
    pub max_processes: Option<usize>,
    /// How long a worker may take until it has joined.
    pub start_timeout: Duration,
    /// How processes wait for calls and answers.
    pub waiting: Waiting,
    /// What calls and their answers travel through.
    pub call_path: CallPath,
    /// Where objects go that do not fit into memory.
    pub spill_dir: Option<PathBuf>,
    /// How many workers are started ahead; `None`: one a CPU, at most eight.
    pub prestart: Option<usize>,
    /// Whether workers are copies of a process that has started, where they can be.
    pub fork_workers: bool,
}

impl NodeOptions {
    /// Makes options with the defaults of this machine.
    pub fn new() -> Self {
        NodeOptions {
            num_cpus: machine::usable_cpus(),
            num_gpus: 0.0,
            resources: BTreeMap::new(),
            object_store_memory: config::default_store_memory(),
            prefault: 0,
            segment: Segment::default(),
            namespace: None,
            log_to_driver: true,
            log_level: LogLevel::default(),
            worker_exe: None,
            worker_wrapper: Vec::new(),
            env: Vec::new(),
            max_processes: None,
            start_timeout: START_TIMEOUT,
            waiting: Waiting::default(),
            call_path: CallPath::default(),
            spill_dir: None,
            prestart: None,
            fork_workers: true,
        }
    }

    fn process_limit(&self) -> usize {
        let cpus = self.num_cpus.ceil() as usize;
        self.max_processes.unwrap_or_else(|| cpus.saturating_mul(2).max(4)).max(1)
    }

    fn started_ahead(&self) -> usize {
        let count = self.prestart.unwrap_or_else(|| (self.num_cpus.ceil() as usize).min(8));
        // With another executable the driver asks the first worker what it knows.
        let least = usize::from(self.worker_exe.is_some());
        count.max(least).min(self.process_limit())
    }
}

impl Default for NodeOptions {
    fn default() -> Self {
        NodeOptions::new()
    }
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its id in hex.
    pub node_id: String,
    /// The folder of its sockets and logs.
    pub session_dir: PathBuf,
    /// Where further drivers will join.
    pub control_address: String,
    /// Where its store is attached.
    pub store_address: String,
    /// The pid of the process that holds it.
    pub pid: u32,
    /// The namespace of its driver.
    pub namespace: String,
}

/// Why a node could not start or serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A system call failed.
    #[error("the node could not {step}")]
    Io {
        /// What it was about to do.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The store could not be created.
    #[error("the node could not create its store")]
    Store(#[from] mobula_store::Error),
    /// A total makes no sense.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// No worker could be started: the message says why.
    #[error("{0}")]
    Worker(String),
    /// The node has ended.
    #[error("the node has ended; start another one")]
    Ended,
}

impl NodeError {
    fn io(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| NodeError::Io { step, source }
    }
}

/// A running node inside this process; dropping it shuts it down.
///
/// In a child that the host forked without exec it is inert: it neither answers nor ends anything.
#[derive(Debug)]
pub struct Node {
    info: NodeInfo,
    store: Store,
    events: Sender<Event>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Node {
    /// Starts a node and, in the background, its first workers.
    ///
    /// # Errors
    ///
    /// Fails if the totals make no sense, the store cannot be created, or the system refuses a
    /// folder, thread or descriptor. Workers that do not start are reported to those who need them.
    pub fn start(options: NodeOptions) -> Result<Node, NodeError> {
        trace::set_level(options.log_level);
        let pool = Pool::new(options.num_cpus, options.num_gpus, &options.resources)?;
        let session = Session::create().map_err(NodeError::io("create its session folder"))?;
        match Node::start_in(&options, pool, &session) {
            Ok(starting) => starting.run(session),
            Err(error) => {
                session.remove();
                Err(error)
            }
        }
    }

    fn start_in(options: &NodeOptions, pool: Pool, session: &Session) -> Result<Starting, NodeError> {
        let store_path = session.store_path().to_string_lossy().into_owned();
        let mut store = StoreOptions::new(options.object_store_memory)
            .address(store_path)
            .new_address()
            .segment(options.segment.clone())
            .prefault(options.prefault);
        if let Some(dir) = &options.spill_dir {
            store = store.spill_dir(dir);
        }
        let store = Store::create(store)?;
        let node_id = ObjectId::random().to_string();
        let info = NodeInfo {
            namespace: options.namespace.clone().unwrap_or_else(|| format!("anonymous-{node_id}")),
            node_id,
            session_dir: session.dir().to_path_buf(),
            control_address: session.control_path().to_string_lossy().into_owned(),
            store_address: store.address().to_owned(),
            pid: std::process::id(),
        };
        let recipe = Recipe {
            exe: options.worker_exe.clone(),
            wrapper: options.worker_wrapper.clone(),
            env: options.env.clone(),
            session_dir: session.dir().to_path_buf(),
            has_gpus: pool.total_gpus() > 0.0,
            forks: options.fork_workers,
        };
        let (events, inbox) = unbounded();
        let mut helpers = Helpers::new(store.clone());
        let (loopback, receiver) = ipc::channel().map_err(NodeError::io("make its control channel"))?;
        let own = ProcessId::random();
        helpers.control(own, receiver, events.clone())?;
        helpers.control_end = Some(Box::new({
            let loopback = loopback.clone();
            move || drop(loopback.send(barrier(own, LAST_BARRIER)))
        }));
        helpers.life(store.clone(), events.clone())?;
        helpers.knell(store.knell(), events.clone())?;
        let watch = helpers.watch(own, loopback.clone(), events.clone())?;
        let logs = helpers.logs(session, options.log_to_driver, events.clone())?;
        let parts = Parts {
            info: info.clone(),
            store: store.clone(),
            pool,
            recipe,
            inbox,
            loopback,
            own,
            watch,
            logs,
            start_timeout: options.start_timeout,
            process_limit: options.process_limit(),
            prestart: options.started_ahead(),
            waiting: options.waiting,
            call_path: options.call_path,
        };
        Ok(Starting { info, store, events, parts, helpers })
    }

    /// Returns where the node is.
    pub fn info(&self) -> &NodeInfo {
        &self.info
    }

    /// Returns the node's own client of the store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Introduces the calling process as a driver: the same Welcome that a worker gets, without a socket.
    ///
    /// The driver then attaches the store and sends [`ToNode::Ready`]. Workers join from the first
    /// driver on, since its registry is the one that theirs are compared with.
    ///
    /// # Errors
    ///
    /// Fails if the node has ended or the system refuses a channel.
    pub fn connect_driver(&self, registry_hash: u64, registry: Vec<RegistryKey>) -> Result<Welcome, NodeError> {
        self.ask(|reply| Event::Driver { registry_hash, registry, reply })?
    }

    /// Returns a way to the node for the driver that was introduced as `process`: it leads past the channel of its
    /// Welcome, which other processes need.
    ///
    /// All that a process says must go one way, or the other.
    pub fn line(&self, process: ProcessId) -> Line {
        Line { process, events: self.events.clone() }
    }

    /// Has a driver that was introduced as `process` hear by `ear` what it can of what the node says to it.
    pub fn lend_ear(&self, process: ProcessId, ear: Ear) {
        // A node that has ended says nothing.
        let _ = self.events.send(Event::Ear { process, ear });
    }

    /// Returns what the workers' executable knows if it is another one than this process's.
    ///
    /// Waits for the first worker; with the same executable returns `None` at once.
    ///
    /// # Errors
    ///
    /// Fails if the node has ended or no worker can be started: the message says why.
    pub fn worker_registry(&self) -> Result<Option<Vec<RegistryKey>>, NodeError> {
        self.ask(|reply| Event::WorkerRegistry { reply })?
    }

    /// Returns every resource with its total and available amount; empty when the node has ended.
    pub fn resources(&self) -> Vec<(String, f64, f64)> {
        self.ask(|reply| Event::Resources { reply }).unwrap_or_default()
    }

    /// Ends the node: kills all workers with their process groups, waits for them, prints what they
    /// still had to say, and removes the session folder. Returns when all of that is done.
    ///
    /// Calls that are queued are dropped. A second call, also at the same time, returns when the node
    /// is gone.
    pub fn shutdown(&self) {
        if self.is_foreign() {
            return;
        }
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = thread.take() {
            // A loop that is already gone needs no order.
            let _ = self.events.send(Event::Stop);
            if handle.join().is_err() {
                tell!(Error, error, "the node's loop panicked");
            }
        }
    }

    /// True in a child that was forked from the node's process: its threads are not here.
    fn is_foreign(&self) -> bool {
        std::process::id() != self.info.pid
    }

    fn ask<T>(&self, question: impl FnOnce(Sender<T>) -> Event) -> Result<T, NodeError> {
        if self.is_foreign() {
            return Err(NodeError::Ended);
        }
        let (reply, answer) = bounded(1);
        self.events.send(question(reply)).map_err(|_| NodeError::Ended)?;
        answer.recv().map_err(|_| NodeError::Ended)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// A driver's way to the node in its own process.
#[derive(Debug)]
pub struct Line {
    process: ProcessId,
    events: Sender<Event>,
}

impl Line {
    /// Tells the node something; false if it has ended.
    pub fn send(&self, message: ToNode) -> bool {
        self.events.send(Event::Message { process: self.process, message }).is_ok()
    }
}

/// The message that the node sends to itself behind everything that was sent before.
pub(crate) fn barrier(own: ProcessId, number: u64) -> FromProcess {
    FromProcess::new((own, ToNode::Resources { request: number }))
}

/// A node whose helpers run and whose loop does not.
struct Starting {
    info: NodeInfo,
    store: Store,
    events: Sender<Event>,
    parts: Parts,
    helpers: Helpers,
}

impl Starting {
    fn run(self, session: Session) -> Result<Node, NodeError> {
        let Starting { info, store, events, parts, helpers } = self;
        let dir = session.dir().to_path_buf();
        let thread = thread::Builder::new().name("mobula-node".into()).spawn(move || {
            sys::block_signals();
            State::new(parts).run();
            helpers.end();
            session.remove();
        });
        match thread {
            Ok(thread) => Ok(Node { info, store, events, thread: Mutex::new(Some(thread)) }),
            Err(source) => {
                // The closure is gone, and the helpers with it; the folder's name is what is left.
                let _ = std::fs::remove_dir_all(dir);
                Err(NodeError::Io { step: "start its loop", source })
            }
        }
    }
}

type Ender = Box<dyn FnOnce() + Send>;

struct LogThread {
    end: Ender,
    /// Closed when the thread has ended.
    ended: Receiver<Infallible>,
    thread: JoinHandle<()>,
}

/// The threads beside the loop; ended together, also when the start fails half way.
struct Helpers {
    store: Store,
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    control_end: Option<Ender>,
    life: Option<JoinHandle<()>>,
    watch_end: Option<Ender>,
    logs: Option<LogThread>,
}

impl Helpers {
    fn new(store: Store) -> Self {
        Helpers {
            store,
            stopping: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
            control_end: None,
            life: None,
            watch_end: None,
            logs: None,
        }
    }

    fn control(
        &mut self,
        own: ProcessId,
        receiver: IpcReceiver<FromProcess>,
        events: Sender<Event>,
    ) -> Result<(), NodeError> {
        let thread = thread::Builder::new()
            .name("mobula-control".into())
            .spawn(move || listen(own, &receiver, &events))
            .map_err(NodeError::io("start its control thread"))?;
        self.threads.push(thread);
        Ok(())
    }

    fn life(&mut self, store: Store, events: Sender<Event>) -> Result<(), NodeError> {
        let stopping = Arc::clone(&self.stopping);
        let run = move || {
            sys::block_signals();
            let mut seen = 0;
            while !stopping.load(Ordering::Acquire) {
                let now = store.wait_reclaim(seen, None);
                if now != seen && events.send(Event::Reclaimed).is_err() {
                    return;
                }
                seen = now;
            }
        };
        let thread = thread::Builder::new().name("mobula-life".into()).spawn(run);
        self.life = Some(thread.map_err(NodeError::io("start its life thread"))?);
        Ok(())
    }

    fn knell(&mut self, knell: Knell, events: Sender<Event>) -> Result<(), NodeError> {
        let run = move || {
            sys::block_signals();
            while let Some(clients) = knell.listen() {
                for client in clients {
                    if events.send(Event::Dying { client }).is_err() {
                        return;
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("mobula-knell".into()).spawn(run);
        self.threads.push(thread.map_err(NodeError::io("start its knell thread"))?);
        Ok(())
    }

    fn watch(
        &mut self,
        own: ProcessId,
        loopback: IpcSender<FromProcess>,
        events: Sender<Event>,
    ) -> Result<watch::Poster<watch::Order>, NodeError> {
        let tell = move |worker, sighting| {
            let exited = matches!(sighting, Sighting::Exited);
            // A loop that is gone hears nothing any more.
            let _ = events.send(Event::Sighting { worker, sighting });
            // Behind all that the process had sent, and on its way while the loop sees to the exit.
            if exited && loopback.send(barrier(own, worker)).is_err() {
                let _ = events.send(Event::Barrier { worker });
            }
        };
        let (poster, thread) = watch::start(tell).map_err(NodeError::io("start its watch thread"))?;
        let end = poster.clone();
        self.watch_end = Some(Box::new(move || end.post(watch::Order::Stop)));
        self.threads.push(thread);
        Ok(poster)
    }

    fn logs(
        &mut self,
        session: &Session,
        print: bool,
        events: Sender<Event>,
    ) -> Result<watch::Poster<logs::Order>, NodeError> {
        let (alive, ended) = bounded(0);
        let tell = move |worker, tail| {
            let _: &Sender<Infallible> = &alive;
            drop(events.send(Event::Tail { worker, tail }));
        };
        let (poster, thread) =
            logs::start(session.log_dir(), print, tell).map_err(NodeError::io("start its log thread"))?;
        let end = poster.clone();
        self.logs = Some(LogThread { end: Box::new(move || end.post(logs::Order::Stop)), ended, thread });
        Ok(poster)
    }

    fn end(self) {
        drop(self);
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.store.knell().hush();
        self.control_end.take().into_iter().chain(self.watch_end.take()).for_each(|end| end());
        if let Some(logs) = self.logs.take() {
            (logs.end)();
            // Its last lines go to stderr, which may be held up for good: that must not hold up the end.
            if logs.ended.recv_timeout(LAST_LINES) == Err(RecvTimeoutError::Disconnected) {
                let _ = logs.thread.join();
            }
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        if let Some(thread) = self.life.take() {
            // This counts as a reclaim, so a thread that is just before its wait does not begin it.
            self.store.wake_reclaim_waiters();
            let _ = thread.join();
        }
    }
}

/// The body of `mobula-control`.
fn listen(own: ProcessId, receiver: &IpcReceiver<FromProcess>, events: &Sender<Event>) {
    sys::block_signals();
    let mut failures = 0;
    loop {
        let event = match receiver.recv() {
            Ok(envelope) if envelope.version != PROTOCOL => continue,
            Ok(envelope) => match envelope.body {
                (process, ToNode::Resources { request }) if process == own => {
                    if request == LAST_BARRIER {
                        return;
                    }
                    Event::Barrier { worker: request }
                }
                (process, message) => Event::Message { process, message },
            },
            Err(error) => {
                // A process that died in the midst of a long message leaves a torn one. The node holds
                // a sender itself, so the channel as such does not end.
                tell!(Warn, warn, %error, "a control message could not be read");
                failures += 1;
                if failures > 10_000 {
                    return;
                }
                continue;
            }
        };
        failures = 0;
        if events.send(event).is_err() {
            return;
        }
    }
}
