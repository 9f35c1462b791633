//! Objects that contain others: how often an object is nested, and the lock under which that changes.
//!
//! ```text
//!   parent: | payload | child 0 | child 1 | ..          child: nested count
//!
//!   a creator holds the children   N1 lock   N2 nested += 1 of each   N3 linked = 1   N4 unlock   its own units go
//!   a reclaimer of the parent      N1 lock   N2 nested -= 1 of each   N3 linked = 0   N4 unlock   looks at each
//! ```
//!
//! Who dies between N1 and N4 leaves counts that may be wrong, and lists that say what is right: the next one who takes
//! the lock counts anew. A reclaimer waits for nobody: a parent whose lock another process has is left to that one.
//!
//! - ST-19: `nested` of every slot is the number of *linked* parents that list it; the counts change
//!   only under the nested lock and are recounted from the parents when its owner died.

use std::collections::HashMap;
use std::time::Duration;

use super::Actor;
use crate::layout::H_LEFT_NESTED;
use crate::lock::{self, Guard, Lock};
use crate::place::Place;
use crate::slot::{self, Slot, SlotRef, State};
use crate::sync::{AtomicU64, Ordering, fence};
use crate::{alloc, check, moves};

/// The nested lock, held.
pub(crate) struct Nested<'a> {
    actor: Actor<'a>,
    guard: Option<Guard<'a>>,
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let left = self.actor.shared.ctl.u64(H_LEFT_NESTED);
        // SYNC left: either this load sees what was left while the lock was held, or the one who left it sees that
        // the lock is free (`leave_linked`).
        fence(Ordering::SeqCst);
        if left.load(Ordering::Relaxed) == 0 {
            return;
        }
        left.store(0, Ordering::SeqCst);
        // Rare, so a look at all slots: a list would have to cope with objects that are left twice.
        for index in 0..alloc::slots_ever(self.actor.shared) {
            let slot = Slot::of(self.actor.shared, index);
            let state = slot.state();
            let is_deleted = state.state() == slot::CONDEMNED && state.has(slot::DELETED);
            if is_deleted && slot.linked().load(Ordering::Relaxed) != 0 {
                self.actor.look(SlotRef { index, generation: state.generation() });
            }
        }
    }
}

impl Nested<'_> {
    /// Reads a place of a list of children.
    pub(crate) fn child(&self, place: &AtomicU64) -> Option<SlotRef> {
        Some(place.load(Ordering::Relaxed)).filter(|word| *word != slot::NO_CHILD).map(SlotRef::from_word)
    }

    /// Puts a child, which the caller holds, into an empty place of the list of a linked object.
    pub(crate) fn add(&self, place: &AtomicU64, child: SlotRef) {
        self.actor.slot(child).nested().fetch_add(1, Ordering::SeqCst);
        // Between the two the count is too high, and set right by whoever takes over the lock (ST-19).
        place.store(child.to_word(), Ordering::SeqCst);
    }

    /// Empties a place; returns the child, which is to be looked at when the lock is free.
    pub(crate) fn remove(&self, place: &AtomicU64) -> Option<SlotRef> {
        let child = self.child(place)?;
        place.store(slot::NO_CHILD, Ordering::SeqCst);
        let nested = self.actor.slot(child).nested();
        if nested.load(Ordering::Relaxed) > 0 {
            nested.fetch_sub(1, Ordering::SeqCst);
        }
        Some(child)
    }
}

