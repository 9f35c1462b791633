//! Giving idle memory back to the system.
//!
//! Memory stays committed when its object goes, because the next object wants it warm. What nobody
//! has wanted for a while goes back, down to a floor (64 MiB and 5 % of the capacity) above what was
//! in use.
//!
//! ```text
//!   word in the allocator's header
//!     QUIET --a release leaves too much: CAS, poke--> ASKED --server hears--> HEARD
//!       ^                                                                       |
//!       +----------- server, under the allocator's lock: enough given back -----+
//!
//!   server     HEARD ... WINDOW ... look: keep the window's peak and the floor, give the rest back
//!              ^                      |
//!              +----------------------+   until nothing is left to give; then no timer runs
//! ```
//!
//! The peak of a window, not what is in use at its end, says what is idle: a program that fills and
//! empties the store all the time keeps its memory.
//!
//! A chunk goes in three steps under the allocator's lock: all its pages are free; its commit bit goes;
//! its pages go. Whoever gets the memory next takes the lock later and finds no bit. The lock is free
//! between chunks, so that a creation waits for one (some tenths of a millisecond) at most.
//!
//! Deaths: a poke that was lost with its sender leaves ASKED, and whoever releases next pokes again; the
//! server takes any death for a poke. HEARD that a dead server left is taken up by the one that adopts
//! the store, which looks first thing. Without a server nothing is given back.
//!
//! - ST-27: the word is QUIET only if, at some moment after the last release that left too much, nothing
//!   could be given back.

use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::SendFlags;

use crate::alloc::{A_USED, Alloc};
use crate::arena::{self, A_COMMITTED, Arena};
use crate::client::ClientKey;
use crate::layout::{CHUNK, Layout, PAGE};
use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering};
use crate::sys::memory;

/// What stays committed above what is in use.
const FLOOR: usize = 64 << 20;
/// ... and one part of this many of the capacity.
const FLOOR_PART: usize = 20;
/// How long memory has to be idle; two windows and the work itself stay below 15 s.
const WINDOW: Duration = Duration::from_secs(4);
/// How long the server may be away from its other work.
const SLICE: Duration = Duration::from_millis(5);
/// How long the allocator's lock is left to others between two chunks.
const PAUSE: Duration = Duration::from_micros(50);

/// Words of the allocator's header: the state above, and the most bytes that were in use in this window.
pub(crate) const A_TRIM: usize = 40;
pub(crate) const A_PEAK: usize = 48;

/// How long the server waits for the allocator: whoever has it may be stopped, and joiners and the dead wait for the server.
const PATIENCE: Duration = Duration::from_millis(20);

const QUIET: u64 = 0;
const ASKED: u64 = 1;
const HEARD: u64 = 2;

fn word(shared: &Shared, at: usize) -> &AtomicU64 {
    shared.ctl.u64(shared.layout.alloc_at + at)
}

/// Returns how much may stay committed above what is in use.
fn floor(layout: &Layout) -> usize {
    FLOOR + layout.capacity / FLOOR_PART
}

/// Returns the bytes that the allocator has handed out, with those that clients keep for themselves.
fn used(shared: &Shared) -> usize {
    word(shared, A_USED).load(Ordering::Relaxed) as usize
}

/// Says whether more is committed than need be, as far as the counters know.
#[inline]
fn is_too_much(shared: &Shared) -> bool {
    let committed = (word(shared, A_COMMITTED).load(Ordering::Relaxed) as usize).saturating_mul(CHUNK);
    // The other word only if that is not enough: it is somebody else's most of the time.
    committed.checked_sub(floor(&shared.layout)).is_some_and(|more| more > used(shared))
}

/// Hears that the caller may have given memory back and has unlocked the allocator; wakes the server if
/// that leaves too much.
#[inline]
pub(crate) fn released(shared: &Shared) {
    if is_too_much(shared) {
        ask(shared);
    }
}

