//! Memory and slots: who owns which bytes of the arena.
//!
//! ```text
//!   arena: pages of 16 KiB
//!     | run of an object | span: cells of one size class | free run | ...
//! ```
//!
//! Objects of up to 14 KiB live in *cells* of one of 27 size classes (four a doubling, multiples of
//! 64 bytes); cells of a class share *spans* of one or four pages. Larger objects own page runs.
//! All metadata is out of band, in `ctl`.
//!
//! The slots' places (place.rs) and the record of the move that is going on are the only truth about memory. Everything else (free lists, bitmaps,
//! counters) is a cache of it, guarded by the allocator's lock; if the lock's owner dies, whoever
//! takes the lock over builds the cache anew from the slots (alloc/rebuild.rs), so there is no undo
//! log and no half-done allocation.
//!
//! Most creations and releases of small objects never come here: a freed slot stays CACHED with its
//! cell in its client's magazine (magazine.rs). CACHED memory is free memory: [`Alloc::collect`]
//! takes it away from everybody when memory is short. A release that cannot have the lock at once
//! leaves its slot, CACHED, on a list that the lock's owner settles after it has unlocked.
//!
//! ```text
//!   header of the section
//!     0 used bytes   8 first free slot + 1   16 slots ever used   24 slots in use   32 free pages
//!    40 state of the trimmer   48 most bytes used in its window   56 committed chunks
//!    64 heads of the lists of free runs, by the logarithm of their length (page + 1)
//!   448 state of spilling ahead (ahead.rs)   456 bytes that creations ever took
//!   512 heads of the lists of spans with free cells, by class (page + 1)
//!
//!   page (64 bytes)
//!     0 kind | class << 8    8 pages of the run    16 next + 1   24 previous + 1   32 used cells, 256 bits
//! ```
//!
//! Invariants:
//! - ST-13: places of slots that are not FREE are disjoint and inside the arena.
//! - ST-14: a place changes only under the allocator's lock.
//! - ST-15: taken bytes are the sum over those places; with no object and nothing CACHED there are none.
//! - ST-6: memory is committed before it is handed out (arena.rs).

mod moving;
mod pages;
mod rebuild;
pub(crate) mod spans;
mod survey;

use std::time::Instant;

use crate::ahead::{self, A_AHEAD};
use crate::arena::A_COMMITTED;
use crate::client::ClientKey;
use crate::large;
use crate::layout::{H_LEFT_FREE, PAGE, PAGE_DESC_BYTES};
use crate::lock::{self, Guard, Lock};
use crate::place::Place;
use crate::shared::Shared;
use crate::slot::{self, Slot, SlotRef, State};
use crate::sync::{AtomicU64, Ordering, fence};
use crate::trim::{self, A_PEAK, A_TRIM};

pub(crate) use rebuild::{initialise, rebuild, verify};
pub(crate) use survey::Survey;

pub(crate) const A_USED: usize = 0;
const A_FREE_SLOT: usize = 8;
const A_SLOTS_EVER: usize = 16;
const A_SLOTS_USED: usize = 24;
const A_FREE_PAGES: usize = 32;
const A_BINS: usize = 64;
const BINS: usize = 48;
/// Bytes that creations ever took; it wraps.
pub(crate) const A_MADE: usize = 456;
const A_SPANS: usize = 512;

const P_KIND: usize = 0;
const P_LEN: usize = 8;
const P_NEXT: usize = 16;
const P_PREV: usize = 24;
const P_BITS: usize = 32;

/// What two processes must agree on about this section.
pub(crate) const LAYOUT: &[usize] = &{
    let mut facts = [0; 17 + CLASSES.len()];
    let fixed = [
        A_USED,
        A_FREE_SLOT,
        A_SLOTS_EVER,
        A_SLOTS_USED,
        A_FREE_PAGES,
        A_TRIM,
        A_PEAK,
        A_COMMITTED,
        A_BINS,
        BINS,
        A_AHEAD,
        A_MADE,
        A_SPANS,
        P_LEN,
        P_NEXT,
        P_PREV,
        P_BITS,
    ];
    let mut i = 0;
    while i < facts.len() {
        facts[i] = if i < fixed.len() { fixed[i] } else { CLASSES[i - fixed.len()] };
        i += 1;
    }
    facts
};

/// Cell sizes: four a doubling, multiples of 64.
pub(crate) const CLASSES: [usize; 27] = [
    64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120,
    6144, 7168, 8192, 10240, 12288, 14336,
];

/// What was too small for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// Every slot is taken.
    Slots,
    /// No free memory in one piece is large enough.
    Memory,
}

