//! One call of an `async` method, from its first poll to its answer.
//!
//! Who polls it next says [`State`].
//!
//! The call's context is entered around each poll, on whatever thread that is: it has its id, its depth, and what says to
//! others that it runs.

use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use mobula_scheduler::ids::TaskId;

use super::super::answers::answer;
use super::super::groups::Place;
use super::super::{CallJob, unwanted};
use super::state::State;
use super::{Actor, drives};
use crate::arg::ArgReader;
use crate::cancel::{self, Run as Running};
use crate::context::Scope;
use crate::core::Core;
use crate::definition::{AsyncCall, AsyncRun};
use crate::error::{Error, Result};
use crate::frames::Nonce;
use crate::outbox::Peer;
use crate::panics::{self, CallError};
use crate::returns::ReturnWriter;
use crate::task;

/// It has waited for nothing yet.
const NOWHERE: usize = usize::MAX;

/// A call that has begun.
pub(super) struct Coroutine {
    actor: Arc<Actor>,
    task: TaskId,
    depth: u32,
    state: State,
    /// Where the loop has it.
    index: AtomicUsize,
    /// `None` while it is polled, and when it is done.
    body: Mutex<Option<Body>>,
}

/// What only the thread has that polls.
struct Body {
    stage: Stage,
    method: &'static str,
    caller: Arc<Peer>,
    call: u64,
    nonce: Nonce,
    place: Place,
    running: Arc<Running>,
    /// It has called `exit_actor`.
    exits: bool,
}

enum Stage {
    Runs(AsyncCall),
    /// It never began.
    Failed(Error),
}

/// What came of a poll.
pub(super) enum Polled {
    Pending,
    /// It was woken meanwhile.
    Again,
    Done(Finished),
}

/// What a call that is done leaves behind.
pub(super) struct Finished {
    pub(super) place: Place,
    pub(super) writer: ReturnWriter,
    pub(super) running: Arc<Running>,
    /// Where the loop had it.
    pub(super) index: Option<usize>,
    /// False if it has called `exit_actor`.
    pub(super) stays: bool,
}

/// A call on its way in.
pub(super) struct Start<'a> {
    pub(super) method: &'static str,
    pub(super) make: AsyncRun,
    pub(super) job: CallJob,
    pub(super) caller: Arc<Peer>,
    pub(super) place: Place,
    pub(super) running: Arc<Running>,
    pub(super) writer: ReturnWriter,
    pub(super) scope: &'a Rc<Scope>,
}

impl Coroutine {
    /// Reads the arguments and makes the future, unless nobody wants it any more. It is to be polled.
    pub(super) fn begin(actor: &Arc<Actor>, start: Start<'_>) -> Arc<Self> {
        let Start { method, make, job, caller, place, running, writer, scope } = start;
        let task = task::task_id(job.nonce, job.call);
        let own = scope.go_on(running.clone(), None, job.depth);
        let made = if scope.begin(task) {
            job.args.as_ref().map_err(Error::clone).and_then(|args| {
                let value = actor.value();
                let make = |bytes: &[u8]| {
                    panics::catch(|| make(value?, &mut ArgReader::new(actor.core.store(), bytes), writer)).flatten()
                };
                args.with(make)?.map_err(|error| error.into_error(|| actor.name_of(method)))
            })
        } else {
            Err(unwanted())
        };
        scope.go_on(own, None, 0);
        let stage = made.map_or_else(Stage::Failed, Stage::Runs);
        let CallJob { call, nonce, depth, .. } = job;
        Arc::new(Coroutine {
            actor: actor.clone(),
            task,
            depth,
            state: State::queued(),
            index: AtomicUsize::new(NOWHERE),
            body: Mutex::new(Some(Body { stage, method, caller, call, nonce, place, running, exits: false })),
        })
    }

    /// Returns by what those know it who cancel it.
    pub(super) fn key(&self) -> u64 {
        cancel::key(self.task)
    }

    /// Polls it, on a thread that has entered `scope`.
    pub(super) fn poll(self: &Arc<Self>, scope: &Rc<Scope>) -> Polled {
        let core = &self.actor.core;
        self.state.begin();
        let Some(mut body) = self.body().take() else {
            // It is queued once for each time that it has to be polled (WK-75).
            return Polled::Pending;
        };
        let own = scope.go_on(body.running.clone(), Some(self.task), self.depth);
        let outcome = self.advance(&mut body);
        body.exits |= scope.exiting.replace(false);
        let Some((writer, outcome)) = outcome else {
            scope.go_on(own, None, 0);
            return self.wait(body);
        };
        scope.end();
        scope.go_on(own, None, 0);
        self.state.end();
        let Body { caller, call, nonce, place, running, exits, .. } = body;
        let mut writer = writer.unwrap_or_default();
        if !exits {
            answer(core, &caller, call, nonce, outcome, &mut writer);
        }
        let index = self.index.load(Ordering::Relaxed);
        let index = (index != NOWHERE).then_some(index);
        Polled::Done(Finished { place, writer, running, index, stays: !exits })
    }

    /// Takes the call one step further; `None` if it waits.
    fn advance(self: &Arc<Self>, body: &mut Body) -> Option<(Option<ReturnWriter>, Result<()>)> {
        let name = || self.actor.name_of(body.method);
        let future = match &mut body.stage {
            Stage::Failed(error) => return Some((None, Err(error.clone()))),
            Stage::Runs(future) => future,
        };
        let (writer, outcome) = if body.running.is_cancelled(self.key()) {
            (None, Err(CallError::passed_on(Error::cancelled(format!("{} was cancelled", name())))))
        } else {
            let waker = Waker::from(self.clone());
            match panics::catch(|| future.as_mut().poll(&mut Context::from_waker(&waker))) {
                Ok(Poll::Pending) => return None,
                Ok(Poll::Ready((writer, outcome))) => (Some(writer), outcome),
                Err(panicked) => (None, Err(panicked)),
            }
        };
        let outcome = outcome.map_err(|error| error.into_error(name));
        let over = Stage::Failed(Error::cancelled("it is over"));
        let future = std::mem::replace(&mut body.stage, over);
        // What unwinds out of a destructor has been reported by the hook.
        let _ = panics::catch(|| drop(future));
        Some((writer, outcome))
    }

    /// Puts a call away that waits.
    fn wait(self: &Arc<Self>, body: Body) -> Polled {
        let executor = self.actor.core.executor();
        let new = self.index.load(Ordering::Relaxed) == NOWHERE;
        if new {
            let index = executor.of_loop(|event_loop| event_loop.keep(self.clone()));
            self.index.store(index.unwrap_or(NOWHERE), Ordering::Relaxed);
        }
        // Who cancels it has told what says that it runs first, and looks for it in the loop afterwards (WK-77).
        let cancelled = new && body.running.is_cancelled(self.key());
        *self.body() = Some(body);
        let woken = self.state.pause();
        // Whoever wakes it first queues it.
        if woken || (cancelled && self.state.wake()) { Polled::Again } else { Polled::Pending }
    }

    fn body(&self) -> MutexGuard<'_, Option<Body>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Coroutine {
    fn wake(self: Arc<Self>) {
        if !self.state.wake() {
            return;
        }
        let core: Arc<Core> = self.actor.core.clone();
        core.executor().of_loop(|event_loop| event_loop.wake(self));
        // The thread that drives looks before it sleeps.
        if !drives() {
            core.pump().wake();
        }
    }
}

impl fmt::Debug for Coroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coroutine").field("task", &self.task).field("state", &self.state).finish_non_exhaustive()
    }
}

const fn check<T: Send + Sync>() {}
const _: () = check::<Coroutine>();
