//! Moves: giving a sealed object that nobody views another place.
//!
//! ```text
//!   mover                                              anybody
//!     M1 take the lock of moves; the record of the
//!        move names the slot; take a hold
//!     M2 new place; the header's record of the move names it
//!     M3 state: SEALED -> MOVING                       wants it at its place: MOVING -> SEALED (holds.rs, A3),
//!     M4 no word counts a view ?                       and goes on at once
//!     M5 copy the bytes
//!     M6 under the allocator's lock:
//!          the slot's other place = the new one
//!          state: MOVING -> SEALED with ALT turned     fails if anybody did: the new place is given back
//!          the old place is given back, the record cleared
//!     M7 drop the hold; no slot is named any more      deleted it meanwhile: waits for M7 (`await_mover`)
//! ```
//!
//! One compare-and-swap moves the object, and whoever wants it never waits: a mover that is stopped
//! or slow loses its work, no more. The mover's own hold keeps the old bytes where they are until it
//! is done, whoever deletes the object meanwhile. Memory of a deleted object that nobody views is free when
//! the delete returns, so that who deletes waits for a mover whose hold is in the way, for a second at most:
//! one that is killed is reaped by then, one that is stopped frees the object when it goes on. It sleeps where
//! those do who wait for memory; the mover's release wakes it if it takes the object along, and after M7 the
//! mover itself if the object was deleted and others hold it still:
//!
//! ```text
//!   mover                                              who deletes
//!     drop the hold                                      state: .. -> CONDEMNED, DELETED
//!     no slot is named                                   is it held?  is it named?
//!     is it DELETED? wake                                sleep
//! ```
//!
//! What a slot's *other* place says is never the truth about memory (alloc/rebuild.rs): until the
//! state has turned the new place belongs to the record of the move, and from then on the old one
//! belongs to nobody. So a mover may die anywhere: whoever takes the lock over gives back what did
//! not arrive.
//!
//! A mover waits for the allocator only so long: a get that brings an object back must not hang because
//! somebody is stopped in there. If it cannot give a place back the record goes on to name it, and the next
//! mover does that before anything else.
//!
//! Invariants:
//! - ST-21: an object changes its place only in M6, under both locks, and only if no view has stood since M4.
//! - ST-22: the record of the move names a place of the arena that no object has, or one that has arrived; a slot is
//!   named as long as a mover holds its object.

use std::cell::Cell;
use std::time::Duration;

use crate::alloc::{Alloc, Shortage};
use crate::disk::{DiskError, Head, Record};
use crate::holds::{Actor, Adopted, HOLD};
use crate::layout::{H_MOVE_PLACE, H_MOVE_SLOT};
use crate::lock::{self, Guard, Lock};
use crate::place::Place;
use crate::slot::{self, Slot, SlotRef, State};
use crate::sync::{AtomicU64, Ordering};
use crate::sys::clock;
use crate::waits::{self, On};
use crate::{alloc, copy};

/// How long a mover waits for the allocator.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long who deletes an object waits for its mover, and who evicts for the lock of moves.
const MOVER_PATIENCE: Duration = Duration::from_secs(if cfg!(loom) { 3600 } else { 1 });

/// Whoever may move objects: one in the whole store.
pub(crate) struct Mover<'a> {
    actor: Actor<'a>,
    guard: Option<Guard<'a>>,
    /// Whether anything has changed its place.
    moved: Cell<bool>,
}

/// Why an object was not moved.
#[derive(Debug)]
pub(crate) enum Stays {
    /// Somebody views it, deleted it or wanted it meanwhile.
    Wanted,
    /// There is no memory for it.
    NoRoom,
    /// Somebody has had the allocator too long.
    Locked,
    /// The disk is full or failed, or what is on it is not what was written.
    Disk(DiskError),
}

