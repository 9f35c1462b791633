//! Calls of actors: creation, order, arguments, results, errors.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod arguments;
mod callers;
mod dependents;
mod errors;
mod fused;
mod handles;
mod inside;
mod lifetimes;
mod limits;
mod order;
mod results;
mod volume;

use mobula::prelude::*;

/// Starts a runtime with two CPUs.
pub(crate) fn start() -> Runtime {
    mobula::init(Config::new().num_cpus(2.0).object_store_memory(64 << 20)).unwrap()
}

/// Counts, and can do all that the scenarios need.
pub(crate) struct Counter {
    value: i64,
}

#[mobula::actor]
impl Counter {
    pub fn new(start: i64) -> Self {
        Counter { value: start }
    }

    pub fn add(&mut self, by: i64) -> i64 {
        self.value += by;
        self.value
    }

    pub fn value(&self) -> i64 {
        self.value
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}
