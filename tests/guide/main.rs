//! The guide in `docs/`: all of its snippets, run, and the check that the pages show just these.

#![allow(unreachable_pub, clippy::print_stdout, reason = "as a program of a reader")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod pages;

mod actors;
mod r#async;
mod cancelling;
mod channels;
mod debugging;
mod drivers;
mod embedding;
mod fault_tolerance;
mod faults;
mod graphs;
mod objects;
mod patterns;
mod queues;
mod resources;
mod streams;
mod tasks;

use mobula::Config;

/// A small runtime, whatever the machine.
fn config() -> Config {
    Config::new().num_cpus(2.0).object_store_memory(32 << 20)
}
