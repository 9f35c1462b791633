//! The index: from an id to its slot, without locks for readers.
//!
//! Each id has two candidate buckets inside one shard; a bucket is one cache line of eight entries
//! `{tag:16 | generation:16 | slot + 1:32}`. A look-up reads one line, in a full store two for one id in
//! ten, and then the slots whose tags match; there are no probe chains, no tombstones and no resizing.
//! The index has twice as many entries as there are slots, so that both buckets of an id being full is
//! a freak; then the creation fails as a full object table does.
//!
//! Readers never write. Insertion takes the shard's lock, only to keep ids unique; removal is one
//! compare-and-swap of the exact entry.
//!
//! Invariants:
//! - ST-10: an entry leads to a slot whose generation it carries (sixteen bits of it); an entry that does not is ignored.
//! - ST-11: at most one CREATING or SEALED slot has a given id.

use std::time::Duration;

use crate::client::ClientKey;
use crate::id::{HASH, ObjectId};
use crate::layout::{BUCKET_ENTRIES, SHARDS};
use crate::lock::{self, Guard, Lock};
use crate::shared::Shared;
use crate::slot::{self, Slot, SlotRef, State};
use crate::sync::{AtomicU64, Ordering, fence};

/// What two processes must agree on to find each other's objects.
pub(crate) const LAYOUT: &[usize] = &[HASH[0] as usize, HASH[1] as usize, SECOND];

/// From which bit of an id's hash on its second bucket differs.
const SECOND: usize = 27;
/// With so many entries in an id's first bucket the second one is a choice. With fewer it is not, so that most
/// look-ups read one line only; with more, two full buckets would be no freak any more.
const MANY: usize = 5;

/// Why an id could not be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// An object of that id exists; the slot is its.
    Exists(SlotRef),
    /// Both buckets are full.
    Full,
    /// Somebody was in the way too long: stopped in the middle of an insertion.
    Locked,
}

/// An object as a look-up found it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sighted<'a> {
    pub(crate) at: SlotRef,
    pub(crate) state: State,
    pub(crate) slot: Slot<'a>,
}

struct Place {
    shard: usize,
    buckets: [usize; 2],
    tag: u64,
}

#[inline]
fn place(shared: &Shared, id: ObjectId) -> Place {
    let hash = id.hash();
    let mask = shared.layout.buckets - 1;
    let first = hash as usize & mask;
    // In the same shard; it differs from the first whenever that has more than one.
    let second = (first ^ ((hash >> SECOND) as usize | 1) * SHARDS) & mask;
    Place { shard: first & (SHARDS - 1), buckets: [first, second], tag: (hash >> 48) | 1 }
}

#[inline]
fn entry(place: &Place, at: SlotRef) -> u64 {
    place.tag << 48 | u64::from(at.generation as u16) << 32 | (u64::from(at.index) + 1)
}

#[inline]
fn cell(shared: &Shared, bucket: usize, i: usize) -> &AtomicU64 {
    shared.ctl.u64(shared.layout.bucket(bucket) + 8 * i)
}

/// Finds the live object of an id: CREATING, SEALED, or one with which somebody is trying something.
#[inline]
pub(crate) fn find(shared: &Shared, id: ObjectId) -> Option<(SlotRef, State)> {
    loop {
        let Sighted { at, state, slot } = sight(shared, id, |_| {})?;
        // The id was read between two looks at the state: the same generation says that it belongs to it.
        if slot.state().generation() == at.generation {
            return Some((at, state));
        }
    }
}

/// As [`find`], for who looks at the state again afterwards: if the generation is another one by then, the id was
/// perhaps that of the slot's next life. `hint` hears of every slot that may be the one before that is looked at.
#[inline]
pub(crate) fn sight(shared: &Shared, id: ObjectId, hint: impl Fn(u32)) -> Option<Sighted<'_>> {
    let place = place(shared, id);
    let words = id.to_words();
    for bucket in place.buckets {
        let line = shared.ctl.block::<BUCKET_ENTRIES>(shared.layout.bucket(bucket));
        for i in 0..BUCKET_ENTRIES {
            // SYNC entry: pairs with the Release store in `insert`; the slot's id is visible.
            let entry = line.u64(8 * i).load(Ordering::Acquire);
            if entry >> 48 != place.tag {
                continue;
            }
            hint((entry as u32).wrapping_sub(1));
            if let Some(found) = live(shared, entry, words) {
                return Some(found);
            }
        }
    }
    None
}

/// Returns the object that an entry leads to, if it lives and has that id.
#[inline]
fn live(shared: &Shared, entry: u64, words: [u64; 2]) -> Option<Sighted<'_>> {
    let index = (entry as u32).wrapping_sub(1);
    let slot = Slot::of(shared, index);
    let state = slot.state();
    if state.generation() as u16 != (entry >> 32) as u16 || !slot.is(words) {
        return None;
    }
    // SYNC id: the next look at the state sees that this life is over if the id is that of the next one.
    fence(Ordering::Acquire);
    let live = state.state() == slot::CREATING || state.is_sealed();
    live.then_some(Sighted { at: SlotRef { index, generation: state.generation() }, state, slot })
}

