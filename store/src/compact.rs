//! Compaction: making one free run out of several, when there is memory enough but in pieces.
//!
//! ```text
//!   before   | A |..| B |....| C |.| D |      the cheapest stretch whose holes are enough
//!   after    | A | B | C |.......| D |        what lies between them is moved down, one by one
//! ```
//!
//! An object that moves by less than its own length cannot be copied while others may still read it
//! at its old place. Such a one goes through the *scratch*, a second half of the arena's file that
//! has no memory outside of a compaction. Everything else is a plain move (moves.rs), so that a
//! compaction may be cut short anywhere: by a death, by a view that appears, by another creation
//! that takes the hole.
//!
//! Who is stranded in the scratch by that comes home first thing in the next compaction, which makes
//! a hole for it if there is none; who is viewed there stays, and others go through what lies behind.
//!
//! Objects that are viewed or being written stay and end a stretch. If nothing is pinned, any
//! request of up to half of what is free can be served.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::alloc::{self, Shortage, spans};
use crate::holds::Actor;
use crate::layout::{CHUNK, PAGE};
use crate::moves::{Mover, Stays};
use crate::place::Place;
use crate::slot::{self, Slot, SlotRef};

/// How often a compaction begins that finds the allocator taken.
const ATTEMPTS: usize = 3;

/// What lies at a page.
struct Resident {
    pages: usize,
    /// The size class of a span.
    class: Option<usize>,
    /// The objects, each with its cell.
    objects: Vec<(usize, SlotRef)>,
    /// Somebody needs it where it is.
    fixed: bool,
}

/// Residents between two pages, and what moving them costs.
struct Stretch {
    start: usize,
    end: usize,
    cost: usize,
}

/// Makes a free run of `pages` by moving objects; false if that cannot be done now.
pub(crate) fn compact(mover: &Mover<'_>, actor: Actor<'_>, pages: usize) -> bool {
    let mut scratch = Scratch::new(actor);
    let mut made = Err(Stays::Locked);
    for _ in 0..ATTEMPTS {
        bring_home(mover, actor, &mut scratch);
        made = assemble(mover, actor, pages, &mut scratch);
        if !matches!(made, Err(Stays::Locked)) {
            break;
        }
        // Whoever had the allocator may only have waited for a processor: what is moved by now is moved.
        mover.settle();
    }
    scratch.empty(actor);
    made.is_ok()
}

/// Makes a free run of `pages`: gathers cells if that is needed, then slides one stretch together.
fn assemble(mover: &Mover<'_>, actor: Actor<'_>, pages: usize, scratch: &mut Scratch) -> Result<(), Stays> {
    let look = || {
        let mut alloc = mover.alloc()?;
        Ok::<_, Stays>((alloc.largest_free() < pages * PAGE).then(|| residents(actor)))
    };
    let home = actor.shared.layout.pages;
    let Some(mut residents) = look()? else { return Ok(()) };
    let whole: usize = residents.range(..home).map(|(_, resident)| resident.pages).sum();
    if home.saturating_sub(whole) < pages {
        // The holes are too small even together: the rest lies between the cells of spans.
        gather(mover, actor, &residents);
        let Some(now) = look()? else { return Ok(()) };
        residents = now;
    }
    scratch.stay_behind(&residents);
    let at_home: Vec<(usize, &Resident)> = residents.range(..home).map(|(&page, r)| (page, r)).collect();
    let stretch = cheapest(&at_home, home, pages).ok_or(Stays::NoRoom)?;
    let mut cursor = stretch.start;
    let mut inside = at_home.iter().filter(|(page, _)| (stretch.start..stretch.end).contains(page));
    inside.try_for_each(|&(page, resident)| {
        let to = cursor;
        cursor += resident.pages;
        slide(mover, page, resident, to, scratch)
    })
}

