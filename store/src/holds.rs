//! Who holds what, and when an object goes.
//!
//! Every client has one word per slot, `{views:32 | holds:32}`, that only its own process changes,
//! so reading a hot object from many processes moves no cache line between them. A slot carries the
//! set of clients that ever held it; the set only grows while the object lives, and a client is in
//! it *before* its word counts anything. Whoever wants to know whether an object is held looks at
//! the words of the clients in the set, and at the slot's count of objects that contain it.
//!
//! ```text
//!   adopter                              reclaimer
//!     A1 sharers |= me                     R1 state: SEALED -> CONDEMNED
//!     A2 word += unit                      R2 read sharers, their words, then nested
//!     A3 state is SEALED ?                 R3 all zero: CONDEMNED -> RECLAIMING
//! ```
//!
//! The word for "looked at" is CONDEMNED; an object on its way to another place (moves.rs) is MOVING
//! and treated alike: the mover looks for views where the reclaimer looks for everything.
//!
//! All six are SeqCst. If A3 saw SEALED, A2 comes before R1 and so R2 sees it. If A3 saw CONDEMNED
//! of a *deleted* object the adopter takes its unit back: the object is gone for it. A *counted*
//! object in CONDEMNED is only being looked at: the adopter, whose unit stands already, moves it
//! back to SEALED itself, and R3 fails. So nobody ever waits for a reclaimer.
//!
//! Moving a hold from one place to another (a message, an object that contains the other) takes the
//! new unit before it drops the old one. Then, if an object is alive at R1, some unit that was
//! complete at R1 stays for the whole of R2, or was passed on to an adopter that cannot have
//! completed after R1 without undoing it. Words are read before `nested` because a creator counts
//! in `nested` first and drops its own unit afterwards.
//!
//! Read-only clients count in words of their own and are in no set: R2 looks at all of them (readers.rs).
//!
//! R1 to R3 of a counted object run under a process-local lock, so that a client is the actor of at
//! most one look at an object and R3 cannot confirm an older look (the word has no other mark).
//!
//! Invariants:
//! - ST-16: a unit counts only if its client is in the slot's set: it was put there first (A1), while the object lived.
//! - ST-17: an object goes to RECLAIMING only if no word and no sealed parent counts it.
//! - ST-18: after the last unit of a deleted or counted object is dropped, somebody reclaims it:
//!   the one who dropped it, the one who looked meanwhile (it looks again after a revert), or the reaper.

use std::sync::atomic::AtomicBool;
use std::sync::{OnceLock, PoisonError};

use crate::alloc::{self, Alloc};
use crate::arena::Arena;
use crate::client::ClientKey;
use crate::disk::{Disk, Record, Table};
use crate::evict::Victims;
use crate::index;
use crate::layout::H_RECLAIMED;
use crate::magazine::{self, Magazine};
use crate::moves::{self, Mover};
use crate::place::Place;
use crate::queue;
use crate::readers;
use crate::shared::Shared;
use crate::slot::{self, Slot, SlotRef, State};
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::sys::futex;
use crate::waits::{self, On};

mod nested;
mod row;

pub(crate) use self::nested::Nested;
pub(crate) use self::row::Row;

/// One view: the object stays at its address.
pub(crate) const VIEW: u64 = 1 << 32;
/// One hold: the object stays.
pub(crate) const HOLD: u64 = 1;

/// How many process-local locks looks at counted objects are spread over.
const STRIPES: usize = if cfg!(loom) { 1 } else { 64 };

/// What the handles of one client share in its process.
#[derive(Debug)]
pub(crate) struct Looks {
    /// The process-local locks of R1 to R3.
    stripes: [Mutex<()>; STRIPES],
    /// Freed slots for the next creations.
    pub(crate) magazine: Magazine,
    /// There will be no next creation: the client is detaching.
    pub(crate) is_closing: AtomicBool,
    /// The files of the store, if it has any.
    disk: OnceLock<Disk>,
    /// What might be evicted next.
    pub(crate) victims: Victims,
}

impl Default for Looks {
    fn default() -> Self {
        Looks {
            stripes: std::array::from_fn(|_| Mutex::new(())),
            magazine: Magazine::default(),
            is_closing: AtomicBool::new(false),
            disk: OnceLock::new(),
            victims: Victims::default(),
        }
    }
}

impl Looks {
    /// Gives this client access to the store's files.
    pub(crate) fn open_disk(&self, disk: Disk) {
        let _ = self.disk.set(disk);
    }

    /// Returns the process-local lock of looks at an object.
    pub(crate) fn stripe(&self, index: u32) -> &Mutex<()> {
        &self.stripes[index as usize % STRIPES]
    }

