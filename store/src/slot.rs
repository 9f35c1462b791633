//! Slots: one per object, 128 bytes, all of its shared state.
//!
//! ```text
//!                 create                 seal
//!   FREE -> RESERVED -> CREATING ------------------> SEALED <-----> MOVING
//!    ^       ^             |  abort, death             |  delete / last release of a counted object
//!    |       |             v                           v
//!    | CACHED <- RECLAIMING <--- CONDEMNED <-----------+
//!    +-------------- (g + 1)        `------> SEALED (a counted object that somebody took meanwhile)
//! ```
//!
//! The *actor* of a transition stands in the same word as the state, so that every transition is
//! one compare-and-swap and a survivor can tell what a dead process was in the middle of.
//!
//! | state | meaning | if its actor dies |
//! |---|---|---|
//! | FREE | on the free list | - |
//! | RESERVED | taken by a creator, not in the index | freed |
//! | CREATING | in the index, being written (or promised) | aborted |
//! | SEALED | immutable, gettable; no actor | - |
//! | CONDEMNED | not gettable; goes when nobody holds it | looked at again |
//! | RECLAIMING | its actor gives its memory back | finished |
//! | MOVING | SEALED, and its bytes are being copied to another place; whoever wants it moves it back | SEALED again |
//! | CACHED | free with its memory: its actor may use both again without a lock, anybody may take them away | freed |
//!
//! Invariants:
//! - ST-7: the generation grows with every return to FREE; whoever names a slot names its generation, too.
//! - ST-8: only the actor leaves RESERVED, CREATING and RECLAIMING, or the reaper in its place.
//! - ST-9: SEALED bytes never change and never move while a view pins them; those of an object with the flag MUTABLE
//!   may change and are never shown as bytes that do not (board.rs).

use std::ops::Range;

use crate::ctl::Block;
use crate::id::ObjectId;
use crate::layout::{
    S_ID, S_LEFT, S_LEN, S_LINKED, S_MADE, S_META, S_NESTED, S_NEXT, S_OTHER_PLACE, S_PID, S_PLACE, S_SHARERS,
    S_SHARERS_MORE, S_STATE, S_USED, SLOT_WORDS,
};
use crate::place::Place;
use crate::shared::Shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

pub(crate) const FREE: u64 = 0;
pub(crate) const RESERVED: u64 = 1;
pub(crate) const CREATING: u64 = 2;
pub(crate) const SEALED: u64 = 3;
pub(crate) const CONDEMNED: u64 = 4;
pub(crate) const RECLAIMING: u64 = 5;
pub(crate) const MOVING: u64 = 6;
pub(crate) const CACHED: u64 = 7;

/// Freed when the last view or hold goes.
pub(crate) const COUNTED: u64 = 1;
/// Condemned for good: deleted, aborted or never sealed.
pub(crate) const DELETED: u64 = 2;
/// Its reclaim bumps the store's reclaim sequence.
pub(crate) const NOTIFY: u64 = 4;
/// Deleted before it was sealed: sealing it condemns it.
pub(crate) const DELETE_AT_SEAL: u64 = 8;
/// Never sealed and never will be.
pub(crate) const LOST: u64 = 16;
/// The object's place is the slot's other one.
pub(crate) const ALT: u64 = 32;
/// Its bytes stay writable after the seal: a board (board.rs), which nobody views.
pub(crate) const MUTABLE: u64 = 64;

/// A slot's state word, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(pub(crate) u64);

impl State {
    pub(crate) const fn new(generation: u32, actor: Option<u16>, flags: u64, state: u64) -> State {
        let actor = match actor {
            Some(index) => index as u64 + 1,
            None => 0,
        };
        State((generation as u64) << 32 | actor << 16 | flags << 8 | state)
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) const fn state(self) -> u64 {
        self.0 & 0xff
    }

    pub(crate) const fn flags(self) -> u64 {
        (self.0 >> 8) & 0xff
    }

