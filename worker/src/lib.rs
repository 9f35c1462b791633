//! What runs inside the driver and worker processes of Mobula: refs, calls, registry, executor,
//! context.
//!
//! ```text
//!   driver                                     worker
//!   user code                                  executor --> user code
//!     | Counter::remote, c.add(5).remote()       ^   |
//!     v                                          |   v
//!   pending, route, outbox ---- ring: Call ----> pump  answer
//!   refs <--- pump <----------- ring: Done ------------+
//!     |                                          |
//!     +--- link ------ control channel --- node -+
//! ```
//!
//! Each process has one runtime core (`core`). Calls go from caller to callee through rings in
//! shared memory (`frames`, `pump`, `outbox`, `route`); the node is asked only to create,
//! place, find and kill (`link`). Results are refs (`refs`); values are postcard with the ids of
//! what they refer to beside them (`value`).
//!
//! The invariants WK-1 to WK-50 stand in the modules that keep them. This crate has no recovery of
//! its own: what a dead process held in shared memory the store takes back, and what it was to
//! answer the node reports.
//!
//! Programs use the facade crate `mobula`, which re-exports this one.

#![deny(unsafe_code)]

mod actor;
mod arg;
#[cfg(feature = "async")]
mod asynchrony;
mod attempts;
mod call;
mod cancel;
#[allow(unsafe_code, reason = "the memory of refs, counted and written once")]
mod cell;
mod channel;
mod concurrency;
mod context;
mod core;
mod debugging;
mod deferred;
mod definition;
mod duty;
mod error;
mod executor;
mod frames;
mod graph;
mod isolate;
mod leases;
mod link;
mod map_unordered;
mod names;
mod objects;
mod outbox;
mod panics;
mod payload;
mod pending;
mod pool;
#[cfg(all(test, loom))]
mod proof;
mod pump;
mod queue;
mod refs;
mod registry;
mod retries;
mod returns;
mod route;
mod runtime;
mod seats;
#[allow(unsafe_code, reason = "the signal by which a thread tells its stack")]
mod signals;
mod spin;
mod stacks;
mod stream;
mod strict;
mod sync;
#[allow(unsafe_code, reason = "the only room for system calls without a safe wrapper")]
mod sys;
mod task;
#[allow(unsafe_code, reason = "runs before main, in the place of the C runtime")]
mod test_support;
mod traits;
mod transport;
mod unread;
mod value;
mod worn;

#[doc(no_inline)]
pub use bytemuck;
pub use mobula_store as store;
#[doc(no_inline)]
pub use serde;

pub use mobula_scheduler::config::{CallPath, Config, LogLevel, Waiting};
pub use mobula_scheduler::death::{ActorDeath, DeathCause};
pub use mobula_scheduler::ids::{ActorId, TaskId};
pub use mobula_scheduler::stacks::{ThreadStack, WorkerStacks};
pub use mobula_store::{
    Array, ArrayMut, ArrayPart, ChannelGuard, ChannelOptions, ChannelReader, ChannelWriter, ObjectId, Segment,
    SharedArray, channel,
};

pub use crate::actor::{ActorHandle, ActorOptions, KillOptions, Lifetime, kill, kill_with};
pub use crate::arg::{Arg, arg};
#[cfg(feature = "async")]
pub use crate::asynchrony::{
    GetFuture, ItemStream, Sleep, WaitFuture, block_in_place, block_on, get_async, sleep, timeout, wait_async,
};
pub use crate::call::Call;
pub use crate::cancel::{CancelOptions, cancel, cancel_with};
pub use crate::channel::{Receiver, Sender, value_channel};
pub use crate::context::{Context, context};
pub use crate::definition::{Actor, Task};
pub use crate::error::{Error, Result, TaskFailure};
pub use crate::executor::exit_actor;
pub use crate::graph::{Bind, Graph, GraphOptions, GraphRef, Inputs, Node, Outputs};
pub use crate::map_unordered::{MapUnordered, map_unordered};
pub use crate::names::{NamedActor, get_actor, get_actor_in, list_named_actors};
pub use crate::objects::{AsCompleted, as_completed, get, get_all, get_all_timeout, get_timeout, put, wait};
pub use crate::pool::{ActorPool, PoolCall, PoolMap};
pub use crate::queue::Queue;
pub use crate::refs::ObjectRef;
pub use crate::runtime::{
    Runtime, RuntimeInfo, available_resources, cluster_resources, init, is_initialized, shutdown,
};
pub use crate::stacks::stack_traces;
pub use crate::stream::ObjectRefStream;
pub use crate::task::TaskOptions;

/// What the attributes' expansions use; no part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use inventory;

    pub use crate::actor::{ActorSettings, RawHandle, create_actor};
    pub use crate::arg::{ArgReader, Args};
    #[cfg(feature = "async")]
    pub use crate::definition::AsyncCall;
    pub use crate::definition::{
        ActorClass, ActorDefaults, Entry, MethodDef, NotShared, Run, Share, SharedState, Sharing, TaskDefaults,
        TaskFunction,
    };
    pub use crate::isolate::run_isolated;
    pub use crate::panics::CallError;
    pub use crate::returns::{Fetch, Many, One, ResultLike, ReturnWriter, Returns};
    pub use crate::runtime::worker_check;
    pub use crate::stream::Stream;
    pub use crate::task::{TaskSettings, submit_task, try_submit_task};
    pub use crate::test_support::{Constructor, test_support_entry};
}
