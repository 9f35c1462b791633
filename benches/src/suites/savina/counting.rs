//! Messages in one direction: `counting` from one actor to another, `fork_join_throughput` to many.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use mobula::prelude::*;

use crate::error::{Result, check};
use crate::limits::Limit;
use crate::session::Session;

#[derive(Debug, Default)]
struct Counter {
    sum: u64,
    heat: f64,
}

#[mobula::actor]
impl Counter {
    pub fn new() -> Self {
        Counter::default()
    }

    pub fn add(&mut self, by: u64) {
        self.sum += by;
    }

    /// Works a little.
    pub fn work(&mut self, by: u64) {
        self.sum += by;
        let angle = 37.2_f64;
        self.heat += angle.sin().powi(2);
    }

    /// Returns the sum and begins anew.
    pub fn take(&mut self) -> (u64, f64) {
        std::mem::take(&mut *self).into_parts()
    }
}

impl Counter {
    fn into_parts(self) -> (u64, f64) {
        (self.sum, self.heat)
    }
}

#[derive(Debug)]
struct Producer {
    counter: ActorHandle<Counter>,
}

#[mobula::actor]
impl Producer {
    pub fn new(counter: ActorHandle<Counter>) -> Self {
        Producer { counter }
    }

    /// Sends numbers and asks for their sum.
    pub fn produce(&self, count: u64) -> mobula::Result<u64> {
        (1..=count).for_each(|number| drop(self.counter.add(number).remote()));
        Ok(mobula::get(&self.counter.take().remote())?.0)
    }
}

/// Actors that are sent work.
const WORKERS: usize = 4;

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    const COUNTING: &str = "counting";
    const FORK_JOIN: &str = "fork_join_throughput";
    let count = session.count(100_000, 5_000) as u64;
    let producer = Producer::remote(&Counter::remote()?)?;
    super::measure(session, COUNTING, Limit::Stream, count as usize, || {
        check(COUNTING, mobula::get(&producer.produce(count).remote())?, count * (count + 1) / 2)
    })?;

    let workers = (0..WORKERS).map(|_| Counter::remote()).collect::<mobula::Result<Vec<_>>>()?;
    let each = session.count(20_000, 1_000) as u64;
    super::measure(session, FORK_JOIN, Limit::Stream, each as usize * WORKERS, || {
        for _ in 0..each {
            workers.iter().for_each(|worker| drop(worker.work(1).remote()));
        }
        let sums: Vec<_> = workers.iter().map(|worker| worker.take().remote()).collect();
        let sums = mobula::get_all(&sums)?;
        check(FORK_JOIN, sums.iter().all(|(sum, heat)| *sum == each && *heat > 0.0), true)
    })
}
