//! The examples run, and print what their pages say.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod embedded;
mod parameter_server;
mod seeds;
mod small;

use std::process::Command;

use support::Ran;

/// Runs an example with arguments to its end.
fn run(name: &str, args: &[&str]) -> Ran {
    support::run(Command::new(support::example(name)).args(args))
}
