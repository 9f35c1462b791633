//! Boards: objects whose bytes stay writable, for what processes change together in place.
//!
//! ```text
//!   create --> slot SEALED with the flag MUTABLE <-- open, by id or by a hold
//!                 |
//!                 |   0  kind          what it is: the magic word of a channel, a queue ...
//!                 |   8  its own words and bytes, as its module says
//!                 |
//!              freeze --> an ordinary sealed object
//! ```
//!
//! A board is a counted object like any other: handles hold it, messages and objects carry it, and it goes with the last
//! of them, whoever dies. A [`Board`] pins it with a view unit, so it stays at its address. What is different:
//!
//! - nobody gets a view of it, so that no `&[u8]` exists of bytes that change;
//! - it is never spilled, evicted or a file: who opens it finds it in memory;
//! - its words are touched through the seam of all shared words (sync.rs), so that they have crash points.
//!
//! Who waits for a change of a board sleeps on the word of its id (waits.rs), and whoever makes a change wakes it. After
//! every death all sleepers are woken (ST-12): they look again at who is alive.
//!
//! Invariants:
//! - **ST-B1** Bytes of a board are reached as atomic words, or as plain bytes that a protocol gives to one writer, or to
//!   readers alone, at a time; which one, its module proves.
//! - **ST-B2** What a board says is never trusted: offsets and lengths are held against the mapping on this side.
//! - **ST-B3** MUTABLE is set before an object can be found and taken away once, by one exchange, when nobody writes any
//!   more ([`Board::freeze`]).

pub(crate) mod children;

use std::fmt;
use std::time::Instant;

use crate::client::{self, ClientKey};
use crate::error::{Error, ErrorKind, Result};
use crate::holds::{Adopted, HOLD, VIEW};
use crate::id::ObjectId;
use crate::index;
use crate::inner::Inner;
use crate::object::{ObjectHold, Unit};
use crate::options::{Lifetime, ObjectOptions};
use crate::slot::{self, State};
use crate::store::Store;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::waits::{self, On};

/// Where the word stands that says what a board is.
const KIND: usize = 0;

/// An object whose bytes stay writable, at its address.
pub(crate) struct Board {
    unit: Unit,
    data: *mut u8,
    len: usize,
    /// How many places for children it has.
    places: usize,
}

// SAFETY: the memory is shared between processes anyway; every access is atomic or ruled by a protocol (ST-B1).
unsafe impl Send for Board {}
// SAFETY: as for Send.
unsafe impl Sync for Board {}

impl Board {
    /// Makes a board of `len` bytes: the word at 0 is `kind`, `words` are (offset, value), all else of the first `zeroed`
    /// bytes is zero, and what follows has any contents.
    ///
    /// # Errors
    ///
    /// As [`Store::create_object_with`].
    pub(crate) fn create(
        store: &Store,
        kind: u64,
        len: usize,
        zeroed: usize,
        words: &[(usize, u64)],
        options: ObjectOptions,
    ) -> Result<Board> {
        Board::create_as(store, ObjectId::random(), kind, len, zeroed, words, options)
    }

    /// The same under a given id.
    ///
    /// # Errors
    ///
    /// [`is_exists`](Error::is_exists), and those of [`create`](Self::create).
    pub(crate) fn create_as(
        store: &Store,
        id: ObjectId,
        kind: u64,
        len: usize,
        zeroed: usize,
        words: &[(usize, u64)],
        options: ObjectOptions,
    ) -> Result<Board> {
        let options = ObjectOptions { lifetime: Lifetime::Counted, mutable: true, ..options };
        let inner = store.shared_inner();
        let mut all = vec![(KIND, kind)];
        all.extend_from_slice(words);
        let (at, state) = inner.create_mutable(id, len, &options, zeroed.max(8), &all)?;
        Board::of(Unit::new(inner.count(), at, id, VIEW), state, Some(kind))
    }