impl<'a> Mover<'a> {
    /// Takes the lock of moves, waiting for it.
    #[cfg(test)]
    pub(crate) fn lock(actor: Actor<'a>) -> Mover<'a> {
        Mover::with(actor, lock::acquire(actor.shared, Lock::Move, actor.me))
    }

    /// Takes the lock of moves if that needs no waiting; repairs what a dead mover left.
    pub(crate) fn try_lock(actor: Actor<'a>) -> Option<Mover<'a>> {
        Mover::repaired(actor, lock::try_acquire(actor.shared, Lock::Move, actor.me)?)
    }

    /// Takes the lock of moves, waiting for it, unless somebody keeps it too long; repairs what a dead mover left.
    pub(crate) fn lock_patiently(actor: Actor<'a>) -> Option<Mover<'a>> {
        Mover::repaired(actor, lock::acquire_within(actor.shared, Lock::Move, actor.me, MOVER_PATIENCE)?)
    }

    /// Wraps the lock; nothing if what a dead mover left could not be repaired now.
    fn repaired(actor: Actor<'a>, guard: Guard<'a>) -> Option<Mover<'a>> {
        let mover = Mover::with(actor, guard);
        (mover.record().load(Ordering::Acquire) == 0).then_some(mover)
    }

    /// Takes the allocator's lock, unless somebody keeps it too long.
    pub(crate) fn alloc(&self) -> Result<Alloc<'a>, Stays> {
        let soon = clock::now() + PATIENCE;
        Alloc::lock_until(self.actor.shared, self.actor.me, soon).ok_or(Stays::Locked)
    }

    /// Wraps the lock that the caller has taken (over).
    pub(crate) fn with(actor: Actor<'a>, guard: Guard<'a>) -> Mover<'a> {
        let repair = guard.must_repair();
        let mover = Mover { actor, guard: Some(guard), moved: Cell::new(false) };
        if repair && actor.looks.disk().is_some() {
            actor.looks.table(actor.shared).make_due();
        }
        if repair || mover.record().load(Ordering::Acquire) != 0 {
            mover.repair();
        }
        mover.recount_if_due();
        mover
    }

