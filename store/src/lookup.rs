//! The way of a get: from an id to bytes that stay where they are.
//!
//! ```text
//!   fork check -> bucket -> slot: generation, id, state     (index.rs)
//!              -> own hold word += view, state again        (holds.rs, A1 to A3)
//!              -> own thread's line += 1                    (life.rs)
//!              -> place, lengths, held against the mapping
//! ```
//!
//! One locked instruction here and one in the drop of the view ([`Ref::drop_unit`]) are what a get costs, besides
//! three lines of shared memory: bucket, slot, hold word. The rest is kept out of their way: what is written
//! between the two waits for the second one, so a view is put together where it is used, from few values.

use crate::body::{Inner, Ref};
use crate::evict;
use crate::holds::{Adopted, VIEW};
use crate::id::ObjectId;
use crate::index::{self, Sighted};
use crate::slot::{self, Slot, SlotRef, State};

/// A sealed object with a view unit, counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) at: SlotRef,
    /// As it was seen with the unit standing.
    pub(crate) state: State,
    pub(crate) len: usize,
    pub(crate) meta_len: usize,
    /// Where the bytes are; null if that is not in the arena, if they may change, or if what the slot says makes no sense.
    pub(crate) data: *const u8,
}

impl Inner {
    /// Takes a view unit of an object if it is there and sealed; never in a forked child.
    #[inline]
    pub(crate) fn find(&self, id: ObjectId) -> Option<(Ref, Found)> {
        if self.is_foreign() {
            return None;
        }
        let shared = &*self.shared;
        // The hold word is needed next; the state is looked at again.
        let Sighted { at, state, slot } = index::sight(shared, id, |slot| self.row.prefetch(shared, slot))?;
        if !state.is_sealed() {
            return None;
        }
        let state = match self.row.adopt(shared, slot, at, VIEW) {
            Some(state) => state,
            None => match self.actor().settled(at, VIEW, false) {
                Adopted::Sealed(state) => state,
                _ => return None,
            },
        };
        let body = self.count();
        Some((body, body.found(slot, at, state)))
    }
}

impl Ref {
    /// Describes a sealed object of which a unit has been taken.
    #[inline]
    pub(crate) fn found(&self, slot: Slot<'_>, at: SlotRef, state: State) -> Found {
        if self.evicts {
            evict::touch(&self.shared, slot, state);
        }
        let (len, meta_len) = (slot.len(), slot.meta_len());
        // Never beyond the object's own memory, whatever its words say.
        let whole = len.checked_next_multiple_of(8).and_then(|padded| padded.checked_add(meta_len));
        let block = slot.block_in_arena(state).filter(|block| whole.is_some_and(|whole| whole <= block.len()));
        // Bytes that may change are shown to nobody as bytes that do not.
        let block = block.filter(|_| !state.has(slot::MUTABLE));
        let data = block.and_then(|block| self.arena.sealed(block.start, block.len()));
        Found { at, state, len, meta_len, data: data.unwrap_or(std::ptr::null()) }
    }
}