/// The allocator's words, under its lock.
pub(crate) struct Alloc<'a> {
    shared: &'a Shared,
    me: ClientKey,
    guard: Option<Guard<'a>>,
    /// Whether a creation has taken memory.
    made: bool,
}

impl<'a> Alloc<'a> {
    /// Takes the lock for a client; repairs what a dead owner left.
    pub(crate) fn lock(shared: &'a Shared, me: ClientKey) -> Alloc<'a> {
        Alloc::with(shared, me, lock::acquire(shared, Lock::Alloc, me))
    }

    /// Takes the lock if it comes free until `deadline`.
    pub(crate) fn lock_until(shared: &'a Shared, me: ClientKey, deadline: Instant) -> Option<Alloc<'a>> {
        lock::acquire_until(shared, Lock::Alloc, me, deadline).map(|guard| Alloc::with(shared, me, guard))
    }

    /// Takes the lock if that needs no waiting.
    pub(crate) fn try_lock(shared: &'a Shared, me: ClientKey) -> Option<Alloc<'a>> {
        lock::try_acquire(shared, Lock::Alloc, me).map(|guard| Alloc::with(shared, me, guard))
    }

    /// Wraps the lock that the caller has taken (over).
    pub(crate) fn with(shared: &'a Shared, me: ClientKey, guard: Guard<'a>) -> Alloc<'a> {
        let repair = guard.must_repair();
        let mut alloc = Alloc { shared, me, guard: Some(guard), made: false };
        if repair {
            rebuild(&mut alloc);
        }
        alloc
    }

    fn header(&self, at: usize) -> &'a AtomicU64 {
        self.shared.ctl.u64(self.shared.layout.alloc_at + at)
    }

    fn get(&self, at: usize) -> usize {
        self.header(at).load(Ordering::Relaxed) as usize
    }

    fn set(&self, at: usize, value: usize) {
        self.header(at).store(value as u64, Ordering::Relaxed);
    }

    fn page(&self, page: usize, field: usize) -> &'a AtomicU64 {
        debug_assert!(field < PAGE_DESC_BYTES);
        self.shared.ctl.u64(self.shared.layout.page(page) + field)
    }

    fn page_get(&self, page: usize, field: usize) -> usize {
        self.page(page, field).load(Ordering::Relaxed) as usize
    }

    fn page_set(&self, page: usize, field: usize, value: usize) {
        self.page(page, field).store(value as u64, Ordering::Relaxed);
    }

    /// Takes a slot and memory for `bytes`; the slot is RESERVED by `me`.
    pub(crate) fn reserve(&mut self, me: ClientKey, bytes: usize) -> Result<(SlotRef, Place), Shortage> {
        self.reserve_as(slot::RESERVED, me, bytes)
    }

    /// Takes up to `count` slots with cells of a class, or without memory, ahead of use: CACHED by `me`.
    ///
    /// Only from spans that exist and slots that were used before: what is kept ahead costs nobody anything.
    pub(crate) fn reserve_ahead(&mut self, me: ClientKey, class: usize, count: usize) -> impl Iterator<Item = SlotRef> {
        let mut left = count;
        std::iter::from_fn(move || {
            let ready = CLASSES.get(class).is_none() || self.has_cell(class);
            if left == 0 || !ready || self.get(A_FREE_SLOT) == 0 {
                return None;
            }
            left -= 1;
            let bytes = CLASSES.get(class).copied().unwrap_or(0);
            self.reserve_as(slot::CACHED, me, bytes).ok().map(|(at, _)| at)
        })
    }

    fn reserve_as(&mut self, state: u64, me: ClientKey, bytes: usize) -> Result<(SlotRef, Place), Shortage> {
        self.free_slot()?;
        let place = self.take(bytes)?;
        let Some(index) = self.next_slot() else {
            self.give(place);
            return Err(Shortage::Slots);
        };
        let slot = Slot::of(self.shared, index);
        let old = slot.state();
        match self.get(A_FREE_SLOT) {
            0 => {
                self.set(A_SLOTS_EVER, index as usize + 1);
                if large::is_step(index) {
                    self.shared.poke.send();
                }
            }
            _ => self.set(A_FREE_SLOT, slot.next().load(Ordering::Relaxed) as usize),
        }
        self.count_made(place);
        // The slot names its author before it names memory: a survivor finds both or neither.
        let taken = State::new(old.generation(), Some(me.index), 0, state);
        slot.cas(old, taken);
        slot.place_word(taken).store(place.to_word(), Ordering::Release);
        self.set(A_SLOTS_USED, self.get(A_SLOTS_USED).saturating_add(1));
        Ok((SlotRef { index, generation: old.generation() }, place))
    }

