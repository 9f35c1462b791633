//! Builder, environment and defaults put together, and held against each other.

use std::path::{Path, PathBuf};

use mobula_store::Segment;

use super::environment::Environment;
use super::{
    Config, ConfigError, DriverOptions, LOG_FILE_BACKUPS, LOG_FILE_SIZE, MEMORY_THRESHOLD, Resolved, SMALLEST_LOG_FILE,
    SMALLEST_STORE, check_env, default_store_memory, invalid, retries_in,
};
use crate::attach::AUTO;
use crate::machine;
use crate::node::NodeOptions;
use crate::resources::Pool;

impl Config {
    /// Combines everything; `var` reads the environment.
    pub(super) fn resolve_with(&self, var: impl Fn(&str) -> Option<String>) -> Result<Resolved, ConfigError> {
        let var = Environment { var };
        retries_in(&var)?;
        let address = self.address.clone().or_else(|| var.text("MOBULA_ADDRESS"));
        if let Some(address) = &address
            && address != AUTO
            && !Path::new(address).is_absolute()
        {
            let reason = format!("must be \"auto\" or the path of a session folder from the root, not {address:?}");
            return Err(invalid("address", reason));
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
        let fork_workers = var.flag_unless(self.fork_workers, "MOBULA_FORK_WORKERS", true)?;
        let pin_workers = var.flag_unless(self.pin_workers, "MOBULA_PIN_WORKERS", false)?;
        let (option, threshold) = match self.memory_usage_threshold {
            Some(share) => ("memory_usage_threshold", Some(share)),
            None => ("MOBULA_MEMORY_USAGE_THRESHOLD", var.number("MOBULA_MEMORY_USAGE_THRESHOLD")?),
        };
        let memory_usage_threshold = threshold.unwrap_or(MEMORY_THRESHOLD);
        if !(memory_usage_threshold > 0.0 && memory_usage_threshold <= 1.0) {
            return Err(invalid(option, format!("must be above 0 and at most 1, not {memory_usage_threshold}")));
        }
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
        let waiting = var.choice_unless(self.waiting, "MOBULA_WAITING", "latency or thrift")?;
        let call_path = var.choice_unless(self.call_path, "MOBULA_CALL_PATH", "shared-memory or ipc-channel")?;
        let spill_dir = self.spill_dir.clone().or_else(|| var.text("MOBULA_SPILL_DIR").map(PathBuf::from));
        if let Some(dir) = spill_dir.as_ref().filter(|dir| dir.exists() && !dir.is_dir()) {
            return Err(invalid("spill_dir", format!("must be a folder, and {} is none", dir.display())));
        }
        let log_to_driver = var.flag_unless(self.log_to_driver, "MOBULA_LOG_TO_DRIVER", true)?;
        let log_file_size = match self.log_file_size {
            Some(bytes) => Some(bytes),
            None => var.bytes("MOBULA_LOG_FILE_SIZE")?,
        };
        let log_file_size = log_file_size.map_or(LOG_FILE_SIZE, |bytes| bytes as u64);
        if log_file_size < SMALLEST_LOG_FILE {
            let reason = format!("must be at least {SMALLEST_LOG_FILE} bytes, not {log_file_size}");
            return Err(invalid("log_file_size", reason));
        }
        let log_file_backups = match self.log_file_backups {
            Some(count) => Some(count),
            None => var.parse("MOBULA_LOG_FILE_BACKUPS", "a whole number")?,
        };
        let fold_logs = var.flag_unless(self.fold_logs, "MOBULA_FOLD_LOGS", true)?;
        let levels = "off, error, warn, info, debug or trace";
        let log_level = var.choice_unless(self.log_level, "MOBULA_LOG_LEVEL", levels)?;
        let ignore_reinit_error = var.flag_unless(self.ignore_reinit_error, "MOBULA_IGNORE_REINIT_ERROR", false)?;

        let driver = DriverOptions {
            ignore_reinit_error,
            log_level,
            address,
            namespace: namespace.clone(),
            log_to_driver,
            worker_exe: worker_exe.clone(),
            worker_wrapper: worker_wrapper.clone(),
            env: env.clone(),
            max_processes,
            fork_workers,
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
        node.log_file_size = log_file_size;
        node.log_file_backups = log_file_backups.unwrap_or(LOG_FILE_BACKUPS);
        node.fold_logs = fold_logs;
        node.log_level = log_level;
        node.worker_exe = worker_exe;
        node.worker_wrapper = worker_wrapper;
        node.fork_workers = fork_workers;
        node.pin_workers = pin_workers;
        node.memory_usage_threshold = memory_usage_threshold;
        node.memory_root = self.memory_root.clone().unwrap_or(node.memory_root);
        node.env = env;
        node.max_processes = max_processes;
        node.waiting = waiting;
        node.call_path = call_path;
        node.spill_dir = spill_dir;
        Ok(Resolved { node, driver })
    }
}
