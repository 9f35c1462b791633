//! How long a runtime takes to start and to end, and what it costs at rest.
//!
//! Every sample is a process of its own ([`probe`]), with default options but for two CPUs:
//!
//! | row | what is timed |
//! |---|---|
//! | `init` | `mobula::init`; it does not wait for the pool's workers |
//! | `actor_creation_warm` | creation to first result, a pool worker waiting: `init` starts two ahead |
//! | `actor_creation_1` | creation to first result when none is left: a process is started |
//! | `shutdown` | `Runtime::shutdown` with two actors alive; all workers are gone and waited for |
//! | `idle_pss` | not a time: memory of the driver and its two idle workers, shared parts once |

#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use std::process::Stdio;
use std::time::Duration;

use mobula::prelude::*;

use crate::child::{self, Child, Role};
use crate::clock::Clock;
use crate::error::{Result, check};
use crate::limits::Limit;
use crate::process;
use crate::sample::Samples;
use crate::session::{Figure, Session};

pub(crate) const NAME: &str = "startup";

/// How many workers `init` starts ahead with as many CPUs.
const WORKERS: usize = 2;
/// How many actors are created when no worker is left.
const COLD_ACTORS: usize = 4;
/// How long the pool may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(20);

const INIT: &str = "init";
const WARM: &str = "actor_creation_warm";
const COLD: &str = "actor_creation_1";
const SHUTDOWN: &str = "shutdown";
const PSS: &str = "idle_pss";

/// Answers.
struct Greeter;

#[mobula::actor]
impl Greeter {
    pub fn new() -> Self {
        Greeter
    }

    pub fn greet(&self, number: u64) -> u64 {
        number
    }
}

/// Runs the suite.
pub(crate) fn run(session: &mut Session<'_>) -> Result<()> {
    session.limits(NAME, &[Limit::SpawnHello])?;
    let mut all = Vec::new();
    for _ in 0..session.count(50, 6) {
        session.begin(INIT);
        let text = Child::start(Role::StartupProbe, &[], Stdio::null())?.report()?;
        all.extend(text.lines().filter_map(|line| {
            let (row, number) = line.split_once(' ')?;
            Some((row.to_owned(), number.parse::<f64>().ok()?))
        }));
    }
    let samples = |row: &'static str| {
        let found: Vec<f64> = all.iter().filter(|(name, _)| name == row).map(|(_, number)| *number).collect();
        (!found.is_empty()).then(|| Samples::new(found))
    };
    for (row, limit) in
        [(INIT, None), (WARM, None), (COLD, Some(Limit::SpawnHello.name())), (SHUTDOWN, None), (PSS, None)]
    {
        match samples(row) {
            Some(found) if row == PSS => session.emit(NAME, row, Figure::bytes(found.median()), limit)?,
            Some(found) => session.emit(NAME, row, Figure::of(&found), limit)?,
            None => session.skip(NAME, row, "the pool's workers did not come to rest in 20 s")?,
        }
    }
    Ok(())
}

/// The child's side: goes through the lives of two runtimes and reports a line `row number` for each
/// sample.
///
/// A row whose pool did not come to rest is left out: it would not mean what it says.
pub(crate) fn probe() -> Result<()> {
    let clock = Clock::new();
    let mut samples = Vec::new();

    let start = clock.now();
    let runtime = mobula::init(config())?;
    samples.push((INIT, clock.since(start)));
    let mut actors = Vec::new();
    if process::wait_until_quiet(WORKERS, PATIENCE) {
        let mut pids = process::children();
        pids.push(std::process::id());
        samples.push((PSS, pids.into_iter().map(process::pss).sum::<Result<u64>>()? as f64));
        create(WARM, WORKERS, clock, &mut samples, &mut actors)?;
        check(WARM, process::children().len(), WORKERS)?;
    }
    let start = clock.now();
    runtime.shutdown();
    samples.push((SHUTDOWN, clock.since(start)));
    check(SHUTDOWN, process::children().len(), 0)?;

    let _runtime = mobula::init(config())?;
    if process::wait_until_quiet(WORKERS, PATIENCE) {
        create(COLD, WORKERS, clock, &mut Vec::new(), &mut actors)?;
        create(COLD, COLD_ACTORS, clock, &mut samples, &mut actors)?;
        check(COLD, process::children().len(), WORKERS + COLD_ACTORS)?;
    }
    child::report(&samples.iter().map(|(row, number)| format!("{row} {number}\n")).collect::<String>())
}

fn config() -> Config {
    Config::new().num_cpus(WORKERS as f64)
}

/// Creates actors one after the other, each until its first result is here; they stay.
fn create(
    row: &'static str,
    count: usize,
    clock: Clock,
    samples: &mut Vec<(&'static str, f64)>,
    actors: &mut Vec<ActorHandle<Greeter>>,
) -> Result<()> {
    for i in 0..count as u64 {
        let start = clock.now();
        let actor = Greeter::remote()?;
        let answer = mobula::get(&actor.greet(i).remote())?;
        samples.push((row, clock.since(start)));
        check(row, answer, i)?;
        actors.push(actor);
    }
    Ok(())
}
