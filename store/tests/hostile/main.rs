//! Hostile bytes (store-api paragraphs 1, 13, 14, 20): in the control segment, in boards, on the attach socket and in spill
//! files. Whatever they are, every call ends in time, with a result or an error: no crash, no hang, no byte
//! outside of the arena, and no wrong byte where the truth was not what was damaged.
//!
//! `MOBULA_FUZZ` says how much of it (a number of rounds, or seconds: `60s`), `MOBULA_SEED` where it starts.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and its children talk")]

mod boards;
mod ctl;
mod damage;
mod fsck;
mod random;
mod servers;
mod socket;
mod spill;
mod victim;
mod work;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps the other tests of this binary away: descriptors are counted.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
