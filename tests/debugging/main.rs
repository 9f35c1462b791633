//! Looking into a runtime that runs: debuggers.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod stacks;
mod waiting;
mod wrappers;

/// Answers.
pub(crate) struct Patient;

#[mobula::actor]
impl Patient {
    pub fn new() -> Self {
        Patient
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn variable(&self, name: String) -> Option<String> {
        std::env::var(name).ok()
    }
}
