//! Readers: clients that can change nothing but an area of their own.
//!
//! A reader has `ctl` mapped for reading and, over the same addresses, one small part of it for writing:
//!
//! ```text
//!   area of a reader (640 KiB, its place in the section is its place in the client table)
//!     0  hold words {views:32 | holds:32}, 64 Ki of them: that of a slot is at slot & 0xffff
//!   512 KiB  wait words, as those of `waits.rs`     576 KiB  slots to be looked at, a bit each of the same 64 Ki
//!   584 KiB  any-seal word     + 64  0: attached, 1: has left, 2: joining     + 128  its bell
//!
//!   reader                                     reclaimer, mover (holds.rs, moves.rs)
//!     G1 word += unit                            R1 state: SEALED -> CONDEMNED (MOVING)
//!     G2 state is SEALED ?                       R2 the words of the sharers, then of every reader
//!                                                R3 all zero: go on
//! ```
//!
//! As everywhere, if G2 saw SEALED then R2 sees G1 (all SeqCst). Readers need not be in a slot's set of
//! sharers: while there are any (a bit each in the header), everybody looks at all of them. In a store
//! with more than 64 Ki slots a word counts for several objects: one that is held keeps the others, too,
//! until it is dropped; nothing goes too early.
//!
//! What a reader cannot do, the server does for it. It asks by a bit of its area and a byte over its
//! connection, in this order, and goes on:
//!
//! - it dropped the last unit of an object that may go now, or that somebody waits to evict, spill or move;
//! - it found an object that somebody is trying something with, and wants it back in SEALED;
//! - it has left.
//!
//! The bits outlive the server. Without one, the reader knocks instead: it touches the folder of the socket, which
//! the guards of the other clients watch (guard.rs). They, a creation that waits for long, and the one that
//! adopts the store look at the bits, too.
//!
//! Whoever seals looks at the wait words of the readers beside those of all others.
//!
//! Invariants:
//! - ST-28: the bit in the header is set before a reader has its area, and cleared after the area is zero.
//! - ST-29: a reader's words change only in its own process while it is attached; its reaper zeroes them.
//! - ST-30: an object that only a reader held is looked at after the reader's last unit of its word is gone.
//!
//! What it does not do: a read by a reader is no use in the sense of eviction (evict.rs), and a spilled object
//! is read where it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::alloc;
use crate::client::{self, ClientKey};
use crate::guard;
use crate::holds::Actor;
use crate::layout::{C_READER, H_READERS, WAIT_BYTES, WAIT_WORDS};
use crate::queue;
use crate::reap;
use crate::shared::Shared;
use crate::slot::{self, Slot, SlotRef, State};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::clock;
use crate::waits::{self, On};

/// How many hold words a reader has.
pub(crate) const WORDS: usize = if cfg!(loom) { 64 } else { 64 << 10 };
const WAITS: usize = WORDS * 8;
const LOOKS: usize = WAITS + (64 << 10);
const ANY: usize = LOOKS + WORDS / 8;
const LEFT: usize = ANY + 64;
pub(crate) const BELL: usize = LEFT + 64;
/// The length of a reader's area: whole pages of every kernel.
pub(crate) const AREA: usize = 640 << 10;
const _: () = assert!(WAIT_WORDS * WAIT_BYTES <= LOOKS - WAITS && BELL + 64 <= AREA);

/// What two processes must agree on about the areas.
pub(crate) const LAYOUT: &[usize] = &[WORDS, WAITS, LOOKS, ANY, LEFT, BELL, AREA];

/// Values of the word that says how a reader stands.
const ATTACHED: u32 = 0;
const GONE: u32 = 1;
const JOINING: u32 = 2;

/// How often a reader looks again at an object that somebody is trying something with before it asks the server.
const SPINS: usize = if cfg!(loom) { 0 } else { 200 };
/// How long it waits after that: for a copy that is under way, or the server.
const PATIENCE: Duration = Duration::from_millis(100);
const NAP: Duration = if cfg!(loom) { PATIENCE } else { Duration::from_micros(50) };

/// What makes this process's client of a store a reader.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) index: u16,
    /// Where it knocks.
    socket: PathBuf,
}

impl Reader {
    pub(crate) fn new(index: u16, socket: &Path) -> Reader {
        Reader { index, socket: socket.to_owned() }
    }
}

