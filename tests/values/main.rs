//! Values: arrays, refs inside values, results of every size, lifetimes of objects, promises.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod arrays;
mod large;
mod lifetimes;
mod nested;
mod promises;
mod spilled;