    pub(crate) const fn has(self, flag: u64) -> bool {
        self.flags() & flag != 0
    }

    pub(crate) const fn actor(self) -> Option<u16> {
        match (self.0 >> 16) & 0xffff {
            0 => None,
            actor => Some(actor as u16 - 1),
        }
    }

    /// The same object in another state.
    pub(crate) const fn to(self, state: u64, actor: Option<u16>) -> State {
        State::new(self.generation(), actor, self.flags(), state)
    }

    pub(crate) const fn with(self, flag: u64) -> State {
        State(self.0 | flag << 8)
    }

    /// The slot's next life in `state`: only which place is the slot's own stays.
    pub(crate) const fn next_life(self, state: u64, actor: Option<u16>) -> State {
        State::new(self.generation().wrapping_add(1), actor, self.flags() & ALT, state)
    }

    /// Says whether a slot is in the same life, in the same state and by the same actor.
    pub(crate) const fn is_but_for_flags(self, other: State) -> bool {
        (self.0 ^ other.0) & !(0xff << 8) == 0
    }

    /// Says whether an object is sealed, whatever is being tried with it.
    pub(crate) const fn is_sealed(self) -> bool {
        match self.state() {
            SEALED | MOVING => true,
            CONDEMNED => !self.has(DELETED),
            _ => false,
        }
    }

    /// Says whether the slot is an object's, in whatever state.
    pub(crate) const fn is_object(self) -> bool {
        matches!(self.state(), CREATING | SEALED | CONDEMNED | MOVING)
    }
}

/// A slot with its generation: names one object ever (ST-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SlotRef {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// What stands in a place of a list of children that is empty.
pub(crate) const NO_CHILD: u64 = u64::MAX;

impl SlotRef {
    /// Packs into the word that stands in a parent's list of children.
    pub(crate) const fn to_word(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// Unpacks such a word.
    pub(crate) const fn from_word(word: u64) -> SlotRef {
        SlotRef { index: word as u32, generation: (word >> 32) as u32 }
    }
}

/// The words of one slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot<'a> {
    shared: &'a Shared,
    block: Block<'a, SLOT_WORDS>,
}

impl<'a> Slot<'a> {
    #[inline]
    pub(crate) fn of(shared: &'a Shared, index: u32) -> Slot<'a> {
        Slot { shared, block: shared.ctl.block(shared.layout.slot(index)) }
    }

    #[inline]
    fn word(&self, field: usize) -> &'a AtomicU64 {
        self.block.u64(field)
    }

