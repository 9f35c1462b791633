//! Crash points: a process that ends right after the n-th shared store it makes.
//!
//! The end is SIGKILL to oneself, so nothing of the process runs afterwards: no destructor, no exit
//! handler, no other thread. Only for proofs (`tests/points`); nothing happens until [`arm`].
//!
//! Or a process shows its points: it makes a harmless system call at each, at which a tracer can stop it
//! (`tests/stepped`).
//!
//! A point comes *after* each store, swap, addition or successful exchange, on whichever thread.
//! Stores are numbered from 1; to die before the first there is nothing to do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::{Signal, getpid, getppid, kill_process};

/// How many stores are left to this process; 0 = no limit.
static LEFT: AtomicU64 = AtomicU64::new(0);

/// Whether this process shows its points.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Makes a system call at every point from now on.
pub fn show() {
    SHOWN.store(true, Ordering::Relaxed);
}

/// Ends this process after its `stores`-th shared store from now on; 0 takes that back.
pub fn arm(stores: u64) {
    LEFT.store(stores, Ordering::Relaxed);
}

/// Returns how many stores are left of those that [`arm`] allowed.
pub fn left() -> u64 {
    LEFT.load(Ordering::Relaxed)
}

/// Counts a store, and ends the process if it was the last.
#[inline]
pub(super) fn point() {
    if SHOWN.load(Ordering::Relaxed) {
        let _ = getppid();
    }
    if LEFT.load(Ordering::Relaxed) != 0 && LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
        die();
    }
}

#[cold]
fn die() -> ! {
    // It cannot fail for the own process; the signal is delivered before the call returns.
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}
