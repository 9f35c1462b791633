//! Calls, tasks and objects of a runtime, its driver being this process.
//!
//! | row | what is timed |
//! |---|---|
//! | `actor_call_sync_hot` | one call and its get, one after the other without a pause |
//! | `actor_call_sync_asleep` | the same after both sides have slept for 2 ms and more |
//! | `1_1_actor_calls_async` | 1,000 calls, then 1,000 gets; p50 and p99 are a batch's time by 1,000 |
//! | `tasks_sync` | one task and its get |
//! | `put_1KB`, `get_1KB` | `mobula::put` and `get` of a `Vec<u8>`; the ref's drop is not counted |
//! | `put_1KB_text`, `get_1KB_text` | the same of a `String`, which serde hands over in one piece |
//! | `array_100MB_put` | `Array::from_slice` into memory that was freed before; the drop is not counted |
//!
//! Nothing is pinned: the kernel places driver and workers as it does in a user's program.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use std::hint::black_box;

use mobula::prelude::*;
use mobula::serde::{Serialize, de::DeserializeOwned};

use crate::error::{Result, check};
use crate::limits::copies::beside;
use crate::limits::{BATCH, IDLE, Limit};
use crate::sample::{Samples, singles};
use crate::session::{Figure, Session};

pub(crate) const NAME: &str = "calls";

const LIMITS: [Limit; 7] = [
    Limit::SpinRtt,
    Limit::Stream,
    Limit::FutexRtt,
    Limit::FutexRttOneCpu,
    Limit::FutexRttTwoCpus,
    Limit::FutexRttAsleep,
    Limit::Copy1KB,
];

const STORE_BYTES: usize = 512 << 20;
const SMALL: usize = 1024;
/// Objects that are alive at once while they are put and read.
const OBJECTS: usize = 100;

/// Adds up.
struct Adder {
    sum: u64,
}

#[mobula::actor]
impl Adder {
    pub fn new() -> Self {
        Adder { sum: 0 }
    }

    pub fn add(&mut self, by: u64) -> u64 {
        self.sum += by;
        self.sum
    }
}

#[mobula::task]
fn successor(number: u64) -> u64 {
    number + 1
}

/// Runs the suite.
pub(crate) fn run(session: &mut Session<'_>) -> Result<()> {
    session.limits(NAME, &LIMITS)?;
    session.begin("actor_call_sync_hot");
    let runtime = mobula::init(Config::new().num_cpus(2.0).object_store_memory(STORE_BYTES))?;
    let mut caller = Caller { adder: Adder::remote()?, sum: 0 };
    hot(session, &mut caller)?;
    asleep(session, &mut caller)?;
    pipelined(session, &mut caller)?;
    drop(caller);
    tasks(session)?;
    objects(session, "put_1KB", "get_1KB", vec![7_u8; SMALL])?;
    objects(session, "put_1KB_text", "get_1KB_text", "x".repeat(SMALL))?;
    arrays(session)?;
    runtime.shutdown();
    Ok(())
}

/// An actor and what it must have answered last.
struct Caller {
    adder: ActorHandle<Adder>,
    sum: u64,
}

impl Caller {
    #[inline]
    fn call(&mut self, row: &'static str, by: u64) -> Result<()> {
        let sum = mobula::get(&self.adder.add(by).remote())?;
        self.sum += by;
        check(row, sum, self.sum)
    }
}

fn hot(session: &mut Session<'_>, caller: &mut Caller) -> Result<()> {
    const ROW: &str = "actor_call_sync_hot";
    let count = session.count(200_000, 20_000);
    (0..count / 10).try_for_each(|_| caller.call(ROW, 1))?;
    let samples = singles(session.clock(), count, |i| caller.call(ROW, i as u64))?;
    session.emit(NAME, ROW, Figure::of(&samples), Some(Limit::SpinRtt.name()))
}

fn asleep(session: &mut Session<'_>, caller: &mut Caller) -> Result<()> {
    const ROW: &str = "actor_call_sync_asleep";
    session.begin(ROW);
    let clock = session.clock();
    let mut times = Vec::new();
    for _ in 0..session.count(1_000, 100) {
        std::thread::sleep(IDLE);
        let start = clock.now();
        caller.call(ROW, 1)?;
        times.push(clock.since(start));
    }
    session.emit(NAME, ROW, Figure::of(&Samples::new(times)), Some(Limit::FutexRttAsleep.name()))
}

fn pipelined(session: &mut Session<'_>, caller: &mut Caller) -> Result<()> {
    const ROW: &str = "1_1_actor_calls_async";
    session.begin(ROW);
    let mut refs: Vec<ObjectRef<u64>> = Vec::with_capacity(BATCH);
    let mut batch = |_| {
        refs.extend((0..BATCH).map(|_| caller.adder.add(1).remote()));
        for answer in refs.drain(..) {
            caller.sum += 1;
            check(ROW, mobula::get(&answer)?, caller.sum)?;
        }
        Ok(())
    };
    let count = session.count(1_000, 50);
    (0..count / 10).try_for_each(&mut batch)?;
    let samples = singles(session.clock(), count, batch)?.divided_by(BATCH);
    session.emit(NAME, ROW, Figure::per_second(&samples), Some(Limit::Stream.name()))
}

fn tasks(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "tasks_sync";
    session.begin(ROW);
    let task = |i: usize| check(ROW, mobula::get(&successor::remote(i as u64))?, i as u64 + 1);
    let count = session.count(5_000, 500);
    (0..count / 10).try_for_each(task)?;
    let samples = singles(session.clock(), count, task)?;
    session.emit(NAME, ROW, Figure::of(&samples), Some(Limit::SpinRtt.name()))
}

fn objects<T>(session: &mut Session<'_>, put_row: &'static str, get_row: &'static str, value: T) -> Result<()>
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    session.begin(put_row);
    let clock = session.clock();
    let (mut puts, mut gets) = (Vec::new(), Vec::new());
    for _ in 0..session.count(1_000, 100) {
        let mut refs = Vec::with_capacity(OBJECTS);
        for _ in 0..OBJECTS {
            let start = clock.now();
            let object = mobula::put(black_box(&value))?;
            puts.push(clock.since(start));
            refs.push(object);
        }
        for object in &refs {
            let start = clock.now();
            let got = mobula::get(object)?;
            gets.push(clock.since(start));
            check(get_row, &got, &value)?;
        }
    }
    session.emit(NAME, put_row, Figure::of(&Samples::new(puts)), Some(Limit::Copy1KB.name()))?;
    session.emit(NAME, get_row, Figure::of(&Samples::new(gets)), Some(Limit::Copy1KB.name()))
}

fn arrays(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "array_100MB_put";
    let clock = session.clock();
    beside(session, NAME, ROW, |source| {
        let start = clock.now();
        let array = Array::from_slice(black_box(source))?;
        let time = clock.since(start);
        check(ROW, (array.len(), array.last()), (source.len(), source.last()))?;
        Ok(time)
    })
}
