//! Streams of small items: how fast they come out.
//!
//! ```text
//!   task, actor --10,000 numbers, each an item of its own--> driver: next, get
//! ```

use mobula::prelude::*;

use crate::error::{Result, check};
use crate::limits::{BATCH, Limit};
use crate::sample::warmed;
use crate::session::{Figure, Session};

use super::NAME;

/// How many items one stream has.
const ITEMS: usize = 10 * BATCH;

/// Counts.
#[mobula::task]
fn numbers(to: u64) -> impl Iterator<Item = u64> {
    0..to
}

/// Counts as a task does.
#[derive(Debug)]
struct Counter;

#[mobula::actor]
#[allow(unreachable_pub, reason = "remote methods are `pub`")]
impl Counter {
    pub fn new() -> Self {
        Counter
    }

    pub fn numbers(&self, to: u64) -> impl Iterator<Item = u64> + use<> {
        0..to
    }
}

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    rate(session, "task_stream_items", numbers::remote)?;
    let counter = Counter::remote()?;
    rate(session, "actor_stream_items", |to| counter.numbers(to).remote())
}

fn rate(session: &mut Session<'_>, row: &'static str, stream: impl Fn(u64) -> ObjectRefStream<u64>) -> Result<()> {
    session.begin(row);
    let all = |_| {
        let mut count = 0;
        for item in stream(ITEMS as u64) {
            check(row, mobula::get(&item)?, count)?;
            count += 1;
        }
        check(row, count, ITEMS as u64)
    };
    let samples = warmed(session.clock(), session.count(100, 5), all)?.divided_by(ITEMS);
    session.emit(NAME, row, Figure::per_second(&samples), Some(Limit::Stream.name()))
}