/// Lists the places of the readers.
#[inline]
pub(crate) fn all(shared: &Shared) -> impl Iterator<Item = usize> + '_ {
    let sets = if has_readers() { shared.layout.clients.div_ceil(64) } else { 0 };
    (0..sets).flat_map(move |set| {
        let mut bits = shared.ctl.u64(H_READERS + 8 * set).load(Ordering::SeqCst);
        std::iter::from_fn(move || {
            let bit = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
            bits &= bits - 1;
            Some(set * 64 + bit)
        })
    })
}

/// Returns the word in which a reader counts its units of a slot.
#[inline]
pub(crate) fn word(shared: &Shared, reader: usize, slot: u32) -> &AtomicU64 {
    shared.ctl.u64(shared.layout.reader(reader) + slot as usize % WORDS * 8)
}

/// Returns the word in which a reader says that it waits for the `n`th wait word, or for any seal.
#[inline]
pub(crate) fn wait_word(shared: &Shared, reader: usize, n: Option<usize>) -> &AtomicU32 {
    let at = n.map_or(ANY, |n| WAITS + n % WAIT_WORDS * WAIT_BYTES);
    shared.ctl.u32(shared.layout.reader(reader) + at)
}

/// Lists all words that a reader may wait at.
pub(crate) fn wait_words(shared: &Shared, reader: usize) -> impl Iterator<Item = &AtomicU32> {
    (0..WAIT_WORDS).map(Some).chain([None]).map(move |n| wait_word(shared, reader, n))
}

fn looks(shared: &Shared, reader: usize, class: usize) -> &AtomicU64 {
    shared.ctl.u64(shared.layout.reader(reader) + LOOKS + class / 64 * 8)
}

fn standing(shared: &Shared, reader: usize) -> &AtomicU32 {
    shared.ctl.u32(shared.layout.reader(reader) + LEFT)
}

fn kind(shared: &Shared, index: usize) -> &AtomicU32 {
    shared.ctl.u32(shared.layout.client(index) + C_READER)
}

fn bit(shared: &Shared, index: usize) -> (&AtomicU64, u64) {
    (shared.ctl.u64(H_READERS + index / 64 % 4 * 8), 1 << (index % 64))
}

/// Says whether a store may have readers: most models have none, and are spared looks at one more word.
#[inline]
fn has_readers() -> bool {
    #[cfg(loom)]
    return crate::sync::has_readers();
    #[cfg(not(loom))]
    true
}

/// Makes a reader of a joiner; by the server, which has cleared its area (ST-28).
pub(crate) fn enrol(shared: &Shared, joiner: ClientKey) {
    let index = usize::from(joiner.index);
    standing(shared, index).store(JOINING, Ordering::SeqCst);
    kind(shared, index).store(1, Ordering::SeqCst);
    let (set, bit) = bit(shared, index);
    set.fetch_or(bit, Ordering::SeqCst);
}

/// Says that the next client at a place is none, until it is enrolled; by who takes a record.
pub(crate) fn resign(shared: &Shared, index: usize) {
    if is_reader(shared, index) {
        let (set, bit) = bit(shared, index);
        set.fetch_and(!bit, Ordering::SeqCst);
        kind(shared, index).store(0, Ordering::SeqCst);
    }
}

/// Says whether the client at a place is a reader, or was one if the place is free.
pub(crate) fn is_reader(shared: &Shared, index: usize) -> bool {
    kind(shared, index).load(Ordering::SeqCst) != 0
}

/// Says that this process's reader is gone; what it held has been dropped before.
pub(crate) fn leave(shared: &Shared, me: usize) {
    standing(shared, me).store(GONE, Ordering::SeqCst);
}

