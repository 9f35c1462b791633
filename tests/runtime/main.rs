//! Starting and ending runtimes.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod call_path;
mod lifecycle;
mod misuse;
mod resources;
mod segments;

use mobula::prelude::*;

/// Makes a small runtime's configuration.
pub(crate) fn config() -> Config {
    Config::new().num_cpus(2.0).object_store_memory(64 << 20)
}

/// Answers.
pub(crate) struct Pinger;

#[mobula::actor]
impl Pinger {
    pub fn new() -> Self {
        Pinger
    }

    pub fn ping(&self) -> i64 {
        1
    }

    pub fn context(&self) -> (String, String, bool, bool, String) {
        let context = mobula::context();
        (
            context.node_id(),
            context.worker_id(),
            context.actor_id().is_some(),
            context.task_id().is_some(),
            context.namespace(),
        )
    }

    pub fn init_here(&self) -> String {
        match mobula::init(Config::new()) {
            Ok(_) => "it worked".into(),
            Err(error) => error.to_string(),
        }
    }
}
