//! Benchmarks of the Savina suite for actors (Imam and Sarkar, 2014), each actor a process.
//!
//! | row | what happens | an operation |
//! |---|---|---|
//! | `ping_pong` | two actors throw a ball to and fro | there and back |
//! | `thread_ring` | four actors pass a ball round | two hops |
//! | `counting` | one actor sends another numbers to add up, then asks for the sum | a number |
//! | `fork_join_throughput` | this process sends four actors work, then asks whether all is done | a piece |
//! | `big` | four actors ping a random other one, each as soon as the pong before is here | ping and pong |
//! | `banking` | a teller orders transfers between four accounts, and counts those that are confirmed | a transfer |
//! | `bounded_buffer` | two producers and two consumers at a manager that keeps eight items | an item |
//!
//! Savina has a hundred actors and more in some of these, which share threads there; here they are as few as
//! a small machine can take. Messages are calls whose results nobody asks for. Whoever starts a
//! benchmark looks every 100 us whether it is over. Every result is checked. `value` is operations a second,
//! p50 and p99 are times of whole runs divided by their operations.

mod bank;
mod big;
mod buffer;
mod counting;
mod ring;

use std::time::Duration;

use mobula::prelude::*;

use crate::error::Result;
use crate::limits::Limit;
use crate::sample::singles;
use crate::session::{Figure, Session};

pub(crate) const NAME: &str = "savina";

/// How often one looks whether it is over.
const GLANCE: Duration = Duration::from_micros(100);

/// Runs the suite.
pub(crate) fn run(session: &mut Session<'_>) -> Result<()> {
    session.limits(NAME, &[Limit::Stream])?;
    session.rate_limit(NAME, Limit::SpinRtt)?;
    session.begin("ping_pong");
    let runtime = mobula::init(Config::new().num_cpus(2.0))?;
    ring::measure(session, "ping_pong", 2)?;
    ring::measure(session, "thread_ring", 4)?;
    counting::measure(session)?;
    big::measure(session)?;
    bank::measure(session)?;
    buffer::measure(session)?;
    runtime.shutdown();
    Ok(())
}

/// Times runs of `operations` each, and emits the row.
fn measure(
    session: &mut Session<'_>,
    row: &'static str,
    limit: Limit,
    operations: usize,
    mut run: impl FnMut() -> Result<()>,
) -> Result<()> {
    session.begin(row);
    run()?;
    let samples = singles(session.clock(), session.count(10, 2), |_| run())?.divided_by(operations);
    session.emit(NAME, row, Figure::per_second(&samples), Some(limit.name()))
}

/// Asks again and again until it is over; if it never is, the watchdog ends it.
fn until(mut is_over: impl FnMut() -> mobula::Result<bool>) -> Result<()> {
    while !is_over()? {
        std::thread::sleep(GLANCE);
    }
    Ok(())
}

/// Ends actors, which know each other and would otherwise stay.
fn dismiss<A: mobula::Actor>(actors: &[ActorHandle<A>]) -> Result<()> {
    Ok(actors.iter().try_for_each(mobula::kill)?)
}