#[cold]
fn ask(shared: &Shared) {
    let (state, poke) = (word(shared, A_TRIM), &shared.poke);
    // SYNC trim: the memory was given back under the allocator's lock, under which the server goes QUIET: either it
    // sees that memory, or this finds the word QUIET.
    match state.compare_exchange(QUIET, ASKED, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            poke.send();
        }
        // Whoever asked may have died before it poked; once a process is enough.
        Err(ASKED) if !poke.repeated.swap(true, Ordering::Relaxed) => {
            poke.send();
        }
        Err(ASKED) => {}
        Err(_) => poke.repeated.store(false, Ordering::Relaxed),
    }
}

/// How a process wakes the store's server; nothing happens until it is told how.
#[derive(Debug, Default)]
pub(crate) struct Poke {
    to: Mutex<Option<Bell>>,
    /// Whether this process has poked for somebody else's question.
    repeated: AtomicBool,
}

#[derive(Debug)]
enum Bell {
    /// The server is in this process.
    Event(Arc<OwnedFd>),
    /// The connection to the server, which reads and ignores what comes.
    Connection(OwnedFd),
}

impl Poke {
    /// Pokes through an eventfd of the server in this process.
    pub(crate) fn through_event(&self, event: Arc<OwnedFd>) {
        *self.bell() = Some(Bell::Event(event));
    }

    /// Pokes through this client's connection to the server.
    pub(crate) fn through_connection(&self, connection: OwnedFd) {
        *self.bell() = Some(Bell::Connection(connection));
    }

    fn bell(&self) -> MutexGuard<'_, Option<Bell>> {
        self.to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the server; false if it is gone. If it has more pokes waiting than it can read, there is no need to.
    pub(crate) fn send(&self) -> bool {
        match &*self.bell() {
            Some(Bell::Event(event)) => {
                let _ = rustix::io::write(&**event, &[1; 8]);
                true
            }
            Some(Bell::Connection(connection)) => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                let sent = rustix::net::send(connection, &[POKE], flags);
                matches!(sent, Ok(_) | Err(rustix::io::Errno::AGAIN))
            }
            None => false,
        }
    }
}

/// What a client sends over its connection to have the server look.
pub(crate) const POKE: u8 = b't';

/// The server's part: when to look, and giving back.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    /// When the window ends; `None` while there is nothing to give back.
    next: Option<Instant>,
    work: Option<Work>,
}

/// Chunks that are being given back.
#[derive(Debug)]
struct Work {
    /// Those that were free when it started.
    chunks: std::vec::IntoIter<usize>,
    /// How many bytes are to go.
    left: usize,
    /// How many have gone.
    given: usize,
    /// Whether nothing was created during the window.
    was_idle: bool,
}

fn lock(shared: &Shared, me: ClientKey) -> Option<Alloc<'_>> {
    Alloc::lock_until(shared, me, Instant::now() + PATIENCE)
}

impl Idle {
    /// Hears a poke, or anything that a poke may have been lost by: a death, the start of the server.
    pub(crate) fn poked(&mut self, shared: &Shared, arena: &Arena, me: ClientKey) {
        if self.next.is_some() {
            return word(shared, A_TRIM).store(HEARD, Ordering::Release);
        }
        let Some(_alloc) = lock(shared, me) else {
            word(shared, A_TRIM).store(HEARD, Ordering::Release);
            self.next = Some(Instant::now() + WINDOW);
            return;
        };
        let committed = recount(shared, arena);
        if committed <= used(shared).saturating_add(floor(&shared.layout)) {
            // SYNC trim: see `ask`.
            return word(shared, A_TRIM).store(QUIET, Ordering::Release);
        }
        word(shared, A_TRIM).store(HEARD, Ordering::Release);
        word(shared, A_PEAK).store(used(shared) as u64, Ordering::Relaxed);
        self.next = Some(Instant::now() + WINDOW);
    }

