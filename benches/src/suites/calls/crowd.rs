//! Several callers, several actors.
//!
//! ```text
//!   1_n      driver --order--> Client --1,000 calls each--> n Echo
//!   n_n      driver --order--> n Client --1,000 calls each--> the same n Echo
//!   with_arg driver --order--> n Client --1,000 calls, a ref to a 1 KB array--> one Echo each
//! ```
//!
//! n is half of the CPUs as in Ray's microbenchmark, but at least 2. A batch's time is that of the
//! driver, from the order until all clients have got all results, and is divided by all calls.

use mobula::prelude::*;

use crate::error::{Result, check};
use crate::limits::{BATCH, Limit};
use crate::sample::{Samples, warmed};
use crate::session::{Figure, Session};
use crate::suites::cast::{self, Client};

use super::NAME;

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    const ROWS: [&str; 3] = ["1_n_actor_calls_async", "n_n_actor_calls_async", "n_n_actor_calls_with_arg_async"];
    let many: fn(usize) -> Result<Crowd> = |calls| Crowd::many_to_many(cast::several(), calls);
    for (row, crowd) in ROWS.into_iter().zip([Crowd::one_to_many, many, Crowd::pairs]) {
        session.begin(row);
        let crowd = crowd(BATCH)?;
        let samples = crowd.measure(session, row, (200, 10))?;
        session.emit(NAME, row, Figure::per_second(&samples), Some(Limit::Stream.name()))?;
    }
    Ok(())
}

/// Clients and what is asked of them.
pub(crate) struct Crowd {
    clients: Vec<ActorHandle<Client>>,
    /// Calls that one client makes of one actor in a batch.
    calls: usize,
    /// Actors that one client calls.
    callees: usize,
    with_array: bool,
}

impl Crowd {
    /// One client and n actors.
    pub(crate) fn one_to_many(calls: usize) -> Result<Crowd> {
        Crowd::many_to_many(1, calls)
    }

    /// Clients that call all of the same n actors.
    pub(crate) fn many_to_many(clients: usize, calls: usize) -> Result<Crowd> {
        let echoes = cast::echoes(cast::several())?;
        let callees = echoes.len();
        Ok(Crowd { clients: cast::clients(&vec![echoes; clients])?, calls, callees, with_array: false })
    }

    /// n clients, each with an actor of its own, to which it gives a ref.
    pub(crate) fn pairs(calls: usize) -> Result<Crowd> {
        let echoes = cast::echoes(cast::several())?;
        let own: Vec<_> = echoes.into_iter().map(|echo| vec![echo]).collect();
        Ok(Crowd { clients: cast::clients(&own)?, calls, callees: 1, with_array: true })
    }

    /// Times batches, as many as a full and a quick session take, and divides by their calls.
    pub(crate) fn measure(
        &self,
        session: &Session<'_>,
        row: &'static str,
        (full, quick): (usize, usize),
    ) -> Result<Samples> {
        let batch = |_| {
            let order = |client: &ActorHandle<Client>| match self.with_array {
                true => client.batch_with_array(self.calls).remote(),
                false => client.batch(self.calls).remote(),
            };
            let right: usize = mobula::get_all(&self.clients.iter().map(order).collect::<Vec<_>>())?.into_iter().sum();
            check(row, right, self.all_calls())
        };
        Ok(warmed(session.clock(), session.count(full, quick), batch)?.divided_by(self.all_calls()))
    }

    fn all_calls(&self) -> usize {
        self.clients.len() * self.callees * self.calls
    }
}