    /// Returns the slot that is taken next, if it is free indeed.
    fn next_slot(&self) -> Option<u32> {
        let slots = self.shared.layout.slots;
        let index = match self.get(A_FREE_SLOT) {
            0 => self.get(A_SLOTS_EVER),
            head => head - 1,
        };
        let is_free = index < slots && Slot::of(self.shared, index as u32).state().state() == slot::FREE;
        is_free.then_some(index as u32)
    }

    /// Makes sure that a slot can be taken; what damaged words hide is found again.
    fn free_slot(&mut self) -> Result<(), Shortage> {
        if self.next_slot().is_some() {
            return Ok(());
        }
        let slots = self.shared.layout.slots;
        if self.get(A_FREE_SLOT) == 0 && self.get(A_SLOTS_EVER) >= slots && self.get(A_SLOTS_USED) >= slots {
            return Err(Shortage::Slots);
        }
        rebuild(self);
        if self.get(A_FREE_SLOT) == 0 {
            let is_used = |&index: &usize| Slot::of(self.shared, index as u32).state().state() != slot::FREE;
            let ever = (self.get(A_SLOTS_EVER)..slots).take_while(is_used).last().map(|last| last + 1);
            ever.into_iter().for_each(|ever| self.set(A_SLOTS_EVER, ever));
        }
        self.next_slot().map(|_| ()).ok_or(Shortage::Slots)
    }

    /// Gives memory to a slot that was reserved without.
    pub(crate) fn furnish(&mut self, at: SlotRef, bytes: usize) -> Result<Place, Shortage> {
        let place = self.take(bytes)?;
        self.count_made(place);
        let slot = Slot::of(self.shared, at.index);
        slot.place_word(slot.state()).store(place.to_word(), Ordering::Release);
        Ok(place)
    }

    /// Frees a slot that the caller has made RECLAIMING (or still has RESERVED), and its memory in the arena.
    pub(crate) fn release(&mut self, at: SlotRef) {
        let slot = Slot::of(self.shared, at.index);
        let state = slot.state();
        if state.generation() != at.generation || !matches!(state.state(), slot::RECLAIMING | slot::RESERVED) {
            return;
        }
        if let Some(place) = slot.place(state) {
            self.give(place);
        }
        // Both: the other one may name what a mover that died had moved the object from.
        slot.place_word(state).store(0, Ordering::Release);
        slot.other_word(state).store(0, Ordering::Relaxed);
        slot.next().store(self.get(A_FREE_SLOT) as u32, Ordering::Relaxed);
        slot.cas(state, State::new(at.generation.wrapping_add(1), None, 0, slot::FREE));
        self.set(A_FREE_SLOT, at.index as usize + 1);
        self.set(A_SLOTS_USED, self.get(A_SLOTS_USED).saturating_sub(1));
    }

    /// Takes a CACHED slot away from whoever keeps it, and frees it.
    pub(crate) fn release_cached(&mut self, at: SlotRef) -> bool {
        let slot = Slot::of(self.shared, at.index);
        let state = slot.state();
        let cached = state.state() == slot::CACHED && state.generation() == at.generation;
        let taken = cached && slot.cas(state, state.to(slot::RECLAIMING, Some(self.me.index)));
        if taken {
            self.release(at);
        }
        taken
    }

    /// Takes all CACHED slots away from their clients and frees them; says whether there were any.
    pub(crate) fn collect(&mut self) -> bool {
        let mut any = false;
        for index in 0..slots_ever(self.shared) {
            let state = Slot::of(self.shared, index).state();
            if state.state() == slot::CACHED {
                any |= self.release_cached(SlotRef { index, generation: state.generation() });
            }
        }
        any
    }

    /// Frees what others left because this lock was taken.
    fn settle(&mut self) {
        // SYNC left: pairs with the exchange in `leave`.
        let mut link = self.shared.ctl.u64(H_LEFT_FREE).swap(0, Ordering::SeqCst) as u32;
        while link != 0 {
            let index = link - 1;
            let slot = Slot::of(self.shared, index);
            link = slot.left().load(Ordering::Relaxed);
            // One that was taken meanwhile may stand on the list of another life: what is behind it is found by
            // `collect`.
            if !self.release_cached(SlotRef { index, generation: slot.state().generation() }) {
                return;
            }
        }
    }

