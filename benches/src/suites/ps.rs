//! A parameter server and two workers, each an actor; numbers are f64, arrays stay in the store.
//!
//! ```text
//!   sync     driver --gradient(parameters)--> worker 0, 1 --gradients--> server.apply --> next round's parameters
//!   async    worker 0, 1:  server.parameters() --> gradient --> server.push(gradient), again and again
//! ```
//!
//! | row | what one operation is |
//! |---|---|
//! | `ps_sync_8MB`, `ps_sync_80MB` | a round: two gradients of the same parameters, applied together |
//! | `ps_async_8MB` | an iteration of one of the workers: fetch, gradient, push; the server applies each alone |
//! | `limit_ps_8MB`, `limit_ps_80MB` | a round by two threads in one process ([`limit`]), without a store |
//! | `limit_ps_async_8MB` | an iteration by them |
//!
//! Limit and row run the same functions [`gradient`] and [`apply`] and take turns, a block of operations
//! each; a sample is a block's time divided by its operations. The numbers that come out are checked: in
//! rounds they are known to the last bit, in iterations it is known how many there were.

mod limit;

use mobula::prelude::*;

use crate::clock::Clock;
use crate::error::{Result, check};
use crate::limits::Limit;
use crate::sample::in_turns;
use crate::session::{Figure, Session};

use limit::{Asynchronous, Synchronous};

pub(crate) const NAME: &str = "ps";

/// The numbers of 8 MB.
const SMALL: usize = 1_000_000;
/// Those of 80 MB.
const LARGE: usize = 10_000_000;
/// Versions of the parameters and gradients in numbers that one of 80 MB takes, with room to spare.
const STORE_BYTES: usize = 1536 << 20;
const WORKERS: usize = 2;
/// Where the parameters should get to from zero.
const AIM: f64 = 1.0;
/// How far a gradient takes them.
const RATE: f64 = 1.0 / 1024.0;

/// How much of a kind is measured.
#[derive(Debug, Clone, Copy)]
struct Amount {
    numbers: usize,
    /// Operations in a block.
    block: usize,
    /// Blocks of a full and of a quick session, one more coming first.
    blocks: (usize, usize),
}

/// Runs the suite.
pub(crate) fn run(session: &mut Session<'_>) -> Result<()> {
    // What a round costs that moves next to nothing.
    session.limits(NAME, &[Limit::FutexRtt])?;
    let runtime = mobula::init(Config::new().num_cpus(2.0).object_store_memory(STORE_BYTES))?;
    let small = Amount { numbers: SMALL, block: 20, blocks: (20, 2) };
    rounds(session, "ps_sync_8MB", "limit_ps_8MB", small)?;
    iterations(session, "ps_async_8MB", "limit_ps_async_8MB", small)?;
    rounds(session, "ps_sync_80MB", "limit_ps_80MB", Amount { numbers: LARGE, block: 3, blocks: (10, 1) })?;
    runtime.shutdown();
    Ok(())
}

/// Computes how far each parameter is from where it should be.
fn gradient(parameters: &[f64], gradient: &mut [f64]) {
    for (to, parameter) in gradient.iter_mut().zip(parameters) {
        *to = (parameter - AIM) * RATE;
    }
}

/// Writes the parameters that one gradient, or two together, lead to.
fn apply(parameters: &[f64], gradients: &[&[f64]], next: &mut [f64]) {
    match gradients {
        [one, other] => {
            for (((to, parameter), one), other) in next.iter_mut().zip(parameters).zip(*one).zip(*other) {
                *to = parameter - (one + other);
            }
        }
        [one] => {
            for ((to, parameter), one) in next.iter_mut().zip(parameters).zip(*one) {
                *to = parameter - one;
            }
        }
        _ => next.copy_from_slice(parameters),
    }
}

/// Holds the parameters; each version is an object of its own.
#[derive(Debug)]
struct Server {
    parameters: Array<f64>,
    pushes: u64,
}

#[mobula::actor]
#[allow(unreachable_pub, reason = "remote methods are `pub`")]
impl Server {
    pub fn new(numbers: usize) -> mobula::Result<Self> {
        Ok(Server { parameters: ArrayMut::zeros(&[numbers])?.seal()?, pushes: 0 })
    }

    pub fn parameters(&self) -> Array<f64> {
        self.parameters.clone()
    }

    pub fn pushes(&self) -> u64 {
        self.pushes
    }

    pub fn apply(&mut self, one: Array<f64>, other: Array<f64>) -> mobula::Result<Array<f64>> {
        self.update(&[&one, &other])?;
        Ok(self.parameters.clone())
    }

    pub fn push(&mut self, gradient: Array<f64>) -> mobula::Result<()> {
        self.pushes += 1;
        self.update(&[&gradient])
    }
}

impl Server {
    fn update(&mut self, gradients: &[&[f64]]) -> mobula::Result<()> {
        let mut next = ArrayMut::with_len(self.parameters.len())?;
        apply(&self.parameters, gradients, &mut next);
        self.parameters = next.seal()?;
        Ok(())
    }
}

/// Computes gradients.
#[derive(Debug)]
struct Worker;

#[mobula::actor]
#[allow(unreachable_pub, reason = "remote methods are `pub`")]
impl Worker {
    pub fn new() -> Self {
        Worker
    }

    pub fn gradient(&self, parameters: Array<f64>) -> mobula::Result<Array<f64>> {
        let mut made = ArrayMut::with_len(parameters.len())?;
        gradient(&parameters, &mut made);
        Ok(made.seal()?)
    }

