//! Bad input: each mistake is an error that says what is wrong, where it can first be known, and
//! nothing else breaks.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod arrays;
mod before_init;
mod config;
mod encoding;
mod forged;
mod full;
mod registry;
mod resources;
