// A public class in a crate with strict lints: docs and deprecation travel, nothing else warns.
#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    elided_lifetimes_in_paths,
    unused_qualifications,
    unused_results,
    single_use_lifetimes,
    non_local_definitions,
    let_underscore_drop,
    unnameable_types,
    trivial_casts,
    trivial_numeric_casts,
    unused_lifetimes,
    variant_size_differences,
    clippy::all,
    clippy::pedantic
)]
//! Docs.

use mobula::prelude::ActorHandle;

/// A counter.
#[derive(Debug)]
pub struct Counter {
    value: i64,
}

#[mobula::actor(
    num_cpus = 1,
    num_gpus = 0.5,
    max_restarts = 2,
    max_task_retries = -1,
    max_concurrency = 1,
    max_pending_calls = 100
)]
impl Counter {
    /// Creates a counter.
    ///
    /// # Errors
    ///
    /// If the start is negative.
    pub fn new(start: i64) -> Result<Counter, String> {
        if start < 0 {
            return Err("negative".to_owned());
        }
        Ok(Counter { value: start })
    }

    /// Adds to the counter.
    pub fn add(&mut self, by: i64) -> i64 {
        self.value += by;
        self.value
    }

    /// Gives the value.
    #[deprecated(note = "use `add(0)`")]
    #[must_use]
    pub fn value(&self) -> i64 {
        self.value
    }

    /// Is not remote.
    #[must_use]
    pub fn helper(value: i64) -> i64 {
        value
    }

    fn private(&self, other: &Counter) -> bool {
        self.value == other.value
    }

    /// Uses what is not remote.
    #[must_use]
    pub fn equal(&self, value: i64) -> bool {
        self.private(&Counter { value })
    }
}

/// Squares a number.
#[mobula::task]
#[must_use]
pub fn square(x: u64) -> u64 {
    x * x
}

/// Is deprecated.
#[mobula::task]
#[deprecated]
#[must_use]
pub fn old(x: u64) -> u64 {
    x
}

/// Makes calls.
///
/// # Errors
///
/// If the runtime refuses.
pub fn shapes(counter: &ActorHandle<Counter>) -> mobula::Result<()> {
    drop(counter.add(Counter::helper(1)).remote());
    #[allow(deprecated)]
    drop(counter.value().remote());
    drop(counter.equal(1).remote());
    drop(square::remote(1));
    #[allow(deprecated)]
    drop(old::remote(1));
    Ok(())
}

fn main() {}
