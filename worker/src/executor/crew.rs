//! The crew: the threads of an actor whose calls run beside each other.
//!
//! ```text
//!   leader of the pump --calls--> groups --start--> thread of the crew --> answer
//!                                                     ^        |
//!                       lookout: waits in the pump ---+        +--> next call, or idle
//!                       others: asleep on `idle`
//! ```
//!
//! The first thread is the one that has made the actor's value, and drops it. More are started one by one, by whoever
//! sees a call that may start and no idle thread, up to the sum of the groups' limits; none ends before the process.
//!
//! One idle thread at a time is the *lookout*: it waits in the pump, as the executor thread of any other worker does, so
//! that it takes calls out of the rings itself. When it has found one it posts the next lookout, if an idle thread
//! sleeps, since otherwise what comes meanwhile waits for the service thread. For a method whose last call was over
//! in less than a wake-up takes ([`BRIEF`]) it does not: it will be back itself.
//!
//! - **WK-43** Whoever starts a call has somebody look for the next one that may start: a thread that is woken or
//!   started for a call and finds another one leaves none behind.
//! - **WK-44** If all threads are idle one of them is the lookout.
//! - **WK-45** The value is used under its lock only, shared or alone as the method says. Calls never wait for the lock of each
//!   other, since [`Groups`] lets no other call start; only the loop of a graph, which runs apart, and calls do.
//! - **WK-46** After `exit_actor` no call starts. Those that run are run to their end, within `shutdown_timeout`, which
//!   the node keeps; then the first thread drops the value.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Condvar, PoisonError, RwLock};
use std::time::{Duration, Instant};

use mobula_scheduler::ids::ActorId;
use mobula_scheduler::protocol::Granted;

use super::answers::answer_error;
use super::desk::Desk;
use super::ending::{Ending, farewell};
use super::groups::{DEFAULT, Groups, Place};
use super::{CallJob, Control, Queues, not_here};
use crate::arg::ArgReader;
use crate::concurrency;
use crate::context::{self, Scope};
use crate::core::Core;
use crate::definition::{ActorClass, Run, SharedState};
use crate::graph;
use crate::panics::CallError;
use crate::pump::{self, Wait};
use crate::returns::ReturnWriter;
use crate::sys;
use crate::traits::WorkerTraits;

/// What takes less is over before another thread is awake.
const BRIEF: Duration = Duration::from_micros(20);

/// An actor whose calls run beside each other.
pub(super) struct Shared {
    pub(super) core: Arc<Core>,
    pub(super) actor: ActorId,
    pub(super) class: &'static ActorClass,
    pub(super) granted: Granted,
    /// `None` once it has been dropped.
    value: RwLock<Option<SharedState>>,
    shutdown_timeout: Duration,
}

/// What the threads share under the executor's lock.
pub(super) struct Crew {
    shared: Arc<Shared>,
    groups: Groups<CallJob>,
    /// The group of each method, and whether its last call was brief.
    methods: Vec<(usize, bool)>,
    threads: u32,
    most: u32,
    asleep: u32,
    /// A thread has been woken or started, and has not looked yet.
    coming: bool,
    /// An idle thread waits in the pump.
    lookout: bool,
    /// A call has called `exit_actor`.
    leaving: bool,
}

/// What a thread does next.
enum Next {
    Call(CallJob, Place),
    /// The first thread ends the actor.
    End {
        exited: bool,
    },
    Retire,
}

/// A call that a thread has run.
struct Done {
    place: Place,
    method: u16,
    brief: bool,
    /// False if it has called `exit_actor`.
    stays: bool,
}

