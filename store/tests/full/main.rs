//! A store that is kept nearly full for a long time (paragraph 18): processes fill it to 90 % at random, with sizes
//! from 64 bytes to a sixteenth of it, and whenever nobody has a view or an unsealed buffer, a creation of half of
//! what is free must succeed within its deadline.
//!
//! ```text
//!   supervisor (this process)                    loads (this binary again), one client each
//!     store, seed
//!     "season <ms> <largest>" ---------------->    put, get, delete at random, all bytes checked;
//!                                                  views and buffers are kept for a while
//!                                                  the time is over: fill up, drop every view, seal every buffer
//!     all have said so <---------------------- "quiet <objects> <bytes> <figures>"
//!     which objects lie elsewhere than before?
//!     create min(free / 2, capacity / 8), again and again: must succeed
//!     every byte of every object, `check`
//!     the next season
//! ```
//!
//! `MOBULA_FULL_SECONDS` says how long (default 3), `MOBULA_FULL_MIB` how large the store is (default 64),
//! `MOBULA_FULL_SEED` repeats the draws of another run. `ci/full.sh` runs it as it is meant to be. This binary has no
//! test harness because it prints its counts.

#![allow(clippy::print_stdout, clippy::expect_used, missing_docs)]

mod content;
mod load;
mod process;
mod quiet;
mod random;

use std::fmt;
use std::time::{Duration, Instant};

use mobula_store::{Store, StoreOptions};

use crate::process::Process;
use crate::quiet::Quiet;
use crate::random::Random;

/// Processes that use the store at the same time.
const LOADS: u8 = 4;
/// How long they do that between two quiet moments.
const SEASON: Duration = Duration::from_millis(1_500);
/// How full they keep it, in percent.
const FILL: u64 = 90;
/// The smallest object.
const SMALLEST: u64 = 64;

/// What a load did, and what all of them did together.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// Objects that were made and sealed, and those that were given up before.
    pub(crate) puts: u64,
    /// Views that were checked.
    pub(crate) gets: u64,
    pub(crate) deletes: u64,
    /// Creations that found no room beside what others viewed.
    pub(crate) refused: u64,
    /// The longest of the creations that succeeded, in microseconds.
    pub(crate) worst_us: u64,
}

/// What the whole run counts.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) loads: Tally,
    pub(crate) seasons: u64,
    /// Objects that were found elsewhere than before, and their bytes.
    pub(crate) moves: u64,
    pub(crate) moved_bytes: u64,
    /// Objects whose bytes were all looked at in a quiet moment.
    pub(crate) verified: u64,
    pub(crate) verified_bytes: u64,
    /// Creations in quiet moments, and those that failed.
    pub(crate) checks: u64,
    pub(crate) failures: u64,
    /// The slowest of them: how long it took, and how much of that it worked.
    pub(crate) worst_check: (Duration, Duration),
    /// How full the store was when they began, in thousandths: lowest, highest, sum.
    pub(crate) fill: (u64, u64, u64),
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.puts += other.puts;
        self.gets += other.gets;
        self.deletes += other.deletes;
        self.refused += other.refused;
        self.worst_us = self.worst_us.max(other.worst_us);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
        let percent = |thousandths: u64| thousandths as f64 / 10.0;
        let Tally { puts, gets, deletes, refused, worst_us } = self.loads;
        let (low, high, sum) = self.fill;
        write!(
            f,
            "{} operations ({puts} puts, {gets} gets, {deletes} deletes), {refused} refused beside views, \
             slowest put {} ms; {} quiet moments at {:.1} % ({:.1} to {:.1}): {} moves seen ({:.1} GiB), \
             {} objects verified ({:.1} GiB); {} checks, {} failures, slowest {} ms ({} ms of work)",
            puts + gets + deletes,
            worst_us / 1000,
            self.seasons,
            percent(sum / self.seasons.max(1)),
            percent(low),
            percent(high),
            self.moves,
            gib(self.moved_bytes),
            self.verified,
            gib(self.verified_bytes),
            self.checks,
            self.failures,
            self.worst_check.0.as_millis(),
            self.worst_check.1.as_millis(),
        )
    }
}

fn main() {
    if let Some(part) = load::Part::of_this_process() {
        return part.play();
    }
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
        Err(_) => default,
    };
    let time = Duration::from_secs(number("MOBULA_FULL_SECONDS", 3));
    let capacity = number("MOBULA_FULL_MIB", 64) << 20;
    let seed = number("MOBULA_FULL_SEED", u64::from(std::process::id()));
    let begun = Instant::now();
    println!("seed {seed}, {} MiB, {LOADS} processes", capacity >> 20);
    let report = run(time, capacity, seed);
    println!("test full ... ok ({:.0} s: {report})", begun.elapsed().as_secs_f64());
    assert_eq!(report.failures, 0, "a creation that must succeed did not; seed {seed}");
}

fn run(time: Duration, capacity: u64, seed: u64) -> Report {
    let store = Store::create(StoreOptions::new(capacity as usize)).expect("a store");
    let mut random = Random::of(&[seed]);
    let mut loads: Vec<Process> = (0..LOADS)
        .map(|number| {
            let budget = capacity * FILL / 100 / u64::from(LOADS);
            Process::start(&load::Part { address: store.address().to_owned(), number, seed, budget })
        })
        .collect();
    let mut quiet = Quiet::new(&store);
    let mut report = Report { fill: (1000, 0, 0), ..Report::default() };
    let begun = Instant::now();
    while report.seasons == 0 || begun.elapsed() < time {
        // Small objects fill what large ones left, and the other way round.
        let largest = [capacity / 16, capacity / 16, capacity / 1024, capacity / 16_384][random.below(4) as usize];
        let objects = season(&mut loads, &mut report, &format!("season {} {largest}", SEASON.as_millis()));
        quiet.look(objects, &mut random, &mut report);
        if report.seasons.is_multiple_of(40) {
            println!("{:>6.0} s  {report}", begun.elapsed().as_secs_f64());
        }
    }
    season(&mut loads, &mut report, "end");
    for load in loads {
        load.leave();
    }
    let stats = store.stats();
    assert_eq!((stats.objects, stats.used_bytes), (0, 0), "{stats:?}");
    assert_eq!(stats.largest_free_bytes, stats.capacity_bytes, "{stats:?}");
    store.check().expect("a whole store");
    report
}

/// Has all loads do something and waits until they are quiet; returns how many objects they have.
fn season(loads: &mut [Process], report: &mut Report, order: &str) -> u64 {
    loads.iter_mut().for_each(|load| load.order(order));
    let said: Vec<load::Said> = loads.iter_mut().map(Process::answer).collect();
    said.iter().for_each(|said| report.loads.add(said.tally));
    said.iter().map(|said| said.objects).sum()
}
