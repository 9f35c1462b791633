//! What a program sets before it starts a runtime.
//!
//! ```text
//!   Config (builder) --+
//!   MOBULA_* variables +--> Config::resolve --> Resolved { node: NodeOptions, driver: DriverOptions }
//!   defaults ----------+
//! ```
//!
//! Each option is taken from the builder if it was set there, otherwise from its environment twin,
//! otherwise from the defaults. Nothing is read or checked before [`Config::resolve`], so building a
//! `Config` never fails.
//!
//! | option | variable | written as |
//! |---|---|---|
//! | `num_cpus`, `num_gpus` | `MOBULA_NUM_CPUS`, `MOBULA_NUM_GPUS` | `4`, `0.5` |
//! | `resource` | `MOBULA_RESOURCES` | `licence=2,disk=0.5` |
//! | `object_store_memory`, `prefault` | `MOBULA_OBJECT_STORE_MEMORY`, `MOBULA_PREFAULT` | bytes, or `512M`, `4G` |
//! | `namespace` | `MOBULA_NAMESPACE` | text |
//! | `log_to_driver`, `ignore_reinit_error` | `MOBULA_LOG_TO_DRIVER`, `MOBULA_IGNORE_REINIT_ERROR` | `1`, `true`, `0`, `false` |
//! | `log_file_size`, `log_file_backups` | `MOBULA_LOG_FILE_SIZE`, `MOBULA_LOG_FILE_BACKUPS` | bytes, or `64K`, `10M`; `5` |
//! | `fold_logs` | `MOBULA_FOLD_LOGS` | `1`, `true`, `0`, `false` |
//! | `log_level` | `MOBULA_LOG_LEVEL` | `off`, `error`, `warn`, `info`, `debug`, `trace` |
//! | `address` | `MOBULA_ADDRESS` | text |
//! | `worker_exe`, `spill_dir` | `MOBULA_WORKER_EXE`, `MOBULA_SPILL_DIR` | path |
//! | `worker_wrapper` | `MOBULA_WORKER_WRAPPER` | words |
//! | `fork_workers` | `MOBULA_FORK_WORKERS` | `1`, `true`, `0`, `false` |
//! | `pin_workers` | `MOBULA_PIN_WORKERS` | `1`, `true`, `0`, `false` |
//! | `memory_usage_threshold` | `MOBULA_MEMORY_USAGE_THRESHOLD` | `0.95` |
//! | `env` | `MOBULA_ENV` | `KEY=value,OTHER=value` |
//! | `segment` | `MOBULA_SEGMENT` | `anonymous` or `named:NAME` |
//! | `max_processes` | `MOBULA_MAX_PROCESSES` | `16` |
//! | `waiting` | `MOBULA_WAITING` | `latency` or `thrift` |
//! | `call_path` | `MOBULA_CALL_PATH` | `shared-memory` or `ipc-channel` |
//! | (the `max_retries` of tasks) | `MOBULA_TASK_MAX_RETRIES` | `3`, `-1` |

mod choices;
mod environment;
mod resolve;

use std::collections::BTreeMap;
use std::path::PathBuf;

use mobula_store::Segment;

pub use self::choices::{CallPath, LogLevel, Waiting};
use self::environment::Environment;
use crate::machine;
use crate::node::NodeOptions;
use crate::resources::ResourceError;

/// The share of the memory above which workers are killed by default.
pub(crate) const MEMORY_THRESHOLD: f64 = 0.95;

/// How large a log file of a worker grows by default.
pub(crate) const LOG_FILE_SIZE: u64 = 100_000_000;

/// How many full log files of a worker's stream are kept by default.
pub(crate) const LOG_FILE_BACKUPS: usize = 5;

/// The least that makes sense as the size of a log file.
const SMALLEST_LOG_FILE: u64 = 1024;

/// The least memory that a store is worth starting with.
const SMALLEST_STORE: usize = 1 << 20;

/// The share of the memory that the store gets by default, in percent.
const STORE_PERCENT: u64 = 30;

/// An option that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An amount or name of a resource makes no sense.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// A value makes no sense.
    #[error("{option} {reason}")]
    Invalid {
        /// The option, or the variable that set it.
        option: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
}

