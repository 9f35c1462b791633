//! Ten counters at once, then one of them five times more.

use mobula::prelude::*;

use super::time;

pub struct Counter {
    value: i64,
}

#[mobula::actor]
impl Counter {
    pub fn new() -> Self {
        Counter { value: 0 }
    }

    pub fn increment(&mut self) -> i64 {
        self.value += 1;
        self.value
    }
}

/// Returns both lines that it prints.
pub(crate) fn run() -> mobula::Result<[Vec<i64>; 2]> {
    let _runtime = mobula::init(time::scaled(Config::new()))?;

    let counters = (0..10).map(|_| Counter::remote()).collect::<mobula::Result<Vec<_>>>()?;

    // Different actors run in parallel.
    let once: Vec<_> = counters.iter().map(|c| c.increment().remote()).collect();
    let once = mobula::get_all(&once)?;
    println!("{once:?}");

    // The calls to one actor run one after the other, and share its state.
    let more: Vec<_> = (0..5).map(|_| counters[0].increment().remote()).collect();
    let more = mobula::get_all(&more)?;
    println!("{more:?}");
    Ok([once, more])
}