/// Says that this process's reader has mapped everything; false if it was given up meanwhile.
pub(crate) fn confirm(shared: &Shared, me: usize) -> bool {
    standing(shared, me).compare_exchange(JOINING, ATTACHED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

/// Gives a reader up that is joining over a connection that has ended; says whether it has left, or never was.
pub(crate) fn give_up(shared: &Shared, index: usize) -> bool {
    if !is_reader(shared, index) {
        return false;
    }
    let _ = standing(shared, index).compare_exchange(JOINING, GONE, Ordering::SeqCst, Ordering::SeqCst);
    has_left(shared, index)
}

/// Tells the guards of the others that a reader wants something, because no server hears it.
pub(crate) fn knock(shared: &Shared) {
    let Some(reader) = &shared.reader else { return };
    guard::knock(&reader.socket);
}

impl Actor<'_> {
    /// Hears that this reader's word of a slot counts nothing any more, or no view (ST-30).
    #[cold]
    pub(crate) fn reader_dropped_last(&self, index: u32) {
        let goes = |index| {
            let state = Slot::of(self.shared, index).state();
            match state.state() {
                slot::SEALED | slot::MOVING => state.has(slot::COUNTED),
                slot::CONDEMNED => true,
                _ => false,
            }
        };
        if class(self.shared, index as usize % WORDS).any(goes) || !queue::is_empty(self.shared) {
            self.ask(index);
        }
    }

    /// Waits until nobody tries anything with an object of which this reader has a unit; false if it takes too long.
    #[cold]
    pub(crate) fn await_rest(&self, index: u32, tried: State) -> bool {
        let is_over = || Slot::of(self.shared, index).state() != tried;
        for _ in 0..SPINS {
            if is_over() {
                return true;
            }
            std::hint::spin_loop();
        }
        // Who is at it may be stopped; the server is not.
        self.ask(index);
        let deadline = clock::now() + PATIENCE;
        while !is_over() {
            if clock::now() >= deadline {
                return false;
            }
            clock::nap(NAP);
        }
        true
    }

    /// Has the server look at a slot.
    fn ask(&self, index: u32) {
        let class = index as usize % WORDS;
        // SYNC ask: the bit stands before the byte is sent; pairs with the exchange in `settle`.
        looks(self.shared, self.me.index.into(), class).fetch_or(1 << (class % 64), Ordering::SeqCst);
        if !self.shared.poke.send() {
            knock(self.shared);
        }
    }
}

/// Lists the slots that a reader's word counts for.
fn class(shared: &Shared, class: usize) -> impl Iterator<Item = u32> {
    (class as u32..alloc::slots_ever(shared)).step_by(WORDS)
}

/// Does what a reader asked for.
pub(crate) fn settle(actor: &Actor<'_>, reader: usize) {
    let mut asked = false;
    for first in (0..WORDS).step_by(64) {
        let word = looks(actor.shared, reader, first);
        if word.load(Ordering::Relaxed) == 0 {
            continue;
        }
        // SYNC ask: pairs with the exchange in `ask`.
        let mut bits = word.swap(0, Ordering::SeqCst);
        while bits != 0 {
            asked = true;
            look(actor, first + bits.trailing_zeros() as usize);
            bits &= bits - 1;
        }
    }
    if asked {
        waits::wake(actor.shared, On::Space);
    }
}

/// Does what all readers asked for, and ends those that have left: for who finds that there may be no server.
pub(crate) fn settle_all(actor: &Actor<'_>) {
    for reader in all(actor.shared) {
        match client::at(actor.shared, reader, client::ALIVE) {
            Some(gone) if has_left(actor.shared, reader) => drop(reap::reap(actor, gone)),
            _ => settle(actor, reader),
        }
    }
}

/// Says whether a reader is gone by itself, although its process may live.
pub(crate) fn has_left(shared: &Shared, index: usize) -> bool {
    is_reader(shared, index) && standing(shared, index).load(Ordering::SeqCst) == GONE
}

/// Looks at all slots of a class: puts to rest what a reader wants, reclaims what nobody holds.
fn look(actor: &Actor<'_>, class: usize) {
    for index in self::class(actor.shared, class) {
        let slot = Slot::of(actor.shared, index);
        let state = slot.state();
        let is_tried = state.is_sealed() && state.state() != slot::SEALED;
        if is_tried && actor.is_held(index) {
            actor.revert(slot, state);
        }
        actor.look(SlotRef { index, generation: state.generation() });
    }
}

/// Takes everything away from a reader that is gone (ST-28); can be done again from its start.
pub(crate) fn clear(actor: &Actor<'_>, gone: usize) {
    let shared = actor.shared;
    for class in 0..WORDS {
        let word = word(shared, gone, class as u32);
        if word.load(Ordering::SeqCst) != 0 && word.swap(0, Ordering::SeqCst) != 0 {
            look(actor, class);
        }
    }
    settle(actor, gone);
    wait_words(shared, gone).chain([standing(shared, gone)]).for_each(|word| {
        if word.load(Ordering::Relaxed) != 0 {
            word.store(0, Ordering::Relaxed);
        }
    });
    let (set, bit) = bit(shared, gone);
    set.fetch_and(!bit, Ordering::SeqCst);
}