/// Moves cells from the emptiest spans of each class to the fullest, so that spans come free.
fn gather(mover: &Mover<'_>, actor: Actor<'_>, residents: &BTreeMap<usize, Resident>) {
    let home = actor.shared.layout.pages;
    let mut classes: BTreeMap<usize, Vec<(usize, &Resident)>> = BTreeMap::new();
    for (&page, resident) in residents.range(..home) {
        if let Some(class) = resident.class {
            classes.entry(class).or_default().push((page, resident));
        }
    }
    for (class, mut spans_of) in classes {
        // The fullest first; those that cannot be emptied before all others.
        spans_of.sort_by_key(|(page, r)| (!r.fixed, std::cmp::Reverse(r.objects.len()), *page));
        let (mut to, mut from) = (0, spans_of.len());
        let mut free = Vec::new();
        while to + 1 < from {
            let source = spans_of[from - 1].1;
            if source.fixed {
                break;
            }
            for &(_, at) in &source.objects {
                while free.is_empty() && to + 1 < from {
                    let (page, target) = spans_of[to];
                    let taken: Vec<usize> = target.objects.iter().map(|&(cell, _)| cell).collect();
                    free.extend((0..spans::cells(class)).filter(|cell| !taken.contains(cell)).map(|cell| (page, cell)));
                    to += 1;
                }
                let Some((page, cell)) = free.pop() else { break };
                // Who is viewed by now stays; its span is not freed then.
                let _ = mover.relocate(at, |alloc| alloc.take_cell_in(class, page, cell).ok_or(Shortage::Memory));
            }
            from -= 1;
        }
    }
    if let Ok(mut alloc) = mover.alloc() {
        alloc.release_empty_spans();
    }
}

/// Reads who lies where; under the allocator's lock.
fn residents(actor: Actor<'_>) -> BTreeMap<usize, Resident> {
    let mut found: BTreeMap<usize, Resident> = BTreeMap::new();
    for index in 0..alloc::slots_ever(actor.shared) {
        let slot = Slot::of(actor.shared, index);
        let state = slot.state();
        if state.state() == slot::FREE {
            continue;
        }
        let (page, pages, class, cell) = match slot.place(state) {
            Some(Place::Run { page, pages }) => (page, pages, None, 0),
            Some(Place::Cell { class, page, cell }) => (page, spans::pages(class), Some(class), cell),
            _ => continue,
        };
        let fresh = || Resident { pages, class, objects: Vec::new(), fixed: false };
        let resident = found.entry(page).or_insert_with(fresh);
        resident.objects.push((cell, SlotRef { index, generation: state.generation() }));
        let home = actor.shared.layout.pages;
        let crosses = page < home && page + pages > home;
        resident.fixed |= crosses || state.state() != slot::SEALED || actor.is_viewed(index);
    }
    found
}

/// Finds the stretch without fixed residents whose holes add up to `pages` and that costs least to move.
fn cheapest(residents: &[(usize, &Resident)], total: usize, pages: usize) -> Option<Stretch> {
    let mut best: Option<Stretch> = None;
    // Hole i lies before resident i; the last one behind all.
    let end = |i: usize| residents.get(i).map_or(total, |&(page, _)| page);
    let start = |i: usize| i.checked_sub(1).map_or(0, |before| residents[before].0 + residents[before].1.pages);
    let (mut first, mut holes, mut cost) = (0, 0, 0);
    for last in 0..=residents.len() {
        if last > 0 && residents[last - 1].1.fixed {
            (first, holes, cost) = (last, 0, 0);
        } else if last > 0 && last > first {
            cost += residents[last - 1].1.pages;
        }
        holes += end(last).saturating_sub(start(last));
        while holes >= pages {
            if best.as_ref().is_none_or(|best| cost < best.cost) {
                best = Some(Stretch { start: start(first), end: end(last), cost });
            }
            holes -= end(first).saturating_sub(start(first));
            if first < last {
                cost -= residents[first].1.pages;
            }
            first += 1;
            if first > last {
                break;
            }
        }
    }
    best
}

/// Moves a resident down to page `to`, behind which everything is free up to it.
///
/// One that moves by less than its own length goes through the scratch.
fn slide(mover: &Mover<'_>, page: usize, resident: &Resident, to: usize, scratch: &mut Scratch) -> Result<(), Stays> {
    if to == page {
        return Ok(());
    }
    // Residents that overlap are nonsense, and nobody moves them.
    let by = page.checked_sub(to).ok_or(Stays::NoRoom)?;
    if by < resident.pages {
        let through = scratch.pages(resident.pages).ok_or(Stays::NoRoom)?;
        for &(cell, at) in &resident.objects {
            mover.relocate(at, |_| Ok(beside(resident, through, cell)))?;
        }
    }
    if let Some(class) = resident.class {
        let mut alloc = mover.alloc()?;
        // The span that was left for the scratch is empty now.
        alloc.release_empty_spans();
        alloc.open_span(class, to).ok_or(Stays::NoRoom)?;
    }
    for &(cell, at) in &resident.objects {
        mover.relocate(at, |alloc| {
            let place = match resident.class {
                Some(class) => alloc.take_cell_in(class, to, cell),
                None => alloc.take_run_at(to, resident.pages),
            };
            place.ok_or(Shortage::Memory)
        })?;
    }
    if resident.class.is_some() {
        mover.alloc()?.release_empty_spans();
    }
    Ok(())
}

