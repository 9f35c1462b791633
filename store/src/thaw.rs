//! Thawing: making a sealed object writable again, in place, for the one who holds it alone.
//!
//! ```text
//!   T0 a new id and, under its shard's lock, an entry of the index for it
//!   T1 SEALED -> CONDEMNED          as a look at a counted object (holds.rs, R1): whoever wants it moves it back
//!   T2 the only unit anywhere is this client's one view
//!   T3 CONDEMNED -> RESERVED, next generation        nobody can name the old life any more
//!   T4 out of the index; the new id into its entry; CREATING as any creation
//! ```
//!
//! From T3 on the bytes are nobody's but the creation's, so that nothing may be waited for any more: what
//! somebody who is stopped can keep comes before. If he keeps the shard of one id, another id is as good.
//!
//! Others never see bytes change: the object they could name is gone, and another one, with an id of
//! its own, is being written. A client that dies between T3 and the seal leaves an unfinished
//! creation, which the reaper aborts.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::error::Result;
use crate::holds::{Actor, VIEW};
use crate::id::ObjectId;
use crate::index;
use crate::inner::Inner;
use crate::object::ObjectBuffer;
use crate::slot::{self, Slot, SlotRef, State};
use crate::sync::Ordering;

/// How long is waited for one shard of the index.
const PATIENCE: Duration = Duration::from_millis(10);
/// How many ids are tried.
const IDS: usize = 4;

/// Turns a view unit of a counted object into a creation, if nobody else holds or contains the object.
///
/// `None` leaves everything as it was. On success and on an error the unit belongs to the creation.
pub(crate) fn thaw(inner: &Arc<Inner>, at: SlotRef) -> Option<Result<ObjectBuffer>> {
    let slot = inner.slot(at);
    if !inner.actor().is_alone(at.index) {
        return None;
    }
    let old = slot.id();
    let (len, meta_len) = (slot.len(), slot.meta_len());
    let (id, vacancy) = (0..IDS).find_map(|_| {
        let id = ObjectId::random();
        Some((id, index::vacancy(&inner.shared, id, inner.me, PATIENCE).ok()?))
    })?;
    let reserved = inner.actor().take_alone(at)?;
    index::remove(&inner.shared, old, at);
    let at = SlotRef { index: at.index, generation: reserved.generation() };
    Some(inner.create_again(at, id, vacancy, len, meta_len))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::layout::SHARDS;
    use crate::lock::{self, Guard, Lock};
    use crate::{Array, Store, StoreOptions};

    fn stores() -> (Store, Store) {
        let store = Store::create(StoreOptions::new(1 << 20).create_timeout(Duration::ZERO)).unwrap();
        let other = Store::attach(store.address()).unwrap();
        (store, other)
    }

    fn stop_in(other: &Store, shards: std::ops::Range<usize>) -> Vec<Guard<'_>> {
        shards.map(|shard| lock::acquire(&other.inner().shared, Lock::Shard(shard), other.client())).collect()
    }

    #[test]
    fn another_id_is_taken_if_somebody_is_stopped_in_a_shard() {
        let (store, other) = stores();
        let mut array = Array::from_shape_in(&store, &[3], &[1u32, 2, 3]).unwrap();
        let address = array.as_ptr();
        let stopped = stop_in(&other, 0..1);
        for _ in 0..200 {
            array = array.into_mut().unwrap().seal().unwrap();
            assert_eq!((array.as_ptr(), &array[..]), (address, &[1, 2, 3][..]));
        }
        drop((array, stopped));
        store.check().unwrap();
        assert_eq!(store.stats().used_bytes, 0);
    }

    #[test]
    fn it_does_not_wait_for_ever_for_those_who_are_stopped_in_every_shard() {
        let (store, other) = stores();
        let array = Array::from_shape_in(&store, &[3], &[1u32, 2, 3]).unwrap();
        let stopped = stop_in(&other, 0..SHARDS);
        // The copy that is made instead is a creation with a deadline.
        assert!(array.into_mut().unwrap_err().is_store_full());
        drop(stopped);
        store.check().unwrap();
        assert_eq!(store.stats().used_bytes, 0);
    }
}
