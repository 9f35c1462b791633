//! What the attributes generate: the description of a class or task function, as statics.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
#[cfg(feature = "async")]
use std::pin::Pin;
#[cfg(feature = "async")]
use std::sync::Arc;

use crate::actor::{ActorSettings, RawHandle};
use crate::arg::ArgReader;
use crate::panics::CallError;
use crate::returns::ReturnWriter;
use crate::task::TaskSettings;

/// A class whose instances live in processes of their own. Implemented by `#[mobula::actor]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no actor",
    label = "mark its `impl` block with `#[mobula::actor]`"
)]
pub trait Actor: Sized + 'static {
    /// The remote methods; an [`ActorHandle`](crate::ActorHandle) derefs to it.
    #[doc(hidden)]
    type Methods: From<RawHandle> + AsRef<RawHandle> + Send + Sync + 'static;
    /// The remote constructor; [`ActorOptions`](crate::ActorOptions) derefs to it.
    #[doc(hidden)]
    type Launcher: From<ActorSettings> + AsRef<ActorSettings> + AsMut<ActorSettings> + Clone + 'static;

    #[doc(hidden)]
    fn class() -> &'static ActorClass;
}

/// A function that can run in another process. Implemented by `#[mobula::task]`.
#[diagnostic::on_unimplemented(message = "`{Self}` is no task", label = "mark the function with `#[mobula::task]`")]
pub trait Task: Sized + 'static {
    /// The remote call; [`TaskOptions`](crate::TaskOptions) derefs to it.
    #[doc(hidden)]
    type Launcher: From<TaskSettings> + AsRef<TaskSettings> + AsMut<TaskSettings> + Clone + 'static;

    #[doc(hidden)]
    fn function() -> &'static TaskFunction;
}

/// Describes a remote method.
#[derive(Clone, Copy)]
#[expect(missing_docs, reason = "written by the attributes only; the names are those of their keys")]
pub struct MethodDef {
    pub name: &'static str,
    pub num_returns: u8,
    pub max_task_retries: Option<i32>,
    pub retry_errors: Option<bool>,
    pub concurrency_group: Option<&'static str>,
    /// It gives a stream.
    pub streams: bool,
    pub stream_backpressure: Option<usize>,
    pub run: Run,
}

impl MethodDef {
    /// Returns true for `&mut self`.
    pub fn is_exclusive(&self) -> bool {
        matches!(self.run, Run::Exclusive(_))
    }
}

