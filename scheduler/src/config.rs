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
//! | `log_level` | `MOBULA_LOG_LEVEL` | `off`, `error`, `warn`, `info`, `debug`, `trace` |
//! | `address` | `MOBULA_ADDRESS` | text |
//! | `worker_exe`, `spill_dir` | `MOBULA_WORKER_EXE`, `MOBULA_SPILL_DIR` | path |
//! | `worker_wrapper` | `MOBULA_WORKER_WRAPPER` | words |
//! | `fork_workers` | `MOBULA_FORK_WORKERS` | `1`, `true`, `0`, `false` |
//! | `env` | `MOBULA_ENV` | `KEY=value,OTHER=value` |
//! | `segment` | `MOBULA_SEGMENT` | `anonymous` or `named:NAME` |
//! | `max_processes` | `MOBULA_MAX_PROCESSES` | `16` |
//! | `waiting` | `MOBULA_WAITING` | `latency` or `thrift` |
//! | `call_path` | `MOBULA_CALL_PATH` | `shared-memory` or `ipc-channel` |

mod choices;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use mobula_store::Segment;

pub use self::choices::{CallPath, LogLevel, Waiting};
use crate::machine;
use crate::node::NodeOptions;
use crate::resources::{Pool, ResourceError};

/// The least memory that a store is worth starting with.
const SMALLEST_STORE: usize = 1 << 20;

/// The share of the memory that the store gets by default, in percent.
const STORE_PERCENT: u64 = 30;

