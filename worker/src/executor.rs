//! The executor of a worker process: runs constructors, calls and tasks, one after the other.
//!
//! ```text
//!   node --StartActor, RunTask, EndActor--> control queue --\
//!   callers' rings --Call--> call queue ---------------------+--> executor thread --> answers
//!   callers' rings --Task--> seat of the lease -------------/
//!                            nested seat -----------------------> thread mobula-task --> answers
//! ```
//!
//! The executor thread is the one that joined the node. While nothing is queued it waits like a
//! user thread in `get`, so an idle worker takes its next call out of the ring itself. It takes all
//! calls that are queued at once, so that it meets the queue's lock once for many of them.
//!
//! - **WK-20** Calls wait until the constructor has run; then they run in the order of arrival.
//! - **WK-21** An actor is made, called and dropped on the executor thread.
//! - **WK-22** `EndActor` takes effect only when no call is queued and the rings are empty.
//! - **WK-23** A worker that ends in good order leaves when everything it said has been taken, or
//!   after [`FAREWELL`].

mod seated;

use std::any::Any;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mobula_scheduler::ids::ActorId;
use mobula_scheduler::protocol::{ActorSpec, Granted, TaskSpec, ToNode};
use mobula_store::{ClientKey, ObjectId};

use crate::arg::ArgReader;
use crate::call;
use crate::context::{self, Scope};
use crate::core::Core;
use crate::definition::ActorClass;
use crate::error::{Error, Result};
use crate::frames::{self, BODY_LIMIT, Nonce};
use crate::outbox::Peer;
use crate::panics::{self, CallError};
use crate::payload::Received;
use crate::pump::{self, Wait};
use crate::returns::ReturnWriter;
use crate::seats::{Delivery, LeasedJob, Next, SeatKey, Seats};
use crate::value::{self, INLINE_LIMIT, TAG_VALUE};
use crate::{sys, task};

use self::seated::{Seated, give_back};
pub(crate) use self::seated::{begin_lease, end_lease};

/// How long a worker that ends in good order waits for its last words to be taken.
const FAREWELL: Duration = Duration::from_secs(10);

/// A call that has arrived.
pub(crate) struct CallJob {
    pub(crate) from: ClientKey,
    pub(crate) call: u64,
    pub(crate) nonce: Nonce,
    pub(crate) actor: ActorId,
    pub(crate) method: u16,
    pub(crate) depth: u32,
    pub(crate) args: Result<Received>,
}

/// A task that has arrived.
pub(crate) struct TaskJob {
    pub(crate) spec: Box<TaskSpec>,
    pub(crate) granted: Granted,
    pub(crate) args: Result<Received>,
}

/// What the node wants this worker to do.
pub(crate) enum Control {
    Start { spec: Box<ActorSpec>, granted: Granted, args: Result<Received> },
    Run(TaskJob),
    End(ActorId),
    Retire,
}

/// What the leader of the pump has found in the rings for the executor.
#[derive(Default)]
pub(crate) struct Arrived {
    pub(crate) calls: VecDeque<CallJob>,
    pub(crate) tasks: VecDeque<Delivery>,
}

/// The queues in front of the executor thread.
#[derive(Default)]
pub(crate) struct Executor {
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    control: VecDeque<Control>,
    calls: VecDeque<CallJob>,
    seats: Seats,
}

enum Job {
    Control(Control),
    Call(CallJob),
    /// A task, and whether others were given back before it.
    Task(LeasedJob, bool),
    /// The seat of this thread is over, and the node does not know.
    Ended(SeatKey),
}

impl Executor {
    /// Queues what has arrived and leaves the lists empty; the caller is the leader of the pump.
    pub(crate) fn take(&self, core: &Core, arrived: &mut Arrived) {
        let Arrived { calls, tasks } = arrived;
        if calls.is_empty() && tasks.is_empty() {
            return;
        }
        let mut back = Vec::new();
        let mut queues = self.lock();
        if queues.calls.is_empty() {
            std::mem::swap(&mut queues.calls, calls);
        } else {
            queues.calls.append(calls);
        }
        for delivery in tasks.drain(..) {
            match delivery {
                Delivery::Job(job) => back.extend(queues.seats.push(job)),
                Delivery::Recall(key) => back.extend(queues.seats.recall(key)),
            }
        }
        // Under the lock: what comes after them in the same seat must not begin before (WK-27).
        give_back(core, back);
    }

