//! The actors and tasks of the load.

use std::time::Duration;

use mobula::prelude::*;

/// Counts its calls, and can do all that the lanes need.
pub(crate) struct Ledger {
    count: u64,
    kept: Vec<Array<u64>>,
}

#[mobula::actor]
impl Ledger {
    pub fn new() -> Self {
        Ledger { count: 0, kept: Vec::new() }
    }

    /// Returns its process and how many of these calls that has run.
    pub fn count(&mut self) -> (u32, u64) {
        self.count += 1;
        (std::process::id(), self.count)
    }

    /// Keeps an array, the last four.
    pub fn keep(&mut self, array: Array<u64>) -> u64 {
        let sum = sum_of(&array);
        self.kept.push(array);
        if self.kept.len() > 4 {
            self.kept.remove(0);
        }
        sum
    }

    /// Reads what is behind refs inside a value.
    pub fn read(&self, refs: Vec<ObjectRef<Array<u64>>>) -> mobula::Result<u64> {
        Ok(mobula::get_all(&refs)?.iter().map(sum_of).sum())
    }

    /// Makes an array.
    pub fn make(&self, seed: u64, len: usize) -> mobula::Result<Array<u64>> {
        filled(seed, len)
    }
}

#[mobula::task]
pub(crate) fn square(x: u64) -> u64 {
    x * x
}

#[mobula::task]
pub(crate) fn sum(array: Array<u64>) -> u64 {
    sum_of(&array)
}

/// Goes on until somebody cancels it.
#[mobula::task]
pub(crate) fn endless() {
    while !mobula::context().is_cancelled() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Counts the leaves of a tree of tasks.
#[mobula::task]
pub(crate) fn tree(depth: u32) -> mobula::Result<u64> {
    if depth == 0 {
        return Ok(1);
    }
    let (left, right) = (tree::remote(depth - 1), tree::remote(depth - 1));
    Ok(mobula::get(&left)? + mobula::get(&right)?)
}

/// What [`filled`] holds sums up to this.
pub(crate) fn expected_sum(seed: u64, len: usize) -> u64 {
    (0..len as u64).fold(0, |sum, i| sum.wrapping_add(i.wrapping_mul(seed)))
}

/// Fills an array with multiples of `seed`.
pub(crate) fn filled(seed: u64, len: usize) -> mobula::Result<Array<u64>> {
    let mut array = ArrayMut::with_len(len)?;
    array.iter_mut().zip(0_u64..).for_each(|(item, i)| *item = i.wrapping_mul(seed));
    Ok(array.seal()?)
}

pub(crate) fn sum_of(array: &Array<u64>) -> u64 {
    array.iter().fold(0, |sum, item| sum.wrapping_add(*item))
}
