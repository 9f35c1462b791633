//! A mixed load whose workers and drivers are killed at random, and what must be true all the while.
//!
//! ```text
//!   round: lanes (a thread each) -- calls, tasks, arrays, names --> workers, killed by the monkey
//!          drivers (a process each, attached or with nodes of their own) -- the same lanes; killed, too
//!          ... everybody stops ... nothing may be left: objects, resources, processes, descriptors
//! ```
//!
//! Every answer is looked at: its value must be right and in order, or its error one that a death explains. A value
//! that never comes fails the run. `MOBULA_CHAOS_SECONDS` sets how long it goes on (default 6), `MOBULA_CHAOS_SEED`
//! what is drawn; the moments of the kernel stay its own. `ci/chaos.sh` runs it for ten minutes.
//!
//! It is a program and no harness, so that its workers are forked as those of any program are.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and tells what it did")]

#[path = "../support/mod.rs"]
mod support;

mod cast;
mod driver;
mod lanes;
mod monkey;
mod random;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use mobula::prelude::*;

use self::lanes::Tally;
use self::monkey::{Monkey, children};
use self::random::Random;
use self::support::{all_space_back, descriptors, eventually, stats};

/// How long the load of a round lasts.
const ROUND: Duration = Duration::from_secs(3);

/// How many descriptors a process of the runtime costs its node at most.
const FILES_EACH: usize = 12;

fn config() -> Config {
    Config::new().num_cpus(4.0).object_store_memory(64 << 20)
}

fn main() -> ExitCode {
    // Of a harness's arguments only the name of a test means anything here.
    let mut names = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    if names.peek().is_some() && !names.any(|name| "chaos".contains(&name)) {
        return ExitCode::SUCCESS;
    }
    if let Some(role) = driver::Role::of_this_process() {
        role.play();
    }
    let files = descriptors();
    let seed = number("MOBULA_CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let time = Duration::from_secs(number("MOBULA_CHAOS_SECONDS").unwrap_or(6));
    let runtime = mobula::init(config()).unwrap();
    run(&runtime, seed, time);
    drop(runtime);
    eventually("all processes are gone", || children(std::process::id()).is_empty());
    eventually("all descriptors are closed", || descriptors() <= files);
    ExitCode::SUCCESS
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn run(runtime: &Runtime, seed: u64, time: Duration) {
    let mut random = Random::new(seed);
    lanes::warm_up();
    let (before, files) = (stats(), descriptors());
    let until = Instant::now() + time;
    let mut tally = Tally::default();
    let (mut rounds, mut workers, mut drivers) = (0, 0, 0);
    while Instant::now() < until {
        let end = Instant::now() + ROUND;
        let monkey = Monkey::start(std::process::id(), random.fork(), end);
        let others = driver::start(&runtime.info().session_dir, random.fork(), end);
        tally.add(&lanes::run(&mut random, end));
        workers += monkey.join();
        drivers += others.join().unwrap();
        rounds += 1;
        // A round begins with what the last one has left: nothing.
        all_space_back(before);
        eventually("all resources come back", || mobula::available_resources() == mobula::cluster_resources());
        eventually("descriptors are closed", || {
            descriptors() <= files + FILES_EACH * children(std::process::id()).len()
        });
    }
    println!("seed {seed}: {rounds} rounds, {workers} workers and {drivers} drivers killed, {tally:?}");
    assert!(workers > 0 && drivers > 0 && tally.answers > 0, "nothing has happened");
}
