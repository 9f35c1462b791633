//! Starting and ending a runtime: `init`, the guard that it gives, and what can be asked about it.
//!
//! - **WK-24** At most one runtime of a process is up; all guards of it share its end.
//! - **WK-25** A process that was started as a worker never becomes a driver.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use mobula_scheduler::attach::{self, AttachError, Attached, Lines};
use mobula_scheduler::bootstrap;
use mobula_scheduler::config::{Config, DriverOptions};
use mobula_scheduler::node::{Node, NodeError, NodeOptions};
use mobula_scheduler::protocol::{Envelope, RegistryKey, ToNode};
use mobula_scheduler::trace;

use crate::core::{self, Core, Kind};
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::{executor, link, registry};

static RUNTIME: Mutex<Option<Arc<Shared>>> = Mutex::new(None);

/// How long a driver that leaves waits until stderr has taken the last lines of its workers.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Set if the workers of the runtime that is up run another executable than this process.
static FOREIGN_WORKERS: AtomicBool = AtomicBool::new(false);

/// Keeps a runtime up: dropping the last guard ends it.
///
/// The end kills what runs and does not wait for queued calls; when it returns, all workers are
/// gone. The end of a runtime that was attached is that of this driver alone: its workers go, but for those of detached
/// actors, and the node goes on.
#[must_use = "the runtime ends when this is dropped"]
#[derive(Debug)]
pub struct Runtime {
    guard: Arc<Guard>,
}

/// Dropped with the last clone that a `Runtime` holds.
struct Guard {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.shared.info, f)
    }
}

struct Shared {
    info: RuntimeInfo,
    home: Home,
    core: Arc<Core>,
    guard: Mutex<std::sync::Weak<Guard>>,
    ended: AtomicBool,
    foreign: Option<ForeignWorkers>,
}

/// Where the node of a runtime is.
enum Home {
    /// In this process.
    Here(Node),
    /// In another one; what the workers of this driver print is shown until it has left.
    There(Mutex<Option<Lines>>),
}

/// The executable of the workers if it is another one, and what it holds, once that is known.
struct ForeignWorkers {
    exe: PathBuf,
    known: OnceLock<HashSet<RegistryKey>>,
}

/// Where a runtime is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuntimeInfo {
    /// The node's id in hex.
    pub node_id: String,
    /// The folder of the session: sockets and logs.
    pub session_dir: PathBuf,
    /// Where further drivers join.
    pub control_address: String,
    /// Where the store is attached.
    pub store_address: String,
    /// The pid of the process that holds the node.
    pub pid: u32,
}

impl Runtime {
    /// Returns where the runtime is.
    pub fn info(&self) -> &RuntimeInfo {
        &self.guard.shared.info
    }