    /// Returns the files of the store, if it spills or falls back.
    pub(crate) fn disk(&self) -> Option<&Disk> {
        self.disk.get()
    }

    /// Returns the table of spill files.
    pub(crate) fn table<'a>(&self, shared: &'a Shared) -> Table<'a> {
        Table::new(&shared.ctl, shared.layout.disk_at)
    }
}

/// A client at work on the segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Actor<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) arena: &'a Arena,
    pub(crate) looks: &'a Looks,
    /// The client.
    pub(crate) me: ClientKey,
}

/// What became of an attempt to take a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adopted {
    /// The unit counts and the object is sealed; the state as it was seen with the unit standing.
    Sealed(State),
    /// The unit counts and the object is being created (only if that was asked for).
    Creating,
    /// Nothing was taken: the object is gone or not sealed.
    Gone,
}

impl<'a> Actor<'a> {
    fn slot(&self, at: SlotRef) -> Slot<'a> {
        Slot::of(self.shared, at.index)
    }

    #[inline]
    fn word(&self, client: usize, index: u32) -> &'a AtomicU64 {
        self.shared.ctl.u64(self.shared.layout.hold(client, index))
    }

    fn row(&self) -> Row {
        Row::of(self.shared, self.me)
    }

    /// Takes a unit of a fresh slot whose set has been written with this client in it.
    #[inline]
    pub(crate) fn take_first(&self, at: SlotRef, unit: u64) {
        self.word(self.me.index.into(), at.index).fetch_add(unit, Ordering::SeqCst);
    }

    /// Takes one more unit of an object that this client holds already.
    #[inline]
    pub(crate) fn take_more(&self, at: SlotRef, unit: u64) {
        self.row().word(self.shared, at.index).fetch_add(unit, Ordering::SeqCst);
    }

    /// Takes a unit of an object found in the index (A1 to A3).
    #[inline]
    pub(crate) fn adopt(&self, at: SlotRef, unit: u64, also_creating: bool) -> Adopted {
        match self.row().adopt(self.shared, self.slot(at), at, unit) {
            Some(state) => Adopted::Sealed(state),
            None => self.settled(at, unit, also_creating),
        }
    }

    /// Finds out whether a unit that was taken counts, and takes it back if not.
    #[cold]
    pub(crate) fn settled(&self, at: SlotRef, unit: u64, also_creating: bool) -> Adopted {
        match self.confirm(at, also_creating) {
            Adopted::Gone => {
                self.drop_unit(at.index, unit);
                Adopted::Gone
            }
            adopted => adopted,
        }
    }

    /// Looks at the object with a unit standing, and moves it back to SEALED if somebody is trying something (A3).
    #[inline]
    pub(crate) fn confirm(&self, at: SlotRef, also_creating: bool) -> Adopted {
        let slot = self.slot(at);
        loop {
            let state = slot.state();
            if state.generation() != at.generation {
                return Adopted::Gone;
            }
            match state.state() {
                slot::SEALED => return Adopted::Sealed(state),
                slot::CREATING if also_creating => return Adopted::Creating,
                slot::MOVING => {}
                slot::CONDEMNED if !state.has(slot::DELETED) => {}
                _ => return Adopted::Gone,
            }
            if self.shared.reader.is_none() {
                self.revert(slot, state);
            } else if !self.await_rest(at.index, state) {
                return Adopted::Gone;
            }
        }
    }

    /// Moves an object with which somebody is trying something back to SEALED, and tells its waiters.
    #[cold]
    pub(crate) fn revert(&self, slot: Slot<'_>, looked_at: State) -> bool {
        let done = slot.cas(looked_at, looked_at.to(slot::SEALED, None));
        if done {
            waits::wake(self.shared, On::Object(slot.id()));
        }
        done
    }

    /// Drops a unit; the last one may take the object along (ST-18).
    #[inline]
    pub(crate) fn drop_unit(&self, index: u32, unit: u64) {
        if let Some(old) = self.row().drop(self.shared, index, unit) {
            self.dropped(index, unit, old);
        }
    }

    /// Does what follows from dropping the last unit or the last view.
    #[cold]
    pub(crate) fn dropped(&self, index: u32, unit: u64, old: u64) {
        if old == unit {
            self.dropped_last(index);
        } else {
            match self.shared.reader {
                Some(_) => self.reader_dropped_last(index),
                None => self.unpinned(),
            }
        }
    }

    /// Tells those who wait for memory that an object that is held still may be spilled or moved from now on.
    #[inline]
    fn unpinned(&self) {
        if !queue::is_empty(self.shared) {
            waits::wake(self.shared, On::Space);
        }
    }

    #[inline]
    fn dropped_last(&self, index: u32) {
        if self.shared.reader.is_some() {
            return self.reader_dropped_last(index);
        }
        let state = Slot::of(self.shared, index).state();
        let goes = match state.state() {
            slot::SEALED | slot::MOVING => state.has(slot::COUNTED),
            slot::CONDEMNED => true,
            _ => false,
        };
        if goes {
            self.look(SlotRef { index, generation: state.generation() });
        } else {
            // It may be evicted, too.
            self.unpinned();
        }
    }

    /// Reclaims the object, and what only it contained, if nobody holds it. Says whether it went.
    pub(crate) fn look(&self, at: SlotRef) -> bool {
        let mut children = Vec::new();
        let went = self.look_once(at, &mut children);
        self.look_at_all(children);
        went
    }

    /// Looks at those that a reclaimed object contained, and at what those contained.
    fn look_at_all(&self, mut children: Vec<SlotRef>) {
        // Iterative: a chain of a million nested objects is released without recursion.
        while let Some(child) = children.pop() {
            self.look_once(child, &mut children);
        }
    }

    /// Reclaims a sealed object that nobody holds, whatever its lifetime (evict.rs). Says whether it went.
    pub(crate) fn take_away(&self, at: SlotRef) -> bool {
        let mut children = Vec::new();
        let went = self.look_at_sealed(at, &mut children);
        self.look_at_all(children);
        went
    }

    fn look_once(&self, at: SlotRef, children: &mut Vec<SlotRef>) -> bool {
        let slot = self.slot(at);
        let state = slot.state();
        if state.generation() != at.generation {
            return false;
        }
        if state.state() == slot::CONDEMNED && state.has(slot::DELETED) {
            return self.look_at_deleted(at, children);
        }
        if state.is_sealed() && state.has(slot::COUNTED) {
            return self.look_at_sealed(at, children);
        }
        false
    }

    fn look_at_deleted(&self, at: SlotRef, children: &mut Vec<SlotRef>) -> bool {
        let slot = self.slot(at);
        loop {
            let state = slot.state();
            let deleted = state.state() == slot::CONDEMNED && state.has(slot::DELETED);
            if state.generation() != at.generation || !deleted || self.is_held(at.index) {
                return false;
            }
            if slot.cas(state, state.to(slot::RECLAIMING, Some(self.me.index))) {
                return self.reclaim(at, children);
            }
        }
    }

    fn look_at_sealed(&self, at: SlotRef, children: &mut Vec<SlotRef>) -> bool {
        let slot = self.slot(at);
        let looks = self.looks.stripe(at.index);
        let guard = looks.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let state = slot.state();
            if state.generation() != at.generation || self.is_held(at.index) {
                return false;
            }
            match state.state() {
                slot::SEALED => {}
                // Nobody wants it at its place: whoever moves it need not go on.
                slot::MOVING => {
                    self.revert(slot, state);
                    continue;
                }
                // Somebody else is looking; they look again if they find a unit that is dropped by then.
                _ => return false,
            }
            let condemned = state.to(slot::CONDEMNED, Some(self.me.index));
            if !slot.cas(state, condemned) {
                continue;
            }
            if self.is_held(at.index) {
                self.revert(slot, condemned);
                continue;
            }
            if slot.cas(condemned, condemned.to(slot::RECLAIMING, Some(self.me.index))) {
                drop(guard);
                return self.reclaim(at, children);
            }
        }
    }

    /// Says whether any word or parent counts the object (R2).
    pub(crate) fn is_held(&self, index: u32) -> bool {
        self.any_word(index, |_, word| word != 0) || Slot::of(self.shared, index).nested().load(Ordering::SeqCst) != 0
    }

    /// Says whether anybody views the object: it must stay at its place.
    pub(crate) fn is_viewed(&self, index: u32) -> bool {
        self.any_word(index, |_, word| word >= VIEW)
    }

    /// Says whether a client's word of an object is such as `wanted` says.
    pub(crate) fn any_word(&self, index: u32, mut wanted: impl FnMut(usize, u64) -> bool) -> bool {
        let slot = Slot::of(self.shared, index);
        for set in 0..4 {
            let mut bits = slot.sharers(set).load(Ordering::SeqCst);
            while bits != 0 {
                let client = set * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let mine = client < self.shared.layout.clients;
                if mine && wanted(client, self.word(client, index).load(Ordering::SeqCst)) {
                    return true;
                }
            }
        }
        readers::all(self.shared)
            .any(|reader| wanted(reader, readers::word(self.shared, reader, index).load(Ordering::SeqCst)))
    }

    /// Gives everything of a RECLAIMING object back; done again by the reaper if this client dies in it.
    ///
    /// Waits for nobody: what needs a lock that another process has is left to that one. Says whether the object went.
    pub(crate) fn reclaim(&self, at: SlotRef, children: &mut Vec<SlotRef>) -> bool {
        let slot = self.slot(at);
        let state = slot.state();
        index::remove(self.shared, slot.id(), at);
        if slot.linked().load(Ordering::Acquire) != 0 && !self.unlink(at, children) {
            self.leave_linked(slot, state);
            return false;
        }
        self.free_on_disk(slot, at, state);
        self.free(slot, at.index, state);
        waits::wake(self.shared, On::Space);
        if state.has(slot::NOTIFY) {
            self.notify();
        }
        true
    }

    /// Frees what a RECLAIMING object has on disk.
    #[inline]
    fn free_on_disk(&self, slot: Slot<'_>, at: SlotRef, state: State) {
        let place = slot.place(state);
        let (Some(Place::Record(_) | Place::File(_)), Some(disk)) = (place, self.looks.disk()) else { return };
        let word = slot.place_word(state);
        let old = word.load(Ordering::Acquire);
        let take = || word.compare_exchange(old, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        match place {
            Some(Place::Record(record)) if let Some(record) = Record::from_word(record) => {
                let table = self.looks.table(self.shared);
                disk.release(table, record, &moves::head(slot, at), take);
                if table.is_recount_due() {
                    // If others move objects now, the next one counts.
                    drop(Mover::try_lock(*self));
                }
            }
            Some(Place::File(number)) => {
                disk.fallback_remove(number);
                take();
            }
            _ => {}
        }
    }

    /// Frees a RECLAIMING slot with its memory: into the magazine if that keeps such, else to the allocator.
    fn free(&self, slot: Slot<'_>, index: u32, state: State) {
        let class = magazine::class_of(slot.place(state), self.shared.layout.pages);
        let cached = state.next_life(slot::CACHED, Some(self.me.index));
        if !slot.cas(state, cached) {
            return;
        }
        let at = SlotRef { index, generation: cached.generation() };
        // While somebody queues for memory, all of it goes where they look.
        let keep = queue::is_empty(self.shared) && !self.looks.is_closing.load(Ordering::Relaxed);
        match class {
            Some(class) if keep && self.looks.magazine.put(class, at) => {}
            Some(class) if keep => self.empty_magazine(class, at),
            _ => alloc::leave(self.shared, self.me, at),
        }
    }

    /// Frees a slot and half of those that the magazine keeps of its class.
    #[cold]
    fn empty_magazine(&self, class: usize, at: SlotRef) {
        let magazine = &self.looks.magazine;
        match Alloc::try_lock(self.shared, self.me) {
            None => alloc::leave(self.shared, self.me, at),
            Some(mut alloc) => {
                alloc.release_cached(at);
                let some = std::iter::from_fn(|| magazine.take(class)).take(Magazine::depth(class) / 2);
                some.for_each(|at| {
                    alloc.release_cached(at);
                });
            }
        }
    }

    /// Bumps the reclaim sequence and wakes those who wait for it.
    pub(crate) fn notify(&self) {
        let word = self.shared.ctl.u32(H_RECLAIMED);
        word.fetch_add(1, Ordering::SeqCst);
        futex::wake(word, u32::MAX, u32::MAX);
    }

    /// Takes all units of a dead client away and reclaims what only it held.
    ///
    /// All of its words are looked at, not only those of slots that name it: a client that dies while it takes a
    /// unit of a slot that is just used anew leaves one that no set knows (it does not keep the object, ST-16).
    pub(crate) fn drop_all_of(&self, dead: usize) {
        if readers::is_reader(self.shared, dead) {
            return readers::clear(self, dead);
        }
        for index in 0..alloc::slots_ever(self.shared) {
            if self.word(dead, index).load(Ordering::SeqCst) != 0 {
                self.drop_units_of(dead, index);
            }
        }
    }

    /// Takes the units away that a dead client has of one slot.
    pub(crate) fn drop_units_of(&self, dead: usize, index: u32) {
        if self.word(dead, index).swap(0, Ordering::SeqCst) != 0 {
            self.dropped_last(index);
        }
    }

    /// Returns what each client counts of a slot: place in the table, views, holds.
    pub(crate) fn holders(&self, index: u32) -> Vec<(usize, u32, u32)> {
        let mut found = Vec::new();
        self.any_word(index, |client, word| {
            if word != 0 {
                found.push((client, (word >> 32) as u32, word as u32));
            }
            false
        });
        found
    }
}
