//! The rows of actors with `async` methods.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use mobula::prelude::*;

use super::{CLIENTS, NAME};
use crate::error::{Result, check};
use crate::limits::{BATCH, Limit};
use crate::sample::{singles, warmed};
use crate::session::{Figure, Session};
use crate::suites::cast;

/// Does next to nothing, on an event loop.
#[derive(Debug)]
struct AsyncEcho;

#[mobula::actor]
impl AsyncEcho {
    pub fn new() -> Self {
        AsyncEcho
    }

    pub async fn ping(&self) {}

    pub async fn successor(&self, number: u64) -> u64 {
        number + 1
    }
}

/// Calls others from a process of its own.
#[derive(Debug)]
struct AsyncClient {
    callees: Vec<ActorHandle<AsyncEcho>>,
}

#[mobula::actor]
impl AsyncClient {
    pub fn new(callees: Vec<ActorHandle<AsyncEcho>>) -> Self {
        AsyncClient { callees }
    }

    /// Makes `calls` calls of each callee, one callee after the other, and counts the results.
    pub fn batch(&self, calls: usize) -> mobula::Result<usize> {
        let refs: Vec<_> = self.callees.iter().flat_map(|callee| (0..calls).map(|_| callee.ping().remote())).collect();
        Ok(mobula::get_all(&refs)?.len())
    }
}

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    const SYNC: &str = "1_1_async_actor_calls_sync";
    const ASYNC: &str = "1_1_async_actor_calls_async";
    const ARGS: &str = "1_1_async_actor_calls_with_args_async";
    session.begin(SYNC);
    let emit = |session: &mut Session<'_>, row, limit: Limit, samples| {
        session.emit(NAME, row, Figure::per_second(&samples), Some(limit.name()))
    };
    let echo = AsyncEcho::remote()?;
    let call = |_: usize| Ok(mobula::get(&echo.ping().remote())?);
    let samples = warmed(session.clock(), session.count(100_000, 2_000), call)?;
    emit(session, SYNC, Limit::SpinRtt, samples)?;
    session.begin(ASYNC);
    let batch = |_| {
        let refs: Vec<_> = (0..BATCH).map(|_| echo.ping().remote()).collect();
        check(ASYNC, mobula::get_all(&refs)?.len(), BATCH)
    };
    let samples = warmed(session.clock(), session.count(500, 20), batch)?;
    emit(session, ASYNC, Limit::Stream, samples.divided_by(BATCH))?;
    session.begin(ARGS);
    let batch = |_| {
        let refs: Vec<_> = (0..BATCH as u64).map(|i| echo.successor(i).remote()).collect();
        (1..).zip(&refs).try_for_each(|(expected, object)| check(ARGS, mobula::get(object)?, expected))
    };
    let samples = warmed(session.clock(), session.count(500, 20), batch)?;
    emit(session, ARGS, Limit::Stream, samples.divided_by(BATCH))?;
    drop(echo);
    let calls = session.count(5_000, 1_000);
    for (row, clients, calls) in
        [("1_n_async_actor_calls_async", 1, calls), ("n_n_async_actor_calls_async", CLIENTS, calls / cast::several())]
    {
        session.begin(row);
        let echoes = (0..cast::several()).map(|_| AsyncEcho::remote()).collect::<mobula::Result<Vec<_>>>()?;
        let clients = (0..clients).map(|_| AsyncClient::remote(echoes.clone())).collect::<mobula::Result<Vec<_>>>()?;
        let all = clients.len() * echoes.len() * calls;
        let batch = |_| {
            let orders: Vec<_> = clients.iter().map(|client| client.batch(calls).remote()).collect();
            check(row, mobula::get_all(&orders)?.into_iter().sum(), all)
        };
        let samples = singles(session.clock(), session.count(50, 3), batch)?;
        emit(session, row, Limit::Stream, samples.divided_by(all))?;
    }
    Ok(())
}
