//! Stateless tasks.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod basics;
mod crowds;
mod leases;
mod mapped;
mod nesting;
mod worn;

use mobula::prelude::*;

/// Starts a runtime with two CPUs.
pub(crate) fn start() -> Runtime {
    mobula::init(Config::new().num_cpus(2.0).object_store_memory(64 << 20)).unwrap()
}
