//! Where a client counts its own units, and the few instructions of a `get` that change it.

use super::VIEW;
use crate::client::ClientKey;
use crate::shared::Shared;
use crate::slot::{self, Slot, SlotRef, State};
use crate::sync::{AtomicU64, Ordering};
use crate::{queue, readers};

/// Where a client counts its own units: a word for each slot, or, if it only reads, for several.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    at: usize,
    mask: u32,
    /// Which word of a slot's set has this client, and its bit in there; 0: it is in no set.
    set: usize,
    bit: u64,
}

impl Row {
    /// Returns the row of a client of this process.
    pub(crate) fn of(shared: &Shared, me: ClientKey) -> Row {
        match &shared.reader {
            Some(me) => {
                Row { at: shared.layout.reader(me.index.into()), mask: readers::WORDS as u32 - 1, set: 0, bit: 0 }
            }
            None => {
                let (set, bit) = (usize::from(me.index) / 64, 1 << (me.index % 64));
                Row { at: shared.layout.hold(me.index.into(), 0), mask: shared.layout.slots as u32 - 1, set, bit }
            }
        }
    }

    #[inline]
    fn offset(self, index: u32) -> usize {
        self.at + (index & self.mask) as usize * 8
    }

    #[inline]
    pub(super) fn word(self, shared: &Shared, index: u32) -> &AtomicU64 {
        shared.ctl.u64(self.offset(index))
    }

    /// Has the word of a slot on its way to the cache.
    #[inline]
    pub(crate) fn prefetch(self, shared: &Shared, index: u32) {
        shared.ctl.prefetch(self.offset(index));
    }

    /// Takes a unit (A1, A2) and says what the object's state is with the unit standing, if it is at rest and sealed
    /// (A3). Otherwise the caller has it [`settled`](super::Actor::settled).
    #[inline]
    pub(crate) fn adopt(self, shared: &Shared, slot: Slot<'_>, at: SlotRef, unit: u64) -> Option<State> {
        let sharers = slot.sharers(self.set);
        if sharers.load(Ordering::SeqCst) & self.bit != self.bit {
            sharers.fetch_or(self.bit, Ordering::SeqCst);
        }
        self.word(shared, at.index).fetch_add(unit, Ordering::SeqCst);
        let state = slot.state();
        (state.generation() == at.generation && state.state() == slot::SEALED).then_some(state)
    }

    /// Drops a unit; returns what the word was if something follows from that: [`dropped`](super::Actor::dropped).
    #[inline]
    pub(crate) fn drop(self, shared: &Shared, index: u32, unit: u64) -> Option<u64> {
        let old = self.word(shared, index).fetch_sub(unit, Ordering::SeqCst);
        let is_last = old == unit || unit == VIEW && old >> 32 == 1;
        if is_last && shared.reader.is_none() && queue::is_empty(shared) {
            let state = Slot::of(shared, index).state();
            let stays = old != unit || state.state() == slot::SEALED && !state.has(slot::COUNTED);
            return (!stays).then_some(old);
        }
        is_last.then_some(old)
    }
}
