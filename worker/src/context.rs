//! Where the running code is: in which process, actor or task, and with what.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use mobula_scheduler::ids::{ActorId, TaskId};
use mobula_scheduler::protocol::Granted;

use crate::actor::{ActorHandle, RawHandle};
use crate::cancel::{self, Run};
use crate::core::{self, Core};
use crate::definition::{Actor, ActorClass};
use crate::error::{Error, Result};
use crate::executor::Lent;
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
    /// The CPUs of the running task, once somebody in it has lent them.
    pub(crate) lent: RefCell<Option<Arc<Lent>>>,
    /// Says to others what runs.
    pub(crate) run: RefCell<Arc<Run>>,
    pub(crate) granted: Granted,
    /// The running call has called `exit_actor`.
    pub(crate) exiting: Cell<bool>,
}

impl Scope {
    /// Makes the scope of a thread of an actor.
    pub(crate) fn of_actor(core: &Arc<Core>, actor: (ActorId, &'static ActorClass), granted: Granted) -> Self {
        Scope { actor: Some(actor), ..Scope::of_task(core, granted) }
    }

    /// Makes the scope of a thread that is to run a task.
    pub(crate) fn of_task(core: &Arc<Core>, granted: Granted) -> Self {
        Scope {
            core: core.clone(),
            actor: None,
            task: Cell::new(None),
            lends: None,
            seat: None,
            lent: RefCell::new(None),
            depth: Cell::new(0),
            run: RefCell::new(core.cancels().register()),
            granted,
            exiting: Cell::new(false),
        }
    }
}

impl Scope {
    /// A call begins; false if nobody wants it any more: then it must not. [`Scope::end`] follows in any case.
    #[inline]
    pub(crate) fn begin(&self, task: TaskId) -> bool {
        self.task.set(Some(task));
        self.run.borrow().begin(self.core.cancels(), task)
    }

    /// The call has ended.
    #[inline]
    pub(crate) fn end(&self) {
        self.run.borrow().end();
        self.task.set(None);
        if let Some(lent) = self.lent.take() {
            lent.close();
        }
    }

    /// Returns the CPUs of the running task; `None` if it has none to lend.
    pub(crate) fn lent(&self) -> Option<Arc<Lent>> {
        let lends = self.lends?;
        Some(self.lent.borrow_mut().get_or_insert_with(|| Lent::new(&self.core, lends, self.seat)).clone())
    }

    /// Has another call be what runs, which began before; returns what says so of the one that was.
    #[cfg(feature = "async")]
    pub(crate) fn go_on(&self, run: Arc<Run>, task: Option<TaskId>, depth: u32) -> Arc<Run> {
        self.task.set(task);
        self.depth.set(depth);
        self.run.replace(run)
    }
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

/// Tells how many tasks deep the running code is, and which call it is in, by its key; 0 if none.
pub(crate) fn origin() -> (u32, u64) {
    let of = |scope: &Rc<Scope>| (scope.depth.get(), scope.task.get().map_or(0, cancel::key));
    SCOPE.try_with(|slot| slot.borrow().as_ref().map_or((0, 0), of)).unwrap_or((0, 0))
}

/// Fails if the call that runs on this thread was cancelled.
pub(crate) fn check_wanted() -> Result<()> {
    match is_cancelled() {
        true => Err(Error::cancelled("the call that runs here was cancelled: it waits for nothing any more")),
        false => Ok(()),
    }
}

/// True if the call that runs on this thread was cancelled.
pub(crate) fn is_cancelled() -> bool {
    let of =
        |scope: &Rc<Scope>| scope.task.get().is_some_and(|task| scope.run.borrow().is_cancelled(cancel::key(task)));
    SCOPE.try_with(|slot| slot.borrow().as_ref().is_some_and(of)).unwrap_or(false)
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
            run: Some(scope.run.borrow().clone()),
            granted: scope.granted.clone(),
        },
        None => Context { core: core::current().ok(), actor: None, task: None, run: None, granted: Granted::default() },
    }
}

/// Tells where code runs; made by [`context`].
#[derive(Clone)]
pub struct Context {
    core: Option<Arc<Core>>,
    actor: Option<(ActorId, &'static ActorClass)>,
    task: Option<TaskId>,
    run: Option<Arc<Run>>,
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
    ///
    /// True inside `new`, too. What earlier processes had in their memory is lost; what the actor needs of it must be
    /// somewhere else, in files or in objects whose refs were arguments of `new`.
    pub fn was_reconstructed(&self) -> bool {
        self.actor.is_some() && self.core.as_ref().is_some_and(|core| core.is_reconstructed())
    }

    /// Returns true if the running task or call was cancelled, and should end soon: see [`cancel`](crate::cancel).
    ///
    /// One context tells it all the time, also on a thread of the task's own.
    pub fn is_cancelled(&self) -> bool {
        match (&self.run, self.task) {
            (Some(run), Some(task)) => run.is_cancelled(cancel::key(task)),
            _ => false,
        }
    }
}
