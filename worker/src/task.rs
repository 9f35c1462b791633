//! Tasks as their callers see them: options and submission.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use mobula_scheduler::config;
use mobula_scheduler::ids::TaskId;
use mobula_scheduler::protocol::{Payload, TaskSpec};
use mobula_scheduler::resources::Demand;
use mobula_store::ObjectHold;

use crate::actor::{check_feasible, demand};
use crate::arg::{self, Args, Readiness};
use crate::call;
use crate::context;
use crate::core::{self, Core};
use crate::deferred::Submission;
use crate::definition::{Entry, Task, TaskFunction};
use crate::error::{Error, Result};
use crate::frames::{self, FrameWriter};
use crate::leases::Known;
use crate::pending::{Callee, Dedicated, PendingCall};
use crate::registry;
use crate::retries::Retries;
use crate::returns::{Birth, Returns};
use crate::runtime;
use crate::stream;

/// The index of a task's own id among the ids of its call.
const TASK_INDEX: u8 = 254;

/// The options of a task, without the function.
#[derive(Debug, Clone, Default)]
pub struct TaskSettings {
    num_cpus: Option<f64>,
    num_gpus: Option<f64>,
    resources: Vec<(String, f64)>,
    max_retries: Option<i32>,
    retry_errors: Option<bool>,
    env: Vec<(String, String)>,
    stream_backpressure: Option<usize>,
}

/// The options of a task; `remote` submits and may be called again.
pub struct TaskOptions<K: Task> {
    launcher: K::Launcher,
}

impl<K: Task> Clone for TaskOptions<K> {
    fn clone(&self) -> Self {
        TaskOptions { launcher: self.launcher.clone() }
    }
}

impl<K: Task> fmt::Debug for TaskOptions<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(K::function().name).field(self.launcher.as_ref()).finish()
    }
}

impl<K: Task> Deref for TaskOptions<K> {
    type Target = K::Launcher;

    fn deref(&self) -> &K::Launcher {
        &self.launcher
    }
}

impl<K: Task> TaskOptions<K> {
    #[doc(hidden)]
    pub fn __new() -> Self {
        TaskOptions { launcher: TaskSettings::default().into() }
    }

    fn with(mut self, set: impl FnOnce(&mut TaskSettings)) -> Self {
        set(self.launcher.as_mut());
        self
    }

    /// Sets the CPUs that it holds while it runs.
    pub fn num_cpus(self, amount: f64) -> Self {
        self.with(|settings| settings.num_cpus = Some(amount))
    }

    /// Sets the GPUs that it holds while it runs.
    pub fn num_gpus(self, amount: f64) -> Self {
        self.with(|settings| settings.num_gpus = Some(amount))
    }

    /// Sets a custom resource that it holds while it runs.
    pub fn resource(self, name: impl Into<String>, amount: f64) -> Self {
        self.with(|settings| settings.resources.push((name.into(), amount)))
    }

    /// Sets how often it runs again after its worker's process ended while it may have run (default 3, or what
    /// `MOBULA_TASK_MAX_RETRIES` says); -1 is always.
    ///
    /// So it may run twice, but gives one result. What is known not to have begun runs elsewhere at no cost. After the
    /// last try the ref is `is_worker_crashed`.
    pub fn max_retries(self, times: i32) -> Self {
        self.with(|settings| settings.max_retries = Some(times))
    }

    /// Sets whether an `Err` or a panic is tried again, too; it costs one of `max_retries`.
    pub fn retry_errors(self, yes: bool) -> Self {
        self.with(|settings| settings.retry_errors = Some(yes))
    }

    /// Sets how many items of a stream may wait to be taken (default 1,000): while so many do, the task pauses.
    ///
    /// For a task that gives a stream, [`ObjectRefStream`](crate::ObjectRefStream); otherwise, and with 0, its call is
    /// `is_invalid_argument`.
    pub fn stream_backpressure(self, items: usize) -> Self {
        self.with(|settings| settings.stream_backpressure = Some(items))
    }

    /// Sets an environment variable of its process.
    pub fn env(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|settings| settings.env.push((key.into(), value.into())))
    }
}

impl TaskSettings {
    /// True if every option is that of the attribute.
    fn is_plain(&self) -> bool {
        // Nothing of how a task is queued hangs on `stream_backpressure`.
        let TaskSettings { num_cpus, num_gpus, resources, max_retries, retry_errors, env, stream_backpressure: _ } =
            self;
        num_cpus.is_none()
            && num_gpus.is_none()
            && resources.is_empty()
            && max_retries.is_none()
            && retry_errors.is_none()
            && env.is_empty()
    }

    /// Returns how many items of the stream may wait; `None` if the task gives none.
    fn window(&self, function: &TaskFunction) -> Result<Option<u64>> {
        let (own, default) = (self.stream_backpressure, function.defaults.stream_backpressure);
        if !function.streams && own.is_some() {
            return Err(Error::invalid_argument(format!(
                "stream_backpressure is for streams, and {} gives none",
                function.name
            )));
        }
        function.streams.then(|| stream::window(own, default)).transpose()
    }

    /// Returns what the task holds and how often it is tried, or says which option makes no sense or is not there yet.
    fn check(&self, core: &Core, function: &TaskFunction) -> Result<(Demand, Retries)> {
        let defaults = &function.defaults;
        let retries = if function.streams {
            stream::check_retries("max_retries", self.max_retries, self.retry_errors)?;
            Retries::new(Some(0), None)?
        } else {
            Retries::new(
                self.max_retries.or(defaults.max_retries).or(core.leases().default_retries()),
                self.retry_errors.or(defaults.retry_errors),
            )?
        };
        config::check_env(&self.env).map_err(|error| Error::invalid_argument(error.to_string()))?;
        let cpus = self.num_cpus.or(defaults.num_cpus).unwrap_or(1.0);
        let gpus = self.num_gpus.or(defaults.num_gpus).unwrap_or(0.0);
        Ok((demand(cpus, gpus, &self.resources)?, retries))
    }
}

