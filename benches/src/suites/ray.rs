//! The rows of Ray's microbenchmark (`ray microbenchmark`) that Mobula can do, in Ray's names.
//!
//! | row | what one operation is |
//! |---|---|
//! | `single_client_get_calls_Plasma_Store` | get of an integer that was put |
//! | `single_client_put_calls_Plasma_Store` | put of an integer |
//! | `multi_client_put_calls_Plasma_Store` | one of 10 x 100 puts by as many tasks |
//! | `single_client_put_gigabytes` | put of 100 Mi integers of 8 bytes |
//! | `multi_client_put_gigabytes` | one of 10 x 10 puts of 10 Mi of them by as many tasks |
//! | `single_client_tasks_and_get_batch` | 1,000 tasks and all their results |
//! | `single_client_get_object_containing_10k_refs` | get of a list of 10,000 refs |
//! | `single_client_wait_1k_refs` | 1,000 tasks, and `wait` for one of those that are left until none is |
//! | `single_client_tasks_sync`, `.._async` | one task and its result; one of 1,000 |
//! | `multi_client_tasks_async` | one of 4 x 10,000 tasks of as many actors |
//! | `1_1_actor_calls_sync`, `1_1_actor_calls_async` | one call and its result; one of 1,000 |
//! | `1_n_actor_calls_async` | one of 5,000 calls of each of n actors by one client |
//! | `n_n_actor_calls_async` | one of 5,000 calls of each of 4 clients, spread over n actors |
//! | `n_n_actor_calls_with_arg_async` | one of 1,000 calls in each of n pairs, with a ref as argument |
//! | `1_1_async_actor_calls_sync`, `.._async`, `.._with_args_async` | as above, of an `async` method; with an integer |
//! | `1_n_async_actor_calls_async`, `n_n_async_actor_calls_async` | as above, of `async` methods |
//!
//! `value` is what Ray prints: operations, or gigabytes, a second. The workloads are those of the suites
//! `calls` and `tasks`; n is half of the CPUs, but at least 2. Quick sessions put, call and submit less.
//! Ray's clients of `n_n` are tasks, ours are actors; what Ray fills with zeros has other numbers here,
//! because untouched zeros are no memory that is read. Rows with concurrency inside of an actor, placement
//! groups and Ray's proxy are left out.

mod awaited;

use std::hint::black_box;

use mobula::prelude::*;

use crate::error::{Result, check};
use crate::limits::copies::{Copier, MEMCPY, Manner};
use crate::limits::{BATCH, Limit};
use crate::machine::Machine;
use crate::sample::{Samples, in_turns, singles, warmed};
use crate::session::{Figure, Session};
use crate::suites::calls::completion::wait_one_by_one;
use crate::suites::calls::crowd::Crowd;
use crate::suites::calls::objects::list_of_refs;
use crate::suites::cast::{self, Client};
use crate::suites::tasks;

pub(crate) const NAME: &str = "ray";

const MI: usize = 1 << 20;
const SINGLE_PUT: usize = 100 * MI;
const MULTI_PUT: usize = 10 * MI;
/// Tasks that put, and those of a batch.
const PUTTERS: usize = 10;
/// Clients of several actors, or of tasks.
const CLIENTS: usize = 4;
const STORE_BYTES: usize = 1536 << 20;
/// A machine with less memory has no room for two copies of the large array beside the store.
const MEMORY_FOR_GIGABYTES: u64 = 6 << 30;

/// Runs the suite.
pub(crate) fn run(session: &mut Session<'_>) -> Result<()> {
    session.limits(NAME, &[Limit::Stream])?;
    session.rate_limit(NAME, Limit::SpinRtt)?;
    session.rate_limit(NAME, Limit::AtomicPair)?;
    session.begin("single_client_get_calls_Plasma_Store");
    let runtime = mobula::init(Config::new().num_cpus(2.0).object_store_memory(STORE_BYTES))?;
    small_objects(session)?;
    gigabytes(session)?;
    of_tasks(session)?;
    of_actors(session)?;
    awaited::measure(session)?;
    runtime.shutdown();
    Ok(())
}

fn emit(session: &mut Session<'_>, row: &'static str, limit: Limit, samples: &Samples) -> Result<()> {
    session.emit(NAME, row, Figure::per_second(samples), Some(limit.name()))
}

fn small_objects(session: &mut Session<'_>) -> Result<()> {
    const GET: &str = "single_client_get_calls_Plasma_Store";
    const PUT: &str = "single_client_put_calls_Plasma_Store";
    const MULTI: &str = "multi_client_put_calls_Plasma_Store";
    let (clock, count) = (session.clock(), session.count(200_000, 10_000));
    let object = mobula::put(&1_u64)?;
    let samples = singles(clock, count, |_| check(GET, mobula::get(&object)?, 1))?;
    emit(session, GET, Limit::AtomicPair, &samples)?;
    session.begin(PUT);
    let samples = singles(clock, count, |_| {
        black_box(mobula::put(&0_u64)?);
        Ok(())
    })?;
    emit(session, PUT, Limit::AtomicPair, &samples)?;
    session.begin(MULTI);
    let puts = 100;
    let samples = singles(clock, session.count(200, 5), |_| {
        let refs: Vec<_> = (0..PUTTERS).map(|_| cast::put_small::remote(puts)).collect();
        check(MULTI, mobula::get_all(&refs)?, vec![puts; PUTTERS])
    })?;
    emit(session, MULTI, Limit::Stream, &samples.divided_by(PUTTERS * puts as usize))
}

