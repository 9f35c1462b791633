//! The store by itself.
//!
//! | row | what is timed |
//! |---|---|
//! | `get_200KB` | a get of a sealed object of 200 KB and the view's drop; ids drawn from 1,000 that another process sealed, none held |
//! | `contains` | the same ids |
//! | `put_1KB` | a put of 1 KB under a new id and the view's drop; at most 100 live |
//! | `delete_1KB` | a deletion that frees the memory at once |
//! | `put_100MB_warm` | a put into memory that was freed before; the view's drop is not counted |

use std::hint::black_box;
use std::process::Stdio;

use mobula::store::{Deleted, ObjectId, Store, StoreOptions};

use crate::child::{self, Child, Role};
use crate::error::{Error, Result, check};
use crate::limits::{Limit, beside};
use crate::sample::{Samples, batches, singles};
use crate::session::{Figure, Session};

pub(crate) const NAME: &str = "store";

const LIMITS: [Limit; 7] = [
    Limit::AtomicPair,
    Limit::Copy1KB,
    Limit::SpinRtt,
    Limit::FutexRtt,
    Limit::FutexRttOneCpu,
    Limit::FutexRttTwoCpus,
    Limit::SpawnHello,
];

const CAPACITY: usize = 512 << 20;
/// How many objects the reader draws from, and their size.
const OBJECTS: usize = 1000;
const OBJECT_BYTES: usize = 200_000;
const SMALL: usize = 1024;
/// Operations between two looks at the clock where single ones are too short for it.
const BATCH: usize = 100;
/// A power of two: how many ids are drawn ahead.
const DRAWS: usize = 1 << 14;

/// Runs the suite.
pub(crate) fn run(session: &mut Session<'_>) -> Result<()> {
    session.limits(NAME, &LIMITS)?;
    let store = Store::create(StoreOptions::new(CAPACITY))?;
    reads(session, &store)?;
    small_writes(session, &store)?;
    large_writes(session, &store)
}

/// The child's side: fills the store at an address and stays until the parent has read enough.
pub(crate) fn writer(args: &[String]) -> Result<()> {
    let store = Store::attach(args.first().map_or("", String::as_str))?;
    let data: Vec<u8> = (0..OBJECT_BYTES).map(|i| i as u8).collect();
    for i in 0..OBJECTS {
        store.put(id(i as u64), &data)?;
    }
    child::ready()?;
    child::wait_for_end()
}

fn reads(session: &mut Session<'_>, store: &Store) -> Result<()> {
    session.begin("get_200KB");
    let mut writer = Child::start(Role::StoreWriter, &[store.address().to_owned()], Stdio::piped())?;
    writer.wait_ready()?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let drawn: Vec<ObjectId> = (0..DRAWS).map(|_| id(random.next() % OBJECTS as u64)).collect();
    for i in 0..OBJECTS {
        let view = store.get(id(i as u64), None)?;
        check("get_200KB", (view.len(), view[OBJECT_BYTES - 1]), (OBJECT_BYTES, (OBJECT_BYTES - 1) as u8))?;
    }
    let get = |i: usize| {
        let view = store.get(drawn[i % DRAWS], None)?;
        black_box(view.len());
        Ok(())
    };
    let figure = short(session, get)?;
    session.emit(NAME, "get_200KB", figure, Some(Limit::AtomicPair))?;

    session.begin("contains");
    let contains = |i: usize| {
        black_box(store.contains(drawn[i % DRAWS]));
        Ok(())
    };
    let figure = short(session, contains)?;
    session.emit(NAME, "contains", figure, Some(Limit::AtomicPair))?;
    drop(writer);
    (0..OBJECTS).try_for_each(|i| deleted("get_200KB", store, id(i as u64)))
}

/// Measures an operation that is nearly as short as reading the clock: singles for the percentiles,
/// batches for the value.
fn short(session: &Session<'_>, mut operation: impl FnMut(usize) -> Result<()>) -> Result<Figure> {
    let count = session.count(200_000, 20_000);
    let value = batches(session.clock(), count / BATCH, BATCH, &mut operation)?.median();
    Ok(Figure::of(&singles(session.clock(), count, operation)?).with_value(value))
}

fn small_writes(session: &mut Session<'_>, store: &Store) -> Result<()> {
    session.begin("put_1KB");
    let (clock, rounds) = (session.clock(), session.count(2_000, 200));
    let data = [7_u8; SMALL];
    let (mut puts, mut deletes) = (Vec::new(), Vec::new());
    let (mut put_batches, mut delete_batches) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let ids: Vec<ObjectId> = (0..BATCH).map(|i| id((1 << 32) + (round * BATCH + i) as u64)).collect();
        let put = |i: usize| store.put(ids[i], black_box(&data)).map(drop).map_err(Error::from);
        let delete = |i: usize| deleted("delete_1KB", store, ids[i]);
        // Rounds take turns: one without a clock inside, one with.
        if round % 2 == 0 {
            put_batches.push(whole(clock, put)?);
            delete_batches.push(whole(clock, delete)?);
        } else {
            each(clock, &mut puts, put)?;
            each(clock, &mut deletes, delete)?;
        }
    }
    let figure = |singles, batches| Figure::of(&Samples::new(singles)).with_value(Samples::new(batches).median());
    session.emit(NAME, "put_1KB", figure(puts, put_batches), Some(Limit::Copy1KB))?;
    session.emit(NAME, "delete_1KB", figure(deletes, delete_batches), Some(Limit::AtomicPair))
}

/// Times one batch and divides.
fn whole(clock: crate::Clock, operation: impl FnMut(usize) -> Result<()>) -> Result<f64> {
    let start = clock.now();
    (0..BATCH).try_for_each(operation)?;
    Ok(clock.since(start) / BATCH as f64)
}

/// Times each operation of one batch.
fn each(clock: crate::Clock, times: &mut Vec<f64>, mut operation: impl FnMut(usize) -> Result<()>) -> Result<()> {
    (0..BATCH).try_for_each(|i| {
        let start = clock.now();
        operation(i)?;
        times.push(clock.since(start));
        Ok(())
    })
}

fn large_writes(session: &mut Session<'_>, store: &Store) -> Result<()> {
    const ROW: &str = "put_100MB_warm";
    let clock = session.clock();
    beside(session, NAME, ROW, |source| {
        let bytes: &[u8] = mobula::bytemuck::cast_slice(source);
        let start = clock.now();
        let view = store.put(id(0), black_box(bytes))?;
        let time = clock.since(start);
        check(ROW, (view.len(), view.last()), (bytes.len(), bytes.last()))?;
        drop(view);
        deleted(ROW, store, id(0))?;
        Ok(time)
    })
}

fn deleted(row: &'static str, store: &Store, id: ObjectId) -> Result<()> {
    check(row, store.delete(id)?, Deleted::Now)
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
