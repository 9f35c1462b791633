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
//!   task has finished. An actor that is restarted keeps it (`node/restarts.rs`, SC-60).
//! - SC-16: the loop never waits for a process (SC-11), a printer (SC-10) or a disk other than that of
//!   the executable.
//!
//! The node does not see calls or results: those go from process to process.

mod actors;
mod cancels;
mod crews;
pub(crate) mod door;
mod drivers;
mod dying;
mod funerals;
mod introductions;
mod joining;
mod launch;
mod leases;
mod memory;
mod names;
mod options;
mod outlet;
mod placement;
mod restarts;
mod stacks;
mod state;
mod status;
mod tasks;
mod template;
mod threads;
mod workers;

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam::channel::{Sender, bounded, unbounded};
use ipc_channel::ipc;
use mobula_store::{ObjectId, Store, StoreOptions};

use crate::ids::ProcessId;
use crate::logs::LogOptions;
use crate::machine;
use crate::protocol::{FromProcess, RegistryKey, ToNode, Welcome};
use crate::resources::{Pool, ResourceError};
use crate::session::Session;
use crate::sys;
use crate::trace::{self, tell};

pub use self::options::NodeOptions;
pub use self::outlet::Ear;

use self::crews::Crew;
use self::launch::Recipe;
use self::memory::MemoryWatch;
use self::state::{Event, Parts, State};
use self::threads::Helpers;

/// The number of a barrier that ends `mobula-control`.
pub(crate) const LAST_BARRIER: u64 = u64::MAX;

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its id in hex.
    pub node_id: String,
    /// The folder of its sockets and logs.
    pub session_dir: PathBuf,
    /// Where further drivers join.
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
        let mut pool = Pool::new(options.num_cpus, options.num_gpus, &options.resources)?;
        if options.pin_workers {
            pool = pool.with_processors(machine::processors());
        }
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
            home: None,
        };
        let (limit, ahead) = (options.process_limit(), options.started_ahead());
        let crew = Crew::new(recipe, info.namespace.clone(), limit, ahead);
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
        let logs = helpers.logs(
            LogOptions {
                dir: session.log_dir(),
                file_size: options.log_file_size,
                backups: options.log_file_backups,
                print: options.log_to_driver,
                fold: options.fold_logs,
            },
            events.clone(),
        )?;
        helpers.door(session, events.clone())?;
        let parts = Parts {
            info: info.clone(),
            store: store.clone(),
            pool,
            crew: options.embedded.then_some(crew),
            inbox,
            loopback,
            own,
            watch,
            logs,
            memory: MemoryWatch::new(&options.memory_root, options.memory_usage_threshold),
            start_timeout: options.start_timeout,
            process_limit: limit,
            prestart: ahead,
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
