//! Tasks of a runtime with two CPUs, its driver being this process.
//!
//! | row | what is timed |
//! |---|---|
//! | `tasks_sync` | one task and its get |
//! | `tasks_async` | 1,000 tasks, then 1,000 gets; p50 and p99 are a batch's time by 1,000 |
//! | `queued_10k_tasks` | 10,000 tasks, all submitted before any result is asked for, until the last result is here |
//! | `queued_1M_tasks` | the same with 1,000,000 |
//!
//! A quick session leaves the million out, and so does one in which 10,000 show that a million would take
//! more than [`PATIENCE`].

use std::time::Duration;

use mobula::prelude::*;

use crate::error::{Error, Result, check};
use crate::limits::{BATCH, Limit};
use crate::sample::{Samples, singles, warmed};
use crate::session::{Figure, Session};
use crate::suites::cast::successor;

pub(crate) const NAME: &str = "tasks";

/// How long a million tasks may take to be measured at all.
const PATIENCE: Duration = Duration::from_secs(60);

const LIMITS: [Limit; 3] = [Limit::SpinRtt, Limit::FutexRtt, Limit::Stream];

/// Runs the suite.
pub(crate) fn run(session: &mut Session<'_>) -> Result<()> {
    session.limits(NAME, &LIMITS)?;
    session.begin("tasks_sync");
    let runtime = mobula::init(Config::new().num_cpus(2.0))?;
    let samples = one_by_one(session, "tasks_sync")?;
    session.emit(NAME, "tasks_sync", Figure::of(&samples), Some(Limit::SpinRtt.name()))?;
    session.begin("tasks_async");
    let samples = batches(session, "tasks_async")?.divided_by(BATCH);
    session.emit(NAME, "tasks_async", Figure::per_second(&samples), Some(Limit::Stream.name()))?;
    queued(session)?;
    runtime.shutdown();
    Ok(())
}

/// Times tasks one after the other.
pub(crate) fn one_by_one(session: &Session<'_>, row: &'static str) -> Result<Samples> {
    let task = |i: usize| check(row, mobula::get(&successor::remote(i as u64))?, i as u64 + 1);
    warmed(session.clock(), session.count(5_000, 500), task)
}

/// Times batches of 1,000 tasks.
pub(crate) fn batches(session: &Session<'_>, row: &'static str) -> Result<Samples> {
    let batch = |_| all(row, BATCH);
    warmed(session.clock(), session.count(100, 5), batch)
}

fn queued(session: &mut Session<'_>) -> Result<()> {
    const FEW: (&str, usize) = ("queued_10k_tasks", 10_000);
    const MANY: (&str, usize) = ("queued_1M_tasks", 1_000_000);
    let measure = |session: &mut Session<'_>, (row, count): (&'static str, usize)| {
        session.begin(row);
        let samples = singles(session.clock(), 1, |_| all(row, count))?.divided_by(count);
        session.emit(NAME, row, Figure::per_second(&samples), Some(Limit::Stream.name()))?;
        Ok::<_, Error>(samples.median())
    };
    let each = measure(session, FEW)?;
    if session.count(0, 1) == 1 {
        return session.skip(NAME, MANY.0, "a quick session has no time for it");
    }
    if each * MANY.1 as f64 > PATIENCE.as_nanos() as f64 {
        return session.skip(NAME, MANY.0, "10,000 tasks took so long that it would be more than 60 s");
    }
    measure(session, MANY).map(drop)
}

/// Submits tasks, then gets their results.
fn all(row: &'static str, count: usize) -> Result<()> {
    let refs: Vec<ObjectRef<u64>> = (0..count as u64).map(successor::remote).collect();
    (1..).zip(&refs).try_for_each(|(expected, object)| check(row, mobula::get(object)?, expected))
}
