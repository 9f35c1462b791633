//! The store by itself.
//!
//! | part | rows |
//! |---|---|
//! | [`reads`] | get and contains of what another process sealed, first, again, and beside another reader |
//! | [`small`] | put, delete and last release of 1 KB; create and seal without the writing |
//! | [`large`] | put of 100 KB to 100 MB: warm, fresh and pre-faulted memory, one and two clients |
//! | [`wake`] | from seal to the waiting reader |
//! | [`deaths`] | from the death of a client until its objects are gone |
//! | [`scale`] | get among 10 to 10^6 objects; list and stats of 10^5, and what others notice of them |
//! | [`crowd`] | get, delete and last release with 1 to 128 clients and up to 10^5 held objects |
//!
//! Others' parts are played by real processes, which are told by lines of text ([`peer`]).

mod crowd;
mod deaths;
mod large;
pub(crate) mod peer;
mod reads;
mod scale;
mod small;
pub(crate) mod wake;

use std::hint::black_box;
use std::time::{Duration, Instant};

use mobula::store::{Deleted, ObjectId, Store, StoreOptions};

use crate::clock::Clock;
use crate::error::{Error, Result, check};
use crate::limits::Limit;
use crate::sample::{batches, singles};
use crate::session::{Figure, Session};

pub(crate) const NAME: &str = "store";

const LIMITS: [Limit; 9] = [
    Limit::Clock,
    Limit::AtomicPair,
    Limit::Copy1KB,
    Limit::SpinRtt,
    Limit::FutexRtt,
    Limit::FutexRttOneCpu,
    Limit::FutexRttTwoCpus,
    Limit::SpawnHello,
    Limit::KillSeen,
];

/// What short operations are compared and scaled with.
const PAIR: Option<&str> = Some(Limit::AtomicPair.name());

const CAPACITY: usize = 512 << 20;
const SMALL: usize = 1024;
/// Operations between two looks at the clock where single ones are too short for it.
const BATCH: usize = 100;
/// A power of two: how many ids are drawn ahead.
const DRAWS: usize = 1 << 14;
/// How long what happens elsewhere may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the suite.
pub(crate) fn run(session: &mut Session<'_>) -> Result<()> {
    session.limits(NAME, &LIMITS)?;
    let store = Store::create(StoreOptions::new(CAPACITY))?;
    reads::measure(session, &store)?;
    small::measure(session, &store)?;
    large::measure(session, &store)?;
    wake::measure(session, &store)?;
    deaths::measure(session, &store)?;
    drop(store);
    scale::measure(session)?;
    crowd::measure(session)
}

/// Measures an operation that is nearly as short as reading the clock: singles for the percentiles,
/// batches for the value.
fn short(session: &Session<'_>, mut operation: impl FnMut(usize) -> Result<()>) -> Result<Figure> {
    let count = session.count(200_000, 20_000);
    let value = batches(session.clock(), count / BATCH, BATCH, &mut operation)?.median();
    Ok(Figure::of(&singles(session.clock(), count, operation)?).with_value(value))
}

/// Gets an object that is there and lets it go.
#[inline]
fn get(store: &Store, id: ObjectId) -> Result<()> {
    let view = store.get(id, Some(Duration::ZERO))?;
    black_box(view.len());
    Ok(())
}

/// Times one batch and divides.
fn whole(clock: Clock, operation: impl FnMut(usize) -> Result<()>) -> Result<f64> {
    let start = clock.now();
    (0..BATCH).try_for_each(operation)?;
    Ok(clock.since(start) / BATCH as f64)
}

/// Times each operation of one batch.
fn each(clock: Clock, times: &mut Vec<f64>, mut operation: impl FnMut(usize) -> Result<()>) -> Result<()> {
    (0..BATCH).try_for_each(|i| {
        let start = clock.now();
        operation(i)?;
        times.push(clock.since(start));
        Ok(())
    })
}

/// Deletes an object that nobody views.
fn deleted(row: &'static str, store: &Store, id: ObjectId) -> Result<()> {
    check(row, store.delete(id)?, Deleted::Now)
}

/// Puts objects and keeps no view.
fn fill(store: &Store, numbers: std::ops::Range<u64>, bytes: usize) -> Result<()> {
    let data: Vec<u8> = (0..bytes).map(|i| i as u8).collect();
    numbers.into_iter().try_for_each(|number| store.put(id(number), &data).map(drop).map_err(Error::from))
}

/// Waits until something that happens elsewhere is done.
fn until(row: &'static str, what: &'static str, mut done: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() > deadline {
            let expected = format!("{what} within {} s", PATIENCE.as_secs());
            return Err(Error::Wrong { row, got: "nothing".to_owned(), expected });
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    Ok(())
}

/// Waits until `count` clients are attached: what the dead had is free then.
fn clients(row: &'static str, store: &Store, count: usize) -> Result<()> {
    until(row, "the end of other clients", || store.stats().clients == count as u64)
}

/// Draws `count` of the ids `0..among` above `base`.
fn draw(count: usize, base: u64, among: u64) -> Vec<ObjectId> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    (0..count).map(|_| id(base + random.next() % among)).collect()
}

/// Makes the id of an object out of its number, so that two processes agree on it.
fn id(number: u64) -> ObjectId {
    let mut random = Random(number ^ 0x5851_f42d_4c95_7f2d);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random.next().to_le_bytes());
    bytes[8..].copy_from_slice(&random.next().to_le_bytes());
    ObjectId::from_bytes(bytes)
}

/// SplitMix64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_the_same_every_time() {
        let mut ids: Vec<_> = (0..1000).map(id).collect();
        assert_eq!(ids[7], id(7));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 1000);
    }
}