/// Describes the runtime that a program wants; every option has a sensible default.
///
/// # Examples
///
/// ```
/// use mobula_scheduler::config::Config;
///
/// let config = Config::new().num_cpus(4.0).resource("licence", 2.0).env("MODE", "fast");
/// assert_eq!(config.resolve()?.node.num_cpus, 4.0);
/// assert!(Config::new().num_cpus(-1.0).resolve().is_err());
/// # Ok::<(), mobula_scheduler::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Config {
    num_cpus: Option<f64>,
    num_gpus: Option<f64>,
    resources: BTreeMap<String, f64>,
    object_store_memory: Option<usize>,
    prefault: Option<usize>,
    namespace: Option<String>,
    log_to_driver: Option<bool>,
    log_file_size: Option<usize>,
    log_file_backups: Option<usize>,
    fold_logs: Option<bool>,
    log_level: Option<LogLevel>,
    ignore_reinit_error: Option<bool>,
    address: Option<String>,
    worker_exe: Option<PathBuf>,
    worker_wrapper: Option<Vec<String>>,
    fork_workers: Option<bool>,
    pin_workers: Option<bool>,
    memory_usage_threshold: Option<f64>,
    memory_root: Option<PathBuf>,
    spill_dir: Option<PathBuf>,
    env: Vec<(String, String)>,
    segment: Option<Segment>,
    max_processes: Option<usize>,
    waiting: Option<Waiting>,
    call_path: Option<CallPath>,
}

/// What `Config` and environment come to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Resolved {
    /// What the node is started with.
    pub node: NodeOptions,
    /// What concerns only the driver.
    pub driver: DriverOptions,
}

/// The options that concern only the driver's side of a runtime.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DriverOptions {
    /// Whether a second `init` gives another guard of the same runtime.
    pub ignore_reinit_error: bool,
    /// The least important events that Mobula tells.
    pub log_level: LogLevel,
    /// The node to attach to; `None`: this process starts one. Of a node that runs already only what follows counts here.
    pub address: Option<String>,
    /// The namespace of its actors' names.
    pub namespace: Option<String>,
    /// Whether what its workers print goes to its stderr, too.
    pub log_to_driver: bool,
    /// The executable of its workers; `None`: its own.
    pub worker_exe: Option<PathBuf>,
    /// A command that its workers are started through.
    pub worker_wrapper: Vec<String>,
    /// Environment variables of its workers, beside its own.
    pub env: Vec<(String, String)>,
    /// The most processes that its tasks may occupy; `None`: what the node says.
    pub max_processes: Option<usize>,
    /// Whether its workers are copies of a process that has started, where they can be.
    pub fork_workers: bool,
}

impl Config {
    /// Makes a configuration in which everything has its default.
    pub fn new() -> Self {
        Config::default()
    }

    /// Sets the CPUs that the runtime may use (default: those that this process may use, quota included).
    pub fn num_cpus(mut self, amount: f64) -> Self {
        self.num_cpus = Some(amount);
        self
    }

    /// Sets the GPUs that the runtime may use (default: none).
    pub fn num_gpus(mut self, amount: f64) -> Self {
        self.num_gpus = Some(amount);
        self
    }

    /// Adds a custom resource.
    pub fn resource(mut self, name: impl Into<String>, amount: f64) -> Self {
        self.resources.insert(name.into(), amount);
        self
    }

    /// Sets the size of the object store in bytes (default: 30 % of the smaller of RAM and the container's limit).
    pub fn object_store_memory(mut self, bytes: usize) -> Self {
        self.object_store_memory = Some(bytes);
        self
    }

    /// Sets how many bytes of the store are backed by memory before they are used (default: none).
    pub fn prefault(mut self, bytes: usize) -> Self {
        self.prefault = Some(bytes);
        self
    }

    /// Sets the namespace of this driver's actor names (default: one of its own).
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// Sets whether what workers print goes to this process's stderr, too (default: yes).
    pub fn log_to_driver(mut self, yes: bool) -> Self {
        self.log_to_driver = Some(yes);
        self
    }

    /// Sets how large a log file of a worker grows before another one takes its place (default: 100 MB).
    ///
    /// What a worker prints is in `logs/worker-PID.out` and `.err` of the session's folder, and what it printed before
    /// in `.out.1`, `.out.2` and so on.
    pub fn log_file_size(mut self, bytes: usize) -> Self {
        self.log_file_size = Some(bytes);
        self
    }

