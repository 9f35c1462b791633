//! Random numbers as the seeds take them: no seed, another every time, in every process.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::process;
use std::time::SystemTime;

/// Gives a number from `low` to `high`, both included.
pub(crate) fn randint(low: u32, high: u32) -> u32 {
    // Workers are copies of one process, and would share the state of an ordinary generator.
    let mut hasher = DefaultHasher::new();
    (process::id(), SystemTime::now()).hash(&mut hasher);
    low + (hasher.finish() % u64::from(high - low + 1)) as u32
}

/// Gives one of `items`.
pub(crate) fn choice<T: Copy, const N: usize>(items: [T; N]) -> T {
    items[randint(0, N as u32 - 1) as usize]
}
