//! The guard of `#[mobula::test]`: a test that leaves something behind fails, however well it went.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod leaks;
mod outcomes;

use std::process::Command;

use support::{Ran, run};

/// Tells a test of this binary to do what would fail it.
const ROLE: &str = "MOBULA_TEST_MISBEHAVE";

/// Says whether the test was told to misbehave.
fn misbehaves() -> bool {
    std::env::var_os(ROLE).is_some()
}

/// Runs a test of this binary that misbehaves, under the guard.
fn guarded(test: &str) -> Ran {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", test, "--test-threads=1"]);
    run(command.env(ROLE, "1").env("MOBULA_ISOLATED_AFTERWARDS_MS", "300"))
}

/// Runs such a test and asserts that the guard fails it and says why.
fn is_caught(test: &str, words: &[&str]) -> String {
    let ran = guarded(test);
    assert_eq!(ran.code, Some(101), "{test} passed:\n{}", ran.out);
    for word in words {
        assert!(ran.out.contains(word), "{test}: no {word:?} in\n{}", ran.out);
    }
    ran.out
}
