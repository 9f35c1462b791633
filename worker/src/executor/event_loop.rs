//! The event loop: the calls of an actor that has `async` methods.
//!
//! ```text
//!   leader of the pump --calls--> groups --start--\
//!                                                  +--> driver: polls --> pending: waits for its waker
//!   wakers --------------------> woken -----------/        |
//!                                                          +--> done: answer
//! ```
//!
//! One thread at a time *drives* the loop: it waits in the pump, as the executor thread of any other worker does, starts
//! the calls that may start, and polls those that were woken. Methods that are not `async` run on it from their beginning
//! to their end.
//!
//! When what runs on the driver is about to block, in `get` or anything else that lends a task's CPUs, it hands the loop
//! over to another thread, and its call goes on beside the others when the wait is over. So blocking in an `async` method
//! costs a change of threads, and nobody waits in vain for a call of the same actor. The loop of a graph, which is a call
//! for as long as the graph lives, begins by handing over.
//!
//! - **WK-74** One thread drives, or one is on its way to: who hands over has woken or started it.
//! - **WK-75** A call is polled by one thread at a time, and after each of its wake-ups at least once (`state.rs`).
//! - **WK-76** The value is shared: no method of such a class has `&mut self`. It is dropped on the thread that made it, when
//!   no call runs and so no future has it.
//! - **WK-77** A call that is cancelled is woken, and its future dropped instead of polled.

mod coroutine;
mod state;

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use mobula_scheduler::ids::ActorId;
use mobula_scheduler::protocol::Granted;

use self::coroutine::{Coroutine, Finished, Polled, Start};
use super::answers::answer_error;
use super::desk::Desk;
use super::ending::{Ending, farewell};
use super::groups::{DEFAULT, Groups, Place};
use super::{CallJob, Control, Queues, not_here};
use crate::arg::ArgReader;
use crate::asynchrony;
use crate::cancel::Run as Running;
use crate::concurrency;
use crate::context::{self, Scope};
use crate::core::Core;
use crate::definition::{ActorClass, Run, SharedState};
use crate::graph;
use crate::outbox::Peer;
use crate::panics::CallError;
use crate::pump::{self, Wait};
use crate::returns::ReturnWriter;
use crate::sys;
use crate::traits::WorkerTraits;

/// How many writers a thread keeps for its next calls, and how many of what says what runs.
const SPARE_WRITERS: usize = 64;
const SPARE_RUNNING: usize = 1024;

/// An actor's value, as the futures of its calls have it.
pub(super) type Value = Arc<dyn std::any::Any + Send + Sync>;

thread_local! {
    /// This thread drives the loop of its actor.
    static DRIVES: Cell<bool> = const { Cell::new(false) };
}

/// An actor with an event loop.
pub(super) struct Actor {
    core: Arc<Core>,
    id: ActorId,
    class: &'static ActorClass,
    granted: Granted,
    /// `None` once it has been dropped.
    value: Mutex<Option<Value>>,
    ending: Ending,
}

/// What the threads share under the executor's lock.
pub(super) struct EventLoop {
    actor: Arc<Actor>,
    groups: Groups<CallJob>,
    /// The group of each method.
    methods: Vec<usize>,
    /// Calls that are to be polled.
    woken: VecDeque<Arc<Coroutine>>,
    /// The last step was one of those, so a call that may start is next.
    starts_next: bool,
    /// Calls that have waited and are not done, for those who cancel them.
    kept: Vec<Option<Arc<Coroutine>>>,
    free: Vec<usize>,
    driven: bool,
    asleep: u32,
    /// A call has called `exit_actor`.
    leaving: bool,
}

/// What a thread does next.
enum Next {
    Start(CallJob, Place),
    Poll(Arc<Coroutine>),
    /// The first thread ends the actor.
    End {
        exited: bool,
    },
    Retire,
}

/// A call that is done.
struct Done {
    place: Place,
    /// False if it has called `exit_actor`.
    stays: bool,
}

impl Actor {
    pub(super) fn new(
        core: &Arc<Core>,
        (id, class): (ActorId, &'static ActorClass),
        granted: Granted,
        value: SharedState,
        traits: &WorkerTraits,
    ) -> Arc<Self> {
        let ending = Ending { actor: id, class, exited: false, within: traits.shutdown_timeout };
        Arc::new(Actor { core: core.clone(), id, class, granted, value: Mutex::new(Some(Arc::from(value))), ending })
    }

    fn value(&self) -> Result<Value, CallError> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(CallError::wrong_state)
    }

