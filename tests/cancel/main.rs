//! Cancelling calls: those that wait, those that run, those that others have made.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod actors;
mod borrowed;
mod dedicated;
mod finished;
mod forced;
mod races;
mod recursive;
mod running;
mod waiting;

use std::path::Path;

use mobula::ObjectRef;

use self::support::{Scratch, eventually, get, note, pass};

/// Notes that it has begun, waits in front of a gate that Mobula does not know of, and says whether it was cancelled.
#[mobula::task(max_retries = -1)]
fn hold(diary: String, gate: String) -> bool {
    note(&diary, "begun");
    pass(&gate);
    let cancelled = mobula::context().is_cancelled();
    note(&diary, if cancelled { "cancelled" } else { "not cancelled" });
    cancelled
}

/// Notes that it has begun, and waits for a ref; then it notes how that went.
#[mobula::task(max_retries = -1)]
fn follow(diary: String, of: Vec<ObjectRef<bool>>) -> Result<(), mobula::Error> {
    note(&diary, "begun");
    let got = mobula::get(&of[0]).map(drop);
    note_outcome(&diary, &got);
    got
}

#[mobula::task]
fn say(diary: String, line: String) -> bool {
    note(&diary, &line);
    true
}

fn note_outcome(diary: &str, got: &mobula::Result<()>) {
    note(
        diary,
        match got {
            Ok(()) => "a value",
            Err(error) if error.is_cancelled() => "cancelled",
            Err(_) => "an error",
        },
    );
}

/// Waits until a diary has a line.
fn until_noted(diary: &Scratch, line: &str) {
    eventually(line, || diary.lines().iter().any(|noted| noted == line));
}

fn is_cancelled<T: serde::de::DeserializeOwned>(object: &ObjectRef<T>) -> bool {
    match get(object) {
        Err(error) if error.is_cancelled() => true,
        Err(error) => panic!("another error: {error}"),
        Ok(_) => false,
    }
}

/// Waits until all of so many CPUs are free.
fn all_cpus_back(cpus: f64) {
    eventually("the CPUs are free", || mobula::available_resources()["CPU"] == cpus);
}

fn exists(path: &Scratch) -> bool {
    Path::new(&path.text()).exists()
}
