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
//! An actor with `max_concurrency` above 1 or with groups has a crew (`crew.rs`), of which the executor thread is the
//! first; whatever runs, each call runs at a desk (`desk.rs`), and the actor ends in `ending.rs`.
//!
//! - **WK-20** Calls wait until the constructor has run; then they run in the order of arrival.
//! - **WK-21** An actor is made and dropped on the executor thread, and, unless it has a crew, called there.
//! - **WK-22** `EndActor` takes effect only when no call is queued and the rings are empty.
//! - **WK-61** A call of an actor that may be restarted begins when all answers before it have left towards its caller: of
//!   the calls without an answer only the first one may have begun (attempts.rs).
//! - **WK-23** A worker that ends in good order leaves when everything it said has been taken, or
//!   after a while.

mod answers;
mod crew;
mod desk;
mod ending;
#[cfg(feature = "async")]
mod event_loop;
mod groups;
mod lending;
mod seated;

use std::any::Any;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mobula_scheduler::ids::ActorId;
use mobula_scheduler::protocol::{ActorSpec, Granted, TaskSpec, ToNode};
use mobula_store::ClientKey;

use crate::arg::ArgReader;
use crate::context::{self, Scope};
use crate::core::{Core, Kind};
use crate::definition::{ActorClass, Run, SharedState};
use crate::error::{Error, Result};
use crate::frames::Nonce;
use crate::outbox::Peer;
use crate::panics::{self, CallError};
use crate::payload::Received;
use crate::pump::{self, Wait};
use crate::returns::ReturnWriter;
use crate::seats::{Delivery, LeasedJob, Next, SeatKey, Seats};
use crate::stream::Outlet;
use crate::traits::{ActorTraits, WorkerTraits};
use crate::worn::Runs;
use crate::{concurrency, debugging, sys, task};

use self::answers::{answer, answer_error};
use self::crew::{Crew, Shared};
use self::desk::Desk;
pub(crate) use self::ending::Leaving;
pub use self::ending::exit_actor;
use self::ending::{Ending, farewell};
#[cfg(feature = "async")]
use self::event_loop::EventLoop;
#[cfg(feature = "async")]
pub(crate) use self::lending::Loan;
pub(crate) use self::lending::{Lending, Lent};
use self::seated::{Seated, give_back};
pub(crate) use self::seated::{begin_lease, end_lease};

/// A call that has arrived.
pub(crate) struct CallJob {
    pub(crate) from: ClientKey,
    pub(crate) call: u64,
    pub(crate) nonce: Nonce,
    pub(crate) actor: ActorId,
    pub(crate) method: u16,
    pub(crate) depth: u32,
    /// The group that it asks for.
    pub(crate) group: Option<Box<str>>,
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
    runs: Runs,
    /// Where idle threads of a crew sleep.
    idle: Condvar,
}

#[derive(Default)]
struct Queues {
    control: VecDeque<Control>,
    /// Calls for an actor without a crew.
    calls: VecDeque<CallJob>,
    seats: Seats,
    crew: Option<Crew>,
    #[cfg(feature = "async")]
    event_loop: Option<EventLoop>,
}

impl Queues {
    /// Queues calls for the actor's event loop; false if it has none.
    fn admit_to_loop(&mut self, core: &Core, calls: &mut VecDeque<CallJob>) -> bool {
        #[cfg(feature = "async")]
        if let Some(event_loop) = &mut self.event_loop {
            event_loop.admit(core, calls);
            return true;
        }
        let _ = (core, calls);
        false
    }
}