    fn record(&self) -> &'a AtomicU64 {
        self.actor.shared.ctl.u64(H_MOVE_PLACE)
    }

    /// Gives back what this mover could not because somebody had the allocator.
    pub(crate) fn settle(&self) {
        if self.record().load(Ordering::Acquire) != 0 {
            self.repair();
        }
    }

    /// Gives back what an earlier mover took for an object that never arrived there.
    fn repair(&self) {
        let shared = self.actor.shared;
        let Ok(mut alloc) = self.alloc() else { return };
        let word = self.record().load(Ordering::Acquire);
        let named = shared.ctl.u64(H_MOVE_SLOT).load(Ordering::Acquire);
        if let Some(index) = (named as u32).checked_sub(1) {
            let slot = Slot::of(shared, index);
            let mut state = slot.state();
            while state.state() == slot::MOVING && !slot.cas(state, state.to(slot::SEALED, None)) {
                state = slot.state();
            }
            let arrived = state.is_object() && slot.place_word(state).load(Ordering::Acquire) == word;
            slot.other_word(state).store(0, Ordering::Release);
            self.record().store(0, Ordering::Release);
            if let Some(place) = Place::from_word(word, shared.layout.places())
                && !arrived
            {
                alloc.give(place);
            }
            // The slot stays named: the dead mover's hold goes later (reap.rs), and who deletes the object waits for it.
        }
    }

    /// Counts anew what is alive on disk, if somebody found that it must be.
    fn recount_if_due(&self) {
        let shared = self.actor.shared;
        let Some(disk) = self.actor.looks.disk() else { return };
        let table = self.actor.looks.table(shared);
        if table.is_recount_due() {
            disk.recount(table, || records(self.actor));
        }
    }

    /// Moves an object to a place of the arena that `take` finds under the allocator's lock.
    pub(crate) fn relocate(
        &self,
        at: SlotRef,
        take: impl FnOnce(&mut Alloc<'_>) -> Result<Place, Shortage>,
    ) -> Result<(), Stays> {
        self.held(at, |state| {
            let slot = Slot::of(self.actor.shared, at.index);
            let from = slot.place(state).and_then(Place::offset).ok_or(Stays::Wanted)?;
            let (to, offset) = self.take(take)?;
            let whole = payload(slot);
            let copied = self.commit(offset, whole).and_then(|()| {
                if whole > to.bytes() {
                    return Err(Stays::Wanted);
                }
                let moving = self.begin(at, state)?;
                match (self.actor.arena.bytes(from, whole), self.actor.arena.bytes_mut(offset, whole)) {
                    (Some(from), Some(to)) => copy::copy(to, from),
                    _ => return Err(Stays::Wanted),
                }
                Ok(moving)
            });
            self.finish(at, copied, to)
        })
    }

    /// Moves an object to disk. Those with children stay: their list is read without the disk.
    pub(crate) fn spill(&self, at: SlotRef) -> Result<u64, Stays> {
        let Some(disk) = self.actor.looks.disk() else { return Err(Stays::NoRoom) };
        self.held(at, |state| {
            let slot = Slot::of(self.actor.shared, at.index);
            let from = slot.place(state).filter(|place| place.bytes() > 0);
            let from = from.filter(|_| slot.children() == 0).ok_or(Stays::Wanted)?;
            let moving = self.begin(at, state)?;
            let head = head(slot, at);
            let bytes = from.offset().and_then(|offset| self.actor.arena.bytes(offset, payload(slot)));
            let table = self.actor.looks.table(self.actor.shared);
            let written = disk.write(table, &head, bytes.unwrap_or_default());
            let record = match written {
                Ok(record) => record,
                Err(error) => {
                    self.actor.revert(slot, moving);
                    return Err(Stays::Disk(error));
                }
            };
            let place = Place::Record(record.to_word());
            match self.turn(slot, moving, place) {
                Ok(()) => Ok(from.bytes() as u64),
                Err(why) => {
                    disk.release(table, record, &head, || true);
                    Err(why)
                }
            }
        })
    }

    /// Brings an object back from disk, if there is memory for it.
    pub(crate) fn restore(&self, at: SlotRef) -> Result<(), Stays> {
        let Some(disk) = self.actor.looks.disk() else { return Err(Stays::NoRoom) };
        self.held(at, |state| {
            let slot = Slot::of(self.actor.shared, at.index);
            let Some(Place::Record(word)) = slot.place(state) else { return Ok(()) };
            let record = Record::from_word(word).ok_or(Stays::Wanted)?;
            let (head, whole) = (head(slot, at), payload(slot));
            let (to, offset) = self.take(|alloc| alloc.take(whole))?;
            let read = self.commit(offset, whole).and_then(|()| {
                let moving = self.begin(at, state)?;
                let into = self.actor.arena.bytes_mut(offset, whole).unwrap_or_default();
                disk.read(record, &head, into).map_err(|error| {
                    self.actor.revert(slot, moving);
                    Stays::Disk(error)
                })?;
                Ok(moving)
            });
            self.finish(at, read, to)?;
            let other = slot.other_word(slot.state());
            let table = self.actor.looks.table(self.actor.shared);
            let old = Place::Record(word).to_word();
            disk.release(table, record, &head, || {
                other.compare_exchange(old, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
            });
            Ok(())
        })
    }

    /// Runs `f` while the mover holds the object, so that its bytes stay whatever others do (M1).
    pub(crate) fn held<R>(&self, at: SlotRef, f: impl FnOnce(State) -> Result<R, Stays>) -> Result<R, Stays> {
        // A place that could not be given back goes on to be named, with its slot.
        if self.record().load(Ordering::Acquire) != 0 {
            return Err(Stays::Locked);
        }
        let named = self.actor.shared.ctl.u64(H_MOVE_SLOT);
        // SYNC named: before the hold, so that whoever finds the hold in the way knows whose it is.
        named.store(name(at), Ordering::SeqCst);
        let done = match self.actor.adopt(at, HOLD, false) {
            Adopted::Sealed(state) => {
                let done = f(state);
                self.actor.drop_unit(at.index, HOLD);
                done
            }
            _ => Err(Stays::Wanted),
        };
        if self.record().load(Ordering::Acquire) == 0 {
            named.store(0, Ordering::SeqCst);
        }
        // SYNC named: whoever deletes it after this look finds it named no more.
        let state = Slot::of(self.actor.shared, at.index).state();
        if state.generation() == at.generation && state.has(slot::DELETED) {
            waits::wake(self.actor.shared, On::Space);
        }
        done
    }

    /// Takes memory for a move and writes it into the record (M2).
    fn take(&self, take: impl FnOnce(&mut Alloc<'_>) -> Result<Place, Shortage>) -> Result<(Place, usize), Stays> {
        let mut alloc = self.alloc()?;
        let place = take(&mut alloc).map_err(|_| Stays::NoRoom)?;
        self.record().store(place.to_word(), Ordering::Release);
        drop(alloc);
        place.offset().map(|offset| (place, offset)).ok_or(Stays::NoRoom)
    }

    fn commit(&self, offset: usize, len: usize) -> Result<(), Stays> {
        self.actor.arena.commit(self.actor.shared, offset, len).map_err(|_| Stays::NoRoom)
    }

    /// M3 and M4.
    fn begin(&self, at: SlotRef, state: State) -> Result<State, Stays> {
        let slot = Slot::of(self.actor.shared, at.index);
        let moving = state.to(slot::MOVING, Some(self.actor.me.index));
        if self.actor.is_viewed(at.index) || !slot.cas(state, moving) {
            return Err(Stays::Wanted);
        }
        if self.actor.is_viewed(at.index) {
            self.actor.revert(slot, moving);
            return Err(Stays::Wanted);
        }
        Ok(moving)
    }

    /// M6, or the return of the new place.
    fn finish(&self, at: SlotRef, moving: Result<State, Stays>, to: Place) -> Result<(), Stays> {
        let slot = Slot::of(self.actor.shared, at.index);
        let Err(why) = moving.and_then(|moving| self.turn(slot, moving, to)) else { return Ok(()) };
        if let Ok(mut alloc) = self.alloc() {
            self.record().store(0, Ordering::Release);
            alloc.give(to);
        }
        Err(why)
    }

    /// Turns the object to its new place and gives the old one back if that is in the arena.
    fn turn(&self, slot: Slot<'_>, moving: State, to: Place) -> Result<(), Stays> {
        let mut alloc = self.alloc().inspect_err(|_| {
            self.actor.revert(slot, moving);
        })?;
        let (old, new) = (slot.place_word(moving), slot.other_word(moving));
        new.store(to.to_word(), Ordering::Release);
        let turned = State(moving.to(slot::SEALED, None).0 ^ State::new(0, None, slot::ALT, 0).0);
        if !slot.cas(moving, turned) {
            new.store(0, Ordering::Release);
            return Err(Stays::Wanted);
        }
        self.moved.set(true);
        self.record().store(0, Ordering::Release);
        let from = Place::from_word(old.load(Ordering::Relaxed), self.actor.shared.layout.places());
        if let Some(from) = from
            && !matches!(from, Place::Record(_) | Place::File(_))
        {
            old.store(0, Ordering::Release);
            alloc.give(from);
        }
        Ok(())
    }
}

impl Drop for Mover<'_> {
    fn drop(&mut self) {
        self.guard = None;
        // Who found it taken has gone to sleep until there is memory.
        if self.moved.get() {
            waits::wake(self.actor.shared, On::Space);
        }
    }
}

/// Waits until the mover of an object that the caller has deleted is done with it; says whether the object is gone.
///
/// Returns at once if nobody moves it. A view of it, and a mover that is stopped, keep it.
#[cold]
pub(crate) fn await_mover(actor: Actor<'_>, at: SlotRef) -> bool {
    let slot = Slot::of(actor.shared, at.index);
    // SYNC named: see `held`.
    let is_moved = || actor.shared.ctl.u64(H_MOVE_SLOT).load(Ordering::SeqCst) == name(at);
    let settled = || {
        let is_gone = || slot.state().generation() != at.generation;
        let waits = !is_gone() && is_moved() && !actor.is_viewed(at.index);
        (!waits).then(|| is_gone() || actor.look(at) || is_gone())
    };
    waits::wait(actor.shared, On::Space, clock::now().checked_add(MOVER_PATIENCE), settled).unwrap_or(false)
}

/// Names an object in the record of the move.
fn name(at: SlotRef) -> u64 {
    u64::from(at.generation) << 32 | (u64::from(at.index) + 1)
}

/// Returns how many bytes of its place an object uses.
pub(crate) fn payload(slot: Slot<'_>) -> usize {
    let len = slot.len().checked_next_multiple_of(8).unwrap_or(usize::MAX);
    len.saturating_add(slot.meta_len().next_multiple_of(8)).saturating_add(8 * slot.children())
}

/// Describes an object as its record on disk does.
pub(crate) fn head(slot: Slot<'_>, at: SlotRef) -> Head {
    Head {
        id: slot.id(),
        generation: at.generation,
        len: slot.len() as u64,
        meta_len: slot.meta_len() as u32,
        children: slot.children() as u32,
    }
}

/// Lists the records that slots name.
fn records(actor: Actor<'_>) -> Vec<(Record, Head)> {
    let named = |index| {
        let slot = Slot::of(actor.shared, index);
        let state = slot.state();
        let Some(Place::Record(word)) = slot.place(state).filter(|_| state.state() != slot::FREE) else { return None };
        Some((Record::from_word(word)?, head(slot, SlotRef { index, generation: state.generation() })))
    };
    (0..alloc::slots_ever(actor.shared)).filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Deleted, ObjectId, Store, StoreOptions, index};

    #[test]
    fn a_place_that_arrived_is_not_given_back_when_it_is_anothers_by_then() {
        let store = Store::create(StoreOptions::new(1 << 20)).unwrap();
        let (first, second) = (ObjectId::random(), ObjectId::random());
        store.put(first, &[1; 100_000]).unwrap();
        let actor = store.inner().actor();
        let (at, state) = index::find(actor.shared, first).unwrap();
        let place = Slot::of(actor.shared, at.index).place(state).unwrap();
        // A mover died after the object had arrived and before it said so, with both locks.
        let mover = Mover::lock(actor);
        actor.shared.ctl.u64(H_MOVE_SLOT).store(u64::from(at.index) + 1, Ordering::Release);
        mover.record().store(place.to_word(), Ordering::Release);
        alloc::rebuild(&mut Alloc::lock(actor.shared, actor.me));
        // Before it is reaped the object goes, and another one takes its place.
        store.delete(first).unwrap();
        let view = store.put(second, &[2; 100_000]).unwrap();
        let (other, state) = index::find(actor.shared, second).unwrap();
        assert_eq!(Slot::of(actor.shared, other.index).place(state), Some(place));
        mover.repair();
        store.check().unwrap();
        assert!(view.iter().all(|&b| b == 2));
    }

    #[test]
    fn an_eviction_waits_for_whoever_moves_an_object() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(StoreOptions::new(1 << 20).spill_dir(dir.path())).unwrap();
        let other = Store::attach(store.address()).unwrap();
        store.put(ObjectId::random(), &[1; 100_000]).unwrap();
        let shared = &store.inner().shared;
        let word = shared.ctl.u32(lock::offset(shared, Lock::Move));
        let mover = Mover::lock(other.inner().actor());
        let owned = word.load(Ordering::Relaxed);
        let freed = std::thread::scope(|scope| {
            let eviction = scope.spawn(|| store.evict(u64::MAX));
            while word.load(Ordering::Relaxed) == owned {
                assert!(!eviction.is_finished(), "it did not wait for the mover");
                std::thread::yield_now();
            }
            drop(mover);
            eviction.join().unwrap().unwrap()
        });
        assert!(freed >= 100_000, "{freed}");
        store.check().unwrap();
    }

    /// A thread that deletes an object which another client moves.
    struct Deleter<'a> {
        store: &'a Store,
        at: SlotRef,
        begins: &'a std::sync::Barrier,
        thread: &'a std::thread::ScopedJoinHandle<'a, Deleted>,
    }

    impl Deleter<'_> {
        /// Lets it begin, and returns when it waits for the mover.
        fn begins_to_wait(&self) {
            self.begins.wait();
            let space = self.store.inner().shared.ctl.u32(crate::layout::H_SPACE);
            while space.load(Ordering::SeqCst) & 1 == 0 {
                assert!(!self.thread.is_finished(), "it did not wait for the mover");
                std::thread::yield_now();
            }
        }

        fn ends(&self) {
            while !self.thread.is_finished() {
                std::thread::yield_now();
            }
        }
    }

    /// Calls `work` with another client, which moves an object, and with a thread that deletes it.
    fn delete_beside(work: impl FnOnce(&Store, Deleter<'_>)) -> (Store, Deleted) {
        let store = Store::create(StoreOptions::new(1 << 20)).unwrap();
        let other = Store::attach(store.address()).unwrap();
        let id = ObjectId::random();
        store.put(id, &[1; 100_000]).unwrap();
        let (at, _) = index::find(&store.inner().shared, id).unwrap();
        let begins = std::sync::Barrier::new(2);
        let answer = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                begins.wait();
                store.delete(id).unwrap()
            });
            work(&other, Deleter { store: &store, at, begins: &begins, thread: &thread });
            thread.join().unwrap()
        });
        assert!(!store.exists(id));
        (store, answer)
    }

    #[test]
    fn a_delete_waits_for_the_mover_and_the_memory_is_free_when_it_returns() {
        let (store, answer) = delete_beside(|other, deleter| {
            let moved = Mover::lock(other.inner().actor()).held(deleter.at, |_| {
                deleter.begins_to_wait();
                Ok(())
            });
            moved.unwrap();
        });
        assert_eq!((answer, store.stats().used_bytes), (Deleted::Now, 0));
        store.check().unwrap();
    }

    #[test]
    fn a_delete_does_not_wait_for_ever_for_a_mover_that_is_stopped() {
        let (store, answer) = delete_beside(|other, deleter| {
            let moved = Mover::lock(other.inner().actor()).held(deleter.at, |_| {
                deleter.begins_to_wait();
                deleter.ends();
                assert_ne!(deleter.store.stats().used_bytes, 0);
                Ok(())
            });
            moved.unwrap();
        });
        assert_eq!((answer, store.stats().used_bytes), (Deleted::AtLastRelease, 0));
        store.check().unwrap();
    }

    #[test]
    fn a_delete_ends_with_the_mover_that_was_killed() {
        let (store, answer) = delete_beside(|other, deleter| {
            let (mover, shared) = (Mover::lock(other.inner().actor()), &deleter.store.inner().shared);
            shared.ctl.u64(H_MOVE_SLOT).store(name(deleter.at), Ordering::SeqCst);
            other.inner().actor().adopt(deleter.at, HOLD, false);
            deleter.begins_to_wait();
            // Neither is ever dropped, as in a process that was killed.
            std::mem::forget((mover, other.clone()));
            let record = shared.layout.client(other.client().index.into());
            shared.ctl.u64(record + crate::layout::C_START).store(1, Ordering::Relaxed);
            deleter.store.reap(other.client());
        });
        assert_eq!((answer, store.stats().used_bytes), (Deleted::Now, 0));
        store.check().unwrap();
    }

    #[test]
    fn a_delete_beside_a_mover_says_so_if_others_hold_the_object() {
        let (store, answer) = delete_beside(|other, deleter| {
            deleter.store.inner().actor().adopt(deleter.at, HOLD, false);
            let moved = Mover::lock(other.inner().actor()).held(deleter.at, |_| {
                deleter.begins_to_wait();
                Ok(())
            });
            moved.unwrap();
        });
        assert_eq!(answer, Deleted::AtLastRelease);
        store.inner().actor().drop_unit(0, HOLD);
        assert_eq!(store.stats().used_bytes, 0);
        store.check().unwrap();
    }

    #[test]
    fn a_mover_does_not_wait_for_who_is_stopped_in_the_allocator() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::create(StoreOptions::new(4 << 20).spill_dir(dir.path())).unwrap();
        let other = Store::attach(store.address()).unwrap();
        let id = ObjectId::random();
        store.put(id, &[1; 1 << 20]).unwrap();
        assert!(store.inner().spill(1).unwrap() > 0);
        let stopped = lock::acquire(&store.inner().shared, Lock::Alloc, other.client());
        let view = store.get(id, Some(Duration::ZERO)).unwrap();
        assert!(view.iter().all(|&b| b == 1));
        store.check().unwrap();
        drop((view, stopped));
        assert!(store.get(id, None).unwrap().iter().all(|&b| b == 1));
        store.check().unwrap();
    }
}
