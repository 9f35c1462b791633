//! Spilling ahead of need: a store that spills keeps a fifth of its memory free for the next burst of creations.
//!
//! A creation that finds no room goes to the disk itself and waits for it. So that this is rare, a thread of the
//! server's process, `mobula-spill`, moves objects to disk as soon as four fifths are taken, the least recently
//! used first, until it is three quarters. Nobody waits for it.
//!
//! ```text
//!   word in the allocator's header
//!     QUIET --a creation leaves more than START taken: CAS, poke--> ASKED
//!       ^                                                             |  server hears: wakes the thread
//!       +------------- thread: a pass is over, and a pause -----------+
//!
//!   pass       the oldest candidates one by one, each under a lock of moves of its own, until STOP is reached
//!              or as much has gone as creations took
//! ```
//!
//! *No more than is created.* What a get brings back from disk asks for nothing, and a pass takes no more bytes than
//! creations have taken since memory was last down at STOP. So whoever reads more than three quarters again and again
//! has all of it in memory soon, and the disk is written at most as fast as objects are made.
//!
//! *Out of the way.* An object that is wanted while it is written stays where it is (moves.rs). While a creation
//! queues, the thread stands back: there is room to be made at once, and that needs the lock of moves. A store that
//! evicts drops its objects when memory is short, so that nothing is written ahead.
//!
//! *Deaths.* The word is a hint. One that was left ASKED by somebody who died before it poked is found by the server,
//! which takes any death for a poke, and its own start. Without a server creations go to the disk themselves. The
//! thread works in the name of the server's client; what it was moving when it died is put right as for any
//! mover (ST-21, ST-22).
//!
//! - ST-33: at the end of a pass, after its pause, the word is QUIET, and whoever takes memory then asks again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::alloc::{A_MADE, A_USED};
use crate::arena::Arena;
use crate::client::ClientKey;
use crate::holds::{Actor, Looks};
use crate::moves::{Mover, Stays};
use crate::outlet;
use crate::queue;
use crate::room;
use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering, fence};

/// A word of the allocator's header: the state above.
pub(crate) const A_AHEAD: usize = 448;

/// Objects go to disk from here on, in twentieths of the capacity ...
const START: usize = 16;
/// ... until no more than this is taken.
const STOP: usize = 15;
/// The shortest time between the end of a pass and the next question.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the lock of moves is left to others between two objects.
const GAP: Duration = Duration::from_micros(50);
/// How long the thread stands back when somebody else needs the lock of moves.
const STAND_BACK: Duration = Duration::from_millis(5);
/// How long the disk is left alone when it has failed.
const DISK_PAUSE: Duration = Duration::from_secs(1);

const QUIET: u64 = 0;
const ASKED: u64 = 1;

fn word(shared: &Shared, at: usize) -> &AtomicU64 {
    shared.ctl.u64(shared.layout.alloc_at + at)
}

/// Says whether more than so many twentieths of the arena are taken.
fn is_above(shared: &Shared, twentieths: usize) -> bool {
    word(shared, A_USED).load(Ordering::Relaxed) as usize > shared.layout.capacity / 20 * twentieths
}

/// Says whether objects of this store go to disk ahead of need.
fn is_wanted(shared: &Shared) -> bool {
    outlet::spills(shared) && !outlet::evicts(shared)
}

/// Hears that a creation may have taken memory and has unlocked the allocator; wakes the server if little is left.
#[inline]
pub(crate) fn taken(shared: &Shared) {
    // How much is taken others write all the time; most stores need not look at it.
    if is_wanted(shared) && is_above(shared, START) {
        ask(shared);
    }
}

#[cold]
fn ask(shared: &Shared) {
    let state = word(shared, A_AHEAD);
    // SYNC ahead: the fence in the drop of the allocator's lock, and the one at the end of a pass: either the thread
    // sees what was taken, or this finds the word QUIET.
    let quiet = state.load(Ordering::Relaxed) == QUIET;
    if quiet && state.compare_exchange(QUIET, ASKED, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
        shared.poke.send();
    }
}

/// The thread that spills ahead, of a store that wants it.
#[derive(Debug)]
pub(crate) struct Spiller {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is told.
#[derive(Debug, Default)]
struct Signal {
    orders: Mutex<Orders>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Orders {
    look: bool,
    stop: bool,
}

impl Spiller {
    /// Starts the thread if the store spills; it works in the name of `me`.
    ///
    /// # Errors
    ///
    /// If the system has no thread.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        arena: &Arc<Arena>,
        looks: &Arc<Looks>,
        me: ClientKey,
    ) -> std::io::Result<Option<Spiller>> {
        if !is_wanted(shared) {
            return Ok(None);
        }
        let signal = Arc::new(Signal::default());
        let work =
            Work { shared: shared.clone(), arena: arena.clone(), looks: looks.clone(), me, signal: signal.clone() };
        let thread = std::thread::Builder::new().name("mobula-spill".to_owned()).spawn(move || work.run())?;
        Ok(Some(Spiller { signal, thread: Some(thread) }))
    }

