//! A creation's search for memory: what is tried, in which order, and for how long.
//!
//! ```text
//!   attempt   may it take memory now (queue.rs)?
//!             what is free  ->  what clients keep for themselves  ->  least recently used objects (evict.rs)
//!             ->  compaction, the disk (room.rs)
//!
//!   run       attempt; then in the queue: attempt, sleep until space comes free, attempt ...
//!             until it works or the time is over
//! ```
//!
//! Nobody works for a request in the queue but its own process; whoever frees something wakes all
//! that wait, and each looks whether it is its turn. A creation ends at its deadline even if the
//! process that has the allocator's lock is stopped.
//!
//! What it does not do: files instead of memory (fallback) are the caller's next try (inner.rs).

use std::time::Duration;

use crate::alloc::{Alloc, Shortage};
use crate::disk::DiskError;
use crate::evict::{Evictor, Step};
use crate::holds::Actor;
use crate::layout::H_LEFT_FREE;
use crate::magazine;
use crate::outlet;
use crate::queue::{self, Barred, Request, Wants};
use crate::readers;
use crate::room::{self, Room};
use crate::sync::Ordering;
use crate::sys::clock;
use crate::waits::{self, On};

/// The longest that a creation waits without looking harder: the second line behind the wakes.
const SLICE: Duration = Duration::from_secs(1);
/// The shortest pause between two attempts to compact or spill that brought nothing.
const ROOM_PAUSE: Duration = Duration::from_millis(10);
/// How many attempts that brought nothing the time that is left has to be enough for.
const ATTEMPTS: u64 = 4;
/// How often one attempt makes room that others take.
const ROUNDS: usize = 3;
/// How long a creation whose time is over waits for the allocator's lock.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_millis(30);

/// One creation that looks for memory.
pub(crate) struct Search<'a> {
    actor: Actor<'a>,
    request: Request<'a>,
    /// How long it may take, once there is something to wait for.
    patience: Duration,
    /// Set with the first obstacle: most creations meet none and need no look at the clock.
    time: Option<Time>,
    /// Whether the next attempt takes away what others keep.
    collect: bool,
    /// Whether this creation has evicted something since its last attempt.
    evicted: bool,
    /// Until when compaction and the disk are left alone, because they have just brought nothing.
    no_room_until: u64,
    /// Whether that kept an attempt from them.
    missed: bool,
    /// What the disk said, if it was the obstacle.
    disk: Option<DiskError>,
}

/// When a search met its first obstacle and when it ends, on the clock of [`clock::monotonic_ns`].
#[derive(Debug, Clone, Copy)]
struct Time {
    since: u64,
    deadline: u64,
}

/// Why a search ended without memory.
#[derive(Debug)]
pub(crate) enum End {
    /// The object table stayed full.
    Slots,
    /// No memory came free in time.
    Memory,
    /// Somebody kept the allocator all the time.
    Locked,
    /// Objects that should have gone to disk could not.
    Disk(DiskError),
}

/// What keeps a creation from its memory.
#[derive(Debug, Clone, Copy)]
enum Obstacle {
    /// Nothing that is free is enough.
    Short(Shortage),
    /// Others come first.
    Barred(Barred),
    /// The allocator's lock was not to be had.
    Locked,
}

impl Obstacle {
    /// What the creation stands in the queue for.
    fn shortage(self, wants: Wants) -> Shortage {
        match self {
            Obstacle::Short(shortage) => shortage,
            _ if wants.bytes == 0 => Shortage::Slots,
            _ => Shortage::Memory,
        }
    }
}