    /// Goes through iterations at its own pace.
    pub fn run(&self, server: ActorHandle<Server>, iterations: usize) -> mobula::Result<usize> {
        let mut pushed: Option<ObjectRef<()>> = None;
        for _ in 0..iterations {
            // Calls of one caller run in their order: these parameters have the push before.
            let parameters = mobula::get(&server.parameters().remote())?;
            if let Some(pushed) = pushed.take() {
                mobula::get(&pushed)?;
            }
            pushed = Some(server.push(self.gradient(parameters)?).remote());
        }
        pushed.map_or(Ok(()), |pushed| mobula::get(&pushed))?;
        Ok(iterations)
    }
}

/// A server and its workers.
struct Team {
    server: ActorHandle<Server>,
    workers: [ActorHandle<Worker>; WORKERS],
}

impl Team {
    fn start(numbers: usize) -> Result<Team> {
        Ok(Team { server: Server::remote(numbers)?, workers: [Worker::remote()?, Worker::remote()?] })
    }

    /// Orders rounds by refs, waits for the last one and returns the time.
    fn rounds(&self, clock: Clock, count: usize) -> Result<f64> {
        let mut parameters = self.server.parameters().remote();
        mobula::get(&parameters)?;
        let start = clock.now();
        for _ in 0..count {
            let [one, other] = self.workers.each_ref().map(|worker| worker.gradient(&parameters).remote());
            parameters = self.server.apply(one, other).remote();
        }
        mobula::get(&parameters)?;
        Ok(clock.since(start))
    }

    /// Lets the workers run and returns the time until both are through.
    fn iterations(&self, row: &'static str, clock: Clock, count: usize) -> Result<f64> {
        let each = count / WORKERS;
        let start = clock.now();
        let runs = self.workers.each_ref().map(|worker| worker.run(&self.server, each).remote());
        let done = mobula::get_all(&runs)?;
        let time = clock.since(start);
        check(row, done, vec![each; WORKERS])?;
        Ok(time)
    }
}

fn rounds(session: &mut Session<'_>, row: &'static str, limit_row: &'static str, amount: Amount) -> Result<()> {
    session.begin(row);
    let Amount { numbers, block, blocks: (full, quick) } = amount;
    let (clock, blocks) = (session.clock(), session.count(full, quick));
    let team = Team::start(numbers)?;
    let mut threads = Synchronous::new(numbers);
    let samples = in_turns(1, blocks, [&mut || Ok(threads.rounds(clock, block)), &mut || team.rounds(clock, block)])?;
    let expected = expected((1 + blocks) * block);
    check(limit_row, ends(threads.parameters()), [expected; 2])?;
    check(row, ends(&mobula::get(&team.server.parameters().remote())?), [expected; 2])?;
    let [limit, times] = samples.map(|samples| Figure::per_second(&samples.divided_by(block)));
    session.emit(NAME, limit_row, limit, None)?;
    session.emit(NAME, row, times, Some(limit_row))
}

fn iterations(session: &mut Session<'_>, row: &'static str, limit_row: &'static str, amount: Amount) -> Result<()> {
    session.begin(row);
    let Amount { numbers, block, blocks: (full, quick) } = amount;
    let (clock, blocks) = (session.clock(), session.count(full, quick));
    let team = Team::start(numbers)?;
    let mut threads = Asynchronous::new(numbers);
    let samples = in_turns(
        1,
        blocks,
        [&mut || Ok(threads.iterations(clock, block)), &mut || team.iterations(row, clock, block)],
    )?;
    check(limit_row, threads.pushes(), (1 + blocks) * block)?;
    check(row, mobula::get(&team.server.pushes().remote())?, ((1 + blocks) * block) as u64)?;
    // Which parameters a gradient was of is a matter of chance, but all lead the same way.
    let reached = ends(&mobula::get(&team.server.parameters().remote())?);
    check(row, reached.iter().all(|reached| (f64::MIN_POSITIVE..AIM).contains(reached)), true)?;
    let [limit, times] = samples.map(|samples| Figure::per_second(&samples.divided_by(block)));
    session.emit(NAME, limit_row, limit, None)?;
    session.emit(NAME, row, times, Some(limit_row))
}

/// Computes what every parameter is after so many rounds.
fn expected(rounds: usize) -> f64 {
    (0..rounds).fold(0.0, |parameter, _| {
        let (mut step, mut next) = ([0.0], [0.0]);
        gradient(&[parameter], &mut step);
        apply(&[parameter], &[&step, &step], &mut next);
        next[0]
    })
}

fn ends(numbers: &[f64]) -> [f64; 2] {
    [numbers.first(), numbers.last()].map(|number| number.copied().unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_lead_to_the_aim() {
        assert_eq!(expected(0), 0.0);
        assert_eq!(expected(1), 2.0 * AIM * RATE);
        assert!(expected(100) > expected(10) && expected(100) < AIM);
    }

    #[test]
    fn one_gradient_is_applied_as_two_are() {
        let (parameters, step) = ([1.0, 2.0], [0.5, 0.25]);
        let (mut one, mut two) = ([0.0; 2], [0.0; 2]);
        apply(&parameters, &[&step], &mut one);
        apply(&parameters, &[&step, &[0.0; 2]], &mut two);
        assert_eq!((one, two), ([0.5, 1.75], [0.5, 1.75]));
    }
}
