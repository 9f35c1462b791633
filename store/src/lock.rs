//! Locks that survive their owners.
//!
//! ```text
//!   word: | waiters:1 | generation:21 | owner + 1:10 |     0 = free
//! ```
//!
//! The owner is a *client* (its place in the client table and the low bits of that place's
//! generation), taken by one compare-and-swap. A waiter
//! spins briefly, sets the waiters bit and sleeps in slices; when a slice ends without the lock it
//! asks the kernel whether the owner's process is gone, and if so takes the lock *over*. Whoever
//! takes a lock over must repair what it protects before anything else: [`Guard::must_repair`].
//! The reaper takes over all locks of a dead client at once (reap.rs), so that slices are only
//! the second line.
//!
//! Invariants:
//! - ST-4: no lock is held across user code or a system call that can wait for anybody.
//! - ST-5: between a take-over and its repair nobody else can hold the lock; an owner that was taken for dead
//!   (its record is free: it has detached but for this) cannot unlock for its successor.

use std::time::{Duration, Instant};

use crate::client::{self, ClientKey};
use crate::shared::Shared;
use crate::sync::{AtomicU32, Ordering, spin_loop};
use crate::sys::{clock, futex};

const WAITERS: u32 = 1 << 31;
const INDEX_BITS: u32 = 10;
const GENERATION: u32 = (1 << 21) - 1;
const SPINS: u32 = if cfg!(loom) { 0 } else { 200 };
const SLICE: Duration = Duration::from_millis(20);
/// How often [`try_acquire`] looks: some microseconds, longer than any section but the large ones.
const TRIES: u32 = if cfg!(loom) { 2 } else { 1_000 };

/// Which lock of the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Free memory, free slots.
    Alloc,
    /// The counts of nested references.
    Nested,
    /// One reaper at a time.
    Reap,
    /// One object changes its place at a time.
    Move,
    /// Uniqueness of ids in a shard of the index.
    Shard(usize),
}

impl Lock {
    fn index(self) -> usize {
        match self {
            Lock::Alloc => 0,
            Lock::Nested => 1,
            Lock::Reap => 2,
            Lock::Move => 3,
            Lock::Shard(n) => 4 + n,
        }
    }
}

/// A lock that is held; dropping it unlocks.
#[derive(Debug)]
pub(crate) struct Guard<'a> {
    word: &'a AtomicU32,
    mine: u32,
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
        let mut now = self.mine;
        // SYNC lock: pairs with the Acquire exchanges in `acquire` and `take_over`.
        while let Err(other) = self.word.compare_exchange(now, 0, Ordering::Release, Ordering::Relaxed) {
            if other & !WAITERS != self.mine & !WAITERS {
                return;
            }
            now = other;
        }
        if now & WAITERS != 0 {
            futex::wake(self.word, 1, u32::MAX);
        }
    }
}

/// Returns how a client stands in a lock's word.
fn name(client: ClientKey) -> u32 {
    (client.generation & GENERATION) << INDEX_BITS | (u32::from(client.index) + 1)
}

/// Says whether the client that a lock's word names is gone.
fn is_owner_dead(shared: &Shared, word: u32) -> bool {
    let index = (word & ((1 << INDEX_BITS) - 1)).wrapping_sub(1) as usize;
    let generation = word >> INDEX_BITS & GENERATION;
    let record = client::load(shared, index);
    // A place that does not exist is nobody's: only a damaged word names one.
    index >= shared.layout.clients
        || client::generation(record) & GENERATION != generation
        || client::is_dead(shared, index)
}

/// Returns where a lock's word stands.
pub(crate) fn offset(shared: &Shared, lock: Lock) -> usize {
    shared.layout.lock(lock.index())
}

/// Takes a lock for a client, waiting for it.
#[inline]
pub(crate) fn acquire(shared: &Shared, lock: Lock, me: ClientKey) -> Guard<'_> {
    let word = shared.ctl.u32(shared.layout.lock(lock.index()));
    let mine = name(me);
    // SYNC lock: pairs with the Release exchange of the last owner.
    if word.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_ok() {
        return Guard { word, mine, must_repair: false };
    }
    acquire_slow(shared, word, mine)
}

/// Takes a lock if it comes free at once; for those who must never wait for another process.
///
/// A dead owner is an obstacle until it is reaped, one that is stopped until it goes on.
pub(crate) fn try_acquire(shared: &Shared, lock: Lock, me: ClientKey) -> Option<Guard<'_>> {
    let word = shared.ctl.u32(shared.layout.lock(lock.index()));
    let mine = name(me);
    for _ in 0..TRIES {
        let now = word.load(Ordering::Relaxed);
        // SYNC lock: pairs with the Release exchange of the last owner.
        if now == 0 && word.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return Some(Guard { word, mine, must_repair: false });
        }
        spin_loop();
    }
    None
}

