//! What the processes of a runtime know of the processors that their work has.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod pinning;
mod threads;
