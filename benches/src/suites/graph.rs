//! Graphs: calls that are bound once and run many times, beside the same calls made one by one.
//!
//! | row | what is timed |
//! |---|---|
//! | `graph_1_actor` | one execution of a graph with one actor, and its result |
//! | `graph_chain_4` | of four actors, each working on the result of the one before |
//! | `graph_scatter_4` | of four actors that all work on the input; four results |
//! | `graph_args_8_1B` .. `graph_args_8_10MB` | of one actor, with eight inputs of so many bytes |
//! | `graph_1_actor_async` | 1,000 executions, then 1,000 results; p50 and p99 are a batch's time by 1,000 |
//!
//! Each but the last stands a second time as `.._calls`: ordinary calls, with refs as arguments. These are the rows
//! of Ray's own benchmark of compiled graphs; a row is one round, input to result, one after the other. With more
//! actors than processors most of a round is the kernel's changing between processes.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::too_many_arguments, reason = "that is what is measured")]

use mobula::prelude::*;
use mobula::{Graph, Node};

use crate::error::{Result, check};
use crate::limits::{BATCH, Limit};
use crate::sample::warmed;
use crate::session::{Figure, Session};
use crate::suites::cast::{self, Echo};

pub(crate) const NAME: &str = "graph";

const STORE_BYTES: usize = 512 << 20;
const ACTORS: usize = 4;
const MEGABYTE: usize = 1_000_000;

/// Runs the suite.
pub(crate) fn run(session: &mut Session<'_>) -> Result<()> {
    session.limits(NAME, &[Limit::SpinRtt, Limit::Stream])?;
    session.begin("graph_1_actor");
    let runtime = mobula::init(Config::new().num_cpus(2.0).object_store_memory(STORE_BYTES))?;
    single(session)?;
    chain(session)?;
    scatter(session)?;
    arguments(session, ("graph_args_8_1B", "graph_args_8_1B_calls"), 1, (2_000, 50))?;
    arguments(session, ("graph_args_8_1MB", "graph_args_8_1MB_calls"), MEGABYTE, (2_000, 50))?;
    arguments(session, ("graph_args_8_10MB", "graph_args_8_10MB_calls"), 10 * MEGABYTE, (100, 5))?;
    runtime.shutdown();
    Ok(())
}

fn timed(
    session: &mut Session<'_>,
    row: &'static str,
    (many, few): (usize, usize),
    round: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    session.begin(row);
    let samples = warmed(session.clock(), session.count(many, few), round)?;
    session.emit(NAME, row, Figure::of(&samples), Some(Limit::SpinRtt.name()))
}

fn single(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "graph_1_actor";
    const CALLS: &str = "graph_1_actor_calls";
    const ASYNC: &str = "graph_1_actor_async";
    let echo = Echo::remote()?;
    timed(session, CALLS, (100_000, 5_000), |i| {
        check(CALLS, mobula::get(&echo.successor(i as u64).remote())?, i as u64 + 1)
    })?;
    let graph = Graph::<(u64,), _>::compile(|(x,)| echo.successor(x).bind())?;
    timed(session, ROW, (100_000, 5_000), |i| check(ROW, graph.execute((i as u64,))?.get()?, i as u64 + 1))?;
    session.begin(ASYNC);
    let mut refs = Vec::with_capacity(BATCH);
    let batch = |_| {
        for i in 0..BATCH as u64 {
            refs.push(graph.execute((i,))?);
        }
        for (i, result) in (1..).zip(refs.drain(..)) {
            check(ASYNC, result.get()?, i)?;
        }
        Ok(())
    };
    let samples = warmed(session.clock(), session.count(300, 10), batch)?.divided_by(BATCH);
    session.emit(NAME, ASYNC, Figure::per_second(&samples), Some(Limit::Stream.name()))
}

fn chain(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "graph_chain_4";
    const CALLS: &str = "graph_chain_4_calls";
    let echoes = cast::echoes(ACTORS)?;
    let sum = |i: usize| i as u64 + ACTORS as u64;
    timed(session, CALLS, (10_000, 300), |i| {
        let first = echoes[0].successor(i as u64).remote();
        let last = echoes[1..].iter().fold(first, |before, echo| echo.successor(before).remote());
        check(CALLS, mobula::get(&last)?, sum(i))
    })?;
    let graph = Graph::<(u64,), _>::compile(|(x,)| echoes.iter().fold(x, |x, echo| echo.successor(x).bind()))?;
    timed(session, ROW, (10_000, 300), |i| check(ROW, graph.execute((i as u64,))?.get()?, sum(i)))
}

fn scatter(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "graph_scatter_4";
    const CALLS: &str = "graph_scatter_4_calls";
    let echoes = cast::echoes(ACTORS)?;
    timed(session, CALLS, (10_000, 300), |i| {
        let refs: Vec<_> = echoes.iter().map(|echo| echo.successor(i as u64).remote()).collect();
        check(CALLS, mobula::get_all(&refs)?, vec![i as u64 + 1; ACTORS])
    })?;
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        echoes.iter().map(|echo| echo.successor(&x).bind()).collect::<Vec<Node<u64>>>()
    })?;
    timed(session, ROW, (10_000, 300), |i| check(ROW, graph.execute((i as u64,))?.get()?, vec![i as u64 + 1; ACTORS]))
}

/// Looks at what it is given.
struct Reader;

#[mobula::actor]
impl Reader {
    pub fn new() -> Self {
        Reader
    }

    /// Counts bytes.
    pub fn count(
        &self,
        a: Array<u8>,
        b: Array<u8>,
        c: Array<u8>,
        d: Array<u8>,
        e: Array<u8>,
        f: Array<u8>,
        g: Array<u8>,
        h: Array<u8>,
    ) -> usize {
        [a, b, c, d, e, f, g, h].iter().map(|array| array.len()).sum()
    }
}

type Eight = (Array<u8>, Array<u8>, Array<u8>, Array<u8>, Array<u8>, Array<u8>, Array<u8>, Array<u8>);

fn arguments(
    session: &mut Session<'_>,
    (row, calls): (&'static str, &'static str),
    bytes: usize,
    counts: (usize, usize),
) -> Result<()> {
    let reader = Reader::remote()?;
    let data = vec![7u8; bytes];
    // Each round has fresh arrays, so that their bytes are written anew.
    let eight = || -> mobula::Result<Eight> {
        let array = || Array::from_slice(&data);
        Ok((array()?, array()?, array()?, array()?, array()?, array()?, array()?, array()?))
    };
    timed(session, calls, counts, |_| {
        let (a, b, c, d, e, f, g, h) = eight()?;
        check(calls, mobula::get(&reader.count(a, b, c, d, e, f, g, h).remote())?, 8 * bytes)
    })?;
    let graph = Graph::<Eight, _>::compile(|(a, b, c, d, e, f, g, h)| reader.count(a, b, c, d, e, f, g, h).bind())?;
    timed(session, row, counts, |_| check(row, graph.execute(eight()?)?.get()?, 8 * bytes))
}