/// Has the lines in which an id would be on their way, for a caller that will look there soon.
#[inline]
pub(crate) fn prefetch(shared: &Shared, id: ObjectId) {
    let place = place(shared, id);
    for bucket in place.buckets {
        shared.ctl.prefetch(shared.layout.bucket(bucket));
    }
    shared.ctl.prefetch(lock::offset(shared, Lock::Shard(place.shard)));
}

/// A free entry for an id that nobody has, and the lock that keeps it so.
pub(crate) struct Vacancy<'a> {
    shared: &'a Shared,
    place: Place,
    cell: (usize, usize),
    _guard: Guard<'a>,
}

/// Finds an entry for an id and keeps others from taking it, or the id.
#[inline]
pub(crate) fn vacancy(
    shared: &Shared,
    id: ObjectId,
    me: ClientKey,
    patience: Duration,
) -> Result<Vacancy<'_>, Refused> {
    let place = place(shared, id);
    let guard = lock::acquire_within(shared, Lock::Shard(place.shard), me, patience);
    let guard = guard.ok_or(Refused::Locked)?;
    let cell = free_cell(shared, &place, id.to_words())?;
    Ok(Vacancy { shared, place, cell, _guard: guard })
}

impl Vacancy<'_> {
    /// Enters a slot that `me` has RESERVED, and described with the id, and moves it to `state`.
    #[inline]
    pub(crate) fn enter(self, at: SlotRef, me: ClientKey, state: u64) -> State {
        let slot = Slot::of(self.shared, at.index);
        let actor = (state == slot::CREATING).then_some(me.index);
        let entered = slot.state().to(state, actor);
        let (bucket, i) = self.cell;
        // The entry first: who finds it before the state says so passes by, and a creator that dies here is RESERVED.
        // SYNC entry: publishes the slot's id; pairs with the Acquire load in `find`.
        cell(self.shared, bucket, i).store(entry(&self.place, at), Ordering::Release);
        slot.store(entered);
        entered
    }
}

/// Finds a cell in the first bucket, in the emptier of the two if there are many entries in it already, unless one
/// of them has the id.
fn free_cell(shared: &Shared, place: &Place, words: [u64; 2]) -> Result<(usize, usize), Refused> {
    let mut empty = [(0, 0); 2];
    for (bucket, (count, last)) in place.buckets.into_iter().zip(&mut empty) {
        for i in (0..BUCKET_ENTRIES).rev() {
            let entry = cell(shared, bucket, i).load(Ordering::Acquire);
            if entry == 0 {
                (*count, *last) = (*count + 1, i);
            } else if entry >> 48 == place.tag
                && let Some(Sighted { at: taken, .. }) = live(shared, entry, words)
            {
                return Err(Refused::Exists(taken));
            }
        }
    }
    let chosen = usize::from(empty[0].0 <= BUCKET_ENTRIES - MANY && empty[1].0 > empty[0].0);
    if empty[chosen].0 > 0 {
        return Ok((place.buckets[chosen], empty[chosen].1));
    }
    // Entries of objects that are gone are rare and cost a look at their slots: only if nothing is empty.
    let mut cells = place.buckets.into_iter().flat_map(|bucket| (0..BUCKET_ENTRIES).map(move |i| (bucket, i)));
    cells.find(|&(bucket, i)| is_free(shared, bucket, i)).ok_or(Refused::Full)
}

/// Says whether a cell may be overwritten: empty, or left by an object that is gone.
fn is_free(shared: &Shared, bucket: usize, i: usize) -> bool {
    let entry = cell(shared, bucket, i).load(Ordering::Acquire);
    if entry == 0 {
        return true;
    }
    let state = Slot::of(shared, (entry as u32).wrapping_sub(1)).state();
    state.generation() as u16 != (entry >> 32) as u16
        || matches!(state.state(), slot::FREE | slot::RESERVED | slot::CACHED)
}

/// Takes the entry of a slot out; nothing happens if it is gone already.
pub(crate) fn remove(shared: &Shared, id: ObjectId, at: SlotRef) {
    let place = place(shared, id);
    let wanted = entry(&place, at);
    for bucket in place.buckets {
        for i in 0..BUCKET_ENTRIES {
            let cell = cell(shared, bucket, i);
            if cell.load(Ordering::Relaxed) == wanted
                && cell.compare_exchange(wanted, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                return;
            }
        }
    }
}

/// Calls `f` with the slot that each entry names.
pub(crate) fn for_each(shared: &Shared, mut f: impl FnMut(usize, u32, u16)) {
    for bucket in 0..shared.layout.buckets {
        for i in 0..BUCKET_ENTRIES {
            let entry = cell(shared, bucket, i).load(Ordering::Acquire);
            if entry != 0 {
                f(bucket, (entry as u32).wrapping_sub(1), (entry >> 32) as u16);
            }
        }
    }
}

/// Says whether `bucket` is one of the two places of `id`.
pub(crate) fn belongs(shared: &Shared, id: ObjectId, bucket: usize) -> bool {
    place(shared, id).buckets.contains(&bucket)
}
