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
    Actor, ActorDeath, ActorHandle, ActorId, ActorOptions, Arg, Array, ArrayMut, AsCompleted, Call, CallPath, Config,
    Context, DeathCause, Error, KillOptions, Lifetime, LogLevel, ObjectId, ObjectRef, Result, Runtime, RuntimeInfo,
    Segment, Task, TaskFailure, TaskId, TaskOptions, Waiting, arg, as_completed, available_resources,
    cluster_resources, context, exit_actor, get, get_all, get_all_timeout, get_timeout, init, is_initialized, kill,
    kill_with, put, shutdown, wait,
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
    pub use crate::{ActorHandle, Array, ArrayMut, Config, KillOptions, Lifetime, ObjectRef, Runtime};
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
