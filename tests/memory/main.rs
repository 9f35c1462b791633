//! Memory that runs short: the figures are those of files that the test writes, the processes are real.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod kills;
