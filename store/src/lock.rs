//! Locks that survive their owners.
//!
//! ```text
//!   word: | waiters:1 | owner + 1:31 |     0 = free
//! ```
//!
//! The owner is a *client* (a place in the client table), taken by one compare-and-swap. A waiter
//! spins briefly, sets the waiters bit and sleeps in slices; when a slice ends without the lock it
//! asks the kernel whether the owner's process is gone, and if so takes the lock *over*. Whoever
//! takes a lock over must repair what it protects before anything else: [`Guard::must_repair`].
//! The reaper takes over all locks of a dead client at once (reap.rs), so that slices are only
//! the second line.
//!
//! Invariants:
//! - ST-4: no lock is held across user code, a system call that can block, or a page fault on the arena.
//! - ST-5: between a take-over and its repair nobody else can hold the lock.

use std::time::Duration;

use crate::client;
use crate::shared::Shared;
use crate::sync::{AtomicU32, Ordering};
use crate::sys::futex;

const WAITERS: u32 = 1 << 31;
const SPINS: u32 = 200;
const SLICE: Duration = Duration::from_millis(20);

/// Which lock of the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Free memory, free slots.
    Alloc,
    /// The counts of nested references.
    Nested,
    /// One reaper at a time.
    Reap,
    /// Uniqueness of ids in a shard of the index.
    Shard(usize),
}

impl Lock {
    fn index(self) -> usize {
        match self {
            Lock::Alloc => 0,
            Lock::Nested => 1,
            Lock::Reap => 2,
            Lock::Shard(n) => 3 + n,
        }
    }
}

/// A lock that is held; dropping it unlocks.
#[derive(Debug)]
pub(crate) struct Guard<'a> {
    word: &'a AtomicU32,
    must_repair: bool,
}

impl Guard<'_> {
    /// Says whether the lock was taken over from a dead owner.
    pub(crate) fn must_repair(&self) -> bool {
        self.must_repair
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // SYNC lock: pairs with the Acquire exchanges in `acquire` and `take_over`.
        if self.word.swap(0, Ordering::Release) & WAITERS != 0 {
            futex::wake(self.word, 1, u32::MAX);
        }
    }
}

/// Takes a lock for the client at index `me`, waiting for it.
#[inline]
pub(crate) fn acquire(shared: &Shared, lock: Lock, me: u16) -> Guard<'_> {
    let word = shared.ctl.u32(shared.layout.lock(lock.index()));
    let mine = u32::from(me) + 1;
    // SYNC lock: pairs with the Release swap of the last owner.
    if word.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_ok() {
        return Guard { word, must_repair: false };
    }
    acquire_slow(shared, word, mine)
}

/// Takes over a lock that the dead client at index `dead` holds; `None` if it does not hold it.
pub(crate) fn take_over(shared: &Shared, lock: Lock, dead: u16, me: u16) -> Option<Guard<'_>> {
    let word = shared.ctl.u32(shared.layout.lock(lock.index()));
    let now = word.load(Ordering::Relaxed);
    if now & !WAITERS != u32::from(dead) + 1 {
        return None;
    }
    let mine = (u32::from(me) + 1) | WAITERS;
    // SYNC lock: the dead owner's stores are visible: it stores in program order and is gone.
    word.compare_exchange(now, mine, Ordering::Acquire, Ordering::Relaxed).ok()?;
    Some(Guard { word, must_repair: true })
}

/// Returns the client that holds a lock.
pub(crate) fn owner(shared: &Shared, lock: Lock) -> Option<usize> {
    let now = shared.ctl.u32(shared.layout.lock(lock.index())).load(Ordering::Relaxed) & !WAITERS;
    (now != 0).then(|| now as usize - 1)
}

/// Lists every lock of the segment.
pub(crate) fn all() -> impl Iterator<Item = Lock> {
    [Lock::Alloc, Lock::Nested, Lock::Reap].into_iter().chain((0..crate::layout::SHARDS).map(Lock::Shard))
}

#[cold]
fn acquire_slow<'a>(shared: &Shared, word: &'a AtomicU32, mine: u32) -> Guard<'a> {
    for _ in 0..SPINS {
        std::hint::spin_loop();
        if word.load(Ordering::Relaxed) == 0
            && word.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            return Guard { word, must_repair: false };
        }
    }
    loop {
        let now = word.load(Ordering::Relaxed);
        if now == 0 {
            // Others may sleep: whoever had to wait keeps the bit, at the price of one idle wake.
            if word.compare_exchange(0, mine | WAITERS, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return Guard { word, must_repair: false };
            }
            continue;
        }
        let marked = now | WAITERS;
        if now != marked && word.compare_exchange(now, marked, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            continue;
        }
        if !futex::wait(word, marked, Some(SLICE), u32::MAX) {
            let owner = ((marked & !WAITERS) as usize).wrapping_sub(1);
            if (marked & !WAITERS) != mine
                && client::is_dead(shared, owner)
                && word.compare_exchange(marked, mine | WAITERS, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return Guard { word, must_repair: true };
            }
        }
    }
}