/// How a method runs on the actor's value.
#[derive(Clone, Copy)]
pub enum Run {
    /// With `&self`: others may run meanwhile.
    Shared(fn(&dyn Any, &mut ArgReader<'_>, &mut ReturnWriter) -> Result<(), CallError>),
    /// With `&mut self`: alone.
    Exclusive(fn(&mut dyn Any, &mut ArgReader<'_>, &mut ReturnWriter) -> Result<(), CallError>),
    /// With `&self`, as a future: others run while it waits.
    #[cfg(feature = "async")]
    Async(AsyncRun),
}

/// Reads the arguments of an `async` method and makes its future.
#[cfg(feature = "async")]
pub(crate) type AsyncRun =
    fn(Arc<dyn Any + Send + Sync>, &mut ArgReader<'_>, ReturnWriter) -> Result<AsyncCall, CallError>;

/// The future of an `async` method: it gives back the writer, with the results.
#[cfg(feature = "async")]
pub type AsyncCall = Pin<Box<dyn Future<Output = (ReturnWriter, Result<(), CallError>)> + Send>>;

/// An actor's value that several threads may use.
pub type SharedState = Box<dyn Any + Send + Sync>;

/// Makes an actor's value one for several threads; `None` if it is of another class.
pub type Share = fn(Box<dyn Any>) -> Option<SharedState>;

/// Finds out whether a class is `Send + Sync`: where it is, the constant of this type hides that of [`NotShared`].
#[derive(Debug)]
pub struct Sharing<A>(PhantomData<fn() -> A>);

impl<A: Any + Send + Sync> Sharing<A> {
    #[expect(missing_docs, reason = "see the trait")]
    pub const __SHARE: Option<Share> = Some(|state| Some(state.downcast::<A>().ok()?));
}

/// What holds for every class. The attribute writes `Sharing::<A>::__SHARE` with this trait in scope.
pub trait NotShared {
    /// How the value is shared, if it can be.
    const __SHARE: Option<Share> = None;
}

impl<A> NotShared for Sharing<A> {}

/// The options that stand in a class's attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the attribute's keys")]
pub struct ActorDefaults {
    pub num_cpus: Option<f64>,
    pub num_gpus: Option<f64>,
    pub max_restarts: Option<i32>,
    pub max_task_retries: Option<i32>,
    pub max_concurrency: Option<usize>,
    pub max_pending_calls: Option<usize>,
    pub concurrency_groups: &'static [(&'static str, usize)],
    /// In seconds.
    pub shutdown_timeout: Option<f64>,
}

impl ActorDefaults {
    /// No option given.
    pub const NONE: Self = ActorDefaults {
        num_cpus: None,
        num_gpus: None,
        max_restarts: None,
        max_task_retries: None,
        max_concurrency: None,
        max_pending_calls: None,
        concurrency_groups: &[],
        shutdown_timeout: None,
    };
}

/// Describes an actor class.
#[expect(missing_docs, reason = "written by the attributes only")]
pub struct ActorClass {
    pub package: &'static str,
    pub version: &'static str,
    pub type_name: fn() -> &'static str,
    /// The class as people call it.
    pub name: &'static str,
    /// A hash of all remote signatures.
    pub signature: u64,
    pub defaults: ActorDefaults,
    pub methods: &'static [MethodDef],
    pub new: fn(&mut ArgReader<'_>) -> Result<Box<dyn Any>, CallError>,
    /// `None` if the class is not `Send + Sync`.
    pub share: Option<Share>,
    /// The value has a destructor, or something in it has.
    pub needs_drop: bool,
}

/// The options that stand in a task's attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the attribute's keys")]
pub struct TaskDefaults {
    pub num_cpus: Option<f64>,
    pub num_gpus: Option<f64>,
    pub max_retries: Option<i32>,
    pub retry_errors: Option<bool>,
    pub max_calls: Option<usize>,
    pub stream_backpressure: Option<usize>,
}

impl TaskDefaults {
    /// No option given.
    pub const NONE: Self = TaskDefaults {
        num_cpus: None,
        num_gpus: None,
        max_retries: None,
        retry_errors: None,
        max_calls: None,
        stream_backpressure: None,
    };
}

/// Describes a task function.
#[expect(missing_docs, reason = "written by the attributes only")]
pub struct TaskFunction {
    pub package: &'static str,
    pub version: &'static str,
    /// The name of the type beside the function.
    pub type_name: fn() -> &'static str,
    /// The function as people call it.
    pub name: &'static str,
    /// A hash of the remote signature.
    pub signature: u64,
    pub defaults: TaskDefaults,
    pub num_returns: u8,
    /// It gives a stream.
    pub streams: bool,
    pub run: fn(&mut ArgReader<'_>, &mut ReturnWriter) -> Result<(), CallError>,
}

/// What the attributes submit to the registry.
#[derive(Debug, Clone, Copy)]
pub enum Entry {
    /// A class.
    Actor(&'static ActorClass),
    /// A function.
    Task(&'static TaskFunction),
}

inventory::collect!(Entry);

impl ActorClass {
    /// Returns true if calls run on an event loop: one of the methods is `async`.
    pub(crate) fn is_async(&self) -> bool {
        #[cfg(feature = "async")]
        return self.methods.iter().any(|method| matches!(method.run, Run::Async(_)));
        #[cfg(not(feature = "async"))]
        false
    }
}

impl fmt::Debug for MethodDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodDef").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Run::Shared(_) => "Shared",
            Run::Exclusive(_) => "Exclusive",
            #[cfg(feature = "async")]
            Run::Async(_) => "Async",
        })
    }
}

impl fmt::Debug for ActorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorClass").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for TaskFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskFunction").field("name", &self.name).finish_non_exhaustive()
    }
}