    /// Has the thread look whether there is anything to do.
    pub(crate) fn poked(&self) {
        self.signal.orders().look = true;
        self.signal.changed.notify_one();
    }
}

impl Drop for Spiller {
    fn drop(&mut self) {
        self.signal.orders().stop = true;
        self.signal.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Signal {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to look at; false at the end.
    fn wait(&self) -> bool {
        let waiting = self.changed.wait_while(self.orders(), |orders| !orders.look && !orders.stop);
        let mut orders = waiting.unwrap_or_else(PoisonError::into_inner);
        orders.look = false;
        !orders.stop
    }

    /// Lets time pass; false at the end.
    fn pause(&self, time: Duration) -> bool {
        let waiting = self.changed.wait_timeout_while(self.orders(), time, |orders| !orders.stop);
        !waiting.unwrap_or_else(PoisonError::into_inner).0.stop
    }
}

/// The thread's part.
struct Work {
    shared: Arc<Shared>,
    arena: Arc<Arena>,
    looks: Arc<Looks>,
    me: ClientKey,
    signal: Arc<Signal>,
}

impl Work {
    fn actor(&self) -> Actor<'_> {
        Actor { shared: &self.shared, arena: &self.arena, looks: &self.looks, me: self.me }
    }

    fn run(self) {
        let shared = &*self.shared;
        // What creations had taken when memory was last at STOP, and what has gone since: at first, all that there is
        // may go.
        let mut seen = 0;
        while self.signal.wait() {
            loop {
                let (begun, made) = (Instant::now(), self.made());
                let spilled = if is_above(shared, START) { self.pass(&mut seen) } else { Some(0) };
                let Some(spilled) = spilled else { return };
                // Who finds nothing that can go looks seldom.
                let pause = if spilled > 0 { PAUSE } else { PAUSE.max(begun.elapsed() * 10) };
                if !self.signal.pause(pause) {
                    return;
                }
                word(shared, A_AHEAD).store(QUIET, Ordering::SeqCst);
                // SYNC ahead: see `ask`.
                fence(Ordering::SeqCst);
                // Whoever viewed everything may have let go since, but then somebody else has to ask.
                let goes_on = self.made() != made || spilled > 0 && self.allowance(seen) > 0;
                if !is_above(shared, START) || !goes_on {
                    break;
                }
            }
        }
    }

    /// Returns how many bytes creations ever took.
    fn made(&self) -> u64 {
        word(&self.shared, A_MADE).load(Ordering::Relaxed)
    }

    /// Returns how many bytes may go yet.
    fn allowance(&self, seen: u64) -> u64 {
        self.made().wrapping_sub(seen)
    }

    /// Spills what is the least recently used; returns the bytes, or nothing if the thread is to end.
    fn pass(&self, seen: &mut u64) -> Option<u64> {
        let (shared, mut spilled) = (&*self.shared, 0);
        for at in room::candidates(self.actor()) {
            let mover = loop {
                if !is_above(shared, STOP) {
                    *seen = self.made();
                    return Some(spilled);
                }
                if self.allowance(*seen) == 0 {
                    return Some(spilled);
                }
                if queue::is_empty(shared)
                    && let Some(mover) = Mover::try_lock(self.actor())
                {
                    break mover;
                }
                if !self.signal.pause(STAND_BACK) {
                    return None;
                }
            };
            let done = mover.spill(at);
            drop(mover);
            let pause = match done {
                Ok(bytes) => {
                    spilled += bytes;
                    *seen = seen.wrapping_add(bytes.min(self.allowance(*seen)));
                    GAP
                }
                Err(Stays::Disk(error)) => {
                    tracing::warn!(%error, "could not spill ahead of need");
                    DISK_PAUSE
                }
                Err(_) => GAP,
            };
            if !self.signal.pause(pause) {
                return None;
            }
            if pause == DISK_PAUSE {
                break;
            }
        }
        Some(spilled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ObjectId, Store, StoreOptions};

    #[test]
    fn a_question_that_died_with_its_asker_is_heard_with_its_death() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(StoreOptions::new(4 << 20).spill_dir(dir.path())).unwrap();
        let shared = &store.inner().shared;
        word(shared, A_AHEAD).store(ASKED, Ordering::Relaxed);
        for _ in 0..15 {
            store.put(ObjectId::random(), &[1; 1 << 18]).unwrap();
        }
        // What the server does when it has reaped somebody; and once as it starts, which may be as late as now.
        shared.poke.send();
        let start = Instant::now();
        while is_above(shared, STOP) || word(shared, A_AHEAD).load(Ordering::Relaxed) != QUIET {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", store.stats());
            std::thread::yield_now();
        }
        store.check().unwrap();
    }
}