/// See [`Executor::freeze`].
pub(crate) struct Frozen<'a> {
    _queues: MutexGuard<'a, Queues>,
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
        if let Some(crew) = &mut queues.crew {
            crew.admit(core, calls);
            // The leader tells the lookout.
            crew.call_up(&self.idle, true);
        } else if !queues.admit_to_loop(core, calls) {
            if queues.calls.is_empty() {
                std::mem::swap(&mut queues.calls, calls);
            } else {
                queues.calls.append(calls);
            }
        }
        for delivery in tasks.drain(..) {
            match delivery {
                Delivery::Job(job) => back.extend(queues.seats.push(job)),
                Delivery::Recall(key) => back.extend(queues.seats.recall(key)),
            }
        }
        if queues.seats.is_closed() {
            seated::tell_closed(core, &back);
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

    pub(crate) fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Has no further leased task begin here: all that wait go back, after their callers have heard why.
    pub(crate) fn close(&self, core: &Core, seat: SeatKey, caller: &Arc<Peer>) {
        let mut queues = self.lock();
        let back = queues.seats.close();
        seated::say_closed(core, caller, seat);
        seated::tell_closed(core, &back);
        give_back(core, back);
    }

    /// Keeps every leased task from beginning as long as the guard lives.
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        Frozen { _queues: self.lock() }
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

    /// True if the actor is to end as soon as its calls have run.
    pub(crate) fn is_ending(&self, actor: ActorId) -> bool {
        self.lock().control.iter().any(|control| matches!(control, Control::End(id) if *id == actor))
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

/// An actor of this process without a crew.
struct Running {
    id: ActorId,
    class: &'static ActorClass,
    state: Box<dyn Any>,
    desk: Desk,
    shutdown_timeout: Duration,
}

impl Running {
    /// Runs a call; false if the actor is to end.
    fn call(&mut self, core: &Arc<Core>, job: CallJob) -> bool {
        if job.group.is_some() {
            let error = concurrency::call_without_group(self.class, &job, std::iter::empty());
            answer_error(core, job.from, job.call, &error);
            return true;
        }
        let state = &mut *self.state;
        self.desk.run(core, job, |run, args, out| match run {
            Run::Shared(run) => run(state, args, out),
            Run::Exclusive(run) => run(state, args, out),
            #[cfg(feature = "async")]
            Run::Async(_) => Err(CallError::wrong_state()),
        })
    }

    fn end(self, core: &Core, exited: bool) -> ! {
        let ending = Ending { actor: self.id, class: self.class, exited, within: self.shutdown_timeout };
        ending.run(core, self.state)
    }
}

/// Runs whatever comes until the process ends.
pub(crate) fn run(core: &Arc<Core>) -> ! {
    let mut actor: Option<Running> = None;
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
                    if !running.call(core, call)
                        && let Some(running) = actor.take()
                    {
                        running.end(core, true);
                    }
                }
                _ => answer_error(core, call.from, call.call, &not_here(call.actor)),
            },
            Some(Job::Control(Control::Start { spec, granted, args })) => {
                actor = Some(start(core, &spec, granted, args));
            }
            Some(Job::Task(task, gave_back)) => {
                let seat = match &mut seat {
                    Some(seat) if seat.key == task.seat => seat,
                    other => {
                        let seated = other.insert(Seated::new(core, &task));
                        core.duty().take(seated.granted());
                        seated
                    }
                };
                seat.run(core, &task, gave_back);
            }
            Some(Job::Ended(key)) => seated::tell_end(core, key),
            Some(Job::Control(Control::Run(task))) => {
                core.duty().take(&task.granted);
                run_task(core, task);
            }
            Some(Job::Control(Control::End(id))) => {
                // What arrived since is run first.
                pump::turn(core);
                if core.executor().put_off(id) {
                    continue;
                }
                if let Some(running) = actor.take() {
                    running.end(core, false);
                }
            }
            Some(Job::Control(Control::Retire)) => {
                farewell(core);
                sys::exit_now(0)
            }
            None => {}
        }
    }
}

/// The value that a constructor has made.
enum Made {
    Alone(Box<dyn Any>),
    Shared(SharedState),
    /// Of a class with `async` methods.
    #[cfg(feature = "async")]
    Awaited(SharedState),
}

