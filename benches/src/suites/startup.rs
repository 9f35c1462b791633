//! How long a runtime takes to start and to end, and what it costs at rest.
//!
//! Every sample is a process of its own ([`probe`]), with default options but for two CPUs:
//!
//! | row | what is timed |
//! |---|---|
//! | `init` | `mobula::init`; it does not wait for the pool's workers |
//! | `actor_creation_warm` | creation to first result, a pool worker waiting: `init` starts two ahead |
//! | `actor_creation_1` | creation to first result when none is left: a process is forked |
//! | `actor_creation_10` | ten at once when none is left: from the first creation to the last first result |
//! | `shutdown` | `Runtime::shutdown` with two actors alive; all workers are gone and waited for |
//! | `idle_pss` | not a time: memory of the driver, its two idle workers and the template, shared parts once |
//! | `idle_cpu` | not a time: of a second that begins 100 ms after the last call, the share for which a processor ran any of them, two actors alive |

#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use std::process::Stdio;
use std::time::{Duration, Instant};

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
/// With the template that they are copies of.
const PROCESSES: usize = WORKERS + 1;
/// How many actors are created one by one when no worker is left.
const COLD_ACTORS: usize = 4;
/// How many are created at once.
const MANY_ACTORS: usize = 10;
/// How long the pool may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long everything may take to fall asleep after a call.
const SETTLED: Duration = Duration::from_millis(100);
/// How long it is watched then.
const WATCHED: Duration = Duration::from_secs(1);
/// How many of the samples are watched: each takes more than a second.
const WATCHES: usize = 10;

const INIT: &str = "init";
const WARM: &str = "actor_creation_warm";
const COLD: &str = "actor_creation_1";
const MANY: &str = "actor_creation_10";
const SHUTDOWN: &str = "shutdown";
const PSS: &str = "idle_pss";
const CPU: &str = "idle_cpu";

/// Answers.
#[derive(Debug)]
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
    let spawn = Some(Limit::SpawnHello.name());
    let mut all = Vec::new();
    for i in 0..session.count(50, 4) {
        session.begin(INIT);
        let watched = i < session.count(WATCHES, 1);
        let text = Child::start(Role::StartupProbe, &[watched.to_string()], Stdio::null())?.report()?;
        all.extend(text.lines().filter_map(|line| {
            let (row, number) = line.split_once(' ')?;
            Some((row.to_owned(), number.parse::<f64>().ok()?))
        }));
    }
    let samples = |row: &'static str| {
        let found: Vec<f64> = all.iter().filter(|(name, _)| name == row).map(|(_, number)| *number).collect();
        (!found.is_empty()).then(|| Samples::new(found))
    };
    let rows = [(INIT, None), (WARM, None), (COLD, spawn), (MANY, spawn), (SHUTDOWN, None), (PSS, None), (CPU, None)];
    for (row, limit) in rows {
        match samples(row) {
            Some(found) if row == PSS => session.emit(NAME, row, Figure::bytes(found.median()), limit)?,
            Some(found) if row == CPU => session.emit(NAME, row, Figure::percent(found.median()), limit)?,
            Some(found) => session.emit(NAME, row, Figure::of(&found), limit)?,
            None => session.skip(NAME, row, "the pool's workers did not come to rest in 20 s")?,
        }
    }
    Ok(())
}

/// The child's side: goes through the lives of three runtimes and reports a line `row number` for each
/// sample.
///
/// A row whose pool did not come to rest is left out: it would not mean what it says.
pub(crate) fn probe(args: &[String]) -> Result<()> {
    let mut probe = Probe { clock: Clock::new(), samples: Vec::new() };
    probe.life_with_warm_actors(args == ["true"])?;
    probe.life_with_cold_actors()?;
    probe.life_with_many_actors()?;
    child::report(&probe.samples.iter().map(|(row, number)| format!("{row} {number}\n")).collect::<String>())
}