/// Submits a task; whatever goes wrong comes out of `get`.
pub fn submit_task<K: Task, R: Returns>(settings: &TaskSettings, args: Args) -> R::Refs {
    let core = core::current().ok();
    match try_submit_task::<K, R>(settings, args) {
        Ok(refs) => refs,
        Err(error) => {
            let call = core.as_ref().map_or(0, |core| core.next_call());
            R::make(Birth::Failed(core.as_ref(), call, &error)).0
        }
    }
}

/// Submits a task, or says why it cannot be submitted.
///
/// # Errors
///
/// If no runtime is up, an option makes no sense, an argument cannot be
/// encoded or has failed, or the node's totals can never satisfy what the task needs.
pub fn try_submit_task<K: Task, R: Returns>(settings: &TaskSettings, mut args: Args) -> Result<R::Refs> {
    let core = core::current()?;
    let function = K::function();
    let window = settings.window(function)?;
    if let Some(window) = window {
        // The last argument, for the worker.
        args.push(window.into());
    }
    let known = if settings.is_plain() { core.leases().known(function) } else { None };
    if let Readiness::Failed(error) = args.readiness() {
        return Err(error);
    }
    if let Some(known) = known {
        return Ok(bound::<R>(submit_leased::<R>(&core, function, &known, args), window));
    }
    let (demand, retries) = settings.check(&core, function)?;
    check_feasible(&core, &demand, function.name)?;
    let key = core.registry().key_of(Entry::Task(function));
    runtime::check_workers_have(&core, &key)?;
    if settings.env.is_empty() && !demand.has_gpus() {
        let known = Known { queue: core.leases().queue(&demand), code: registry::code(&key), retries };
        if settings.is_plain() {
            core.leases().remember(function, known.clone());
        }
        return Ok(bound::<R>(submit_leased::<R>(&core, function, &known, args), window));
    }
    let (depth, parent) = context::origin();
    let callee = Callee::Task(Box::new(Dedicated::new(function.name, retries)));
    let (call, refs) = enter::<R>(&core, callee, parent);
    let spec = Box::new(TaskSpec {
        task: task_id(core.nonce(), call),
        caller: core.store().client(),
        call,
        function: key,
        function_name: function.name.to_owned(),
        args: Payload::default(),
        demand,
        depth,
        num_returns: R::COUNT,
        env: settings.env.clone(),
    });
    Submission::Task { spec, args }.submit(&core);
    Ok(bound::<R>(refs, window))
}

/// Says to a stream how many of its items may wait.
fn bound<R: Returns>(mut refs: R::Refs, window: Option<u64>) -> R::Refs {
    if let Some(window) = window {
        R::bound(&mut refs, window);
    }
    refs
}

/// Submits a task that any worker of the pool can run.
fn submit_leased<R: Returns>(core: &Arc<Core>, function: &'static TaskFunction, known: &Known, args: Args) -> R::Refs {
    let &Known { ref queue, code, retries } = known;
    let (depth, parent) = context::origin();
    let (call, refs) = enter::<R>(core, Callee::Leased(function.name, queue.clone()), parent);
    if args.refs().next().is_some() {
        Submission::Leased { call, function: (function, retries), queue: queue.clone(), code, depth, args }
            .submit(core);
        return refs;
    }
    let (bytes, mut holds) = args.into_parts();
    let sent = call::with_writer(|writer| {
        let spilled = write(writer, core, call, code, depth, (&bytes, &holds), None)?;
        holds.extend(spilled);
        core.pending().add_holds(call, holds);
        queue.submit(core, (function, retries), call, depth, writer.bytes(), core.cancels().ever());
        Ok(())
    });
    arg::recycle(bytes);
    match sent {
        Ok(()) => refs,
        Err(error) => {
            drop(core.pending().remove(call));
            R::make(Birth::Failed(Some(core), call, &error)).0
        }
    }
}

/// Enters a task among the unanswered calls; returns its number and its refs.
fn enter<R: Returns>(core: &Arc<Core>, callee: Callee, parent: u64) -> (u64, R::Refs) {
    core.pending().enter(|call| {
        let (refs, call_refs) = R::make(Birth::Task(core, call));
        (refs, PendingCall::new(call_refs, callee, parent))
    })
}

/// Writes a task's frame; returns the hold of the arguments if they went into the store.
pub(crate) fn write(
    writer: &mut FrameWriter,
    core: &Core,
    call: u64,
    code: u64,
    depth: u32,
    (bytes, holds): (&[u8], &[ObjectHold]),
    patience: Option<Duration>,
) -> Result<Option<ObjectHold>> {
    let spilled = call::spill(core, bytes, holds, patience)?;
    writer.task(call, core.nonce(), code, depth);
    writer.args(spilled.as_ref(), bytes, holds);
    Ok(spilled)
}

/// Makes the id of a task.
pub(crate) fn task_id(nonce: frames::Nonce, number: u64) -> TaskId {
    TaskId::from_object(frames::object_id(nonce, number, TASK_INDEX))
}

/// Returns the caller's nonce out of a task's id.
pub(crate) fn nonce_of(task: TaskId) -> frames::Nonce {
    frames::nonce_and_number(task.object()).0
}
