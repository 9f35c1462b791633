//! Measures an actor of one's own beside the limits of the machine.
//!
//! ```sh
//! cargo run --release -p mobula-bench --example own_suite
//! ```

#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use std::io;
use std::process::ExitCode;

use mobula::prelude::*;
use mobula_bench::{Figure, Limit, Machine, Session, TableSink, check, run_child_role, singles};

/// The suite's name, which stands above its rows.
const SUITE: &str = "histogram";

/// Counts how often numbers fall into each of ten classes.
struct Histogram {
    classes: [u64; 10],
}

#[mobula::actor]
impl Histogram {
    pub fn new() -> Self {
        Histogram { classes: [0; 10] }
    }

    /// Takes a number from 0 to 1 and returns how many its class has.
    pub fn count(&mut self, number: f64) -> u64 {
        let class = ((number * 10.0) as usize).min(9);
        self.classes[class] += 1;
        self.classes[class]
    }

    /// Takes many at once and returns how many numbers there are in all.
    pub fn count_all(&mut self, numbers: Array<f64>) -> u64 {
        for number in numbers.iter() {
            self.count(*number);
        }
        self.classes.iter().sum()
    }
}

fn measure(session: &mut Session<'_>) -> mobula_bench::Result<()> {
    session.limits(SUITE, &[Limit::SpinRtt, Limit::Stream])?;
    session.begin("count");
    let _runtime = mobula::init(Config::new())?;

    // One call and its result, each timed alone.
    let histogram = Histogram::remote()?;
    let mut expected = 0;
    let one = |_| {
        expected += 1;
        check("count", mobula::get(&histogram.count(0.25).remote())?, expected)
    };
    let samples = singles(session.clock(), session.count(100_000, 1_000), one)?;
    session.emit(SUITE, "count", Figure::of(&samples), Some(Limit::SpinRtt.name()))?;

    // A million numbers in one call; the rate is that of numbers.
    session.begin("count_all");
    let numbers = Array::from_slice(&vec![0.5; 1_000_000]).map_err(mobula::Error::from)?;
    let histogram = Histogram::remote()?;
    let many = |call| {
        let counted = mobula::get(&histogram.count_all(&numbers).remote())?;
        check("count_all", counted, (call as u64 + 1) * 1_000_000)
    };
    let samples = singles(session.clock(), session.count(200, 3), many)?.divided_by(numbers.len());
    session.emit(SUITE, "count_all", Figure::per_second(&samples), Some(Limit::Stream.name()))
}

// The worker check first, then the other sides of the limits: both are this executable, started again.
#[mobula::main]
fn main() -> ExitCode {
    if let Some(code) = run_child_role() {
        return code;
    }
    let quick = std::env::args().any(|arg| arg == "--quick");
    let mut table = TableSink::new(io::stdout());
    let mut session = Session::new(quick, &mut table);
    eprintln!("{}\n{}\n", Machine::look(), session.instrument());
    match session.run_own(measure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("own_suite: {error}");
            ExitCode::FAILURE
        }
    }
}