    /// Sets how many full log files are kept of each stream of a worker (default: 5).
    pub fn log_file_backups(mut self, count: usize) -> Self {
        self.log_file_backups = Some(count);
        self
    }

    /// Sets whether a line is held back that is the same, but for its numbers, as one that another worker of the class
    /// printed in the last 5 s (default: yes).
    ///
    /// The last of those is printed with ` [repeated 9x]` at its end. The log files have every line.
    pub fn fold_logs(mut self, yes: bool) -> Self {
        self.fold_logs = Some(yes);
        self
    }

    /// Sets the least important events that Mobula tells through `tracing` (default: info).
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.log_level = Some(level);
        self
    }

    /// Sets whether a second `init` gives another guard of the same runtime in place of an error (default: no).
    pub fn ignore_reinit_error(mut self, yes: bool) -> Self {
        self.ignore_reinit_error = Some(yes);
        self
    }

    /// Sets the running node to attach to: `"auto"` for the newest one of this user, or its session folder.
    ///
    /// Resources, the store, `waiting`, `call_path` and the like are then the node's, and what is set of them here has no
    /// effect. The workers run this process's executable, with its arguments, environment and working directory.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Sets the executable of the workers (default: that of this process).
    pub fn worker_exe(mut self, path: impl Into<PathBuf>) -> Self {
        self.worker_exe = Some(path.into());
        self
    }

    /// Sets a command that the workers are started through, such as `["valgrind", "--quiet"]`.
    pub fn worker_wrapper<I>(mut self, words: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.worker_wrapper = Some(words.into_iter().map(Into::into).collect());
        self
    }

    /// Sets whether workers are forked from a process of this program that has got as far as `init` (default: yes).
    ///
    /// Otherwise each is started by itself, which takes several times as long. Set it to no where code that runs before
    /// `init`, such as a static constructor, must run in each worker anew. It has no effect on workers with variables of
    /// their own, with a wrapper or another executable, or of a program that has threads before `init`: they are always
    /// started by themselves.
    pub fn fork_workers(mut self, yes: bool) -> Self {
        self.fork_workers = Some(yes);
        self
    }

    /// Sets whether an actor or task that holds whole CPUs runs on as many processors that no other one has (default: no).
    ///
    /// Where there are too few it runs on all, as does what holds none or a part of one.
    pub fn pin_workers(mut self, yes: bool) -> Self {
        self.pin_workers = Some(yes);
        self
    }

    /// Sets the share of the memory, of the machine or of this process's control group, above which workers are killed
    /// (default: 0.95).
    ///
    /// The newest is killed whose work is tried again, otherwise the newest, one at a time, and only one that gives back
    /// much. What is not tried again fails with `is_out_of_memory`. 1.0 leaves it to the system to kill something.
    pub fn memory_usage_threshold(mut self, share: f64) -> Self {
        self.memory_usage_threshold = Some(share);
        self
    }

    /// Sets where the memory's figures are read: below this folder in place of `/`.
    #[doc(hidden)]
    pub fn memory_root(mut self, path: impl Into<PathBuf>) -> Self {
        self.memory_root = Some(path.into());
        self
    }

    /// Sets a folder, on a disk, for objects that do not fit into memory (default: none, they stay there).
    ///
    /// Those that nobody views go there, the least recently used first, as soon as four fifths of the store's memory are
    /// taken; a get brings them back. What is there goes with the runtime.
    pub fn spill_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.spill_dir = Some(path.into());
        self
    }

    /// Adds an environment variable for the workers.
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Sets how the store's memory is found by other processes (default: anonymous).
    pub fn segment(mut self, segment: Segment) -> Self {
        self.segment = Some(segment);
        self
    }

    /// Sets the most worker processes that tasks may occupy at once.
    pub fn max_processes(mut self, count: usize) -> Self {
        self.max_processes = Some(count);
        self
    }

    /// Sets how processes wait for calls and answers (default: for latency).
    pub fn waiting(mut self, waiting: Waiting) -> Self {
        self.waiting = Some(waiting);
        self
    }

    /// Sets what calls and their answers travel through (default: rings in shared memory).
    ///
    /// [`CallPath::IpcChannel`] is the fallback: the same behaviour at several times the cost, but for what a death
    /// may take with it.
    pub fn call_path(mut self, path: CallPath) -> Self {
        self.call_path = Some(path);
        self
    }

    /// Combines builder, environment and defaults, and checks everything.
    ///
    /// # Errors
    ///
    /// Fails for a value without sense, naming the option or variable.
    pub fn resolve(&self) -> Result<Resolved, ConfigError> {
        self.resolve_with(|name| std::env::var(name).ok())
    }
}

