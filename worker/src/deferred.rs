//! Tasks and creations that wait for their arguments, and the list of things to do when a ref is
//! settled.
//!
//! Settling a ref may let a call go on, whose failure settles further refs, and so on through a
//! chain of any length: so dependents are worked off from a list, never by recursion.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mobula_scheduler::death::DeathCause;
use mobula_scheduler::protocol::{ActorSpec, Payload, TaskSpec, ToNode};
use mobula_store::ObjectHold;

use crate::actor::{self, RawHandle};
use crate::arg::{Args, Readiness};
#[cfg(feature = "async")]
use crate::asynchrony::Waiter;
use crate::core::Core;
use crate::definition::TaskFunction;
use crate::error::{Error, Result};
use crate::leases::TaskQueue;
use crate::payload;
use crate::retries::Retries;
use crate::route::Route;
use crate::{call, task};

/// How long a full store is tried again for arguments that must go into it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who waits for a ref.
#[derive(Clone)]
pub(crate) enum Dependent {
    Route(Arc<Route>),
    Deferred(Arc<Deferred>),
    /// The list that hears of it, and by which name.
    Completions(Arc<Completions>, usize),
    /// The future that hears of it.
    #[cfg(feature = "async")]
    Waiter(Arc<Waiter>),
}

impl Dependent {
    fn is_future(&self) -> bool {
        match self {
            #[cfg(feature = "async")]
            Dependent::Waiter(_) => true,
            _ => false,
        }
    }

    /// True if nobody would hear of it any more.
    pub(crate) fn is_left(&self) -> bool {
        match self {
            #[cfg(feature = "async")]
            Dependent::Waiter(waiter) => Waiter::is_left(waiter),
            _ => false,
        }
    }
}

/// The refs of one `as_completed` that are ready and not yet given out, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Completions(Mutex<VecDeque<usize>>);

impl Completions {
    pub(crate) fn push(&self, index: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(index);
    }

    pub(crate) fn pop(&self) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// What is to be looked at because refs were settled.
#[derive(Default)]
pub(crate) struct Work(Vec<Dependent>);

impl Work {
    pub(crate) fn of(dependent: Dependent) -> Self {
        Work(vec![dependent])
    }

    pub(crate) fn add(&mut self, dependents: Vec<Dependent>) {
        if !dependents.is_empty() {
            self.0.extend(dependents);
        }
    }

    /// Wakes futures, and looks at nothing else: the runtime has ended.
    pub(crate) fn wake_only(self, core: &Core) {
        let futures = self.0.into_iter().filter(|dependent| dependent.is_future());
        Work(futures.collect()).run(core);
    }

    /// Looks at everything, also at what that adds, and wakes who waits for any of it (WK-12). Never
    /// waits for room in the store: it may be the leader who calls.
    pub(crate) fn run(mut self, core: &Core) {
        let any = !self.0.is_empty();
        #[cfg(feature = "async")]
        let mut wakers = Vec::new();
        while let Some(dependent) = self.0.pop() {
            match dependent {
                Dependent::Route(route) => {
                    if !route.flush(core, &mut self) {
                        core.add_stalled(&route);
                    }
                }
                Dependent::Deferred(deferred) => deferred.advance(core, Some(Duration::ZERO), &mut self),
                Dependent::Completions(list, index) => list.push(index),
                #[cfg(feature = "async")]
                Dependent::Waiter(waiter) => wakers.extend(waiter.arrived()),
            }
        }
        #[cfg(feature = "async")]
        core.wakes().add(wakers);
        if any {
            core.pump().wake();
        }
    }
}

/// A submission that waits for its arguments.
pub(crate) struct Deferred {
    waiting: Mutex<Option<Waiting>>,
}

struct Waiting {
    submission: Submission,
    /// Since when the store has had no room for the arguments.
    full_since: Option<Instant>,
}

/// What can be submitted to the node.
pub(crate) enum Submission {
    Task {
        spec: Box<TaskSpec>,
        args: Args,
    },
    Leased {
        call: u64,
        function: (&'static TaskFunction, Retries),
        queue: Arc<TaskQueue>,
        code: u64,
        depth: u32,
        args: Args,
    },
    /// Keeps the actor's handle, so that its life begins before its node knows it.
    Actor {
        spec: Box<ActorSpec>,
        args: Args,
        handle: RawHandle,
    },
}

impl Submission {
    fn args(&self) -> &Args {
        match self {
            Submission::Task { args, .. } | Submission::Leased { args, .. } | Submission::Actor { args, .. } => args,
        }
    }

    /// Returns the number of a task's call.
    fn call(&self) -> Option<u64> {
        match self {
            Submission::Task { spec, .. } => Some(spec.call),
            Submission::Leased { call, .. } => Some(*call),
            Submission::Actor { .. } => None,
        }
    }

    fn args_mut(&mut self) -> &mut Args {
        match self {
            Submission::Task { args, .. } | Submission::Leased { args, .. } | Submission::Actor { args, .. } => args,
        }
    }