struct Probe {
    clock: Clock,
    samples: Vec<(&'static str, f64)>,
}

impl Probe {
    fn life_with_warm_actors(&mut self, watched: bool) -> Result<()> {
        let start = self.clock.now();
        let runtime = mobula::init(config())?;
        self.samples.push((INIT, self.clock.since(start)));
        let mut actors = Vec::new();
        if process::wait_until_quiet(PROCESSES, PATIENCE) {
            let memory = everybody().into_iter().map(process::pss).sum::<Result<u64>>()?;
            self.samples.push((PSS, memory as f64));
            let before = process::descendants().len();
            let times = self.create(WARM, WORKERS, &mut actors)?;
            self.samples.extend(times.into_iter().map(|time| (WARM, time)));
            check(WARM, process::descendants().len(), before)?;
            if watched {
                self.samples.push((CPU, burnt()?));
            }
        }
        let start = self.clock.now();
        runtime.shutdown();
        self.samples.push((SHUTDOWN, self.clock.since(start)));
        check(SHUTDOWN, process::descendants().len(), 0)
    }

    fn life_with_cold_actors(&mut self) -> Result<()> {
        let _runtime = mobula::init(config())?;
        let mut actors = Vec::new();
        if process::wait_until_quiet(PROCESSES, PATIENCE) {
            self.create(COLD, WORKERS, &mut actors)?;
            let before = process::descendants().len();
            let times = self.create(COLD, COLD_ACTORS, &mut actors)?;
            self.samples.extend(times.into_iter().map(|time| (COLD, time)));
            check(COLD, process::descendants().len(), before + COLD_ACTORS)?;
        }
        Ok(())
    }

    fn life_with_many_actors(&mut self) -> Result<()> {
        let _runtime = mobula::init(config())?;
        let mut actors = Vec::new();
        if process::wait_until_quiet(PROCESSES, PATIENCE) {
            self.create(MANY, WORKERS, &mut actors)?;
            let before = process::descendants().len();
            let start = self.clock.now();
            for _ in 0..MANY_ACTORS {
                actors.push(Greeter::remote()?);
            }
            let greetings: Vec<_> = (0..).zip(&actors[WORKERS..]).map(|(i, actor)| actor.greet(i).remote()).collect();
            let answers = mobula::get_all(&greetings)?;
            self.samples.push((MANY, self.clock.since(start)));
            check(MANY, answers, (0..MANY_ACTORS as u64).collect())?;
            check(MANY, process::descendants().len(), before + MANY_ACTORS)?;
        }
        Ok(())
    }

    /// Creates actors one after the other, each until its first result is here; they stay.
    fn create(&self, row: &'static str, count: usize, actors: &mut Vec<ActorHandle<Greeter>>) -> Result<Vec<f64>> {
        let mut times = Vec::with_capacity(count);
        for i in 0..count as u64 {
            let start = self.clock.now();
            let actor = Greeter::remote()?;
            let answer = mobula::get(&actor.greet(i).remote())?;
            times.push(self.clock.since(start));
            check(row, answer, i)?;
            actors.push(actor);
        }
        Ok(times)
    }
}

fn config() -> Config {
    Config::new().num_cpus(WORKERS as f64)
}

/// Returns the pids of the runtime's processes: the driver and those that it started.
fn everybody() -> Vec<u32> {
    let mut pids = process::descendants();
    pids.push(std::process::id());
    pids
}

/// Watches the runtime's processes do nothing and returns the processor time that it took, in percent.
fn burnt() -> Result<f64> {
    let pids = everybody();
    std::thread::sleep(SETTLED);
    let (start, before) = (Instant::now(), process::cpu_ns(&pids)?);
    std::thread::sleep(WATCHED);
    // This thread's own reading and going to sleep counts as well; it is some microseconds.
    let burnt = process::cpu_ns(&pids)?.saturating_sub(before) as f64;
    Ok(burnt / start.elapsed().as_nanos() as f64 * 100.0)
}
