//! Streams: calls that give their results one by one, while they run.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod actors;
mod backpressure;
mod cancelled;
mod dropped;
mod ends;
mod items;
mod nested;
mod options;
mod paths;
mod runtime;

use std::time::Duration;

use mobula::{ObjectRef, ObjectRefStream};
use serde::de::DeserializeOwned;

use self::support::{Scratch, eventually, get, note, pass};

/// Long enough for a machine under load.
const DEADLINE: Duration = Duration::from_secs(40);

/// Notes what becomes of an iterator: a line for each item that it makes, and its end.
#[derive(Debug)]
pub struct Noted {
    diary: String,
    next: u64,
    to: u64,
}

impl Noted {
    fn new(diary: String, to: u64) -> Self {
        Noted { diary, next: 0, to }
    }
}

impl Iterator for Noted {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let item = self.next;
        (item < self.to).then(|| {
            self.next += 1;
            note(&self.diary, "made");
            item
        })
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        note(&self.diary, "dropped");
    }
}

#[mobula::task]
fn count(to: u64) -> impl Iterator<Item = u64> {
    0..to
}

#[mobula::task]
fn noted(diary: String, to: u64) -> impl Iterator<Item = u64> {
    Noted::new(diary, to)
}

/// Waits in front of a gate before it makes the last item.
#[mobula::task]
fn gated(before: u64, gate: String) -> impl Iterator<Item = u64> {
    (0..=before).inspect(move |&item| {
        if item == before {
            pass(&gate);
        }
    })
}

#[mobula::task]
fn plain(x: u64) -> u64 {
    x
}

/// Waits for the next item, which must come or not come in good time.
fn next<T>(stream: &mut ObjectRefStream<T>) -> Option<ObjectRef<T>> {
    stream.next_timeout(DEADLINE).unwrap()
}

/// Waits for all items that are left; the first error ends the test.
fn values<T: DeserializeOwned>(mut stream: ObjectRefStream<T>) -> Vec<T> {
    let mut values = Vec::new();
    while let Some(item) = next(&mut stream) {
        values.push(get(&item).unwrap());
    }
    assert!(stream.is_done());
    values
}

/// Takes what is left of a stream whose last item is an error: how many values come first, and the error.
fn until_error<T: DeserializeOwned>(mut stream: ObjectRefStream<T>) -> (usize, mobula::Error) {
    let mut values = 0;
    loop {
        match get(&next(&mut stream).unwrap()) {
            Ok(_) => values += 1,
            Err(error) => {
                assert!(next(&mut stream).is_none(), "the error is the last item");
                assert!(stream.is_done() && stream.next().is_none() && stream.try_next().is_none());
                return (values, error);
            }
        }
    }
}

/// Counts the lines of a diary that say so.
fn lines(diary: &Scratch, line: &str) -> usize {
    diary.lines().iter().filter(|noted| *noted == line).count()
}

fn until_noted(diary: &Scratch, line: &str) {
    eventually(line, || lines(diary, line) > 0);
}

/// Waits until all of so many CPUs are free.
fn all_cpus_back(cpus: f64) {
    eventually("the CPUs are free", || mobula::available_resources()["CPU"] == cpus);
}
