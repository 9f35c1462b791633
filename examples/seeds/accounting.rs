//! An actor that keeps a running balance.

use mobula::prelude::*;

use super::time;

pub struct Accounting {
    total: i64,
}

#[mobula::actor]
impl Accounting {
    pub fn new() -> Self {
        Accounting { total: 0 }
    }

    pub fn add(&mut self, amount: i64) {
        self.total += amount;
    }

    pub fn remove(&mut self, amount: i64) {
        self.total -= amount;
    }

    pub fn total(&self) -> i64 {
        self.total
    }
}

/// Returns the balance before and after.
pub(crate) fn run() -> mobula::Result<[i64; 2]> {
    let _runtime = mobula::init(time::scaled(Config::new()))?;

    let acc = Accounting::remote()?;
    let total = acc.total().remote();
    println!("{total:?}"); // not surprisingly, a ref
    let before = mobula::get(&total)?;
    println!("{before}");

    // Nobody waits for these two: `total` comes behind them.
    acc.add(100).remote();
    acc.remove(10).remote();
    let after = mobula::get(&acc.total().remote())?;
    println!("{after}");
    Ok([before, after])
}