    /// Returns how long the server may sleep before it has to call [`look`](Self::look); `None` for ever.
    pub(crate) fn next_look(&self) -> Option<Duration> {
        self.next.map(|next| next.saturating_duration_since(Instant::now()))
    }

    /// Gives back what was idle if the time has come; does a slice of it and is to be called again.
    pub(crate) fn look(&mut self, shared: &Shared, arena: &Arena, me: ClientKey) {
        let now = Instant::now();
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        let Some(mut work) = self.work.take().or_else(|| Work::plan(shared, arena, me)) else {
            self.next = Some(now + WINDOW);
            return;
        };
        let until = now + SLICE;
        while work.left > 0
            && let Some(chunk) = work.chunks.next()
        {
            let Some(gone) = give_back(shared, arena, me, chunk) else {
                // Somebody is stopped with the lock.
                self.next = Some(Instant::now() + WINDOW);
                return;
            };
            work.given += gone;
            work.left = work.left.saturating_sub(gone);
            if gone > 0 {
                std::thread::sleep(PAUSE);
            }
            if Instant::now() >= until {
                self.work = Some(work);
                return;
            }
        }
        let Some(_alloc) = lock(shared, me) else {
            self.next = Some(now + WINDOW);
            return;
        };
        let is_stuck = work.given == 0 && work.was_idle;
        if is_stuck || !is_too_much(shared) {
            // SYNC trim: see `ask`.
            word(shared, A_TRIM).store(QUIET, Ordering::Release);
            self.next = None;
        } else {
            self.next = Some(Instant::now() + WINDOW);
        }
    }
}

impl Work {
    /// Ends a window: says how much was idle in it, and which chunks are free.
    fn plan(shared: &Shared, arena: &Arena, me: ClientKey) -> Option<Work> {
        let mut alloc = lock(shared, me)?;
        let used = used(shared);
        let peak = (word(shared, A_PEAK).swap(used as u64, Ordering::Relaxed) as usize).max(used);
        let committed = recount(shared, arena);
        let has_strays = committed > arena.committed_chunks(shared) * CHUNK;
        let left = committed.saturating_sub(peak.saturating_add(floor(&shared.layout)));
        let mut free = Vec::new();
        if left > 0 {
            // What is kept for the next creations is free too.
            alloc.largest_free();
            for (page, pages) in alloc.free_runs(CHUNK / PAGE) {
                let whole = (page * PAGE).div_ceil(CHUNK)..whole_chunks(shared, (page + pages) * PAGE);
                free.extend(whole.filter(|&chunk| has_strays || arena::is_committed(shared, chunk)));
            }
            // Small objects come to lie at low addresses and large ones at high ones; between them it is coldest.
            let middle = shared.layout.capacity / CHUNK / 2;
            free.sort_unstable_by_key(|chunk| chunk.abs_diff(middle));
        }
        Some(Work { chunks: free.into_iter(), left, given: 0, was_idle: peak == used })
    }
}

/// Counts what is committed, in bytes, and puts the counter right: it drifts when somebody dies between a
/// chunk's bit and the counter.
fn recount(shared: &Shared, arena: &Arena) -> usize {
    let chunks = arena.committed_chunks(shared);
    word(shared, A_COMMITTED).store(chunks as u64, Ordering::Relaxed);
    // Whoever died while filling fresh chunks left pages that no bit tells of: the kernel counts them.
    (chunks * CHUNK).max(memory::committed(arena.file()) as usize)
}

/// Returns how many chunks end at or before an offset; the last one may be short.
fn whole_chunks(shared: &Shared, end: usize) -> usize {
    if end >= shared.layout.capacity { shared.layout.capacity.div_ceil(CHUNK) } else { end / CHUNK }
}

