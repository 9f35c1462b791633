//! What a node is started with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use mobula_store::Segment;

use crate::config::{self, CallPath, LogLevel, Waiting};
use crate::machine;

/// How long a worker may take from its start until it has joined.
const START_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// How large a log file of a worker grows, in bytes.
    pub log_file_size: u64,
    /// How many full log files of a worker's stream are kept.
    pub log_file_backups: usize,
    /// Whether lines of several workers that are alike are printed as one.
    pub fold_logs: bool,
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
    /// Whether this process is to be a driver of it: otherwise all of them attach, and workers exist only for these.
    pub embedded: bool,
    /// Whether what holds whole CPUs has processors of its own.
    pub pin_workers: bool,
    /// The share of the memory above which workers are killed; 1: none ever is.
    pub memory_usage_threshold: f64,
    /// Where `proc` and `sys` are.
    #[doc(hidden)]
    pub memory_root: PathBuf,
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
            log_file_size: config::LOG_FILE_SIZE,
            log_file_backups: config::LOG_FILE_BACKUPS,
            fold_logs: true,
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
            embedded: true,
            pin_workers: false,
            memory_usage_threshold: config::MEMORY_THRESHOLD,
            memory_root: PathBuf::from("/"),
        }
    }

    pub(super) fn process_limit(&self) -> usize {
        let cpus = self.num_cpus.ceil() as usize;
        self.max_processes.unwrap_or_else(|| cpus.saturating_mul(2).max(4)).max(1)
    }

    pub(super) fn started_ahead(&self) -> usize {
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
