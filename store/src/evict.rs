//! Eviction: the least recently used objects make room for new ones, if the store was made so.
//!
//! Whether it was stands in the header, so that all clients obey its creator. Evicted are sealed
//! objects that stay until they are deleted, that nobody views or holds and that no other object
//! contains; the first to go is the one whose last use is the longest ago. A use is the making of a
//! view: put, seal and every get. What goes to disk (room.rs, ahead.rs) goes in the same order.
//!
//! ```text
//!   get                                      whoever has no room
//!     clock: H_LRU                             candidates: up to CANDIDATES slots, the oldest stamps,
//!     the slot's stamp is (nearly) it?           of one scan; used up over many creations
//!       yes: nothing is written                each: stamp and state as they were, nobody holds it:
//!       no:  stamp = clock + 1 = clock           taken away as a counted object is (holds.rs, R1 to R3)
//! ```
//!
//! The stamp of a hot object is not written, so that those who read it share its line. With few
//! objects the order is exact; with more than [`EXACT`] of them, an object that is among the last
//! thirty-second part that was used is not stamped again.
//!
//! Who is short of memory evicts only what has some in the arena: an object without bytes, on disk or in a
//! file of its own would go for nothing. Who is short of slots evicts whatever is the oldest. There is a
//! list of candidates for each of the two.
//!
//! A candidate list belongs to one client and is a guess; what is evicted is decided by the slot. A
//! get that pinned the object first keeps it: the look finds the unit and goes back (ST-17). A client
//! that dies in the middle leaves a look, which anybody ends.
//!
//! What it does not do: it does not move or spill objects, and it does not look for a hole of the
//! right size: it frees as many bytes as are asked for, and then goes on until the hole is there.

use std::sync::{Mutex, PoisonError};

use crate::alloc::{self, Shortage};
use crate::holds::Actor;
use crate::layout::H_LRU;
use crate::outlet;
use crate::place::Place;
use crate::shared::Shared;
use crate::slot::{self, Slot, SlotRef, State};
use crate::sync::Ordering;

/// With fewer slots than this every use is stamped.
const EXACT: u64 = 1024;
/// How many candidates one scan finds.
const CANDIDATES: usize = 4096;

/// An object that may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    stamp: u64,
    index: u32,
    generation: u32,
}

/// The candidates that one client knows, the oldest last: those with memory, and all.
#[derive(Debug, Default)]
pub(crate) struct Victims {
    memory: Mutex<Vec<Candidate>>,
    slots: Mutex<Vec<Candidate>>,
}

/// Evicts objects one by one, the least recently used first.
#[derive(Debug)]
pub(crate) struct Evictor<'a> {
    actor: Actor<'a>,
    freed: u64,
    scan: Scan,
}

/// What an [`Evictor`] did or is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes of the arena came free since it began.
    Freed(u64),
    /// It will look at all slots if it is asked to go on.
    Scan,
}

/// Whether another look at all slots can bring anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scan {
    Possible,
    Announced,
    Done,
}

/// Says whether what a client of this process gets is to be noted as used.
pub(crate) fn counts(shared: &Shared) -> bool {
    outlet::orders(shared, false) && shared.reader.is_none()
}

/// Notes that an object is used, in a store where that [`counts`].
pub(crate) fn touch(shared: &Shared, slot: Slot<'_>, state: State) {
    if outlet::orders(shared, state.has(slot::COUNTED)) {
        stamp(shared, slot);
    }
}

fn stamp(shared: &Shared, slot: Slot<'_>) {
    let clock = shared.ctl.u64(H_LRU);
    let now = clock.load(Ordering::Relaxed);
    let objects = u64::from(alloc::slots_ever(shared));
    let slack = if objects < EXACT { 0 } else { objects / 32 };
    let used = slot.used().load(Ordering::Relaxed);
    if used == 0 || now.saturating_sub(used) > slack {
        slot.used().store(clock.fetch_add(1, Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

impl Victims {
    fn of(&self, lacks: Shortage) -> &Mutex<Vec<Candidate>> {
        match lacks {
            Shortage::Memory => &self.memory,
            Shortage::Slots => &self.slots,
        }
    }

    /// Takes the oldest candidate.
    fn pop(&self, lacks: Shortage) -> Option<Candidate> {
        self.of(lacks).lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Looks for candidates anew.
    fn find(&self, actor: &Actor<'_>, lacks: Shortage) {
        let mut found: Vec<_> =
            (0..alloc::slots_ever(actor.shared)).filter_map(|index| candidate(actor, index, lacks)).collect();
        if found.len() > CANDIDATES {
            found.select_nth_unstable(CANDIDATES);
            found.truncate(CANDIDATES);
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        *self.of(lacks).lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}

impl<'a> Evictor<'a> {
    pub(crate) fn new(actor: Actor<'a>) -> Evictor<'a> {
        Evictor { actor, freed: 0, scan: if outlet::evicts(actor.shared) { Scan::Possible } else { Scan::Done } }
    }

    /// Evicts the next object that gives what is lacking, or says that it will look at all slots; none is left if
    /// there is no answer.
    pub(crate) fn step(&mut self, lacks: Shortage) -> Option<Step> {
        if !outlet::evicts(self.actor.shared) {
            return None;
        }
        let victims = &self.actor.looks.victims;
        loop {
            if let Some(victim) = victims.pop(lacks) {
                let Some(bytes) = take(&self.actor, victim, lacks) else { continue };
                self.freed += bytes;
                // There may be more than one scan finds.
                self.scan = Scan::Possible;
                return Some(Step::Freed(self.freed));
            }
            match self.scan {
                Scan::Possible => {
                    self.scan = Scan::Announced;
                    return Some(Step::Scan);
                }
                Scan::Announced => {
                    self.scan = Scan::Done;
                    victims.find(&self.actor, lacks);
                }
                Scan::Done => return None,
            }
        }
    }
}

/// Describes the object in a slot if it may go and gives what is lacking.
fn candidate(actor: &Actor<'_>, index: u32, lacks: Shortage) -> Option<Candidate> {
    let slot = Slot::of(actor.shared, index);
    let state = slot.state();
    let may_go = state.state() == slot::SEALED && !state.has(slot::COUNTED);
    let gives = lacks == Shortage::Slots || bytes(slot, state) > 0;
    (may_go && gives && !actor.is_held(index)).then(|| Candidate {
        stamp: slot.used().load(Ordering::Relaxed),
        index,
        generation: state.generation(),
    })
}

/// Returns how many bytes of the arena an object has.
fn bytes(slot: Slot<'_>, state: State) -> usize {
    slot.place(state).map_or(0, Place::bytes)
}

/// Takes a candidate away if it is still one; returns the bytes of the arena that it had.
fn take(actor: &Actor<'_>, victim: Candidate, lacks: Shortage) -> Option<u64> {
    // Used meanwhile: it is no longer the oldest.
    candidate(actor, victim.index, lacks).filter(|now| *now == victim)?;
    let slot = Slot::of(actor.shared, victim.index);
    let bytes = bytes(slot, slot.state()) as u64;
    let at = SlotRef { index: victim.index, generation: victim.generation };
    actor.take_away(at).then_some(bytes)
}