/// Gives a chunk back if it is (still) free; returns how much of it there was, or nothing without the lock.
fn give_back(shared: &Shared, arena: &Arena, me: ClientKey, chunk: usize) -> Option<usize> {
    let start = chunk * CHUNK;
    let len = CHUNK.min(shared.layout.capacity.saturating_sub(start));
    let alloc = lock(shared, me)?;
    // The lock is held over a system call that waits for nobody but others who give back or commit (ST-4).
    if len == 0 || !alloc.is_free(start / PAGE, len / PAGE) {
        return Some(0);
    }
    let was_committed = arena::is_committed(shared, chunk);
    let before = memory::committed(arena.file());
    Some(match arena.decommit_chunk(shared, chunk) {
        Ok(()) if was_committed => len,
        Ok(()) => before.saturating_sub(memory::committed(arena.file())) as usize,
        Err(error) => {
            tracing::warn!(%error, chunk, "could not give memory back");
            0
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::Ctl;

    const MB: usize = 1 << 20;
    const ME: ClientKey = ClientKey { index: 0, generation: 0 };

    struct Bench {
        shared: Shared,
        arena: Arena,
        event: Arc<OwnedFd>,
    }

    impl Bench {
        /// A store of 1 GiB: its floor is 64 MiB + 51 MiB.
        fn new() -> Bench {
            let layout = Layout::new(1 << 30, 1024, 2).unwrap();
            let shared = Shared::new(Ctl::heap(layout.len), layout);
            crate::alloc::initialise(&shared, ME);
            let file = memory::anonymous("mobula-trim-test", layout.capacity).unwrap();
            let arena = Arena::map(file, layout.capacity).unwrap();
            let flags = rustix::event::EventfdFlags::NONBLOCK | rustix::event::EventfdFlags::CLOEXEC;
            let event = Arc::new(rustix::event::eventfd(0, flags).unwrap());
            shared.poke.through_event(event.clone());
            Bench { shared, arena, event }
        }

        fn take(&self, bytes: usize) -> (crate::slot::SlotRef, usize) {
            let (at, place) = Alloc::lock(&self.shared, ME).reserve(ME, bytes).unwrap();
            let offset = place.offset().unwrap();
            self.arena.commit(&self.shared, offset, bytes).unwrap();
            (at, offset)
        }

        fn free(&self, at: crate::slot::SlotRef) {
            Alloc::lock(&self.shared, ME).release(at);
        }

        fn is_poked(&self) -> bool {
            rustix::io::read(&*self.event, &mut [0; 8]).is_ok()
        }

        fn state(&self) -> u64 {
            word(&self.shared, A_TRIM).load(Ordering::Relaxed)
        }

        fn committed(&self) -> usize {
            memory::committed(self.arena.file()) as usize
        }

        /// Ends the window and looks until the pass is over.
        fn look(&self, idle: &mut Idle) {
            idle.next = Some(Instant::now());
            while idle.next.is_some_and(|next| next <= Instant::now()) {
                idle.look(&self.shared, &self.arena, ME);
            }
        }
    }

    #[test]
    fn the_server_does_not_wait_for_who_is_stopped_in_the_allocator() {
        let bench = Bench::new();
        let pid = std::process::id();
        let start = crate::sys::process::start_time(pid).unwrap();
        let [_, stopped] = [0, 1].map(|_| crate::client::take(&bench.shared, pid, start, 2).unwrap());
        let guard = Alloc::lock(&bench.shared, stopped);
        let mut idle = Idle::default();
        idle.poked(&bench.shared, &bench.arena, ME);
        assert!(bench.state() == HEARD && idle.next_look().is_some());
        bench.look(&mut idle);
        assert_eq!(bench.state(), HEARD);
        drop(guard);
        bench.look(&mut idle);
        assert_eq!((idle.next_look(), bench.state()), (None, QUIET));
    }

    #[test]
    fn an_idle_store_has_no_timer_and_memory_goes_after_two_windows() {
        let bench = Bench::new();
        let mut idle = Idle::default();
        idle.poked(&bench.shared, &bench.arena, ME);
        assert_eq!((idle.next_look(), bench.state()), (None, QUIET));
        let (small, _) = bench.take(100 * MB);
        bench.free(small);
        assert!(!bench.is_poked(), "below the floor nobody is woken");
        let (large, _) = bench.take(300 * MB);
        bench.free(large);
        assert!(bench.is_poked());
        idle.poked(&bench.shared, &bench.arena, ME);
        assert!(idle.next_look().is_some_and(|time| time <= WINDOW));
        let (again, _) = bench.take(300 * MB);
        bench.free(again);
        assert!(!bench.is_poked(), "the server knows");
        bench.look(&mut idle);
        assert!(bench.committed() >= 300 * MB, "it was wanted in this window");
        bench.look(&mut idle);
        let floor = floor(&bench.shared.layout);
        assert!((floor - CHUNK..=floor).contains(&bench.committed()), "{}", bench.committed());
        assert_eq!((idle.next_look(), bench.state()), (None, QUIET));
    }

    #[test]
    fn a_poke_that_died_with_its_sender_is_sent_by_the_next() {
        let bench = Bench::new();
        let (large, _) = bench.take(300 * MB);
        word(&bench.shared, A_TRIM).store(ASKED, Ordering::Relaxed);
        bench.free(large);
        assert!(bench.is_poked());
        released(&bench.shared);
        assert!(!bench.is_poked(), "once is enough");
        word(&bench.shared, A_TRIM).store(HEARD, Ordering::Relaxed);
        released(&bench.shared);
        word(&bench.shared, A_TRIM).store(ASKED, Ordering::Relaxed);
        released(&bench.shared);
        assert!(bench.is_poked(), "the next lost poke is another one");
    }

    #[test]
    fn chunks_in_use_stay_and_nobody_looks_for_ever_at_what_cannot_go() {
        let bench = Bench::new();
        // One page of every chunk stays in use.
        let runs: Vec<_> =
            (0..2 * 400 * MB / CHUNK).map(|i| bench.take(if i % 2 == 0 { CHUNK - PAGE } else { PAGE })).collect();
        for (at, _) in runs.iter().step_by(2) {
            bench.free(*at);
        }
        assert!(bench.is_poked());
        let mut idle = Idle::default();
        idle.poked(&bench.shared, &bench.arena, ME);
        let before = bench.committed();
        for _ in 0..3 {
            bench.look(&mut idle);
        }
        for (_, offset) in runs.iter().skip(1).step_by(2) {
            assert!(arena::is_committed(&bench.shared, offset / CHUNK));
        }
        assert!(bench.committed() <= before);
        assert_eq!((idle.next_look(), bench.state()), (None, QUIET));
    }

    #[test]
    fn pages_of_a_filler_that_died_are_found_without_a_bit() {
        let bench = Bench::new();
        memory::commit(bench.arena.file(), 200 * MB, 300 * MB).unwrap();
        let mut idle = Idle::default();
        idle.poked(&bench.shared, &bench.arena, ME);
        bench.look(&mut idle);
        assert!(bench.committed() <= floor(&bench.shared.layout), "{}", bench.committed());
        assert_eq!(idle.next_look(), None);
    }

    #[test]
    fn a_counter_that_drifted_is_put_right() {
        let bench = Bench::new();
        let (at, _) = bench.take(20 * MB);
        word(&bench.shared, A_COMMITTED).store(1 << 40, Ordering::Relaxed);
        bench.free(at);
        assert!(bench.is_poked());
        let mut idle = Idle::default();
        idle.poked(&bench.shared, &bench.arena, ME);
        assert_eq!(word(&bench.shared, A_COMMITTED).load(Ordering::Relaxed), 10);
        assert_eq!((idle.next_look(), bench.state()), (None, QUIET));
    }
}