/// Returns 30 % of the memory that this process may use.
pub(crate) fn default_store_memory() -> usize {
    let share = machine::usable_memory() / 100 * STORE_PERCENT;
    usize::try_from(share).unwrap_or(usize::MAX).max(SMALLEST_STORE)
}

/// Checks that every variable could be set.
///
/// # Errors
///
/// Fails for a name that is empty or holds `=` and for a NUL in a name or value.
pub fn check_env(env: &[(String, String)]) -> Result<(), ConfigError> {
    for (key, value) in env {
        if key.is_empty() || key.contains(['=', '\0']) {
            return Err(invalid("env", format!("needs a name without = and NUL, not {key:?}")));
        }
        if value.contains('\0') {
            return Err(invalid("env", format!("needs a value without NUL for {key}")));
        }
    }
    Ok(())
}

/// Returns what `MOBULA_TASK_MAX_RETRIES` says, if it is set: how often tasks are tried again that say nothing else.
///
/// # Errors
///
/// If it is no whole number from -1.
pub fn task_retries() -> Result<Option<i32>, ConfigError> {
    retries_in(&Environment { var: |name: &str| std::env::var(name).ok() })
}

fn retries_in(var: &Environment<impl Fn(&str) -> Option<String>>) -> Result<Option<i32>, ConfigError> {
    var.parse_with("MOBULA_TASK_MAX_RETRIES", "-1 (always) or a whole number from 0", |text| {
        text.parse().ok().filter(|&times| times >= -1)
    })
}

