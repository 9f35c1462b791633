//! What a runtime prints: the output of its workers, in files and to the driver.
//!
//! What a driver prints can be seen from outside only, so each scenario is a program of its own: this test's executable,
//! which is told to play a role.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "what is printed is looked at")]

#[path = "../support/mod.rs"]
mod support;

mod files;
mod folding;
mod unread;

use std::process::Command;

use self::support::{Ran, run};

/// Tells a test of this binary that it is the driver that is looked at.
const ROLE: &str = "MOBULA_TEST_DRIVER";

/// Runs a test of this binary as a driver whose output is looked at.
pub(crate) fn driver(test: &str) -> Ran {
    driver_with(test, |command| command)
}

/// Does the same with a changed command.
pub(crate) fn driver_with(test: &str, change: impl FnOnce(&mut Command) -> &mut Command) -> Ran {
    let mut command = Command::new("/proc/self/exe");
    // A harness that runs one test prints nothing between the lines that are looked at.
    command.args(["--exact", test, "--test-threads=1", "--nocapture"]);
    let ran = run(change(command.env(ROLE, "1")));
    assert_eq!(ran.code, Some(0), "stdout:\n{}\nstderr:\n{}", ran.out, ran.err);
    ran
}

/// Says whether this process is such a driver.
pub(crate) fn is_driver() -> bool {
    std::env::var_os(ROLE).is_some()
}

/// Says what it is told to.
pub(crate) struct Speaker;

#[mobula::actor]
impl Speaker {
    pub fn new() -> Self {
        Speaker
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn say(&self, text: String) {
        println!("{text}");
    }

    /// Says numbered lines, alternately on both streams.
    pub fn count(&self, to: u32) {
        for number in 0..to {
            println!("out {number}");
            eprintln!("err {number}");
        }
    }

    /// Speaks its last words.
    pub fn say_and_die(&self, text: String) {
        eprint!("{text}");
        std::process::abort()
    }
}