    /// The task of a seat falls asleep, or wakes up.
    fn sleeps(&self, core: &Core, key: SeatKey, asleep: bool) {
        let mut queues = self.lock();
        let back = queues.seats.sleeps(key, asleep);
        give_back(core, back);
    }

    /// Queues what the node wants and wakes the executor.
    pub(crate) fn control(&self, core: &Core, control: Control) {
        self.lock().control.push_back(control);
        core.pump().wake();
    }

    /// Queues the end of the actor; the caller is the leader of the pump.
    pub(crate) fn end(&self, actor: ActorId) {
        self.lock().control.push_back(Control::End(actor));
    }

    /// Queues the end of the actor again if calls wait before it.
    fn put_off(&self, actor: ActorId) -> bool {
        let mut queues = self.lock();
        let calls = !queues.calls.is_empty();
        if calls {
            queues.control.push_back(Control::End(actor));
        }
        calls
    }

    /// Returns what comes next: of `batch`, or of the queues if that is empty; then it takes all calls.
    fn next(&self, has_actor: bool, batch: &mut VecDeque<CallJob>) -> Option<Job> {
        if let Some(call) = batch.pop_front() {
            return Some(Job::Call(call));
        }
        let mut queues = self.lock();
        let ending = matches!(queues.control.front(), Some(Control::End(_)));
        if has_actor && (ending || queues.control.is_empty()) {
            std::mem::swap(&mut queues.calls, batch);
            if let Some(call) = batch.pop_front() {
                return Some(Job::Call(call));
            }
        }
        match queues.control.pop_front() {
            Some(control) => Some(Job::Control(control)),
            None => match queues.seats.next_main() {
                Next::Job(job, gave_back) => Some(Job::Task(job, gave_back)),
                Next::Ended(seat) => Some(Job::Ended(seat)),
                Next::Nothing | Next::Over => None,
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The actor of this process.
struct Running {
    id: ActorId,
    class: &'static ActorClass,
    state: Box<dyn Any>,
    scope: Rc<Scope>,
}

/// Runs whatever comes until the process ends.
pub(crate) fn run(core: &Arc<Core>) -> ! {
    let mut actor: Option<Running> = None;
    let mut writer = ReturnWriter::default();
    let mut last_caller: Option<Arc<Peer>> = None;
    let mut batch = VecDeque::new();
    let mut seat: Option<Seated> = None;
    loop {
        let mut job = core.executor().next(actor.is_some(), &mut batch);
        if job.is_none() {
            let has_actor = actor.is_some();
            let wait = Wait { deadline: None, ticking: false, before_sleep: &mut || {} };
            pump::wait_until(core, wait, || {
                job = core.executor().next(has_actor, &mut batch);
                job.is_some()
            });
        }
        match job {
            Some(Job::Call(call)) => match &mut actor {
                Some(running) if running.id == call.actor => {
                    run_call(core, running, call, &mut writer, &mut last_caller);
                }
                _ => {
                    let error = Error::not_found(format!("actor {} does not live in this process", call.actor));
                    answer_error(core, call.from, call.call, &error);
                }
            },
            Some(Job::Control(Control::Start { spec, granted, args })) => {
                actor = Some(start(core, &spec, granted, args));
            }
            Some(Job::Task(task, gave_back)) => {
                let seat = match &mut seat {
                    Some(seat) if seat.key == task.seat => seat,
                    other => other.insert(Seated::new(core, &task)),
                };
                seat.run(core, &task, gave_back);
            }
            Some(Job::Ended(key)) => seated::tell_end(core, key),
            Some(Job::Control(Control::Run(task))) => run_task(core, task),
            Some(Job::Control(Control::End(id))) => {
                // What arrived since is run first.
                pump::turn(core);
                if core.executor().put_off(id) {
                    continue;
                }
                if let Some(Running { state, .. }) = actor.take() {
                    // A destructor that panics has been reported by the hook.
                    let _ = panics::catch(|| drop(state));
                }
                end_actor(core, id, false);
            }
            Some(Job::Control(Control::Retire)) => {
                farewell(core);
                sys::exit_now(0)
            }
            None => {}
        }
    }
}

/// Runs a constructor; a failure ends the process.
fn start(core: &Arc<Core>, spec: &ActorSpec, granted: Granted, args: Result<Received>) -> Running {
    let made = core.registry().class(&spec.class).map_err(CallError::passed_on).and_then(|class| {
        // Handles that it makes of itself have its limit, wherever they go.
        match <[u8; 4]>::try_from(spec.options.as_slice()).map(u32::from_le_bytes) {
            Ok(0) | Err(_) => {}
            Ok(limit) => core.route(spec.actor, class.name, false).set_limit(limit),
        }
        let scope = Rc::new(Scope {
            core: core.clone(),
            actor: Some((spec.actor, class)),
            task: std::cell::Cell::new(None),
            lends: None,
            seat: None,
            depth: std::cell::Cell::new(0),
            granted,
        });
        context::enter(Some(scope.clone()));
        let args = args.map_err(CallError::passed_on)?;
        let state = args
            .with(|bytes| panics::catch(|| (class.new)(&mut ArgReader::new(core.store(), bytes))))
            .map_err(CallError::passed_on)???;
        Ok(Running { id: spec.actor, class, state, scope })
    });
    match made {
        Ok(running) => {
            core.link().send(ToNode::ActorStarted { actor: spec.actor });
            running
        }
        Err(error) => {
            core.link().send(ToNode::ActorFailed { actor: spec.actor, message: error.into_message() });
            farewell(core);
            sys::exit_now(1)
        }
    }
}

/// Tells the node that the actor ends by itself, and leaves.
pub(crate) fn end_actor(core: &Core, actor: ActorId, exited: bool) -> ! {
    farewell(core);
    core.link().send(ToNode::ActorEnded { actor, exited });
    sys::exit_now(0)
}

/// Waits until what this process has said has been taken.
fn farewell(core: &Core) {
    let deadline = Instant::now() + FAREWELL;
    let wait = Wait { deadline: Some(deadline), ticking: true, before_sleep: &mut || {} };
    pump::wait_until(core, wait, || {
        core.flush_stalled();
        core.is_quiet()
    });
}

fn run_call(
    core: &Arc<Core>,
    running: &mut Running,
    job: CallJob,
    writer: &mut ReturnWriter,
    last_caller: &mut Option<Arc<Peer>>,
) {
    let peer = match last_caller {
        Some(peer) if peer.key() == job.from => peer,
        other => other.insert(core.peer(job.from)),
    };
    running.scope.depth.set(job.depth);
    running.scope.task.set(Some(task::call_task_id(job.nonce, job.call)));
    let class = running.class;
    let outcome = match (class.methods.get(usize::from(job.method)), &job.args) {
        (Some(method), Ok(args)) => {
            writer.clear();
            let state = &mut *running.state;
            let ran = args
                .with(|bytes| panics::catch(|| (method.call)(state, &mut ArgReader::new(core.store(), bytes), writer)));
            ran.map_err(CallError::passed_on)
                .flatten()
                .flatten()
                .map_err(|error| error.into_error(|| format!("{}::{}", class.name, method.name)))
        }
        (None, _) => Err(Error::not_found(format!("class {} has no method number {}", class.name, job.method))),
        (_, Err(error)) => Err(error.clone()),
    };
    running.scope.task.set(None);
    answer(core, peer, job.call, job.nonce, outcome, writer);
}

/// Runs a task on this thread and answers its caller.
fn run_task(core: &Arc<Core>, job: TaskJob) {
    let TaskJob { spec, granted, args } = job;
    let scope = Rc::new(Scope {
        core: core.clone(),
        actor: None,
        task: std::cell::Cell::new(Some(spec.task)),
        lends: Some(spec.task),
        seat: None,
        depth: std::cell::Cell::new(spec.depth + 1),
        granted,
    });
    let before = context::enter(Some(scope));
    let mut writer = ReturnWriter::default();
    let outcome = core.registry().function(&spec.function).and_then(|function| {
        let ran = args?
            .with(|bytes| panics::catch(|| (function.run)(&mut ArgReader::new(core.store(), bytes), &mut writer)))?;
        ran.flatten().map_err(|error| error.into_error(|| function.name.to_owned()))
    });
    context::enter(before);
    let caller = core.peer(spec.caller);
    answer(core, &caller, spec.call, task::nonce_of(spec.task), outcome, &mut writer);
    core.link().send(ToNode::TaskFinished(spec.task));
}

/// Runs a task on a thread of its own, beside the one that is blocked.
pub(crate) fn run_beside(core: &Arc<Core>, job: TaskJob) {
    let (task, caller, call) = (job.spec.task, job.spec.caller, job.spec.call);
    let for_task = core.clone();
    let started = std::thread::Builder::new().name("mobula-task".into()).spawn(move || {
        sys::unblock_signals();
        run_task(&for_task, job);
    });
    if let Err(error) = started {
        answer_error(core, caller, call, &Error::system(format!("cannot start a thread for a task: {error}")));
        core.link().send(ToNode::TaskFinished(task));
    }
}

fn answer_error(core: &Core, to: ClientKey, call: u64, error: &Error) {
    call::with_writer(|frame| {
        frame.failed(call, &error.to_bytes());
        core.answer(&core.peer(to), frame.bytes(), Vec::new());
    });
}

/// Sends the results of a call, small ones inside the frame, the others through the store.
///
/// False if the answer waits for room.
fn answer(
    core: &Core,
    to: &Arc<Peer>,
    call: u64,
    nonce: Nonce,
    outcome: Result<()>,
    values: &mut ReturnWriter,
) -> bool {
    call::with_writer(|frame| {
        let mut all_holds = Vec::new();
        let written = outcome.and_then(|()| {
            frame.done(call, values.len() as u8);
            let mut room = BODY_LIMIT;
            for index in 0..values.len() {
                let (bytes, holds) = values.take(index);
                let size = bytes.len() + 16 * holds.len();
                // Every value that follows needs room for an id at least.
                if bytes.len() <= INLINE_LIMIT && size + 32 * (values_left(index)) <= room {
                    frame.inline(bytes, holds.iter().map(mobula_store::ObjectHold::id));
                    all_holds.extend(holds);
                    room -= size;
                } else {
                    let id = frames::object_id(nonce, call, index as u8);
                    let hold = store_result(core, id, bytes, &holds)?;
                    frame.stored(hold.id());
                    all_holds.push(hold);
                    room -= 32;
                }
            }
            Ok(())
        });
        if let Err(error) = written {
            frame.failed(call, &error.to_bytes());
            all_holds.clear();
        }
        core.answer(to, frame.bytes(), all_holds)
    })
}

/// A call has at most eight results.
const fn values_left(index: usize) -> usize {
    8usize.saturating_sub(index)
}

/// Puts a result into the store under its ref's id, or another one if the caller has promised that
/// id to others already.
fn store_result(
    core: &Core,
    id: ObjectId,
    bytes: &[u8],
    holds: &[mobula_store::ObjectHold],
) -> Result<mobula_store::ObjectHold> {
    match value::store_bytes(core.store(), id, bytes, holds, TAG_VALUE, None) {
        Err(error) if error.is_exists() => {
            value::store_bytes(core.store(), ObjectId::random(), bytes, holds, TAG_VALUE, None)
        }
        other => other,
    }
    .map_err(|error| Error::from_store(&error, "the result of a call"))
}

/// Tells the node that the running task waits, until the guard is dropped; nothing for others.
pub(crate) struct Lending(Option<Rc<Scope>>);

impl Lending {
    pub(crate) fn none() -> Self {
        Lending(None)
    }

    /// Lends the CPUs of the running task.
    pub(crate) fn begin(&mut self) {
        if self.0.is_some() {
            return;
        }
        if let Some(scope) = context::scope()
            && let Some(lends) = scope.lends
        {
            if let Some(key) = scope.seat {
                // First what has not begun goes back: the caller may be waiting for it, and this task for the caller.
                scope.core.executor().sleeps(&scope.core, key, true);
            }
            scope.core.link().send(ToNode::Blocked(lends));
            self.0 = Some(scope);
        }
    }
}

impl Drop for Lending {
    fn drop(&mut self) {
        if let Some(scope) = self.0.take()
            && let Some(lends) = scope.lends
        {
            if let Some(key) = scope.seat {
                scope.core.executor().sleeps(&scope.core, key, false);
            }
            scope.core.link().send(ToNode::Unblocked(lends));
        }
    }
}

/// Joins the node as a worker and never returns.
pub(crate) fn become_worker(mark: mobula_scheduler::bootstrap::Mark) -> ! {
    // Under a test harness this is not the main thread: without it the process would live on.
    let _guard = sys::EndWithMe;
    let joined = (|| {
        let registry = crate::registry::registry()?;
        // What is done before `join` a template does for all its copies.
        pump::cpus();
        panics::install_hook();
        let welcome =
            mark.join().map_err(|error| Error::system(format!("cannot join the node: {}", describe(&error))))?;
        Core::join(welcome, None, registry)
    })();
    match joined {
        Ok(core) => run(&core),
        Err(error) => sys::exit_saying(format_args!("this worker process cannot start: {error}")),
    }
}

/// Writes an error with its sources, each once.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}