/// An option that makes no sense, or is not available yet.
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
    /// The option is known and nothing stands behind it yet.
    #[error("{option} is not available yet; leave it unset")]
    Unavailable {
        /// The option.
        option: &'static str,
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
    log_level: Option<LogLevel>,
    ignore_reinit_error: Option<bool>,
    address: Option<String>,
    worker_exe: Option<PathBuf>,
    worker_wrapper: Option<Vec<String>>,
    fork_workers: Option<bool>,
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

    /// Sets the running node to attach to.
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
    /// Fails for a value without sense, naming the option or variable, and for an option that nothing
    /// stands behind yet.
    pub fn resolve(&self) -> Result<Resolved, ConfigError> {
        self.resolve_with(|name| std::env::var(name).ok())
    }

    fn resolve_with(&self, var: impl Fn(&str) -> Option<String>) -> Result<Resolved, ConfigError> {
        let var = Environment { var };
        if self.address.is_some() || var.text("MOBULA_ADDRESS").is_some() {
            return Err(ConfigError::Unavailable { option: "address" });
        }
        let num_cpus = match self.num_cpus {
            Some(amount) => amount,
            None => var.number("MOBULA_NUM_CPUS")?.unwrap_or_else(machine::usable_cpus),
        };
        let num_gpus = match self.num_gpus {
            Some(amount) => amount,
            None => var.number("MOBULA_NUM_GPUS")?.unwrap_or(0.0),
        };
        let mut resources = var.amounts("MOBULA_RESOURCES")?;
        resources.extend(self.resources.clone());
        // Checks amounts and names.
        Pool::new(num_cpus, num_gpus, &resources)?;

        let (option, object_store_memory) = match self.object_store_memory {
            Some(bytes) => ("object_store_memory", Some(bytes)),
            None => ("MOBULA_OBJECT_STORE_MEMORY", var.bytes("MOBULA_OBJECT_STORE_MEMORY")?),
        };
        let object_store_memory = object_store_memory.unwrap_or_else(default_store_memory);
        if object_store_memory < SMALLEST_STORE {
            let reason = format!("must be at least {SMALLEST_STORE} bytes, not {object_store_memory}");
            return Err(invalid(option, reason));
        }
        let prefault = self.prefault.map_or_else(|| var.bytes("MOBULA_PREFAULT"), |bytes| Ok(Some(bytes)))?;
        let namespace = self.namespace.clone().or_else(|| var.text("MOBULA_NAMESPACE"));
        if namespace.as_deref() == Some("") {
            return Err(invalid("namespace", "must not be empty".into()));
        }
        let worker_exe = self.worker_exe.clone().or_else(|| var.text("MOBULA_WORKER_EXE").map(PathBuf::from));
        if let Some(exe) = &worker_exe
            && !exe.is_file()
        {
            return Err(invalid("worker_exe", format!("must be a program, and {} is no file", exe.display())));
        }
        let worker_wrapper = self.worker_wrapper.clone().unwrap_or_else(|| var.words("MOBULA_WORKER_WRAPPER"));
        if worker_wrapper.first().is_some_and(String::is_empty) {
            return Err(invalid("worker_wrapper", "must begin with the name of a program".into()));
        }
        let fork_workers = match self.fork_workers {
            Some(yes) => yes,
            None => var.flag("MOBULA_FORK_WORKERS")?.unwrap_or(true),
        };
        let mut env = var.pairs("MOBULA_ENV")?;
        env.extend(self.env.iter().cloned());
        check_env(&env)?;
        let segment = match &self.segment {
            Some(segment) => segment.clone(),
            None => var.segment("MOBULA_SEGMENT")?,
        };
        if let Segment::Named(name) = &segment
            && (name.is_empty() || name.contains(['/', '\0']))
        {
            let reason = format!("must have a name without slashes, not {name:?}");
            return Err(invalid("segment", reason));
        }
        let max_processes = match self.max_processes {
            Some(count) => Some(count),
            None => var.parse("MOBULA_MAX_PROCESSES", "a whole number")?,
        };
        if max_processes == Some(0) {
            return Err(invalid("max_processes", "must be at least 1".into()));
        }
        let waiting = match self.waiting {
            Some(waiting) => waiting,
            None => {
                var.parse_with("MOBULA_WAITING", "latency or thrift", |text| text.parse().ok())?.unwrap_or_default()
            }
        };
        let call_path = match self.call_path {
            Some(path) => path,
            None => var
                .parse_with("MOBULA_CALL_PATH", "shared-memory or ipc-channel", |text| text.parse().ok())?
                .unwrap_or_default(),
        };
        let spill_dir = self.spill_dir.clone().or_else(|| var.text("MOBULA_SPILL_DIR").map(PathBuf::from));
        if let Some(dir) = spill_dir.as_ref().filter(|dir| dir.exists() && !dir.is_dir()) {
            return Err(invalid("spill_dir", format!("must be a folder, and {} is none", dir.display())));
        }
        let log_to_driver = match self.log_to_driver {
            Some(yes) => yes,
            None => var.flag("MOBULA_LOG_TO_DRIVER")?.unwrap_or(true),
        };
        let log_level = match self.log_level {
            Some(level) => level,
            None => var
                .parse_with("MOBULA_LOG_LEVEL", "off, error, warn, info, debug or trace", |text| text.parse().ok())?
                .unwrap_or_default(),
        };
        let ignore_reinit_error = match self.ignore_reinit_error {
            Some(yes) => yes,
            None => var.flag("MOBULA_IGNORE_REINIT_ERROR")?.unwrap_or(false),
        };

        let mut node = NodeOptions::new();
        node.num_cpus = num_cpus;
        node.num_gpus = num_gpus;
        node.resources = resources;
        node.object_store_memory = object_store_memory;
        node.prefault = prefault.unwrap_or(0).min(object_store_memory);
        node.segment = segment;
        node.namespace = namespace;
        node.log_to_driver = log_to_driver;
        node.log_level = log_level;
        node.worker_exe = worker_exe;
        node.worker_wrapper = worker_wrapper;
        node.fork_workers = fork_workers;
        node.env = env;
        node.max_processes = max_processes;
        node.waiting = waiting;
        node.call_path = call_path;
        node.spill_dir = spill_dir;
        Ok(Resolved { node, driver: DriverOptions { ignore_reinit_error, log_level } })
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

fn invalid(option: &str, reason: String) -> ConfigError {
    ConfigError::Invalid { option: option.to_owned(), reason }
}

/// Reads the twins; an empty variable counts as unset.
struct Environment<F> {
    var: F,
}

impl<F: Fn(&str) -> Option<String>> Environment<F> {
    fn text(&self, name: &str) -> Option<String> {
        (self.var)(name).filter(|text| !text.is_empty())
    }

    fn parse_with<T>(
        &self,
        name: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match parse(text.trim()) {
            Some(value) => Ok(Some(value)),
            None => Err(invalid(name, format!("must be {wanted}, not {text:?}"))),
        }
    }

    fn parse<T: FromStr>(&self, name: &str, wanted: &str) -> Result<Option<T>, ConfigError> {
        self.parse_with(name, wanted, |text| text.parse().ok())
    }

    fn number(&self, name: &str) -> Result<Option<f64>, ConfigError> {
        self.parse(name, "a number")
    }

    fn bytes(&self, name: &str) -> Result<Option<usize>, ConfigError> {
        self.parse_with(name, "a number of bytes such as 1048576, 512M or 4G", |text| {
            let (digits, shift) = match text.chars().last()?.to_ascii_uppercase() {
                'K' => (&text[..text.len() - 1], 10),
                'M' => (&text[..text.len() - 1], 20),
                'G' => (&text[..text.len() - 1], 30),
                'T' => (&text[..text.len() - 1], 40),
                _ => (text, 0),
            };
            digits.trim().parse::<usize>().ok()?.checked_mul(1 << shift)
        })
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, ConfigError> {
        self.parse_with(name, "1, true, 0 or false", |text| match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" => Some(false),
            _ => None,
        })
    }

    fn words(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, ConfigError> {
        let pairs = self.parse_with(name, "KEY=value pairs with commas between them", |text| {
            text.split(',')
                .map(|pair| pair.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.to_owned())))
                .collect::<Option<Vec<_>>>()
        })?;
        Ok(pairs.unwrap_or_default())
    }

    fn amounts(&self, name: &str) -> Result<BTreeMap<String, f64>, ConfigError> {
        let number = |(key, text): (String, String)| match text.trim().parse() {
            Ok(amount) => Ok((key, amount)),
            Err(_) => Err(invalid(name, format!("must give a number for {key}, not {text:?}"))),
        };
        self.pairs(name)?.into_iter().map(number).collect()
    }

    fn segment(&self, name: &str) -> Result<Segment, ConfigError> {
        let segment = self.parse_with(name, "anonymous or named:NAME", |text| match text.split_once(':') {
            Some(("named", name)) => Some(Segment::Named(name.to_owned())),
            None if text == "anonymous" => Some(Segment::Anonymous),
            _ => None,
        })?;
        Ok(segment.unwrap_or(Segment::Anonymous))
    }
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
        assert!(resolved.node.log_to_driver && resolved.node.fork_workers);
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
        assert!(!node.log_to_driver && !node.fork_workers);
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
        refused(Config::new().address("auto"), "not available yet");
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
            ("MOBULA_SEGMENT", "elsewhere"),
            ("MOBULA_MAX_PROCESSES", "-1"),
            ("MOBULA_WAITING", "long"),
            ("MOBULA_CALL_PATH", "pigeon"),
        ] {
            let message = with(&Config::new(), &[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }
}
