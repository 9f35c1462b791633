//! Actors and tasks in worker processes, over a shared-memory store of immutable objects, on one
//! machine.
//!
//! ```no_run
//! use mobula::prelude::*;
//!
//! struct Counter {
//!     value: i64,
//! }
//!
//! #[mobula::actor]
//! impl Counter {
//!     pub fn new(start: i64) -> Self {
//!         Counter { value: start }
//!     }
//!
//!     pub fn add(&mut self, by: i64) -> i64 {
//!         self.value += by;
//!         self.value
//!     }
//! }
//!
//! #[mobula::task]
//! fn square(x: i64) -> i64 {
//!     x * x
//! }
//!
//! fn main() -> mobula::Result<()> {
//!     let _runtime = mobula::init(Config::new())?; // first: in a worker process it never returns
//!     let counter = Counter::remote(0)?; // an actor in a process of its own
//!     let five = counter.add(5).remote(); // at once; the value comes later
//!     let squared = square::remote(&five); // a ref as argument
//!     assert_eq!(mobula::get(&squared)?, 25);
//!     Ok(())
//! }
//! ```
//!
//! - A program starts a runtime with [`init`]; dropping the [`Runtime`] ends it.
//! - `#[mobula::actor]` makes a class's methods remote, `#[mobula::task]` a function. Both run in
//!   worker processes, which are this executable started again.
//! - Calls give [`ObjectRef`]s at once; [`get`] waits for the value, [`wait`] for some of many. A ref
//!   may be an argument of another call, and travels inside values.
//! - Large data goes into an [`Array`], which crosses processes without a copy. `Vec<f64>` and the
//!   like are encoded and decoded (about 2 GB/s).
//! - Every [`Error`] can be asked what it is; a failed call's error comes out of `get`.
//!
//! # Names
//!
//! An actor with a name is found by it, from every process of the program:
//!
//! ```
//! use mobula::prelude::*;
//!
//! struct Tally {
//!     sum: i64,
//! }
//!
//! #[mobula::actor]
//! impl Tally {
//!     pub fn new() -> Self {
//!         Tally { sum: 0 }
//!     }
//!
//!     pub fn add(&mut self, by: i64) -> i64 {
//!         self.sum += by;
//!         self.sum
//!     }
//! }
//!
//! fn main() -> mobula::Result<()> {
//!     let _runtime = mobula::init(Config::new().num_cpus(1.0).object_store_memory(16 << 20))?;
//!     let tally = Tally::options().name("tally").remote()?;
//!     // A handle that was found is weak: it does not keep the actor alive.
//!     let found: ActorHandle<Tally> = mobula::get_actor("tally")?;
//!     assert_eq!(found.add(2).call()?, 2);
//!     // There is one of a name; whoever creates it first, this gives a handle that counts.
//!     assert!(Tally::options().name("tally").remote().is_err_and(|error| error.is_name_taken()));
//!     let same = Tally::options().name("tally").get_if_exists(true).remote()?;
//!     assert_eq!(same.add(3).call()?, 5);
//!     assert_eq!(mobula::list_named_actors(false)?[0].name, "tally");
//!     // The name is free as soon as the actor is dead.
//!     mobula::kill(&tally)?;
//!     assert!(mobula::get_actor::<Tally>("tally").is_err_and(|error| error.is_not_found()));
//!     Ok(())
//! }
//! ```
//!
//! # Many tasks
//!
//! [`map_unordered`] makes a call for each item and gives the results as they come, with a bound on how many calls are
//! unfinished:
//!
//! ```
//! use mobula::prelude::*;
//!
//! #[mobula::task]
//! fn square(x: u64) -> u64 {
//!     x * x
//! }
//!
//! fn main() -> mobula::Result<()> {
//!     let _runtime = mobula::init(Config::new().num_cpus(1.0).object_store_memory(16 << 20))?;
//!     let mut sum = 0;
//!     for result in mobula::map_unordered(1..=100, square::remote).at_most(10) {
//!         sum += result?;
//!     }
//!     assert_eq!(sum, 338_350);
//!     Ok(())
//! }
//! ```
//!
//! # Cancelling
//!
//! [`cancel`] takes back a call. What has not begun never runs; what runs is told, and ends when it likes:
//!
//! ```
//! use mobula::prelude::*;
//!
//! #[mobula::task]
//! fn search(from: u64) -> Option<u64> {
//!     // One context tells it all the time.
//!     let context = mobula::context();
//!     (from..).take_while(|_| !context.is_cancelled()).find(|x| x % 2 == 1 && x % 2 == 0)
//! }
//!
//! fn main() -> mobula::Result<()> {
//!     let _runtime = mobula::init(Config::new().num_cpus(1.0).object_store_memory(16 << 20))?;
//!     let endless = search::remote(1);
//!     mobula::cancel(&endless, false)?;
//!     assert!(mobula::get(&endless).is_err_and(|error| error.is_cancelled()));
//!     Ok(())
//! }
//! ```
//!
//! # Futures
//!
//! With the feature `async` a ref is a future on any executor, and actors have `async` methods, of which one thread runs a
//! thousand at a time. `docs/async.md` tells more.
//!
//! # Types that can cross
//!
//! Whatever implements serde's `Serialize` and `DeserializeOwned`, but for types that ask the format
//! what comes next (enums with serde's `untagged` or `tag`, and `flatten`) and values of which
//! `skip_serializing_if` leaves out a field. They are refused with an error that names the type.
//!
//! # Tests
//!
//! Put `mobula::test_support!();` once into a test binary, or mark tests with `#[mobula::test]`: each
//! runs in a process of its own and may `init` a runtime.

