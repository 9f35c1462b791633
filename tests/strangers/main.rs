//! Workers that run another program than the driver, and do not fit.
//!
//! The other program is `worker.rs`, built as the example `strangers`: a crate of the same name and
//! package, so that its classes have the names that the ones here have.

#![allow(unreachable_pub, missing_docs, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod absent;
mod other_signature;

use mobula::prelude::*;

use support::example;

/// The same in the other program, but for the type of the argument, unless that is told to leave it out.
#[derive(Debug, Default)]
pub struct Shared;

#[mobula::actor]
impl Shared {
    pub fn new() -> Self {
        Shared
    }

    pub fn length(&self, text: String) -> usize {
        text.len()
    }
}

/// Makes a configuration whose workers run the other program, in the role that it is told.
pub(crate) fn config(role: &str) -> Config {
    support::config(1.0).worker_exe(example("strangers")).env("STRANGER", role)
}