    /// Takes memory for `bytes`; the caller writes the place where the allocator's truth is.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<Place, Shortage> {
        if bytes == 0 {
            return Ok(Place::None);
        }
        let place = self.try_take(bytes).or_else(|| {
            // Spans that are kept empty for the next object of their class may be in the way.
            self.release_empty_spans().then(|| self.try_take(bytes)).flatten()
        });
        let place = place.ok_or(Shortage::Memory)?;
        self.count_used(place);
        Ok(place)
    }

    fn count_used(&mut self, place: Place) {
        let used = self.get(A_USED).saturating_add(place.bytes());
        self.set(A_USED, used);
        if used > self.get(A_PEAK) {
            self.set(A_PEAK, used);
        }
    }

    /// Counts what a creation takes, which a move does not.
    fn count_made(&mut self, place: Place) {
        self.made = true;
        self.set(A_MADE, self.get(A_MADE).wrapping_add(place.bytes()));
    }

    fn try_take(&mut self, bytes: usize) -> Option<Place> {
        if let Some(class) = class_of(bytes)
            && let Some((page, cell)) = self.take_cell(class)
        {
            return Some(Place::Cell { class, page, cell });
        }
        let pages = bytes.div_ceil(PAGE);
        self.take_run(pages).map(|page| Place::Run { page, pages })
    }

    /// Gives memory back that no slot names any more.
    pub(crate) fn give(&mut self, place: Place) {
        match place {
            Place::None | Place::Record(_) | Place::File(_) => {}
            // The scratch is nobody's memory (compact.rs).
            Place::Cell { page, .. } | Place::Run { page, .. } if page >= self.shared.layout.pages => return,
            Place::Cell { class, page, cell } => self.give_cell(class, page, cell),
            Place::Run { page, pages } => self.give_run(page, pages),
        }
        self.set(A_USED, self.get(A_USED).saturating_sub(place.bytes()));
    }

    /// Returns the length of the longest free page run in bytes; what is CACHED counts as free.
    pub(crate) fn largest_free(&mut self) -> usize {
        self.collect();
        self.release_empty_spans();
        self.longest_run() * PAGE
    }
}

impl Drop for Alloc<'_> {
    fn drop(&mut self) {
        self.guard = None;
        // SYNC left: either this load sees what was left while the lock was held, or the one who left it sees that
        // the lock is free (`leave`).
        fence(Ordering::SeqCst);
        while self.shared.ctl.u64(H_LEFT_FREE).load(Ordering::Relaxed) != 0 {
            self.guard = lock::try_acquire(self.shared, Lock::Alloc, self.me);
            match &self.guard {
                // Whoever has it settles.
                None => return,
                Some(guard) => {
                    if guard.must_repair() {
                        rebuild(self);
                    }
                    self.settle();
                }
            }
            self.guard = None;
            fence(Ordering::SeqCst);
        }
        trim::released(self.shared);
        if self.made {
            ahead::taken(self.shared);
        }
    }
}

/// Frees a slot that the caller has made CACHED in its own name; never waits for another process.
///
/// If the lock is taken the slot is left to whoever has it.
pub(crate) fn leave(shared: &Shared, me: ClientKey, at: SlotRef) {
    if let Some(mut alloc) = Alloc::try_lock(shared, me) {
        alloc.release_cached(at);
        return;
    }
    push_left(shared, H_LEFT_FREE, at.index);
    // SYNC left: pairs with the load in `drop`.
    fence(Ordering::SeqCst);
    // Its drop settles.
    drop(Alloc::try_lock(shared, me));
}

/// Puts a slot on the list of those that were left at `head`.
pub(crate) fn push_left(shared: &Shared, head: usize, index: u32) {
    let head = shared.ctl.u64(head);
    let left = Slot::of(shared, index).left();
    let mut first = head.load(Ordering::Relaxed);
    loop {
        left.store(first as u32, Ordering::Relaxed);
        // SYNC left: pairs with the swap of whoever settles.
        match head.compare_exchange(first, u64::from(index) + 1, Ordering::SeqCst, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => first = now,
        }
    }
}

/// Returns how many slots were ever used: later ones are zero.
#[inline]
pub(crate) fn slots_ever(shared: &Shared) -> u32 {
    shared.ctl.u64(shared.layout.alloc_at + A_SLOTS_EVER).load(Ordering::Acquire).min(shared.layout.slots as u64) as u32
}

/// Returns the class whose cells hold `bytes`, if they are small enough for cells.
pub(crate) fn class_of(bytes: usize) -> Option<usize> {
    if bytes > CLASSES[CLASSES.len() - 1] {
        return None;
    }
    Some(CLASSES.partition_point(|&size| size < bytes))
}

#[cfg(test)]
mod tests;