impl<'a> Search<'a> {
    pub(crate) fn new(actor: Actor<'a>, wants: Wants, patience: Duration) -> Search<'a> {
        Search {
            actor,
            request: Request::new(actor.shared, actor.me, wants),
            patience,
            time: None,
            // With eviction, a look at all slots comes once in many creations only.
            collect: !outlet::evicts(actor.shared),
            evicted: false,
            no_room_until: 0,
            missed: false,
            disk: None,
        }
    }

    /// Calls `take` under the allocator's lock until it succeeds or the time is over.
    pub(crate) fn run<R>(mut self, take: &mut impl FnMut(&mut Alloc<'_>) -> Result<R, Shortage>) -> Result<R, End> {
        let wants = self.request.wants();
        let mut last = match self.attempt(take) {
            Ok(taken) => return Ok(taken),
            Err(obstacle) => obstacle,
        };
        // What others keep may have become theirs before they could know that somebody queues.
        self.collect = true;
        loop {
            let Time { since, deadline } = self.time();
            let now = clock::monotonic_ns();
            if now >= deadline {
                break;
            }
            self.request.join(last.shortage(wants), since, deadline);
            let slice_ends = now.saturating_add(SLICE.as_nanos() as u64);
            let until = self.alarm(last).min(slice_ends);
            let nap = Duration::from_nanos(until.saturating_sub(now));
            let woken = waits::wait(self.actor.shared, On::Space, clock::now().checked_add(nap), || {
                match self.attempt(take) {
                    Ok(taken) => Some(Some(taken)),
                    Err(obstacle) => {
                        self.request.lacks(obstacle.shortage(wants));
                        last = obstacle;
                        // There may be something to do before this nap ends.
                        (self.alarm(last) < until).then_some(None)
                    }
                }
            });
            match woken {
                Some(Some(taken)) => return Ok(taken),
                None if until == slice_ends => self.look_harder(last),
                Some(None) | None => {}
            }
        }
        Err(match (self.disk.take(), last) {
            (Some(error), _) => End::Disk(error),
            (None, Obstacle::Short(Shortage::Slots)) => End::Slots,
            (None, Obstacle::Locked) => End::Locked,
            (None, _) => End::Memory,
        })
    }

    /// Tries once, and again while there is something to make room with: eviction, compaction, the disk.
    fn attempt<R>(&mut self, take: &mut impl FnMut(&mut Alloc<'_>) -> Result<R, Shortage>) -> Result<R, Obstacle> {
        self.missed = false;
        let mut outcome = self.evict(take);
        for _ in 0..ROUNDS {
            if !matches!(outcome, Err(Obstacle::Short(Shortage::Memory))) || !self.make_room(true) {
                break;
            }
            outcome = self.take(take);
        }
        outcome
    }

    /// Tries, and evicts objects between the tries until it works or none is left.
    fn evict<R>(&mut self, take: &mut impl FnMut(&mut Alloc<'_>) -> Result<R, Shortage>) -> Result<R, Obstacle> {
        let mut outcome = self.take(take);
        let need = self.request.wants().bytes as u64;
        // What went is enough, but lies in pieces: others need not go for it, if those that stay can be moved.
        let mut compact_at = need;
        let mut evictor = Evictor::new(self.actor);
        while let Err(Obstacle::Short(shortage)) = outcome {
            match evictor.step(shortage) {
                Some(Step::Freed(bytes)) if shortage == Shortage::Memory && bytes < need => continue,
                Some(Step::Freed(bytes)) => {
                    self.evicted = true;
                    outcome = self.take(take);
                    if matches!(outcome, Err(Obstacle::Short(Shortage::Memory))) && bytes >= compact_at {
                        compact_at = bytes.saturating_mul(2);
                        if self.make_room(false) {
                            outcome = self.take(take);
                        }
                    }
                    continue;
                }
                // What is free and only kept by somebody is better taken than an object.
                Some(Step::Scan) => self.collect = true,
                None => return Err(Obstacle::Short(shortage)),
            }
            outcome = self.take(take);
        }
        outcome
    }

    /// Compacts or spills; says whether there may be room now.
    ///
    /// Whoever has made room wakes all who wait, this one too: without a pause it would never sleep.
    fn make_room(&mut self, spills: bool) -> bool {
        let actor = self.actor;
        let begun = clock::monotonic_ns();
        let bytes = self.request.wants().bytes;
        if bytes == 0 || begun < self.no_room_until {
            self.missed = bytes != 0;
            return false;
        }
        let spills = spills && outlet::spills(actor.shared);
        let room = room::make(actor, bytes, spills);
        let ended = clock::monotonic_ns();
        let spent = ended.saturating_sub(begun);
        if spills {
            // The clock stands still while objects go to disk.
            let Time { since, deadline } = self.time();
            let deadline = deadline.saturating_add(spent);
            self.time = Some(Time { since, deadline });
            self.request.postpone(deadline);
        }
        self.disk = None;
        match room {
            Room::Made => return true,
            Room::No => {}
            Room::Busy => self.missed = true,
            Room::Disk(error) => self.disk = Some(error),
        }
        // However long it took: there is time for some more attempts.
        let longest = self.time().deadline.saturating_sub(ended) / ATTEMPTS;
        let pause = spent.saturating_mul(10).min(longest).max(ROOM_PAUSE.as_nanos() as u64);
        self.no_room_until = ended.saturating_add(pause);
        false
    }

    /// When something is to be done that nobody wakes this creation for.
    fn alarm(&mut self, last: Obstacle) -> u64 {
        let room = if self.missed { self.no_room_until } else { u64::MAX };
        let barred = if let Obstacle::Barred(barred) = last { barred.until } else { u64::MAX };
        self.time().deadline.min(room).min(barred)
    }

    /// Returns the times of this search, which begin with the first question for them.
    fn time(&mut self) -> Time {
        let patience = u64::try_from(self.patience.as_nanos()).unwrap_or(u64::MAX);
        *self.time.get_or_insert_with(|| {
            let since = clock::monotonic_ns();
            Time { since, deadline: since.saturating_add(patience) }
        })
    }

    /// Takes the allocator's lock, waiting for it a little longer than this search may take.
    fn lock(&mut self) -> Option<Alloc<'a>> {
        let actor = self.actor;
        Alloc::try_lock(actor.shared, actor.me).or_else(|| {
            let left = Duration::from_nanos(self.time().deadline.saturating_sub(clock::monotonic_ns()));
            let now = clock::now();
            let latest = now.checked_add(left.saturating_add(LOCK_PATIENCE)).unwrap_or(now);
            Alloc::lock_until(actor.shared, actor.me, latest)
        })
    }

    /// Asks who comes first, and takes memory under the allocator's lock if that is this creation.
    fn take<R>(&mut self, take: &mut impl FnMut(&mut Alloc<'_>) -> Result<R, Shortage>) -> Result<R, Obstacle> {
        let actor = self.actor;
        if let Some(barred) = self.request.barred() {
            return Err(Obstacle::Barred(barred));
        }
        let mut alloc = self.lock().ok_or(Obstacle::Locked)?;
        // Somebody may have aged while this one waited for the lock.
        if let Some(barred) = self.request.barred() {
            return Err(Obstacle::Barred(barred));
        }
        if std::mem::take(&mut self.evicted) {
            // What went is kept for creations of the same size.
            let magazine = &actor.looks.magazine;
            let kept = (0..magazine::KINDS).flat_map(|class| std::iter::from_fn(move || magazine.take(class)));
            kept.for_each(|at| {
                alloc.release_cached(at);
            });
        }
        let shortage = match take(&mut alloc) {
            Ok(taken) => return Ok(taken),
            Err(shortage) => shortage,
        };
        self.time();
        let is_left = actor.shared.ctl.u64(H_LEFT_FREE).load(Ordering::SeqCst) != 0;
        let collect = std::mem::take(&mut self.collect) || is_left;
        // What clients keep for themselves is free memory.
        let again = if collect && alloc.collect() { take(&mut alloc) } else { Err(shortage) };
        again.map_err(Obstacle::Short)
    }

    /// Does once a second what the wakes of others should have made needless.
    fn look_harder(&mut self, last: Obstacle) {
        self.collect = true;
        readers::settle_all(&self.actor);
        if let Obstacle::Barred(barred) = last {
            queue::forget_if_dead(self.actor.shared, barred.by);
        }
    }
}
