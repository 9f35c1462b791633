//! Where the running code is: in which process, actor or task, and with what.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use mobula_scheduler::ids::{ActorId, TaskId};
use mobula_scheduler::protocol::Granted;

use crate::actor::{ActorHandle, RawHandle};
use crate::core::{self, Core};
use crate::definition::{Actor, ActorClass};
use crate::executor;
use crate::seats::SeatKey;

/// What a thread runs for Mobula.
pub(crate) struct Scope {
    pub(crate) core: Arc<Core>,
    pub(crate) actor: Option<(ActorId, &'static ActorClass)>,
    pub(crate) task: Cell<Option<TaskId>>,
    /// What the node knows a task by, whose CPUs are lent while it waits: itself, or its lease.
    pub(crate) lends: Option<TaskId>,
    /// The seat of its lease.
    pub(crate) seat: Option<SeatKey>,
    pub(crate) depth: Cell<u32>,
    pub(crate) granted: Granted,
}

thread_local! {
    static SCOPE: RefCell<Option<Rc<Scope>>> = const { RefCell::new(None) };
}

/// Sets what this thread runs; returns what it ran before.
pub(crate) fn enter(scope: Option<Rc<Scope>>) -> Option<Rc<Scope>> {
    SCOPE.try_with(|slot| slot.replace(scope)).ok().flatten()
}

pub(crate) fn scope() -> Option<Rc<Scope>> {
    SCOPE.try_with(|slot| slot.borrow().clone()).ok().flatten()
}

/// How many tasks deep the running code is.
pub(crate) fn depth() -> u32 {
    SCOPE.try_with(|slot| slot.borrow().as_ref().map_or(0, |scope| scope.depth.get())).unwrap_or(0)
}

/// Tells where the running code is.
///
/// In the driver, and on threads that user code started itself, there is no actor and no task.
///
/// # Examples
///
/// ```
/// assert!(mobula_worker::context().actor_id().is_none());
/// ```
pub fn context() -> Context {
    match scope() {
        Some(scope) => Context {
            core: Some(scope.core.clone()),
            actor: scope.actor,
            task: scope.task.get(),
            granted: scope.granted.clone(),
        },
        None => Context { core: core::current().ok(), actor: None, task: None, granted: Granted::default() },
    }
}

/// Tells where code runs; made by [`context`].
#[derive(Clone)]
pub struct Context {
    core: Option<Arc<Core>>,
    actor: Option<(ActorId, &'static ActorClass)>,
    task: Option<TaskId>,
    granted: Granted,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("node", &self.node_id())
            .field("worker", &self.worker_id())
            .field("actor", &self.actor_id())
            .field("task", &self.task)
            .finish()
    }
}

impl Context {
    /// Returns the node's id in hex; empty if nothing is initialised.
    pub fn node_id(&self) -> String {
        self.core.as_ref().map(|core| core.node_id().to_owned()).unwrap_or_default()
    }

    /// Returns this process's id in hex; empty if nothing is initialised.
    pub fn worker_id(&self) -> String {
        self.core.as_ref().map(|core| core.link().process().to_string()).unwrap_or_default()
    }

    /// Returns the id of the running actor.
    pub fn actor_id(&self) -> Option<ActorId> {
        self.actor.map(|(id, _)| id)
    }

    /// Returns the id of the running task or call.
    pub fn task_id(&self) -> Option<TaskId> {
        self.task
    }

    /// Returns the namespace of the driver that this process works for.
    pub fn namespace(&self) -> String {
        self.core.as_ref().map(|core| core.namespace().to_owned()).unwrap_or_default()
    }

    /// Returns the GPUs that the actor or task holds, ascending.
    pub fn gpu_ids(&self) -> Vec<u32> {
        self.granted.gpu_ids.clone()
    }

    /// Returns what the actor or task holds, by name.
    pub fn assigned_resources(&self) -> BTreeMap<String, f64> {
        self.granted.amounts.iter().cloned().collect()
    }

    /// Returns a handle of the running actor; it works inside `new`, too.
    ///
    /// The handle is weak: it does not keep the actor alive, wherever it goes.
    ///
    /// # Panics
    ///
    /// Outside an actor of class `A`.
    pub fn current_actor<A: Actor>(&self) -> ActorHandle<A> {
        let (Some((id, class)), Some(core)) = (self.actor, &self.core) else {
            panic!("current_actor::<{}>() was called outside an actor", A::class().name);
        };
        assert!(
            std::ptr::eq(class, A::class()),
            "current_actor::<{}>() was called inside an actor of class {}",
            A::class().name,
            class.name
        );
        ActorHandle::from_raw(RawHandle::weak(core, id, class.name))
    }

    /// Returns true if the actor runs in another process than its first: it was restarted.
    pub fn was_reconstructed(&self) -> bool {
        false
    }

    /// Returns true if the running task was cancelled.
    pub fn is_cancelled(&self) -> bool {
        false
    }
}

/// Ends the running actor for good: this call and all behind it are `is_actor_died`, cause exited.
///
/// Calls that the actor has made before are delivered.
///
/// # Panics
///
/// Outside an actor.
pub fn exit_actor() -> ! {
    let Some((id, core)) = scope().and_then(|scope| Some((scope.actor?.0, scope.core.clone()))) else {
        panic!("exit_actor() was called outside an actor");
    };
    executor::end_actor(&core, id, true)
}
