//! Thawing: making a sealed object writable again, in place, for the one who holds it alone.
//!
//! ```text
//!   T1 SEALED -> CONDEMNED          as a look at a counted object (holds.rs, R1): whoever wants it moves it back
//!   T2 the only unit anywhere is this client's one view
//!   T3 CONDEMNED -> RESERVED, next generation        nobody can name the old life any more
//!   T4 out of the index; a new id; CREATING as any creation
//! ```
//!
//! Others never see bytes change: the object they could name is gone, and another one, with an id of
//! its own, is being written. A client that dies between T3 and the seal leaves an unfinished
//! creation, which the reaper aborts.

use std::sync::{Arc, PoisonError};

use crate::error::Result;
use crate::holds::{Actor, VIEW};
use crate::id::ObjectId;
use crate::index;
use crate::inner::Inner;
use crate::object::ObjectBuffer;
use crate::slot::{self, Slot, SlotRef, State};
use crate::sync::Ordering;

/// Turns a view unit of a counted object into a creation, if nobody else holds or contains the object.
///
/// `None` leaves everything as it was. On success and on an error the unit belongs to the creation.
pub(crate) fn thaw(inner: &Arc<Inner>, at: SlotRef) -> Option<Result<ObjectBuffer>> {
    let slot = inner.slot(at);
    let id = slot.id();
    let (len, meta_len) = (slot.len(), slot.meta_len());
    let reserved = inner.actor().take_alone(at)?;
    index::remove(&inner.shared, id, at);
    let at = SlotRef { index: at.index, generation: reserved.generation() };
    Some(inner.create_again(at, ObjectId::random(), len, meta_len))
}

impl Actor<'_> {
    /// T1 to T3; the state that the slot then has.
    fn take_alone(&self, at: SlotRef) -> Option<State> {
        let slot = Slot::of(self.shared, at.index);
        let _one_look = self.looks.stripe(at.index).lock().unwrap_or_else(PoisonError::into_inner);
        let state = slot.state();
        let sealed = state.generation() == at.generation && state.state() == slot::SEALED;
        let in_memory = slot.place(state).is_some_and(|place| place.offset().is_some());
        if !sealed || !state.has(slot::COUNTED) || !in_memory || slot.children() > 0 || !self.is_alone(at.index) {
            return None;
        }
        let looked_at = state.to(slot::CONDEMNED, Some(self.me.index));
        if !slot.cas(state, looked_at) {
            return None;
        }
        if !self.is_alone(at.index) {
            self.revert(slot, looked_at);
            return None;
        }
        let flags = state.flags() & (slot::COUNTED | slot::ALT | slot::NOTIFY);
        let reserved = State::new(at.generation.wrapping_add(1), Some(self.me.index), flags, slot::RESERVED);
        slot.cas(looked_at, reserved).then_some(reserved)
    }

    /// Says whether one view of this client is all that holds an object.
    fn is_alone(&self, index: u32) -> bool {
        let mine = |client: usize, word: u64| client == usize::from(self.me.index) && word == VIEW;
        let nested = Slot::of(self.shared, index).nested().load(Ordering::SeqCst);
        nested == 0 && !self.any_word(index, |client, word| word != 0 && !mine(client, word))
    }
}