/// Takes a lock, waiting for it so long at most: whoever has it may be stopped.
#[inline]
pub(crate) fn acquire_within(shared: &Shared, lock: Lock, me: ClientKey, patience: Duration) -> Option<Guard<'_>> {
    let word = shared.ctl.u32(shared.layout.lock(lock.index()));
    let mine = name(me);
    // SYNC lock: pairs with the Release exchange of the last owner.
    if word.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_ok() {
        return Some(Guard { word, mine, must_repair: false });
    }
    let now = clock::now();
    match now.checked_add(patience) {
        Some(deadline) => acquire_until(shared, lock, me, deadline),
        None => Some(acquire_slow(shared, word, mine)),
    }
}

/// Says whether a client holds any lock.
pub(crate) fn is_owner(shared: &Shared, client: ClientKey) -> bool {
    let word = |lock| shared.ctl.u32(offset(shared, lock)).load(Ordering::Relaxed);
    all().any(|lock| word(lock) & !WAITERS == name(client))
}

/// Takes over a lock that the dead client `dead` holds; `None` if it does not hold it.
pub(crate) fn take_over(shared: &Shared, lock: Lock, dead: ClientKey, me: ClientKey) -> Option<Guard<'_>> {
    let word = shared.ctl.u32(shared.layout.lock(lock.index()));
    let mine = name(me);
    let mut now = word.load(Ordering::Relaxed);
    while now & !WAITERS == name(dead) {
        // SYNC lock: the dead owner's stores are visible: it stores in program order and is gone.
        match word.compare_exchange(now, mine | WAITERS, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return Some(Guard { word, mine, must_repair: true }),
            // Somebody has begun to wait for it.
            Err(other) => now = other,
        }
    }
    None
}

/// Names the client that holds a lock (its place and the low bits of its generation) if that is gone.
pub(crate) fn orphan(shared: &Shared, lock: Lock) -> Option<(usize, u32)> {
    let now = shared.ctl.u32(shared.layout.lock(lock.index())).load(Ordering::Relaxed) & !WAITERS;
    let index = (now & ((1 << INDEX_BITS) - 1)).wrapping_sub(1) as usize;
    let gone = now != 0 && client::state(client::load(shared, index)) == client::FREE;
    gone.then_some((index, now >> INDEX_BITS & GENERATION))
}

/// Frees a lock whoever holds it, in a private copy of a segment (fsck.rs); says whether it was held.
pub(crate) fn force_free(shared: &Shared, lock: Lock) -> bool {
    shared.ctl.u32(shared.layout.lock(lock.index())).swap(0, Ordering::AcqRel) & !WAITERS != 0
}

/// Lists every lock of the segment, the allocator's before that of the moves, whose repair needs it.
pub(crate) fn all() -> impl Iterator<Item = Lock> {
    [Lock::Alloc, Lock::Move, Lock::Nested, Lock::Reap].into_iter().chain((0..crate::layout::SHARDS).map(Lock::Shard))
}

/// Takes a lock for a client, waiting for it until `deadline` at most.
pub(crate) fn acquire_until(shared: &Shared, lock: Lock, me: ClientKey, deadline: Instant) -> Option<Guard<'_>> {
    if let Some(guard) = try_acquire(shared, lock, me) {
        return Some(guard);
    }
    let word = shared.ctl.u32(shared.layout.lock(lock.index()));
    loop {
        let left = deadline.checked_duration_since(clock::now()).filter(|left| !left.is_zero())?;
        if let Some(guard) = sleep_for(shared, word, name(me), left.min(SLICE)) {
            return Some(guard);
        }
    }
}

#[cold]
fn acquire_slow<'a>(shared: &Shared, word: &'a AtomicU32, mine: u32) -> Guard<'a> {
    for _ in 0..SPINS {
        spin_loop();
        if word.load(Ordering::Relaxed) == 0
            && word.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            return Guard { word, mine, must_repair: false };
        }
    }
    loop {
        if let Some(guard) = sleep_for(shared, word, mine, SLICE) {
            return guard;
        }
    }
}

/// Takes a lock if it is free, or if its owner is dead at the end of a slice of sleep; `None`: try again.
fn sleep_for<'a>(shared: &Shared, word: &'a AtomicU32, mine: u32, slice: Duration) -> Option<Guard<'a>> {
    let now = word.load(Ordering::Relaxed);
    if now == 0 {
        // Others may sleep: whoever had to wait keeps the bit, at the price of one idle wake.
        word.compare_exchange(0, mine | WAITERS, Ordering::Acquire, Ordering::Relaxed).ok()?;
        return Some(Guard { word, mine, must_repair: false });
    }
    let marked = now | WAITERS;
    if now != marked {
        word.compare_exchange(now, marked, Ordering::Relaxed, Ordering::Relaxed).ok()?;
    }
    if futex::wait(word, marked, Some(slice), u32::MAX) || marked & !WAITERS == mine || !is_owner_dead(shared, marked) {
        return None;
    }
    word.compare_exchange(marked, mine | WAITERS, Ordering::Acquire, Ordering::Relaxed).ok()?;
    Some(Guard { word, mine, must_repair: true })
}