/// Runs a constructor; a failure ends the process. Comes back if the actor has no crew.
fn start(core: &Arc<Core>, spec: &ActorSpec, granted: Granted, args: Result<Received>) -> Running {
    let traits = WorkerTraits::from_options(&spec.options);
    let made = core.registry().class(&spec.class).map_err(CallError::passed_on).and_then(|class| {
        let restarts = spec.max_restarts != 0;
        // Handles that it makes of itself have its traits, wherever they go.
        let own = ActorTraits::from_options(&spec.options);
        if own != ActorTraits::default() {
            core.route(spec.actor, class.name, false).set_traits(own);
        }
        let scope = Rc::new(Scope::of_actor(core, (spec.actor, class), granted.clone()));
        core.duty().take(&granted);
        debugging::wait_if_wanted(core, spec.actor, class.name);
        context::enter(Some(scope.clone()));
        let args = args.map_err(CallError::passed_on)?;
        let state = args
            .with(|bytes| panics::catch(|| (class.new)(&mut ArgReader::new(core.store(), bytes))))
            .map_err(CallError::passed_on)
            .flatten()
            .flatten();
        if scope.exiting.get() {
            let ending = Ending { actor: spec.actor, class, exited: true, within: traits.shutdown_timeout };
            ending.run(core, state);
        }
        let made = match class.share {
            #[cfg(feature = "async")]
            Some(share) if class.is_async() => share(state?).map(Made::Awaited),
            Some(share) if traits.is_concurrent() => share(state?).map(Made::Shared),
            _ => Some(Made::Alone(state?)),
        };
        Ok((
            made.ok_or_else(CallError::wrong_state)?,
            Desk::new(class, scope, restarts && !traits.is_concurrent()),
            class,
        ))
    });
    let (made, desk, class) = match made {
        Ok(made) => made,
        Err(error) => {
            core.link().send(ToNode::ActorFailed { actor: spec.actor, message: error.into_message() });
            farewell(core);
            sys::exit_now(1)
        }
    };
    core.link().send(ToNode::ActorStarted { actor: spec.actor });
    match made {
        Made::Alone(state) => Running { id: spec.actor, class, state, desk, shutdown_timeout: traits.shutdown_timeout },
        Made::Shared(value) => {
            let shared = Shared::new(core, (spec.actor, class), granted, value, &traits);
            crew::run(&shared, desk, &traits)
        }
        #[cfg(feature = "async")]
        Made::Awaited(value) => {
            let actor = event_loop::Actor::new(core, (spec.actor, class), granted, value, &traits);
            event_loop::run(&actor, desk, &traits)
        }
    }
}

/// The error of a call for an actor that this process does not have.
fn not_here(actor: ActorId) -> Error {
    Error::not_found(format!("actor {actor} does not live in this process"))
}

/// Runs a task on this thread and answers its caller.
fn run_task(core: &Arc<Core>, job: TaskJob) {
    let TaskJob { spec, granted, args } = job;
    let scope = Rc::new(Scope {
        task: std::cell::Cell::new(Some(spec.task)),
        lends: Some(spec.task),
        depth: std::cell::Cell::new(spec.depth + 1),
        ..Scope::of_task(core, granted)
    });
    let wanted = scope.begin(spec.task);
    let before = context::enter(Some(scope.clone()));
    let mut writer = ReturnWriter::for_tasks();
    let outcome = core.registry().function(&spec.function).and_then(|function| {
        if !wanted {
            return Err(unwanted());
        }
        if function.streams {
            let caller = core.peer(spec.caller);
            writer.open(Outlet::new(core, &caller, task::nonce_of(spec.task), spec.call, function.name.to_owned()));
        }
        let ran = args?
            .with(|bytes| panics::catch(|| (function.run)(&mut ArgReader::new(core.store(), bytes), &mut writer)))?;
        ran.flatten().map_err(|error| error.into_error(|| function.name.to_owned()))
    });
    context::enter(before);
    scope.end();
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

/// The answer of a call that was cancelled before it began.
fn unwanted() -> Error {
    Error::cancelled("it was cancelled before it began")
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
        Core::join(Kind::Worker, welcome, None, registry)
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