    /// Ends the runtime for all its guards; nothing happens if it has ended.
    pub fn shutdown(&self) {
        self.guard.shared.end();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Shared {
    fn end(self: &Arc<Self>) {
        // A forked child has the parent's memory, not its runtime.
        if self.core.pid() != std::process::id() || self.ended.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut slot = runtime();
        if slot.as_ref().is_some_and(|shared| Arc::ptr_eq(shared, self)) {
            *slot = None;
        }
        self.core.unread().tell(&self.core, true);
        // Under the slot's lock: an `init` on another thread begins when this runtime is gone.
        match &self.home {
            Home::Here(node) => {
                self.core.close();
                node.shutdown();
                self.core.join_threads();
            }
            Home::There(lines) => {
                self.core.leave();
                self.core.close();
                self.core.join_threads();
                let lines = lines.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(lines) = lines {
                    lines.finish(LAST_LINES);
                }
            }
        }
        drop(slot);
    }
}

impl Home {
    /// Returns what the workers know if they run another executable, and this process has started the node.
    fn worker_registry(&self) -> std::result::Result<Option<Vec<RegistryKey>>, NodeError> {
        match self {
            Home::Here(node) => node.worker_registry(),
            Home::There(_) => Ok(None),
        }
    }
}

fn runtime() -> MutexGuard<'static, Option<Arc<Shared>>> {
    RUNTIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a runtime: the node inside this process, its store and its workers; or attaches to a node that runs
/// ([`Config::address`]).
///
/// It is the first statement of `main`: in a process that was started as a worker it never returns.
///
/// # Errors
///
/// If a runtime is up already (unless `ignore_reinit_error`), an option makes no sense
/// (`is_invalid_argument`), the node cannot be started, or no living node is at the address (`is_not_found`).
///
/// # Examples
///
/// ```no_run
/// let runtime = mobula_worker::init(mobula_worker::Config::new().num_cpus(2.0))?;
/// println!("the session is in {}", runtime.info().session_dir.display());
/// # Ok::<(), mobula_worker::Error>(())
/// ```
pub fn init(config: Config) -> Result<Runtime> {
    if bootstrap::is_worker() && core::current().is_ok() {
        return Err(Error::invalid_argument("this process is a worker: mobula::init belongs into the driver"));
    }
    worker_check();
    let registry = registry::registry()?;
    let mut slot = runtime();
    let resolved = config.resolve().map_err(|error| Error::invalid_argument(executor::describe(&error)));
    if let Some(shared) = &*slot {
        if shared.core.pid() != std::process::id() {
            return Err(Error::invalid_argument(
                "this process was forked from a driver: only a process of its own can init a runtime",
            ));
        }
        let ignore = resolved.is_ok_and(|resolved| resolved.driver.ignore_reinit_error);
        let guard = shared.guard.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        return match guard {
            Some(guard) if ignore => Ok(Runtime { guard }),
            _ => Err(Error::invalid_argument(
                "mobula::init was called while a runtime is up: shut it down first, or set ignore_reinit_error",
            )),
        };
    }
    let resolved = resolved?;
    let shared = match resolved.driver.address.clone() {
        None => start(resolved.node, registry)?,
        Some(address) => join(&address, &resolved.driver, registry)?,
    };
    FOREIGN_WORKERS.store(shared.foreign.is_some(), Ordering::SeqCst);
    let shared = Arc::new(shared);
    let guard = Arc::new(Guard { shared: shared.clone() });
    *shared.guard.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&guard);
    *slot = Some(shared);
    Ok(Runtime { guard })
}

/// Starts a node inside this process, of which it is the driver.
fn start(options: NodeOptions, registry: &'static Registry) -> Result<Shared> {
    let foreign = options.worker_exe.clone().map(|exe| ForeignWorkers { exe, known: OnceLock::new() });
    let node = Node::start(options).map_err(|error| start_error(&error))?;
    let info = node.info();
    let info = RuntimeInfo {
        node_id: info.node_id.clone(),
        session_dir: info.session_dir.clone(),
        control_address: info.control_address.clone(),
        store_address: info.store_address.clone(),
        pid: info.pid,
    };
    let welcome = node.connect_driver(registry.hash(), registry.keys()).map_err(|error| start_error(&error))?;
    let line = node.line(welcome.process);
    let core = Core::join(Kind::Driver, welcome, Some(line), registry)?;
    node.lend_ear(core.link().process(), link::ear(&core));
    let home = Home::Here(node);
    Ok(Shared { info, home, core, guard: Mutex::default(), ended: AtomicBool::new(false), foreign })
}

/// Attaches to a node of another process.
fn join(address: &str, options: &DriverOptions, registry: &'static Registry) -> Result<Shared> {
    trace::set_level(options.log_level);
    let Attached { welcome, lines } = attach::attach(address, options).map_err(|error| {
        let text = executor::describe(&error);
        match error {
            AttachError::NoNode(_) | AttachError::NotThere { .. } => Error::not_found(text),
            _ => Error::system(text),
        }
    })?;
    let info = RuntimeInfo {
        node_id: welcome.node_id.clone(),
        session_dir: welcome.session_dir.clone(),
        control_address: welcome.control_address.clone(),
        store_address: welcome.store_address.clone(),
        pid: welcome.node_pid,
    };
    let (process, node) = (welcome.process, welcome.node.clone());
    let core = Core::join(Kind::Driver, welcome, None, registry).inspect_err(|_| {
        // Or else the node would wait for this process's end.
        let _ = node.send(Envelope::new((process, ToNode::Leave { request: 0 })));
    })?;
    let home = Home::There(Mutex::new(Some(lines)));
    Ok(Shared { info, home, core, guard: Mutex::default(), ended: AtomicBool::new(false), foreign: None })
}

/// Fails if the workers run another executable than this driver, and that does not have the entry.
///
/// The first time it waits until a worker has joined and told what it knows. If none can be started
/// nothing is known: whatever is submitted then fails with the reason.
pub(crate) fn check_workers_have(core: &Core, key: &RegistryKey) -> Result<()> {
    if !FOREIGN_WORKERS.load(Ordering::SeqCst) {
        return Ok(());
    }
    let shared = runtime().clone();
    let Some(shared) = shared.filter(|shared| std::ptr::eq(&*shared.core, core)) else {
        return Ok(());
    };
    let Some(foreign) = &shared.foreign else {
        return Ok(());
    };
    let known = match foreign.known.get() {
        Some(known) => known,
        None => match shared.home.worker_registry() {
            Ok(Some(keys)) => foreign.known.get_or_init(|| keys.into_iter().collect()),
            Ok(None) | Err(_) => return core.check_open(),
        },
    };
    if known.contains(key) {
        return Ok(());
    }
    Err(Error::not_found(format!(
        "`{}` is not in the workers' executable {}: link it there, too, or leave worker_exe unset",
        key.name,
        foreign.exe.display()
    )))
}

fn start_error(error: &NodeError) -> Error {
    let text = executor::describe(error);
    match error {
        NodeError::Store(source) => Error::from_store(source, "the node could not create its store"),
        NodeError::Resource(_) => Error::invalid_argument(text),
        _ => Error::system(text),
    }
}

/// Turns a process that was started as a worker into one, and never returns then.
pub fn worker_check() {
    if let Some(mark) = bootstrap::take_mark() {
        executor::become_worker(mark);
    }
}

/// Ends the runtime for all its guards; nothing happens if none is up.
pub fn shutdown() {
    let shared = runtime().clone();
    if let Some(shared) = shared {
        shared.end();
    }
}

/// Returns true if a runtime is up in this process, also in a worker.
pub fn is_initialized() -> bool {
    core::current().is_ok_and(|core| core.pid() == std::process::id())
}

/// Returns the node's totals by name; empty if nothing is initialised.
pub fn cluster_resources() -> BTreeMap<String, f64> {
    resources(|(name, total, _)| (name, total))
}

/// Returns what of the node's resources is free, with every name of [`cluster_resources`].
pub fn available_resources() -> BTreeMap<String, f64> {
    resources(|(name, _, available)| (name, available))
}

fn resources(pick: impl Fn((String, f64, f64)) -> (String, f64)) -> BTreeMap<String, f64> {
    let maps = core::current().and_then(|core| core.resources()).unwrap_or_default();
    maps.into_iter().map(pick).collect()
}