    /// Runs a method to its end on this thread.
    fn invoke(&self, run: &Run, args: &mut ArgReader<'_>, out: &mut ReturnWriter) -> Result<(), CallError> {
        match run {
            Run::Shared(run) => run(&*self.value()?, args, out),
            Run::Async(make) => {
                // In a graph: its loop is on a thread of its own.
                let (values, done) = asynchrony::block_on(make(self.value()?, args, std::mem::take(out))?);
                *out = values;
                done
            }
            Run::Exclusive(_) => Err(CallError::wrong_state()),
        }
    }

    fn name_of(&self, method: &str) -> String {
        format!("{}::{method}", self.class.name)
    }

    fn ending(&self, exited: bool) -> Ending {
        Ending { exited, ..self.ending }
    }
}

impl EventLoop {
    fn new(actor: Arc<Actor>, traits: &WorkerTraits) -> Self {
        let groups = Groups::new(traits.max_concurrency.max(1), &traits.groups);
        let group = |name: Option<&str>| name.and_then(|name| groups.find(name)).unwrap_or(DEFAULT);
        let methods = actor.class.methods.iter().map(|method| group(method.concurrency_group)).collect();
        EventLoop {
            actor,
            groups,
            methods,
            woken: VecDeque::new(),
            starts_next: false,
            kept: Vec::new(),
            free: Vec::new(),
            driven: false,
            asleep: 0,
            leaving: false,
        }
    }

    /// Queues calls that have arrived.
    pub(super) fn admit(&mut self, core: &Core, calls: &mut VecDeque<CallJob>) {
        for job in calls.drain(..) {
            let index = usize::from(job.method);
            let group = match job.group.as_deref() {
                None if job.method == graph::NUMBER => Some(self.groups.apart()),
                None => Some(self.methods.get(index).copied().unwrap_or(DEFAULT)),
                Some(name) => self.groups.find(name),
            };
            if job.actor != self.actor.id {
                answer_error(core, job.from, job.call, &not_here(job.actor));
            } else if let Some(group) = group {
                self.groups.add(group, false, job);
            } else {
                let error = concurrency::call_without_group(self.actor.class, &job, self.groups.names());
                answer_error(core, job.from, job.call, &error);
            }
        }
    }

    /// Has a thread drive the loop that this one drives no longer; false if there is none.
    fn hand_over(&mut self, idle: &Condvar) -> bool {
        self.driven = false;
        if self.asleep > 0 {
            idle.notify_one();
            return true;
        }
        let actor = self.actor.clone();
        let started = std::thread::Builder::new().name("mobula-actor".into()).spawn(move || {
            let _guard = sys::EndWithMe;
            sys::unblock_signals();
            let scope = Rc::new(Scope::of_actor(&actor.core, (actor.id, actor.class), actor.granted.clone()));
            context::enter(Some(scope.clone()));
            attend(&actor, Desk::new(actor.class, scope, false), false)
        });
        if let Err(error) = &started {
            tracing::error!(%error, "no thread for an actor's other calls: they wait for the one that blocks");
            self.driven = true;
        }
        started.is_ok()
    }

    /// Has a call that waits be found; returns where it is kept.
    fn keep(&mut self, call: Arc<Coroutine>) -> usize {
        match self.free.pop() {
            Some(index) => {
                self.kept[index] = Some(call);
                index
            }
            None => {
                self.kept.push(Some(call));
                self.kept.len() - 1
            }
        }
    }

    fn forget(&mut self, index: usize) {
        self.kept[index] = None;
        self.free.push(index);
    }

    /// Queues a call that was woken.
    fn wake(&mut self, call: Arc<Coroutine>) {
        self.woken.push_back(call);
    }

    /// True if nothing is left to do but what the first thread does at the end.
    fn is_over(&self, control: &VecDeque<Control>) -> bool {
        match self.leaving {
            true => self.groups.running() == 0,
            false => !control.is_empty() && self.groups.is_empty(),
        }
    }
}