/// Returns the place of an object of a resident if that lay at `page`.
fn beside(resident: &Resident, page: usize, cell: usize) -> Place {
    match resident.class {
        Some(class) => Place::Cell { class, page, cell },
        None => Place::Run { page, pages: resident.pages },
    }
}

/// Moves what a compaction that was cut short left in the scratch back to ordinary memory.
///
/// The hole that it came from may be another's by now: if none is long enough, one is made. What is viewed stays.
fn bring_home(mover: &Mover<'_>, actor: Actor<'_>, scratch: &mut Scratch) {
    let home = actor.shared.layout.pages;
    if scratch_is_empty(actor) {
        return;
    }
    let Ok(strays) = mover.alloc().map(|_alloc| residents(actor).split_off(&home)) else { return };
    scratch.stay_behind(&strays);
    for resident in strays.values().filter(|resident| !resident.fixed) {
        for &(_, at) in &resident.objects {
            let bytes = crate::moves::payload(Slot::of(actor.shared, at.index));
            let come = || mover.relocate(at, |alloc| alloc.take(bytes));
            if come().is_err() && assemble(mover, actor, resident.pages, scratch).is_ok() {
                // Who is viewed by now stays.
                let _ = come();
            }
        }
    }
}

/// The part of the scratch that a compaction may use: what lies behind those who are stranded there.
///
/// Only the owner of the lock of moves puts anything there.
struct Scratch {
    start: usize,
    /// Where the last one ends that has been there since this compaction began.
    used: usize,
    places: usize,
}

impl Scratch {
    fn new(actor: Actor<'_>) -> Scratch {
        let layout = &actor.shared.layout;
        Scratch { start: layout.scratch(), used: layout.scratch(), places: layout.places() }
    }

    /// Leaves those alone that are there still: nothing may be put on top of them.
    fn stay_behind(&mut self, residents: &BTreeMap<usize, Resident>) {
        let ends = residents.range(self.start..).map(|(page, resident)| page + resident.pages);
        self.start = ends.fold(self.start, usize::max);
        self.used = self.used.max(self.start);
    }

    /// Returns the first of so many pages, until they are asked for again.
    fn pages(&mut self, pages: usize) -> Option<usize> {
        let end = self.start.checked_add(pages).filter(|&end| end <= self.places)?;
        self.used = self.used.max(end);
        Some(self.start)
    }

    /// Gives the memory that was used back, but for what somebody is stranded in.
    fn empty(&self, actor: Actor<'_>) {
        let start = actor.shared.layout.scratch();
        if self.used > start {
            let strays = (0..alloc::slots_ever(actor.shared)).filter_map(|index| stray(actor, index));
            let start = strays.fold(start, |start, pages| start.max(pages.end)).next_multiple_of(CHUNK / PAGE);
            actor.arena.decommit(actor.shared, start * PAGE, self.used.saturating_sub(start) * PAGE);
        }
    }
}

/// Returns the pages of the scratch that an object lies in.
fn stray(actor: Actor<'_>, index: u32) -> Option<Range<usize>> {
    let slot = Slot::of(actor.shared, index);
    let pages = match slot.place(slot.state())? {
        Place::Run { page, pages } => page..page + pages,
        Place::Cell { class, page, .. } => page..page + spans::pages(class),
        _ => return None,
    };
    (pages.start >= actor.shared.layout.pages).then_some(pages)
}

fn scratch_is_empty(actor: Actor<'_>) -> bool {
    !(0..alloc::slots_ever(actor.shared)).any(|index| stray(actor, index).is_some())
}

#[cfg(test)]
mod tests;
