//! Building the allocator's cache from the slots, and holding one against the other.

use std::collections::BTreeMap;

use super::pages::USED_HEAD;
use super::{
    A_BINS, A_FREE_PAGES, A_FREE_SLOT, A_SLOTS_EVER, A_SLOTS_USED, A_SPANS, A_USED, Alloc, BINS, CLASSES, P_KIND,
    P_LEN, spans,
};
use crate::client::ClientKey;
use crate::layout::H_MOVE_PLACE;
use crate::place::Place;
use crate::shared::Shared;
use crate::slot::{self, Slot};
use crate::sync::Ordering;

/// What the slots say about memory.
struct Truth {
    /// Page runs and spans by their first page.
    owned: BTreeMap<usize, Owned>,
    used_bytes: usize,
    free_slots: Vec<u32>,
    used_slots: usize,
    /// Whether the place that the record of the move names is an object's by now.
    arrived: bool,
}

enum Owned {
    Run(usize),
    Span(usize, [u64; 4]),
}

/// Makes one free run of a fresh segment: everything else of it is zero, which is right, and stays untouched memory.
pub(crate) fn initialise(shared: &Shared, me: ClientKey) {
    Alloc::lock(shared, me).link_run(0, shared.layout.pages);
}

/// Builds free lists, bitmaps and counters from the slots' places.
pub(crate) fn rebuild(alloc: &mut Alloc<'_>) {
    let (truth, _) = read(alloc);
    if truth.arrived {
        // The mover died before it said so. From now on the place goes with its object, and may be another's
        // before the move is repaired.
        alloc.shared.ctl.u64(H_MOVE_PLACE).store(0, Ordering::Release);
    }
    let total = alloc.shared.layout.pages;
    for bin in 0..BINS {
        alloc.set(A_BINS + 8 * bin, 0);
    }
    for class in 0..CLASSES.len() {
        alloc.set(A_SPANS + 8 * class, 0);
    }
    alloc.set(A_FREE_PAGES, 0);
    for page in 0..total {
        alloc.page_set(page, P_KIND, 0);
    }
    let mut at = 0;
    for (&page, owned) in &truth.owned {
        if page > at {
            alloc.link_run(at, page - at);
        }
        at = page
            + match *owned {
                Owned::Run(pages) => {
                    alloc.page_set(page, P_KIND, USED_HEAD);
                    alloc.page_set(page, P_LEN, pages);
                    pages
                }
                Owned::Span(class, bits) => {
                    alloc.make_span(class, page, bits);
                    spans::pages(class)
                }
            };
    }
    if at < total {
        alloc.link_run(at, total - at);
    }
    alloc.set(A_USED, truth.used_bytes);
    alloc.set(A_SLOTS_USED, truth.used_slots);
    let mut next = 0;
    for &index in truth.free_slots.iter().rev() {
        Slot::of(alloc.shared, index).next().store(next, Ordering::Relaxed);
        next = index + 1;
    }
    alloc.set(A_FREE_SLOT, next as usize);
}

/// Compares the cache with the slots; returns what does not agree.
pub(crate) fn verify(alloc: &Alloc<'_>) -> Vec<String> {
    let (truth, mut broken) = read(alloc);
    if truth.used_bytes != alloc.get(A_USED) {
        broken.push(format!(
            "ST-15: {} bytes are counted as used, the places sum up to {}",
            alloc.get(A_USED),
            truth.used_bytes
        ));
    }
    if truth.used_slots != alloc.get(A_SLOTS_USED) {
        broken.push(format!("{} slots are counted as used, there are {}", alloc.get(A_SLOTS_USED), truth.used_slots));
    }
    let mut owned_pages = 0;
    for (&page, owned) in &truth.owned {
        owned_pages += match *owned {
            Owned::Run(pages) => {
                if alloc.kind(page) != USED_HEAD || alloc.page_get(page, P_LEN) != pages {
                    broken.push(format!("page {page} starts a run of {pages} pages that the page table does not know"));
                }
                pages
            }
            Owned::Span(class, bits) => {
                if alloc.bits(page) != bits {
                    broken.push(format!("the span at page {page} has other cells in use than its slots say"));
                }
                spans::pages(class)
            }
        };
    }
    // Empty spans own pages that no slot names.
    let empty = (0..CLASSES.len()).flat_map(|class| alloc.empty_spans(class)).sum::<usize>();
    let free = alloc.get(A_FREE_PAGES);
    if (owned_pages + empty).checked_add(free) != Some(alloc.shared.layout.pages) {
        broken.push(format!(
            "{owned_pages} pages are owned, {empty} in empty spans and {free} free, the arena has {}",
            alloc.shared.layout.pages
        ));
    }
    broken
}