    /// Submits now, or as soon as the arguments are there. Called by user threads only: they may
    /// wait for room in the store.
    pub(crate) fn submit(self, core: &Core) {
        let waits_for: Vec<_> = self.args().refs().filter(|inner| !inner.is_ready()).cloned().collect();
        let waiting = Waiting { submission: self, full_since: None };
        let deferred = Arc::new(Deferred { waiting: Mutex::new(Some(waiting)) });
        for inner in waits_for {
            core.await_ref(&inner, Dependent::Deferred(deferred.clone()));
        }
        // A ref may have been settled before it was told who waits.
        let mut work = Work::default();
        deferred.advance(core, None, &mut work);
        work.run(core);
    }
}

impl Deferred {
    /// Submits if the arguments are there; with `patience` a full store is tried again later.
    fn advance(self: &Arc<Self>, core: &Core, patience: Option<Duration>, work: &mut Work) {
        // Whoever finds the slot empty need not look: it is being submitted.
        let (mut waiting, failure) = {
            let mut slot = self.slot();
            let Some(waiting) = slot.take() else { return };
            if let Some(call) = waiting.submission.call()
                && core.pending().is_called_off(call)
            {
                drop(slot);
                drop((core.pending().remove(call), waiting));
                return;
            }
            match waiting.submission.args().readiness() {
                Readiness::Waiting => {
                    *slot = Some(waiting);
                    return;
                }
                Readiness::Failed(error) => (waiting, Some(error)),
                Readiness::Ready => (waiting, None),
            }
        };
        let packed = match failure {
            Some(error) => Err(error),
            None => {
                waiting.submission.args_mut().fill();
                waiting.submission.pack(core, patience)
            }
        };
        match packed {
            Err(error) if patience.is_some() && is_worth_another_try(&error, &mut waiting.full_since) => {
                *self.slot() = Some(waiting);
                core.add_deferred(self.clone());
            }
            Ok(packed) => waiting.submission.send(core, packed),
            Err(error) => waiting.submission.fail(core, error, work),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says whether a full store may still be waited for.
pub(crate) fn is_worth_another_try(error: &Error, full_since: &mut Option<Instant>) -> bool {
    error.is_store_full() && full_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE
}

/// A submission's arguments as they travel, and the hold of the object that they were put into, if they were.
enum Packed {
    Payload(Payload, Option<ObjectHold>),
    Frame(Vec<u8>, Option<ObjectHold>),
}

impl Submission {
    fn pack(&self, core: &Core, patience: Option<Duration>) -> Result<Packed> {
        match self {
            Submission::Leased { call, code, depth, args, .. } => call::with_writer(|writer| {
                let spilled = task::write(writer, core, *call, *code, *depth, args.parts(), patience)?;
                Ok(Packed::Frame(writer.bytes().to_vec(), spilled))
            }),
            Submission::Task { args, .. } | Submission::Actor { args, .. } => {
                let (payload, spilled) = payload::pack(core.store(), args, patience)?;
                Ok(Packed::Payload(payload, spilled))
            }
        }
    }

    fn send(self, core: &Core, packed: Packed) {
        let (payload, frame, spilled) = match packed {
            Packed::Payload(payload, spilled) => (payload, Vec::new(), spilled),
            Packed::Frame(frame, spilled) => (Payload::default(), frame, spilled),
        };
        let kept = |args: Args| match spilled {
            Some(hold) => vec![hold],
            None => args.into_parts().1,
        };
        match self {
            Submission::Task { mut spec, args } => {
                spec.args = payload;
                core.pending().add_holds(spec.call, kept(args));
                core.pending().keep_spec(&spec);
                let (call, task) = (spec.call, spec.task);
                core.link().send(ToNode::SubmitTask(*spec));
                if core.pending().is_called_off(call) {
                    // Between the two: the node may have heard of this first.
                    core.link().send(ToNode::CancelTask { task, force: false, recursive: false });
                }
            }
            Submission::Leased { call, function, queue, depth, args, .. } => {
                core.pending().add_holds(call, kept(args));
                queue.submit(core, function, call, depth, &frame, true);
            }
            Submission::Actor { mut spec, args, handle } => {
                spec.args = payload;
                // One that was killed meanwhile is not created any more.
                if handle.route().begin_creation(kept(args)) {
                    core.link().send(ToNode::CreateActor(*spec));
                }
            }
        }
    }

    fn fail(self, core: &Core, error: Error, work: &mut Work) {
        match self {
            Submission::Task { spec, .. } => core.settle_failed(spec.call, error, work),
            Submission::Leased { call, .. } => core.settle_failed(call, error, work),
            Submission::Actor { handle, .. } => {
                let message = error.to_string();
                handle.route().give_up_creation(core, message.clone());
                core.bury(actor::death(handle.route(), DeathCause::CreationFailed(message)), work);
            }
        }
    }
}
