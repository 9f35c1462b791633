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
use crate::call::{self, check_retries};
use crate::context;
use crate::core::{self, Core};
use crate::deferred::Submission;
use crate::definition::{Entry, Task, TaskFunction};
use crate::error::{Error, Result};
use crate::frames::{self, FrameWriter};
use crate::leases::TaskQueue;
use crate::pending::{Callee, PendingCall};
use crate::registry;
use crate::returns::{Birth, Returns};
use crate::runtime;

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

    /// Sets how often it runs again after its worker died; -1 is always.
    pub fn max_retries(self, times: i32) -> Self {
        self.with(|settings| settings.max_retries = Some(times))
    }

    /// Sets whether an `Err` or a panic is tried again, too.
    pub fn retry_errors(self, yes: bool) -> Self {
        self.with(|settings| settings.retry_errors = Some(yes))
    }

    /// Sets an environment variable of its process.
    pub fn env(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|settings| settings.env.push((key.into(), value.into())))
    }
}

impl TaskSettings {
    /// True if every option is that of the attribute.
    fn is_plain(&self) -> bool {
        let TaskSettings { num_cpus, num_gpus, resources, max_retries, retry_errors, env } = self;
        num_cpus.is_none()
            && num_gpus.is_none()
            && resources.is_empty()
            && max_retries.is_none()
            && retry_errors.is_none()
            && env.is_empty()
    }

    /// Returns what the task holds, or says which option makes no sense or is not there yet.
    fn check(&self, function: &TaskFunction) -> Result<Demand> {
        let defaults = &function.defaults;
        let retries = self.max_retries.or(defaults.max_retries);
        check_retries("max_retries", retries, self.retry_errors.or(defaults.retry_errors))?;
        if defaults.max_calls.is_some() {
            return Err(Error::not_yet("max_calls"));
        }
        config::check_env(&self.env).map_err(|error| Error::invalid_argument(error.to_string()))?;
        let cpus = self.num_cpus.or(defaults.num_cpus).unwrap_or(1.0);
        let gpus = self.num_gpus.or(defaults.num_gpus).unwrap_or(0.0);
        demand(cpus, gpus, &self.resources)
    }
}

/// Submits a task; whatever goes wrong comes out of `get`.
pub fn submit_task<K: Task, R: Returns>(settings: &TaskSettings, args: Args) -> R::Refs {
    let core = core::current().ok();
    match try_submit_task::<K, R>(settings, args) {
        Ok(refs) => refs,
        Err(error) => {
            let call = core.as_ref().map_or(0, |core| core.next_call());
            R::make(Birth::Failed(core.as_deref(), call, &error)).0
        }
    }
}

/// Submits a task, or says why it cannot be submitted.
///
/// # Errors
///
/// If no runtime is up, an option makes no sense or is not available yet, an argument cannot be
/// encoded or has failed, or the node's totals can never satisfy what the task needs.
pub fn try_submit_task<K: Task, R: Returns>(settings: &TaskSettings, args: Args) -> Result<R::Refs> {
    let core = core::current()?;
    let function = K::function();
    let known = if settings.is_plain() { core.leases().known(function) } else { None };
    if let Readiness::Failed(error) = args.readiness() {
        return Err(error);
    }
    if let Some((queue, code)) = known {
        return Ok(submit_leased::<R>(&core, function, &queue, code, args));
    }
    let demand = settings.check(function)?;
    check_feasible(&core, &demand, function.name)?;
    let key = core.registry().key_of(Entry::Task(function));
    runtime::check_workers_have(&core, &key)?;
    if settings.env.is_empty() && !demand.has_gpus() {
        let (queue, code) = (core.leases().queue(&demand), registry::code(&key));
        if settings.is_plain() {
            core.leases().remember(function, &queue, code);
        }
        return Ok(submit_leased::<R>(&core, function, &queue, code, args));
    }
    let (call, refs) = enter::<R>(&core, Callee::Task(function.name));
    let spec = Box::new(TaskSpec {
        task: task_id(&core, call),
        caller: core.store().client(),
        call,
        function: key,
        function_name: function.name.to_owned(),
        args: Payload::default(),
        demand,
        depth: context::depth(),
        num_returns: R::COUNT,
        env: settings.env.clone(),
    });
    Submission::Task { spec, args }.submit(&core);
    Ok(refs)
}

/// Submits a task that any worker of the pool can run.
fn submit_leased<R: Returns>(
    core: &Arc<Core>,
    function: &'static TaskFunction,
    queue: &Arc<TaskQueue>,
    code: u64,
    args: Args,
) -> R::Refs {
    let depth = context::depth();
    let (call, refs) = enter::<R>(core, Callee::Leased(function.name, queue.clone()));
    if args.refs().next().is_some() {
        Submission::Leased { call, function, queue: queue.clone(), code, depth, args }.submit(core);
        return refs;
    }
    let (bytes, mut holds) = args.into_parts();
    let sent = call::with_writer(|writer| {
        let spilled = write(writer, core, call, code, depth, (&bytes, &holds), None)?;
        holds.extend(spilled);
        core.pending().add_holds(call, holds);
        queue.submit(core, function, call, depth, writer.bytes());
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
fn enter<R: Returns>(core: &Arc<Core>, callee: Callee) -> (u64, R::Refs) {
    core.pending().enter(|call| {
        let (refs, call_refs) = R::make(Birth::Pending(core, call));
        (refs, PendingCall { refs: call_refs, callee, holds: Vec::new() })
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

fn task_id(core: &Core, call: u64) -> TaskId {
    TaskId::from_object(frames::object_id(core.nonce(), call, TASK_INDEX))
}

/// Returns the caller's nonce out of a task's id.
pub(crate) fn nonce_of(task: TaskId) -> frames::Nonce {
    frames::nonce_and_number(task.object()).0
}

/// Returns the id by which the context of an actor's call names it.
pub(crate) fn call_task_id(nonce: frames::Nonce, call: u64) -> TaskId {
    TaskId::from_object(frames::object_id(nonce, call, TASK_INDEX))
}