impl Shared {
    pub(super) fn new(
        core: &Arc<Core>,
        (actor, class): (ActorId, &'static ActorClass),
        granted: Granted,
        value: SharedState,
        traits: &WorkerTraits,
    ) -> Arc<Self> {
        let value = RwLock::new(Some(value));
        let shutdown_timeout = traits.shutdown_timeout;
        Arc::new(Shared { core: core.clone(), actor, class, granted, value, shutdown_timeout })
    }

    /// Runs a method on the value. A call that panics leaves the value as it is, as with any other actor.
    fn invoke(&self, run: &Run, args: &mut ArgReader<'_>, out: &mut ReturnWriter) -> Result<(), CallError> {
        match run {
            Run::Shared(run) => match &*self.value.read().unwrap_or_else(PoisonError::into_inner) {
                Some(value) => run(&**value, args, out),
                None => Err(CallError::wrong_state()),
            },
            Run::Exclusive(run) => match &mut *self.value.write().unwrap_or_else(PoisonError::into_inner) {
                Some(value) => run(&mut **value, args, out),
                None => Err(CallError::wrong_state()),
            },
            #[cfg(feature = "async")]
            Run::Async(_) => Err(CallError::wrong_state()),
        }
    }

    fn ending(&self, exited: bool) -> Ending {
        Ending { actor: self.actor, class: self.class, exited, within: self.shutdown_timeout }
    }
}

impl Crew {
    fn new(shared: Arc<Shared>, traits: &WorkerTraits) -> Self {
        let groups = Groups::new(traits.max_concurrency.max(1), &traits.groups);
        let group = |name: Option<&str>| name.and_then(|name| groups.find(name)).unwrap_or(DEFAULT);
        let methods = shared.class.methods.iter().map(|method| (group(method.concurrency_group), false)).collect();
        let most = groups.most();
        Crew { shared, groups, methods, threads: 1, most, asleep: 0, coming: false, lookout: false, leaving: false }
    }

    /// Queues calls that have arrived.
    pub(super) fn admit(&mut self, core: &Core, calls: &mut VecDeque<CallJob>) {
        for job in calls.drain(..) {
            let class = self.shared.class;
            let index = usize::from(job.method);
            let group = match job.group.as_deref() {
                None if job.method == graph::NUMBER => Some(self.groups.apart()),
                None => Some(self.methods.get(index).map_or(DEFAULT, |(group, _)| *group)),
                Some(name) => self.groups.find(name),
            };
            if job.actor != self.shared.actor {
                answer_error(core, job.from, job.call, &not_here(job.actor));
            } else if let Some(group) = group {
                let alone = class.methods.get(index).is_some_and(|method| method.is_exclusive());
                self.groups.add(group, alone, job);
            } else {
                let error = concurrency::call_without_group(class, &job, self.groups.names());
                answer_error(core, job.from, job.call, &error);
            }
        }
    }

    /// Has a thread come for a call that may start, if there is one; the lookout comes by itself if `woken`.
    pub(super) fn call_up(&mut self, idle: &Condvar, woken: bool) {
        // Who is on the way sees to the rest (WK-43).
        if self.leaving || self.coming || !self.groups.may_start() || (woken && self.lookout) {
            return;
        }
        if self.asleep > 0 {
            self.wake_one(idle);
        } else if self.lookout {
            self.shared.core.pump().wake();
        } else if self.threads < self.most {
            self.start_thread();
        }
    }

    fn wake_one(&mut self, idle: &Condvar) {
        self.coming = true;
        idle.notify_one();
    }

    fn start_thread(&mut self) {
        let shared = self.shared.clone();
        let started = std::thread::Builder::new().name("mobula-actor".into()).spawn(move || {
            let _guard = sys::EndWithMe;
            sys::unblock_signals();
            let Shared { core, actor, class, granted, .. } = &*shared;
            let scope = Rc::new(Scope::of_actor(core, (*actor, class), granted.clone()));
            context::enter(Some(scope.clone()));
            attend(&shared, Desk::new(class, scope, false), false)
        });
        match started {
            Ok(_) => {
                self.threads += 1;
                self.coming = true;
            }
            Err(error) => {
                tracing::error!(%error, threads = self.threads, "no more threads for an actor: its calls run on these");
                self.most = self.threads;
            }
        }
    }

    /// Notes that a call has ended.
    fn finished(&mut self, done: Done) {
        self.groups.end(done.place);
        if let Some((_, brief)) = self.methods.get_mut(usize::from(done.method)) {
            *brief = done.brief;
        }
        self.leaving |= !done.stays;
    }
}

impl Queues {
    /// Returns what comes next for a thread of the crew.
    fn step(&mut self, idle: &Condvar, first: bool) -> Option<Next> {
        let crew = self.crew.as_mut()?;
        if !crew.leaving
            && let Some((job, place)) = crew.groups.start()
        {
            let brief = crew.methods.get(usize::from(job.method)).is_some_and(|(_, brief)| *brief);
            if crew.groups.may_start() {
                crew.call_up(idle, false);
            } else if !crew.lookout && crew.asleep > 0 && !crew.coming && !brief {
                crew.wake_one(idle);
            }
            return Some(Next::Call(job, place));
        }
        if !first || !self.is_over() {
            return None;
        }
        if self.crew.as_ref().is_some_and(|crew| crew.leaving) {
            return Some(Next::End { exited: true });
        }
        match self.control.pop_front()? {
            Control::Retire => Some(Next::Retire),
            _ => Some(Next::End { exited: false }),
        }
    }

