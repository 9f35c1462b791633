//! Making room: what is tried when memory is short, before a creation queues for it.
//!
//! ```text
//!   enough is free, but in pieces     -> compaction (compact.rs)
//!   the store may spill               -> sealed objects that nobody views go to disk, the least recently used
//!                                        first, then compaction if that left pieces
//! ```
//!
//! Both need the lock of moves. If another process has it, whoever asked goes to sleep like anybody
//! who waits for memory: the lock's owner wakes them all if it has moved something, and if it has not
//! they try again soon (search.rs).

use crate::alloc;
use crate::compact::compact;
use crate::disk::DiskError;
use crate::holds::Actor;
use crate::layout::PAGE;
use crate::moves::{Mover, Stays};
use crate::slot::{self, Slot, SlotRef};
use crate::sync::Ordering;

/// What became of an attempt to make room.
#[derive(Debug)]
pub(crate) enum Room {
    /// There may be room now.
    Made,
    /// Nothing more can be done.
    No,
    /// Another process is at it, and wakes nobody if it brings nothing.
    Busy,
    /// The disk was the obstacle.
    Disk(DiskError),
}

/// How much is spilled beyond what is asked for, as a part of the capacity, so that not each creation spills.
const AHEAD: usize = 64;

/// Tries to make a free run of `bytes`.
pub(crate) fn make(actor: Actor<'_>, bytes: usize, spills: bool) -> Room {
    let Some(mover) = Mover::try_lock(actor) else { return Room::Busy };
    let pages = bytes.div_ceil(PAGE);
    if enough_in_pieces(actor, bytes) && compact(&mover, actor, pages) {
        return Room::Made;
    }
    if !spills {
        return Room::No;
    }
    let wanted = (bytes + actor.shared.layout.capacity / AHEAD) as u64;
    match spill(&mover, actor, wanted, bytes as u64) {
        (0, Some(full)) => Room::Disk(full),
        (0, None) => Room::No,
        _ if mover.alloc().is_ok_and(|mut alloc| alloc.largest_free() >= bytes) => Room::Made,
        (_, full) => match full {
            _ if enough_in_pieces(actor, bytes) && compact(&mover, actor, pages) => Room::Made,
            Some(full) => Room::Disk(full),
            None => Room::No,
        },
    }
}

/// Spills the least recently used objects that can be until `wanted` bytes are free, or all that can be; returns the bytes.
///
/// Stops at the first error if at least `needed` bytes went before it.
pub(crate) fn spill(mover: &Mover<'_>, actor: Actor<'_>, wanted: u64, needed: u64) -> (u64, Option<DiskError>) {
    let mut spilled = 0;
    for at in candidates(actor) {
        if spilled >= wanted {
            break;
        }
        match mover.spill(at) {
            Ok(bytes) => spilled += bytes,
            Err(Stays::Disk(error)) => {
                let enough = spilled > 0 && spilled >= needed;
                return (spilled, (!enough).then_some(error));
            }
            Err(_) => {}
        }
    }
    (spilled, None)
}

/// Lists the objects that can go to disk, the least recently used first.
pub(crate) fn candidates(actor: Actor<'_>) -> impl Iterator<Item = SlotRef> {
    let mut found: Vec<(u64, SlotRef)> = (0..alloc::slots_ever(actor.shared))
        .filter_map(|index| {
            let slot = Slot::of(actor.shared, index);
            let state = slot.state();
            let in_memory = slot.place(state).is_some_and(|place| place.bytes() > 0);
            // Whoever uses a board wants it where it is.
            let idle = state.state() == slot::SEALED && !state.has(slot::MUTABLE);
            let may_go = idle && in_memory && slot.children() == 0;
            let at = SlotRef { index, generation: state.generation() };
            (may_go && !actor.is_viewed(index)).then(|| (slot.used().load(Ordering::Relaxed), at))
        })
        .collect();
    found.sort_unstable_by_key(|&(used, at)| (used, at.index));
    found.into_iter().map(|(_, at)| at)
}

/// Says whether compaction can help: as much is free as is asked for.
fn enough_in_pieces(actor: Actor<'_>, bytes: usize) -> bool {
    bytes > 0 && alloc::Survey::of(actor.shared).free_bytes() >= bytes as u64
}
