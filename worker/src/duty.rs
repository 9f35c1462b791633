//! What a worker sets up for the work that it takes, before any of it runs.
//!
//! A process is started with what is known of its work then. One of the pool takes work that nobody knew of: an actor
//! with four CPUs, then. The variables by which libraries learn how many threads to start are set anew when that comes,
//! on the executor thread. The same with the processors that are the work's alone, if workers are pinned to some: all
//! threads of the process are bound to them, and those that they start inherit that.
//!
//! - **DUTY-1** A variable that the user has set, anywhere, is left alone: the node says which are not.
//! - **DUTY-2** The environment is written only while all other threads of the process are the runtime's own, which read
//!   it through std alone. Work in a process where there are others, left by earlier work, finds the variables as they
//!   were. Nested work finds those of what it runs beside, and runs on its processors.
//! - **DUTY-3** A process is bound to the processors of the work that it took last; one without any runs where it did
//!   before it was first bound. Whoever moves a thread for a while (`store/src/handover.rs`) chooses from the processors
//!   that it is allowed, and gives it those back: while its process is bound anew the executor is awake, so none are
//!   being kept for it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use mobula_scheduler::protocol::Granted;

use crate::sys;

/// What this process has set up.
pub(crate) struct Duty {
    thread_variables: Vec<String>,
    /// What they say, or should; 0: as the process was started with.
    threads: AtomicU32,
    binding: Mutex<Binding>,
}

/// Where the threads of this process run.
#[derive(Default)]
struct Binding {
    /// The processors that they are bound to.
    bound: Vec<u32>,
    /// Those that they could use before.
    before: Option<Vec<u32>>,
}

impl Duty {
    pub(crate) fn new(thread_variables: Vec<String>) -> Self {
        Duty { thread_variables, threads: AtomicU32::new(0), binding: Mutex::default() }
    }

    /// Sets up what work needs that holds `granted`; for the thread that runs it.
    pub(crate) fn take(&self, granted: &Granted) {
        if self.threads.swap(granted.threads, Ordering::Relaxed) != granted.threads {
            self.set_threads(&granted.threads.to_string());
        }
        let mut binding = self.binding.lock().unwrap_or_else(PoisonError::into_inner);
        if binding.bound != granted.processors {
            binding.bind(&granted.processors);
        }
    }

    fn set_threads(&self, count: &str) {
        for name in &self.thread_variables {
            if std::env::var_os(name).is_none_or(|now| now != *count) && !sys::set_variable(name, count) {
                tracing::debug!(name, count, "a variable is not set: other threads may be reading the environment");
            }
        }
    }
}

impl Binding {
    fn bind(&mut self, processors: &[u32]) {
        let before = self.before.get_or_insert_with(sys::processors);
        let wanted = if processors.is_empty() { before } else { processors };
        if let Err(error) = sys::bind_all_threads(wanted) {
            // Where the process may not run there any more it runs where it may.
            tracing::debug!(%error, ?wanted, "this process is not bound to its processors");
        }
        processors.clone_into(&mut self.bound);
    }
}