fn gigabytes(session: &mut Session<'_>) -> Result<()> {
    const SINGLE: &str = "single_client_put_gigabytes";
    const MULTI: &str = "multi_client_put_gigabytes";
    if Machine::look().memory_bytes < MEMORY_FOR_GIGABYTES {
        session.skip(NAME, SINGLE, "it takes 6 GiB of memory")?;
        return session.skip(NAME, MULTI, "it takes 6 GiB of memory");
    }
    session.begin(SINGLE);
    let clock = session.clock();
    let (single_put, multi_put) =
        (session.count(SINGLE_PUT, SINGLE_PUT / 10), session.count(MULTI_PUT, MULTI_PUT / 10));
    let source = vec![1_i64; single_put];
    let bytes: &[u8] = mobula::bytemuck::cast_slice(&source);
    let mut copier = Copier::new(bytes.len())?;
    let [limit, times] = in_turns(
        1,
        session.count(10, 1),
        [&mut || Ok(copier.copy(clock, Manner::MEMCPY, bytes)), &mut || {
            let start = clock.now();
            let array = Array::from_slice(black_box(&source))?;
            let time = clock.since(start);
            check(SINGLE, (array.len(), array.last()), (single_put, Some(&1)))?;
            Ok(time)
        }],
    )?;
    session.emit(NAME, MEMCPY, Figure::rate(&limit, bytes.len()), None)?;
    session.emit(NAME, SINGLE, Figure::rate(&times, bytes.len()), Some(MEMCPY))?;
    drop((source, copier));
    session.begin(MULTI);
    let each = session.count(10, 2);
    let batch = |_| {
        let refs: Vec<_> = (0..PUTTERS).map(|_| cast::put_large::remote(each, multi_put)).collect();
        check(MULTI, mobula::get_all(&refs)?, vec![each; PUTTERS])
    };
    // The first time makes the sources and faults the memory in.
    batch(0)?;
    let samples = singles(clock, session.count(5, 1), batch)?.divided_by(PUTTERS * each);
    session.emit(NAME, MULTI, Figure::rate(&samples, multi_put * size_of::<i64>()), Some(MEMCPY))
}

fn of_tasks(session: &mut Session<'_>) -> Result<()> {
    const BATCHES: &str = "single_client_tasks_and_get_batch";
    const REFS: &str = "single_client_get_object_containing_10k_refs";
    const WAIT: &str = "single_client_wait_1k_refs";
    const SYNC: &str = "single_client_tasks_sync";
    const ASYNC: &str = "single_client_tasks_async";
    const MULTI: &str = "multi_client_tasks_async";
    session.begin(BATCHES);
    let samples = tasks::batches(session, BATCHES)?;
    session.emit(NAME, BATCHES, Figure::per_second(&samples), None)?;
    emit(session, ASYNC, Limit::Stream, &samples.divided_by(BATCH))?;
    session.begin(REFS);
    let samples = list_of_refs(session, REFS)?;
    session.emit(NAME, REFS, Figure::per_second(&samples), None)?;
    session.begin(WAIT);
    let samples = wait_one_by_one(session, WAIT)?;
    session.emit(NAME, WAIT, Figure::per_second(&samples), None)?;
    session.begin(SYNC);
    let samples = tasks::one_by_one(session, SYNC)?;
    emit(session, SYNC, Limit::SpinRtt, &samples)?;
    session.begin(MULTI);
    let clients = cast::clients(&vec![Vec::new(); CLIENTS])?;
    let each = session.count(10_000, 500);
    let samples = singles(session.clock(), session.count(5, 1), |_| {
        let order = |client: &ActorHandle<Client>| client.batch_of_tasks(each).remote();
        check(MULTI, mobula::get_all(&clients.iter().map(order).collect::<Vec<_>>())?, vec![each; CLIENTS])
    })?;
    emit(session, MULTI, Limit::Stream, &samples.divided_by(CLIENTS * each))
}

fn of_actors(session: &mut Session<'_>) -> Result<()> {
    const SYNC: &str = "1_1_actor_calls_sync";
    const ASYNC: &str = "1_1_actor_calls_async";
    session.begin(SYNC);
    for echo in cast::echoes(1)? {
        let call = |i: usize| check(SYNC, mobula::get(&echo.successor(i as u64).remote())?, i as u64 + 1);
        let samples = warmed(session.clock(), session.count(100_000, 2_000), call)?;
        emit(session, SYNC, Limit::SpinRtt, &samples)?;
        session.begin(ASYNC);
        let batch = |_| {
            let refs: Vec<_> = (0..BATCH as u64).map(|i| echo.successor(i).remote()).collect();
            (1..).zip(&refs).try_for_each(|(expected, object)| check(ASYNC, mobula::get(object)?, expected))
        };
        let samples = warmed(session.clock(), session.count(500, 20), batch)?.divided_by(BATCH);
        emit(session, ASYNC, Limit::Stream, &samples)?;
    }
    let calls = session.count(5_000, 1_000);
    let spread: fn(usize) -> Result<Crowd> = |calls| Crowd::many_to_many(CLIENTS, calls / cast::several());
    let crowds = [
        ("1_n_actor_calls_async", Crowd::one_to_many as fn(usize) -> Result<Crowd>, calls),
        ("n_n_actor_calls_async", spread, calls),
        ("n_n_actor_calls_with_arg_async", Crowd::pairs, BATCH),
    ];
    for (row, crowd, calls) in crowds {
        session.begin(row);
        let crowd = crowd(calls)?;
        let samples = crowd.measure(session, row, (50, 3))?;
        emit(session, row, Limit::Stream, &samples)?;
    }
    Ok(())
}