impl<'a> Actor<'a> {
    pub(crate) fn nested_lock(&self, patience: Duration) -> Option<Nested<'a>> {
        lock::acquire_within(self.shared, Lock::Nested, self.me, patience).map(|guard| self.with_nested(guard))
    }

    /// Takes the nested lock if that needs no waiting.
    fn try_nested(&self) -> Option<Nested<'a>> {
        lock::try_acquire(self.shared, Lock::Nested, self.me).map(|guard| self.with_nested(guard))
    }

    /// Wraps the nested lock that the caller has taken (over).
    pub(crate) fn with_nested(&self, guard: Guard<'a>) -> Nested<'a> {
        if guard.must_repair() {
            self.recount();
        }
        Nested { actor: *self, guard: Some(guard) }
    }

    /// Counts an object's children as held by it; the caller holds each of them. False if the lock was not to be had.
    pub(crate) fn link(&self, parent: SlotRef, children: &[SlotRef], patience: Duration) -> bool {
        let Some(guard) = self.nested_lock(patience) else { return false };
        for child in children {
            self.slot(*child).nested().fetch_add(1, Ordering::SeqCst);
        }
        self.slot(parent).linked().store(1, Ordering::SeqCst);
        drop(guard);
        for child in children {
            self.confirm_nested(*child);
        }
        true
    }

    /// A3 for a child that was counted: who is looking at it has not seen that.
    pub(crate) fn confirm_nested(&self, child: SlotRef) {
        let slot = self.slot(child);
        let state = slot.state();
        if state.generation() == child.generation && state.state() == slot::CONDEMNED && !state.has(slot::DELETED) {
            self.revert(slot, state);
        }
    }

    /// Takes the counts of an object's children back; false if another process has the lock.
    pub(super) fn unlink(&self, parent: SlotRef, children: &mut Vec<SlotRef>) -> bool {
        let Some(guard) = self.try_nested() else { return false };
        let slot = self.slot(parent);
        if slot.linked().load(Ordering::Relaxed) == 0 {
            return true;
        }
        let mine = self.children(parent);
        for child in &mine {
            let child = self.slot(*child);
            if child.nested().load(Ordering::Relaxed) > 0 {
                child.nested().fetch_sub(1, Ordering::SeqCst);
            }
        }
        slot.linked().store(0, Ordering::SeqCst);
        drop(guard);
        children.extend(mine);
        true
    }

    /// Reads the list of objects that a linked object contains; those with such a list never leave the arena.
    fn children(&self, at: SlotRef) -> Vec<SlotRef> {
        let slot = self.slot(at);
        loop {
            let state = slot.state();
            let count = slot.children();
            let place = slot.place_word(state).load(Ordering::Acquire);
            let words = slot.place(state).and_then(Place::offset).map(|offset| {
                let tail = moves::payload(slot).saturating_sub(8 * count);
                self.arena.words(offset.saturating_add(tail), count)
            });
            // It may have moved meanwhile, and something else written where it was.
            fence(Ordering::Acquire);
            let now = slot.state();
            if now.flags() == state.flags() && slot.place_word(now).load(Ordering::Relaxed) == place {
                let words = words.unwrap_or_default().into_iter().filter(|word| *word != slot::NO_CHILD);
                return words.map(SlotRef::from_word).collect();
            }
        }
    }

    /// Recounts every `nested` from the linked parents (ST-19); under the nested lock.
    pub(crate) fn recount(&self) {
        let counts = self.count_nested();
        for index in 0..alloc::slots_ever(self.shared) {
            let nested = Slot::of(self.shared, index).nested();
            let right = counts.get(&index).copied().unwrap_or(0);
            // Only what is wrong is written: others read these words without the lock.
            if nested.load(Ordering::Relaxed) != right {
                nested.store(right, Ordering::SeqCst);
            }
        }
    }

    fn count_nested(&self) -> HashMap<u32, u64> {
        let mut counts = HashMap::new();
        for index in 0..alloc::slots_ever(self.shared) {
            let slot = Slot::of(self.shared, index);
            if slot.state().state() != slot::FREE && slot.linked().load(Ordering::Acquire) != 0 {
                for child in self.children(SlotRef { index, generation: slot.state().generation() }) {
                    *counts.entry(child.index).or_insert(0) += 1;
                }
            }
        }
        counts
    }

    /// Compares all `nested` with the linked parents; under the nested lock.
    pub(crate) fn verify_nested(&self) -> Vec<String> {
        let Some(_guard) = self.nested_lock(check::PATIENCE) else { return Vec::new() };
        let counts = self.count_nested();
        (0..alloc::slots_ever(self.shared))
            .filter_map(|index| {
                let (is, right) = (
                    Slot::of(self.shared, index).nested().load(Ordering::SeqCst),
                    counts.get(&index).copied().unwrap_or(0),
                );
                (is != right && Slot::of(self.shared, index).state().state() != slot::FREE)
                    .then(|| format!("ST-19: slot {index} is counted {is} times as nested, {right} parents list it"))
            })
            .collect()
    }

    /// Leaves an object whose children are still counted to whoever has the nested lock.
    #[cold]
    pub(super) fn leave_linked(&self, slot: Slot<'_>, state: State) {
        let condemned = state.to(slot::CONDEMNED, Some(self.me.index)).with(slot::DELETED);
        if slot.cas(state, condemned) {
            self.shared.ctl.u64(H_LEFT_NESTED).store(1, Ordering::SeqCst);
            // SYNC left: pairs with the load in `Nested::drop`.
            fence(Ordering::SeqCst);
            drop(self.try_nested());
        }
    }
}
