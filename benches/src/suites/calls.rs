//! Calls and objects of a runtime, its driver being this process.
//!
//! | row | what is timed |
//! |---|---|
//! | `actor_call_sync_hot` | one call and its get, one after the other without a pause |
//! | `actor_call_sync_asleep` | call and get in one (`Call::call`) after both sides have slept for 2 ms and more |
//! | `actor_call_sync_oversubscribed` | the same with four actors in turn without a pause, on two CPUs |
//! | `1_1_actor_calls_async` | 1,000 calls, then 1,000 gets; p50 and p99 are a batch's time by 1,000 |
//!
//! | part | rows |
//! |---|---|
//! | [`crowd`] | `1_n_actor_calls_async`, `n_n_actor_calls_async`, `n_n_actor_calls_with_arg_async` |
//! | [`arrays`] | `actor_call_1MB_array`, `actor_call_1MB_array_put`, `array_100MB_put` |
//! | [`objects`] | `put_1KB`, `get_1KB`, `put_1KB_text`, `get_1KB_text`, `get_10k_refs` |
//! | [`completion`] | `wait_1k_refs`, `as_completed_1k` |
//! | [`streams`] | `task_stream_items`, `actor_stream_items`: 10,000 items; p50 and p99 are a stream's time by 10,000 |
//! | [`deaths`] | `kill_actor_to_error`, `restart_to_result` |
//!
//! Nothing is pinned: the kernel places driver and workers as it does in a user's program.

mod arrays;
pub(crate) mod completion;
pub(crate) mod crowd;
mod deaths;
pub(crate) mod objects;
mod streams;

use mobula::prelude::*;

use crate::error::{Result, check};
use crate::limits::{BATCH, Limit};
use crate::sample::{self, warmed};
use crate::session::{Figure, Session};
use crate::suites::cast::{self, Echo};

pub(crate) const NAME: &str = "calls";

const LIMITS: [Limit; 8] = [
    Limit::SpinRtt,
    Limit::Stream,
    Limit::FutexRtt,
    Limit::FutexRttOneCpu,
    Limit::FutexRttTwoCpus,
    Limit::FutexRttAsleep,
    Limit::Copy1KB,
    Limit::KillSeen,
];

const STORE_BYTES: usize = 512 << 20;
const HOT: &str = "actor_call_sync_hot";
/// How many actors are called in turn, which is more than there are CPUs.
const CROWDED: usize = 4;

/// Runs the suite.
pub(crate) fn run(session: &mut Session<'_>) -> Result<()> {
    session.limits(NAME, &LIMITS)?;
    session.begin(HOT);
    let runtime = mobula::init(Config::new().num_cpus(2.0).object_store_memory(STORE_BYTES))?;
    let mut caller = Caller { adder: Adder::remote()?, sum: 0 };
    hot(session, &mut caller)?;
    asleep(session, &mut caller)?;
    pipelined(session, &mut caller)?;
    drop(caller);
    oversubscribed(session)?;
    crowd::measure(session)?;
    objects::measure(session)?;
    completion::measure(session)?;
    arrays::measure(session)?;
    streams::measure(session)?;
    deaths::measure(session)?;
    runtime.shutdown();
    Ok(())
}

/// Adds up.
#[derive(Debug)]
struct Adder {
    sum: u64,
}

#[mobula::actor]
#[allow(unreachable_pub, reason = "remote methods are `pub`")]
impl Adder {
    pub fn new() -> Self {
        Adder { sum: 0 }
    }

    pub fn add(&mut self, by: u64) -> u64 {
        self.sum += by;
        self.sum
    }
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

    /// The same in one step.
    #[inline]
    fn call_and_wait(&mut self, row: &'static str, by: u64) -> Result<()> {
        let sum = self.adder.add(by).call()?;
        self.sum += by;
        check(row, sum, self.sum)
    }
}

fn hot(session: &mut Session<'_>, caller: &mut Caller) -> Result<()> {
    let samples = warmed(session.clock(), session.count(200_000, 20_000), |i| caller.call(HOT, i as u64))?;
    session.emit(NAME, HOT, Figure::of(&samples), Some(Limit::SpinRtt.name()))
}

fn asleep(session: &mut Session<'_>, caller: &mut Caller) -> Result<()> {
    const ROW: &str = "actor_call_sync_asleep";
    session.begin(ROW);
    let samples = sample::asleep(session.clock(), session.count(1_000, 100), || caller.call_and_wait(ROW, 1))?;
    session.emit(NAME, ROW, Figure::of(&samples), Some(Limit::FutexRtt.name()))
}

fn pipelined(session: &mut Session<'_>, caller: &mut Caller) -> Result<()> {
    const ROW: &str = "1_1_actor_calls_async";
    session.begin(ROW);
    let mut refs: Vec<ObjectRef<u64>> = Vec::with_capacity(BATCH);
    let batch = |_| {
        refs.extend((0..BATCH).map(|_| caller.adder.add(1).remote()));
        for answer in refs.drain(..) {
            caller.sum += 1;
            check(ROW, mobula::get(&answer)?, caller.sum)?;
        }
        Ok(())
    };
    let samples = warmed(session.clock(), session.count(1_000, 50), batch)?.divided_by(BATCH);
    session.emit(NAME, ROW, Figure::per_second(&samples), Some(Limit::Stream.name()))
}

fn oversubscribed(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "actor_call_sync_oversubscribed";
    session.begin(ROW);
    let echoes: Vec<ActorHandle<Echo>> = cast::echoes(CROWDED)?;
    let call = |i: usize| {
        let answer = echoes[i % CROWDED].successor(i as u64).call()?;
        check(ROW, answer, i as u64 + 1)
    };
    let samples = warmed(session.clock(), session.count(20_000, 1_000), call)?;
    session.emit(NAME, ROW, Figure::of(&samples), Some(Limit::FutexRtt.name()))
}