impl Alloc<'_> {
    /// Returns the pages of each empty span of a class.
    fn empty_spans(&self, class: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let (mut at, mut steps) = (self.get(A_SPANS + 8 * class), self.shared.layout.pages);
        while at != 0 && steps > 0 {
            steps -= 1;
            if self.bits(at - 1) == [0; 4] {
                found.push(spans::pages(class));
            }
            at = self.page_get(at - 1, super::P_NEXT);
        }
        found
    }
}

/// Reads all places; those that overlap an earlier one are reported and left out.
fn read(alloc: &Alloc<'_>) -> (Truth, Vec<String>) {
    let shared = alloc.shared;
    let mut truth =
        Truth { owned: BTreeMap::new(), used_bytes: 0, free_slots: Vec::new(), used_slots: 0, arrived: false };
    let mut broken = Vec::new();
    let moved_to = shared.ctl.u64(H_MOVE_PLACE).load(Ordering::Acquire);
    for index in 0..alloc.get(A_SLOTS_EVER).min(shared.layout.slots) as u32 {
        let slot = Slot::of(shared, index);
        let state = slot.state();
        if state.state() == slot::FREE {
            truth.free_slots.push(index);
            continue;
        }
        truth.used_slots += 1;
        let word = slot.place_word(state).load(Ordering::Acquire);
        truth.arrived |= word != 0 && word == moved_to;
        match Place::from_word(word, shared.layout.places()) {
            None => broken.push(format!("ST-13: slot {index} has the place {word:#x}, which is not in the arena")),
            Some(place) if !truth.own(place, shared.layout.pages) => {
                broken.push(format!("ST-13: the place {place:?} of slot {index} overlaps another"));
            }
            Some(_) => {}
        }
    }
    // The place that an object is on its way to is nobody's yet.
    if !truth.arrived
        && let Some(place) = Place::from_word(moved_to, shared.layout.places())
        && !truth.own(place, shared.layout.pages)
    {
        broken.push(format!("ST-13: the place {place:?}, which an object is moved to, overlaps another"));
    }
    (truth, broken)
}

impl Truth {
    /// Adds a place; false if it overlaps one that is there.
    fn own(&mut self, place: Place, pages_of_the_arena: usize) -> bool {
        let free = match place {
            Place::None | Place::Record(_) | Place::File(_) => true,
            // The scratch is nobody's memory.
            Place::Run { page, .. } | Place::Cell { page, .. } if page >= pages_of_the_arena => return true,
            Place::Run { page, pages } => {
                let free = !overlaps(&self.owned, page, pages);
                if free {
                    self.owned.insert(page, Owned::Run(pages));
                }
                free
            }
            Place::Cell { class, page, cell } => match self.owned.get_mut(&page) {
                Some(Owned::Span(other, bits)) => {
                    let bit = 1 << (cell % 64);
                    let free = *other == class && bits[cell / 64] & bit == 0;
                    if free {
                        bits[cell / 64] |= bit;
                    }
                    free
                }
                Some(Owned::Run(_)) => false,
                None => {
                    let free = !overlaps(&self.owned, page, spans::pages(class));
                    if free {
                        let mut bits = [0; 4];
                        bits[cell / 64] |= 1 << (cell % 64);
                        self.owned.insert(page, Owned::Span(class, bits));
                    }
                    free
                }
            },
        };
        if free {
            self.used_bytes += place.bytes();
        }
        free
    }
}

fn overlaps(owned: &BTreeMap<usize, Owned>, page: usize, pages: usize) -> bool {
    let end = |(&start, owned): (&usize, &Owned)| {
        start
            + match *owned {
                Owned::Run(pages) => pages,
                Owned::Span(class, _) => spans::pages(class),
            }
    };
    owned.range(..page + pages).next_back().is_some_and(|last| end(last) > page)
}