    #[inline]
    fn half(&self, field: usize) -> &'a AtomicU32 {
        self.block.u32(field)
    }

    /// Loads the state; what was published with it is visible (SYNC state).
    #[inline]
    pub(crate) fn state(&self) -> State {
        State(self.word(S_STATE).load(Ordering::SeqCst))
    }

    /// Moves the state by one compare-and-swap (SYNC state).
    #[inline]
    pub(crate) fn cas(&self, from: State, to: State) -> bool {
        self.word(S_STATE).compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Stores the state; only by the actor of a slot that nobody else may move on (SYNC state).
    #[inline]
    pub(crate) fn store(&self, to: State) {
        self.word(S_STATE).store(to.0, Ordering::Release);
    }

    #[inline]
    pub(crate) fn id(&self) -> ObjectId {
        ObjectId::from_words([self.word(S_ID).load(Ordering::Relaxed), self.word(S_ID + 8).load(Ordering::Relaxed)])
    }

    /// Compares the id without assembling it.
    #[inline]
    pub(crate) fn is(&self, id: [u64; 2]) -> bool {
        self.word(S_ID).load(Ordering::Relaxed) == id[0] && self.word(S_ID + 8).load(Ordering::Relaxed) == id[1]
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.word(S_LEN).load(Ordering::Relaxed) as usize
    }

    #[inline]
    pub(crate) fn meta_len(&self) -> usize {
        (self.word(S_META).load(Ordering::Relaxed) & 0xffff_ffff) as usize
    }

    pub(crate) fn children(&self) -> usize {
        (self.word(S_META).load(Ordering::Relaxed) >> 32) as usize
    }

    pub(crate) fn made(&self) -> u64 {
        self.word(S_MADE).load(Ordering::Relaxed)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.half(S_PID).load(Ordering::Relaxed)
    }

    /// Writes everything that identifies a new object; only while the slot is RESERVED by `sharer`.
    pub(crate) fn describe(&self, id: ObjectId, made: u64, pid: u32, sharer: u16) {
        let words = id.to_words();
        // SYNC id: who reads one of these words sees afterwards that the slot's life before is over (`index::find`).
        fence(Ordering::Release);
        self.word(S_ID).store(words[0], Ordering::Relaxed);
        self.word(S_ID + 8).store(words[1], Ordering::Relaxed);
        self.word(S_NESTED).store(0, Ordering::Relaxed);
        self.linked().store(0, Ordering::Relaxed);
        self.word(S_MADE).store(made, Ordering::Relaxed);
        self.half(S_PID).store(pid, Ordering::Relaxed);
        self.size(0, 0, 0);
        for set in 0..4 {
            let bit = if usize::from(sharer) / 64 == set { 1 << (sharer % 64) } else { 0 };
            self.sharers(set).store(bit, Ordering::Relaxed);
        }
    }

    /// Writes the sizes; only by the creator before the seal.
    pub(crate) fn size(&self, len: usize, meta_len: usize, children: usize) {
        self.word(S_LEN).store(len as u64, Ordering::Relaxed);
        self.word(S_META).store((children as u64) << 32 | meta_len as u64, Ordering::Relaxed);
    }

    /// The word of the object's place, as `state` says which.
    #[inline]
    pub(crate) fn place_word(&self, state: State) -> &'a AtomicU64 {
        self.word(if state.has(ALT) { S_OTHER_PLACE } else { S_PLACE })
    }

    /// The word of the place that is not the object's.
    pub(crate) fn other_word(&self, state: State) -> &'a AtomicU64 {
        self.word(if state.has(ALT) { S_PLACE } else { S_OTHER_PLACE })
    }

    /// Reads the object's place; `None` if the word is none.
    #[inline]
    pub(crate) fn place(&self, state: State) -> Option<Place> {
        Place::from_word(self.place_word(state).load(Ordering::Acquire), self.shared.layout.places())
    }

    /// Returns where in the arena the object's memory is; `None` if it is elsewhere.
    #[inline]
    pub(crate) fn block_in_arena(&self, state: State) -> Option<Range<usize>> {
        Place::block(self.place_word(state).load(Ordering::Acquire), self.shared.layout.places())
    }

    /// When the object was last used, in the clock of least recent use (evict.rs).
    pub(crate) fn used(&self) -> &'a AtomicU64 {
        self.word(S_USED)
    }

    /// The link of the free list, index + 1.
    pub(crate) fn next(&self) -> &'a AtomicU32 {
        self.half(S_NEXT)
    }

    /// The link of a list of slots that were left to somebody else, index + 1.
    pub(crate) fn left(&self) -> &'a AtomicU32 {
        self.half(S_LEFT)
    }

    /// How many sealed objects contain this one.
    #[inline]
    pub(crate) fn nested(&self) -> &'a AtomicU64 {
        self.word(S_NESTED)
    }

    /// 1 while this object's children are counted in their nested words.
    pub(crate) fn linked(&self) -> &'a AtomicU32 {
        self.half(S_LINKED)
    }

    /// One word of the set of clients that ever held the object.
    #[inline]
    pub(crate) fn sharers(&self, word: usize) -> &'a AtomicU64 {
        if word == 0 { self.word(S_SHARERS) } else { self.word(S_SHARERS_MORE + 8 * ((word - 1) % 3)) }
    }
}
