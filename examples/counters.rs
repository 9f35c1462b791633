//! Ten actors that count: the first thing to read.
//!
//! ```text
//! cargo run --release --example counters
//! ```
//!
//! Prints ten ones, then what the first counter says to five calls more: `[2, 3, 4, 5, 6]`.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use mobula::prelude::*;

/// Counts its calls. It lives in a process of its own.
#[derive(Debug)]
pub struct Counter {
    value: i64,
}

#[mobula::actor]
impl Counter {
    /// Starts at `value`.
    pub fn new(value: i64) -> Self {
        Counter { value }
    }

    /// Adds one and gives the sum.
    pub fn increment(&mut self) -> i64 {
        self.value += 1;
        self.value
    }
}

fn main() -> mobula::Result<()> {
    let _runtime = mobula::init(Config::new())?;

    let counters = (0..10).map(|_| Counter::remote(0)).collect::<mobula::Result<Vec<_>>>()?;

    // All ten processes start and count at the same time; `get_all` waits for them.
    let ones: Vec<_> = counters.iter().map(|c| c.increment().remote()).collect();
    println!("ten counters, once each:    {:?}", mobula::get_all(&ones)?);

    // Calls of one caller to one actor run in the order in which they were made.
    let more: Vec<_> = (0..5).map(|_| counters[0].increment().remote()).collect();
    println!("the first, five times more: {:?}", mobula::get_all(&more)?);
    Ok(())
}
