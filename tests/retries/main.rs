//! How often tasks run: after a worker's death, after an error, and when neither costs anything.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod counts;
mod dedicated;
mod defaults;
mod errors;
mod stream;

use self::support::{Scratch, note};

/// Notes that it runs, and ends its process unless it has been noted `last` times.
#[mobula::task]
fn die_until(diary: String, last: usize) -> u32 {
    if tries(&diary) < last {
        std::process::abort();
    }
    std::process::id()
}

/// Notes that it runs, and fails unless it has been noted `last` times: every other time with a panic.
#[mobula::task]
fn fail_until(diary: String, last: usize) -> Result<usize, String> {
    match tries(&diary) {
        count if count >= last => Ok(count),
        count if count % 2 == 0 => panic!("try {count} panics"),
        count => Err(format!("try {count} is an error")),
    }
}

/// Adds a line to a diary; returns how many there are.
fn tries(diary: &str) -> usize {
    note(diary, "begun");
    std::fs::read_to_string(diary).unwrap().lines().count()
}

/// How often a diary says that a task has begun.
fn begun(diary: &Scratch) -> usize {
    diary.lines().len()
}