#![deny(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

pub use mobula_macros::{actor, main, method, task, test};
#[doc(hidden)]
pub use mobula_worker::__private;
#[doc(no_inline)]
pub use mobula_worker::bytemuck::{self, Pod};
#[doc(no_inline)]
pub use mobula_worker::serde;
pub use mobula_worker::store;
pub use mobula_worker::{
    Actor, ActorDeath, ActorHandle, ActorId, ActorOptions, ActorPool, Arg, Array, ArrayMut, ArrayPart, AsCompleted,
    Call, CallPath, CancelOptions, ChannelGuard, ChannelOptions, ChannelReader, ChannelWriter, Config, Context,
    DeathCause, Error, Graph, GraphOptions, GraphRef, KillOptions, Lifetime, LogLevel, MapUnordered, NamedActor, Node,
    ObjectId, ObjectRef, ObjectRefStream, PoolCall, PoolMap, Queue, Receiver, Result, Runtime, RuntimeInfo, Segment,
    Sender, SharedArray, Task, TaskFailure, TaskId, TaskOptions, ThreadStack, Waiting, WorkerStacks, arg, as_completed,
    available_resources, cancel, cancel_with, channel, cluster_resources, context, exit_actor, get, get_actor,
    get_actor_in, get_all, get_all_timeout, get_timeout, init, is_initialized, kill, kill_with, list_named_actors,
    map_unordered, put, shutdown, stack_traces, value_channel, wait,
};
#[cfg(feature = "async")]
pub use mobula_worker::{
    GetFuture, ItemStream, Sleep, WaitFuture, block_in_place, block_on, get_async, sleep, timeout, wait_async,
};

/// The types that almost every program names; no functions, no attributes.
///
/// ```
/// use mobula::prelude::*;
///
/// let config = Config::new().num_cpus(2.0);
/// # let _ = config;
/// ```
pub mod prelude {
    pub use crate::{
        ActorHandle, Array, ArrayMut, Config, KillOptions, Lifetime, ObjectRef, ObjectRefStream, Runtime, SharedArray,
    };
}

/// Makes workers possible inside a test harness; it may stand any number of times.
///
/// The workers of a test are the test's own executable, started again. This macro turns such a
/// process into a worker before the harness's `main` runs. `#[mobula::test]` brings it along.
///
/// # Examples
///
/// ```
/// mobula::test_support!();
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! test_support {
    () => {
        const _: () = {
            #[used]
            #[unsafe(link_section = ".init_array")]
            static MOBULA_TEST_SUPPORT: $crate::__private::Constructor = $crate::__private::test_support_entry;
        };
    };
}

/// Compiles and runs the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