    /// Makes a board of `len` bytes with any contents, all of which are payload: it has no kind.
    ///
    /// # Errors
    ///
    /// As [`Store::create_object_with`]; [`is_invalid_argument`](Error::is_invalid_argument) for fewer than 8 bytes.
    pub(crate) fn create_plain(store: &Store, len: usize, options: ObjectOptions) -> Result<Board> {
        let options = ObjectOptions { lifetime: Lifetime::Counted, mutable: true, ..options };
        let inner = store.shared_inner();
        let id = ObjectId::random();
        let (at, state) = inner.create_mutable(id, len, &options, 0, &[])?;
        Board::of(Unit::new(inner.count(), at, id, VIEW), state, None)
    }

    /// Opens a board that has no kind.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(crate) fn open_plain(store: &Store, id: ObjectId) -> Result<Board> {
        Board::opened(store, id, None)
    }

    /// Opens a board that somebody holds.
    ///
    /// # Errors
    ///
    /// [`is_not_found`](Error::is_not_found) if it is gone, [`is_invalid_argument`](Error::is_invalid_argument) if it is no
    /// board of this kind, [`is_read_only`](Error::is_read_only).
    pub(crate) fn open(store: &Store, id: ObjectId, kind: u64) -> Result<Board> {
        Board::opened(store, id, Some(kind))
    }

    fn opened(store: &Store, id: ObjectId, kind: Option<u64>) -> Result<Board> {
        let inner = store.shared_inner();
        inner.writable()?;
        let (body, found) = inner.find(id).ok_or(ErrorKind::NotFound(id))?;
        Board::of(Unit::new(body, found.at, id, VIEW), found.state, kind)
    }

    /// Wraps a view unit of a board.
    fn of(unit: Unit, state: State, kind: Option<u64>) -> Result<Board> {
        let id = unit.id;
        let wrong = || Error::invalid(format!("object {id} is none of the kind that it is opened as"));
        if !state.has(slot::MUTABLE) {
            return Err(wrong());
        }
        let slot = unit.body.slot(unit.at);
        let len = slot.len();
        let place = slot.place(state).filter(|place| len <= place.bytes());
        let offset = place.and_then(|place| place.offset());
        let data = offset.and_then(|offset| unit.body.arena.writable(offset, len)).ok_or_else(wrong)?;
        let places = slot.children();
        let list = len.checked_next_multiple_of(8).and_then(|end| places.checked_mul(8)?.checked_add(end));
        let places = if list.is_some_and(|all| place.is_some_and(|place| all <= place.bytes())) { places } else { 0 };
        let board = Board { unit, data, len, places };
        // SYNC board: what was written before the object could be found is there for who has found it.
        if len < 8 || kind.is_some_and(|kind| board.u64(KIND).load(Ordering::Acquire) != kind) {
            return Err(wrong());
        }
        Ok(board)
    }

    /// Returns the object's id.
    pub(crate) fn id(&self) -> ObjectId {
        self.unit.id
    }

    /// Returns how many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the client that it belongs to in this process.
    pub(crate) fn store(&self) -> Store {
        Store::of(Inner::again(self.unit.body))
    }

    /// Returns which client this handle belongs to.
    pub(crate) fn me(&self) -> ClientKey {
        self.unit.body.me
    }

    /// Says whether a client is attached and its death has not been noticed.
    pub(crate) fn is_attached(&self, client: ClientKey) -> bool {
        client::is_attached(&self.unit.body.shared, client)
    }

    /// Returns the client at an index, if it is attached and its death has not been noticed.
    pub(crate) fn living(&self, index: u16) -> Option<ClientKey> {
        client::at(&self.unit.body.shared, index.into(), client::ALIVE)
    }

    /// Says whether an object exists and is sealed.
    pub(crate) fn contains(&self, id: ObjectId) -> bool {
        index::find(&self.unit.body.shared, id).is_some_and(|(_, state)| state.is_sealed())
    }

    /// Refuses to work in a forked child.
    pub(crate) fn usable(&self) -> Result<()> {
        self.unit.body.usable()
    }

    /// Keeps the object existing without pinning it.
    pub(crate) fn hold(&self) -> ObjectHold {
        let Unit { body, at, id, .. } = self.unit;
        ObjectHold::of(body.another(|actor| actor.take_more(at, HOLD)), at, id)
    }

    /// Returns the address of `len` bytes from `at` on, if they are inside.
    ///
    /// What may be done there is the protocol's matter (ST-B1). They stay as long as the board does.
    pub(crate) fn bytes(&self, at: usize, len: usize) -> Option<*mut u8> {
        // `wrapping_add` stays inside the object, which the check has just shown.
        (at.checked_add(len)? <= self.len).then(|| self.data.wrapping_add(at))
    }

    /// Returns the 64-bit word at byte `at`; any number is brought inside.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn u64(&self, at: usize) -> &AtomicU64 {
        let at = if at.checked_add(8).is_some_and(|end| end <= self.len) { at & !7 } else { 0 };
        let word = self.data.wrapping_add(at).cast::<AtomicU64>();
        // SAFETY: at least 8 bytes long (checked by `of`), inside the object, which the unit pins in the live mapping;
        // aligned (objects are to 64, `at` to 8), and only ever accessed as an atomic (ST-B1).
        unsafe { &*word }
    }

    /// Returns the 32-bit word at byte `at`; any number is brought inside.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn u32(&self, at: usize) -> &AtomicU32 {
        let at = if at.checked_add(4).is_some_and(|end| end <= self.len) { at & !3 } else { 0 };
        let word = self.data.wrapping_add(at).cast::<AtomicU32>();
        // SAFETY: as in `u64`, with an alignment of 4.
        unsafe { &*word }
    }

    /// Returns the word of a place for a child, if there is one of that number.
    #[cfg(not(loom))]
    fn place(&self, number: usize) -> Option<&AtomicU64> {
        if number >= self.places {
            return None;
        }
        let word = self.data.wrapping_add(self.len.next_multiple_of(8) + 8 * number).cast::<AtomicU64>();
        // SAFETY: inside the object's block (`of` has held the list against its place), which the unit pins; aligned, as
        // objects are to 64; changed through this alone, and read otherwise only under the lock that changes need.
        Some(unsafe { &*word })
    }

    /// The same, modelled.
    #[cfg(loom)]
    fn place(&self, number: usize) -> Option<&AtomicU64> {
        (number < self.places).then(|| self.unit.body.shared.ctl.u64(8 * number))
    }

    /// Returns how many bytes the store's memory has.
    pub(crate) fn store_bytes(&self) -> usize {
        self.unit.body.arena.capacity()
    }

    /// Returns a modelled word. No model opens a board: what is modelled of its users has words of its own.
    #[cfg(loom)]
    pub(crate) fn u64(&self, at: usize) -> &AtomicU64 {
        self.unit.body.shared.ctl.u64(at & !7)
    }

    /// The same of 32 bits.
    #[cfg(loom)]
    pub(crate) fn u32(&self, at: usize) -> &AtomicU32 {
        self.unit.body.shared.ctl.u32(at & !3)
    }

    /// Sleeps until `ready` gives a value or the deadline passes (`None` waits for ever); deaths wake, too.
    ///
    /// `ready` is always called once more after the deadline.
    pub(crate) fn wait<R>(&self, deadline: Option<Instant>, ready: impl FnMut() -> Option<R>) -> Option<R> {
        waits::wait(&self.unit.body.shared, On::Object(self.unit.id), deadline, ready)
    }

    /// Wakes all who wait for a change of this board, if there are any; the change was made before.
    #[inline]
    pub(crate) fn wake(&self) {
        waits::wake(&self.unit.body.shared, On::Object(self.unit.id));
    }

    /// Makes an ordinary sealed object of it, whose bytes never change again; says whether this call did it.
    ///
    /// The caller's protocol has shown that nobody writes it any more, and that all that was written is visible here.
    pub(crate) fn freeze(&self) -> bool {
        let slot = self.unit.body.slot(self.unit.at);
        // The unit keeps its life; if somebody is looking at it or moving it, that is undone first (holds.rs, A3).
        while let Adopted::Sealed(state) = self.unit.body.actor().confirm(self.unit.at, false) {
            if !state.has(slot::MUTABLE) {
                return false;
            }
            if slot.cas(state, State(state.0 & !(slot::MUTABLE << 8))) {
                waits::sealed(&self.unit.body.shared, [self.unit.id]);
                return true;
            }
        }
        // It was deleted.
        false
    }
}

impl Clone for Board {
    fn clone(&self) -> Self {
        Board { unit: self.unit.clone(), data: self.data, len: self.len, places: self.places }
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("id", &self.unit.id).field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