impl Queues {
    /// Returns what comes next for the thread that drives; the end is the first one's.
    fn next_of_loop(&mut self, first: bool) -> Option<Next> {
        let event_loop = self.event_loop.as_mut()?;
        let may_start = !event_loop.leaving && event_loop.groups.may_start();
        if (!may_start || !event_loop.starts_next)
            && let Some(call) = event_loop.woken.pop_front()
        {
            event_loop.starts_next = true;
            return Some(Next::Poll(call));
        }
        event_loop.starts_next = false;
        if may_start && let Some((job, place)) = event_loop.groups.start() {
            return Some(Next::Start(job, place));
        }
        if first { self.end_of_loop() } else { None }
    }

    fn end_of_loop(&mut self) -> Option<Next> {
        let event_loop = self.event_loop.as_ref()?;
        if !event_loop.is_over(&self.control) {
            return None;
        }
        if event_loop.leaving {
            return Some(Next::End { exited: true });
        }
        match self.control.pop_front()? {
            Control::Retire => Some(Next::Retire),
            _ => Some(Next::End { exited: false }),
        }
    }

    fn loop_is_over(&self) -> bool {
        self.event_loop.as_ref().is_some_and(|event_loop| event_loop.is_over(&self.control))
    }
}

impl super::Executor {
    /// Changes what the threads of the loop share, if there is one.
    fn of_loop<R>(&self, change: impl FnOnce(&mut EventLoop) -> R) -> Option<R> {
        self.lock().event_loop.as_mut().map(change)
    }

    /// Drops the futures of calls that were cancelled while they ran.
    pub(crate) fn cancel_in_loop(&self, keys: impl Iterator<Item = u64>) {
        let calls = self.of_loop(|event_loop| {
            let kept = event_loop.kept.iter().flatten();
            let keys: Vec<_> = keys.collect();
            kept.filter(|call| keys.contains(&call.key())).cloned().collect::<Vec<_>>()
        });
        for call in calls.into_iter().flatten() {
            call.wake();
        }
    }
}

/// Has another thread drive the loop if this one does: it is about to block.
pub(super) fn hand_over() {
    if DRIVES.try_with(Cell::get) != Ok(true) {
        return;
    }
    if let Some(scope) = context::scope() {
        let executor = scope.core.executor();
        let handed = executor.of_loop(|event_loop| event_loop.hand_over(&executor.idle));
        set_drives(handed == Some(false));
    }
}

fn drives() -> bool {
    DRIVES.try_with(Cell::get).unwrap_or(false)
}

fn set_drives(drives: bool) {
    let _ = DRIVES.try_with(|slot| slot.set(drives));
}

/// Runs the actor's calls until it ends; this thread has made it.
pub(super) fn run(actor: &Arc<Actor>, desk: Desk, traits: &WorkerTraits) -> ! {
    let mut event_loop = EventLoop::new(actor.clone(), traits);
    {
        let mut queues = actor.core.executor().lock();
        event_loop.admit(&actor.core, &mut queues.calls);
        queues.event_loop = Some(event_loop);
    }
    attend(actor, desk, true)
}

/// What a thread has to run calls with.
struct Thread<'a> {
    actor: &'a Arc<Actor>,
    desk: Desk,
    writers: Vec<ReturnWriter>,
    running: Vec<Arc<Running>>,
    last_caller: Option<Arc<Peer>>,
}

/// Runs calls until the process ends.
fn attend(actor: &Arc<Actor>, desk: Desk, first: bool) -> ! {
    let core = &actor.core;
    let mut thread = Thread { actor, desk, writers: Vec::new(), running: Vec::new(), last_caller: None };
    let mut done = None;
    loop {
        match next(actor, first, done.take()) {
            Next::Start(job, place) => done = thread.start(job, place),
            Next::Poll(call) => done = thread.poll(&call),
            Next::End { exited } => {
                if !exited && calls_have_come(actor) {
                    continue;
                }
                let value = actor.value.lock().unwrap_or_else(PoisonError::into_inner).take();
                actor.ending(exited).run(core, value)
            }
            Next::Retire => {
                farewell(core);
                sys::exit_now(0)
            }
        }
    }
}