fn invalid(option: &str, reason: String) -> ConfigError {
    ConfigError::Invalid { option: option.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(config: &Config, vars: &[(&str, &str)]) -> Result<Resolved, ConfigError> {
        config.resolve_with(|name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn defaults_are_those_of_the_machine() {
        let resolved = with(&Config::new(), &[]).unwrap();
        assert!(resolved.node.num_cpus > 0.0);
        assert_eq!(resolved.node.num_gpus, 0.0);
        assert!(resolved.node.object_store_memory >= SMALLEST_STORE);
        assert!(resolved.node.log_to_driver && resolved.node.fork_workers && resolved.node.fold_logs);
        assert_eq!((resolved.node.log_file_size, resolved.node.log_file_backups), (100_000_000, 5));
        assert!(!resolved.driver.ignore_reinit_error);
        assert_eq!(resolved.driver.log_level, LogLevel::Info);
    }

    #[test]
    fn the_environment_is_read_and_the_builder_wins() {
        let vars = [
            ("MOBULA_NUM_CPUS", "3"),
            ("MOBULA_NUM_GPUS", "0.5"),
            ("MOBULA_RESOURCES", "licence=2, disk=0.5"),
            ("MOBULA_OBJECT_STORE_MEMORY", "64M"),
            ("MOBULA_LOG_TO_DRIVER", "false"),
            ("MOBULA_LOG_LEVEL", "Debug"),
            ("MOBULA_LOG_FILE_SIZE", "64K"),
            ("MOBULA_LOG_FILE_BACKUPS", "0"),
            ("MOBULA_FOLD_LOGS", "off"),
            ("MOBULA_PIN_WORKERS", "on"),
            ("MOBULA_MEMORY_USAGE_THRESHOLD", "0.5"),
            ("MOBULA_ENV", "A=1,B=x=y"),
            ("MOBULA_WORKER_WRAPPER", "strace -f"),
            ("MOBULA_FORK_WORKERS", "0"),
            ("MOBULA_SEGMENT", "named:mine"),
            ("MOBULA_NAMESPACE", ""),
            ("MOBULA_WAITING", "thrift"),
            ("MOBULA_CALL_PATH", "ipc-channel"),
            ("MOBULA_SPILL_DIR", "/var/tmp"),
        ];
        let node = with(&Config::new(), &vars).unwrap().node;
        assert_eq!((node.num_cpus, node.num_gpus), (3.0, 0.5));
        assert_eq!(node.resources, BTreeMap::from([("licence".into(), 2.0), ("disk".into(), 0.5)]));
        assert_eq!(node.object_store_memory, 64 << 20);
        assert!(!node.log_to_driver && !node.fork_workers && !node.fold_logs);
        assert_eq!((node.log_file_size, node.log_file_backups), (64 << 10, 0));
        assert!(node.pin_workers && node.memory_usage_threshold == 0.5);
        assert_eq!(node.env, [("A".into(), "1".into()), ("B".into(), "x=y".into())]);
        assert_eq!(node.worker_wrapper, ["strace", "-f"]);
        assert!(matches!(node.segment, Segment::Named(name) if name == "mine"));
        assert_eq!(node.namespace, None, "an empty variable counts as unset");
        assert_eq!((node.waiting, node.spill_dir), (Waiting::Thrift, Some("/var/tmp".into())));
        assert_eq!(node.call_path, CallPath::IpcChannel);

        let config = Config::new().num_cpus(1.0).resource("disk", 4.0).log_to_driver(true).env("A", "2");
        let config = config.call_path(CallPath::SharedMemory);
        let node = with(&config, &vars).unwrap().node;
        assert_eq!(node.num_cpus, 1.0);
        assert_eq!(node.resources, BTreeMap::from([("licence".into(), 2.0), ("disk".into(), 4.0)]));
        assert!(node.log_to_driver);
        assert_eq!(node.call_path, CallPath::SharedMemory);
        assert_eq!(node.env.last(), Some(&("A".into(), "2".into())), "the last one wins when it is set");
    }

    #[test]
    fn values_without_sense_are_refused_by_name() {
        let refused = |config: Config, word: &str| {
            let message = with(&config, &[]).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        };
        refused(Config::new().num_cpus(-1.0), "CPU");
        refused(Config::new().num_cpus(f64::NAN), "CPU");
        refused(Config::new().num_gpus(1.5), "GPU");
        refused(Config::new().resource("", 1.0), "name");
        refused(Config::new().resource("x", -1.0), "x");
        refused(Config::new().object_store_memory(10), "object_store_memory");
        refused(Config::new().namespace(""), "namespace");
        refused(Config::new().worker_exe("/no/such/program"), "/no/such/program");
        refused(Config::new().worker_wrapper([""]), "worker_wrapper");
        refused(Config::new().env("A=B", "1"), "env");
        refused(Config::new().env("A", "\0"), "env");
        refused(Config::new().max_processes(0), "max_processes");
        refused(Config::new().segment(Segment::Named("a/b".into())), "segment");
        refused(Config::new().spill_dir("/dev/null"), "spill_dir");
        refused(Config::new().log_file_size(1000), "log_file_size");
        refused(Config::new().address("here"), "session folder");
        refused(Config::new().memory_usage_threshold(0.0), "memory_usage_threshold");
        refused(Config::new().memory_usage_threshold(f64::NAN), "memory_usage_threshold");
    }

    #[test]
    fn variables_without_sense_are_refused_by_name() {
        for (name, value) in [
            ("MOBULA_NUM_CPUS", "many"),
            ("MOBULA_RESOURCES", "licence"),
            ("MOBULA_RESOURCES", "licence=lots"),
            ("MOBULA_OBJECT_STORE_MEMORY", "99999999999999999999T"),
            ("MOBULA_OBJECT_STORE_MEMORY", "1X"),
            ("MOBULA_OBJECT_STORE_MEMORY", "\u{e9}"),
            ("MOBULA_LOG_TO_DRIVER", "maybe"),
            ("MOBULA_FORK_WORKERS", "often"),
            ("MOBULA_LOG_LEVEL", "loud"),
            ("MOBULA_LOG_FILE_SIZE", "big"),
            ("MOBULA_LOG_FILE_BACKUPS", "-1"),
            ("MOBULA_FOLD_LOGS", "twice"),
            ("MOBULA_PIN_WORKERS", "some"),
            ("MOBULA_MEMORY_USAGE_THRESHOLD", "95%"),
            ("MOBULA_MEMORY_USAGE_THRESHOLD", "1.5"),
            ("MOBULA_SEGMENT", "elsewhere"),
            ("MOBULA_MAX_PROCESSES", "-1"),
            ("MOBULA_WAITING", "long"),
            ("MOBULA_CALL_PATH", "pigeon"),
            ("MOBULA_TASK_MAX_RETRIES", "-2"),
        ] {
            let message = with(&Config::new(), &[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }
}
