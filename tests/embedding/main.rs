//! A host with threads of its own, to which the runtime is one thing among others.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod hosts;
mod other_program;
mod threads;