impl Thread<'_> {
    /// Starts a call; what comes back is done.
    fn start(&mut self, job: CallJob, place: Place) -> Option<Done> {
        let core = &self.actor.core;
        let method = self.actor.class.methods.get(usize::from(job.method));
        let Some((method, Run::Async(make))) = method.map(|method| (method, method.run)) else {
            if job.method == graph::NUMBER {
                hand_over();
            }
            let stays = self.desk.run(core, job, |run, args, out| self.actor.invoke(run, args, out));
            // It was this call that did, and no other that this thread goes on with.
            self.desk.scope().exiting.set(false);
            return Some(Done { place, stays });
        };
        let caller = match &self.last_caller {
            Some(peer) if peer.key() == job.from => peer,
            _ => self.last_caller.insert(core.peer(job.from)),
        };
        let mut writer = self.writers.pop().unwrap_or_default();
        writer.clear();
        let start = Start {
            method: method.name,
            make,
            job,
            caller: caller.clone(),
            place,
            running: self.running.pop().unwrap_or_else(|| core.cancels().register()),
            writer,
            scope: self.desk.scope(),
        };
        let call = Coroutine::begin(self.actor, start);
        self.poll(&call)
    }

    /// Polls a call; what comes back is done.
    fn poll(&mut self, call: &Arc<Coroutine>) -> Option<Done> {
        let core = &self.actor.core;
        match call.poll(self.desk.scope()) {
            Polled::Pending => None,
            Polled::Again => {
                core.executor().of_loop(|event_loop| event_loop.wake(call.clone()));
                None
            }
            Polled::Done(Finished { place, writer, running, index, stays }) => {
                if self.writers.len() < SPARE_WRITERS {
                    self.writers.push(writer);
                }
                if self.running.len() < SPARE_RUNNING {
                    self.running.push(running);
                }
                if let Some(index) = index {
                    core.executor().of_loop(|event_loop| event_loop.forget(index));
                }
                Some(Done { place, stays })
            }
        }
    }
}

/// Looks once more for calls before the actor ends (WK-22); if there are some the end is put off.
fn calls_have_come(actor: &Actor) -> bool {
    pump::turn(&actor.core);
    let mut queues = actor.core.executor().lock();
    let come = queues.event_loop.as_ref().is_some_and(|event_loop| !event_loop.groups.is_empty());
    if come {
        queues.control.push_back(Control::End(actor.id));
    }
    come
}

/// Waits for what a thread does next, after `done`.
fn next(actor: &Actor, first: bool, done: Option<Done>) -> Next {
    let core = &actor.core;
    let executor = core.executor();
    let mut queues = executor.lock();
    if let (Some(Done { place, stays }), Some(event_loop)) = (done, &mut queues.event_loop) {
        event_loop.groups.end(place);
        event_loop.leaving |= !stays;
        if !stays && event_loop.groups.running() > 0 {
            // The others may take their time, but not for ever.
            actor.ending(true).tell(core, actor.ending.within);
        }
        // Whoever drives, and wherever the first thread is: a place is free, or all is over.
        if !drives() {
            core.pump().wake();
        }
        if queues.loop_is_over() {
            executor.idle.notify_all();
        }
    }
    loop {
        if !drives() {
            if first && let Some(end) = queues.end_of_loop() {
                return end;
            }
            let over = queues.loop_is_over();
            match &mut queues.event_loop {
                Some(event_loop) if !event_loop.driven && !over => {
                    event_loop.driven = true;
                    set_drives(true);
                }
                _ => {
                    queues = sleep(&executor.idle, queues);
                    continue;
                }
            }
        }
        if let Some(next) = queues.next_of_loop(first) {
            return next;
        }
        drop(queues);
        let mut found = None;
        let mut over = false;
        let wait = Wait { deadline: None, ticking: false, before_sleep: &mut || {} };
        pump::wait_until(core, wait, || {
            let mut queues = executor.lock();
            found = queues.next_of_loop(first);
            over = !first && queues.loop_is_over();
            found.is_some() || over
        });
        if let Some(next) = found {
            return next;
        }
        queues = executor.lock();
        if over && let Some(event_loop) = &mut queues.event_loop {
            // The end is the first thread's; if it is put off that one drives.
            event_loop.driven = false;
            set_drives(false);
            executor.idle.notify_all();
        }
    }
}

/// Sleeps until there may be something to do.
fn sleep<'a>(idle: &Condvar, mut queues: MutexGuard<'a, Queues>) -> MutexGuard<'a, Queues> {
    let count = |queues: &mut Queues, by: i32| {
        if let Some(event_loop) = &mut queues.event_loop {
            event_loop.asleep = event_loop.asleep.saturating_add_signed(by);
        }
    };
    count(&mut queues, 1);
    let mut queues = idle.wait(queues).unwrap_or_else(PoisonError::into_inner);
    count(&mut queues, -1);
    queues
}