    /// True if nothing is left to do but what the first thread does at the end.
    fn is_over(&self) -> bool {
        match &self.crew {
            Some(crew) if crew.leaving => crew.groups.running() == 0,
            Some(crew) => !self.control.is_empty() && crew.groups.is_empty(),
            None => false,
        }
    }

    fn crew(&mut self, change: impl FnOnce(&mut Crew)) {
        if let Some(crew) = &mut self.crew {
            change(crew);
        }
    }
}

/// Runs the actor's calls, on this thread and others, until it ends.
pub(super) fn run(shared: &Arc<Shared>, desk: Desk, traits: &WorkerTraits) -> ! {
    let mut crew = Crew::new(shared.clone(), traits);
    {
        let mut queues = shared.core.executor().lock();
        crew.admit(&shared.core, &mut queues.calls);
        queues.crew = Some(crew);
    }
    attend(shared, desk, true)
}

/// Runs calls until the process ends.
fn attend(shared: &Shared, mut desk: Desk, first: bool) -> ! {
    let core = &shared.core;
    let mut done = None;
    loop {
        match next(shared, first, done.take()) {
            Next::Call(job, place) => {
                let (method, begun) = (job.method, Instant::now());
                let stays = desk.run(core, job, |run, args, out| shared.invoke(run, args, out));
                done = Some(Done { place, method, brief: begun.elapsed() < BRIEF, stays });
            }
            Next::End { exited } => {
                if !exited && calls_have_come(shared) {
                    continue;
                }
                let value = shared.value.write().unwrap_or_else(PoisonError::into_inner).take();
                shared.ending(exited).run(core, value)
            }
            Next::Retire => {
                farewell(core);
                sys::exit_now(0)
            }
        }
    }
}

/// Looks once more for calls before the actor ends (WK-22); if there are some the end is put off.
fn calls_have_come(shared: &Shared) -> bool {
    pump::turn(&shared.core);
    let mut queues = shared.core.executor().lock();
    let come = queues.crew.as_ref().is_some_and(|crew| !crew.groups.is_empty());
    if come {
        queues.control.push_back(Control::End(shared.actor));
    }
    come
}

/// Waits for what a thread does next, after `done`.
fn next(shared: &Shared, first: bool, done: Option<Done>) -> Next {
    let core = &shared.core;
    let executor = core.executor();
    let idle = &executor.idle;
    let mut queues = executor.lock();
    if done.is_none() {
        queues.crew(|crew| crew.coming = false);
    }
    if let Some(done) = done {
        let leaves = !done.stays;
        queues.crew(|crew| crew.finished(done));
        if leaves && queues.crew.as_ref().is_some_and(|crew| crew.groups.running() > 0) {
            // The others may take their time, but not for ever.
            shared.ending(true).tell(core, shared.shutdown_timeout);
        }
        if queues.is_over() {
            // Wherever the first thread is.
            idle.notify_all();
            core.pump().wake();
        }
    }
    loop {
        if let Some(next) = queues.step(idle, first) {
            return next;
        }
        let is_lookout = queues.crew.as_ref().is_some_and(|crew| crew.lookout);
        if is_lookout || (!first && queues.is_over()) {
            queues.crew(|crew| crew.asleep += 1);
            queues = idle.wait(queues).unwrap_or_else(PoisonError::into_inner);
            queues.crew(|crew| {
                crew.asleep -= 1;
                crew.coming = false;
            });
            continue;
        }
        queues.crew(|crew| crew.lookout = true);
        drop(queues);
        let mut found = None;
        let wait = Wait { deadline: None, ticking: false, before_sleep: &mut || {} };
        pump::wait_until(core, wait, || {
            let mut queues = executor.lock();
            // Before it steps: then it posts another one.
            queues.crew(|crew| crew.lookout = false);
            found = queues.step(idle, first);
            let comes = found.is_some() || (!first && queues.is_over());
            queues.crew(|crew| crew.lookout = !comes);
            comes
        });
        if let Some(next) = found {
            return next;
        }
        queues = executor.lock();
        // The end is the first thread's.
        idle.notify_all();
    }
}
