//! Magazines: free slots with their memory that a client keeps for its next creations.
//!
//! A slot that a client frees stays CACHED in its name with the memory that it had, a cell of the
//! arena or a short run of pages, and the next object of that size takes both without a lock; what was
//! freed last is taken first, so that it is in the processor's caches. The slot's state is the truth:
//! whoever is short of memory takes CACHED slots of any client away with one compare-and-swap, and
//! the reaper takes those of the dead. A magazine only remembers where they are; what it remembers
//! may be gone already.
//!
//! ```text
//!   one array of cells a class, {generation:32 | slot + 1:32}; taking one is a swap with 0,
//!   putting one a compare-and-swap of 0; a hint says where the last one lies
//!
//!   classes: 0..27 cells by their size class | 27 no memory | 28.. runs of 1, 2, .. 16 pages
//! ```

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::alloc::{self, Alloc, CLASSES};
use crate::holds::Actor;
use crate::layout::PAGE;
use crate::place::Place;
use crate::queue;
use crate::slot::{self, Slot, SlotRef};

/// Magazines of a client: its threads are spread over them.
const STRIPES: usize = 4;
/// How many slots of a class a magazine keeps.
const DEPTH: usize = if cfg!(loom) { 4 } else { 256 };
/// How many bytes of a class a magazine keeps, but always one slot.
const BYTES: usize = if cfg!(loom) { PAGE } else { 256 << 10 };
/// How far from the hint a place for a slot is looked for.
const TRIES: usize = 8;
/// The class of objects without memory.
pub(crate) const EMPTY: usize = CLASSES.len();
/// The longest runs that are kept, in pages.
const RUNS: usize = BYTES / PAGE;
/// How many classes there are.
pub(crate) const KINDS: usize = EMPTY + 1 + RUNS;

/// Returns the class of what a creation of `bytes` takes; none if that is not kept.
#[inline]
pub(crate) fn class_for(bytes: usize) -> Option<usize> {
    if bytes == 0 {
        return Some(EMPTY);
    }
    alloc::class_of(bytes).or_else(|| class_of_run(bytes.div_ceil(PAGE)))
}

/// Returns the class of an object's memory in an arena of `pages`; none if that is not kept.
#[inline]
pub(crate) fn class_of(place: Option<Place>, pages: usize) -> Option<usize> {
    match place? {
        Place::None => Some(EMPTY),
        // The scratch behind the arena (compact.rs) is no memory for anything new.
        Place::Cell { class, page, .. } => (page < pages).then_some(class),
        Place::Run { page, pages: run } => class_of_run(run).filter(|_| page + run <= pages),
        Place::Record(_) | Place::File(_) => None,
    }
}

fn class_of_run(pages: usize) -> Option<usize> {
    (1..=RUNS).contains(&pages).then_some(EMPTY + pages)
}

/// The free slots that one client keeps.
#[derive(Debug)]
pub(crate) struct Magazine([[Rack; KINDS]; STRIPES]);

/// The free slots of one class.
#[derive(Debug)]
struct Rack {
    /// Made when the first slot comes.
    cells: OnceLock<Box<[AtomicU64]>>,
    /// Where the next one goes, most of the time.
    top: AtomicUsize,
}

impl Default for Magazine {
    fn default() -> Self {
        let rack = || Rack { cells: OnceLock::new(), top: AtomicUsize::new(0) };
        Magazine(std::array::from_fn(|_| std::array::from_fn(|_| rack())))
    }
}

impl Magazine {
    /// Returns how many slots of a class are worth keeping.
    pub(crate) fn depth(class: usize) -> usize {
        let size = CLASSES.get(class).copied().unwrap_or(class.saturating_sub(EMPTY) * PAGE);
        BYTES.checked_div(size).map_or(DEPTH, |depth| depth.clamp(1, DEPTH))
    }

    #[inline]
    fn rack(&self, class: usize) -> &Rack {
        &self.0[stripe()][class.min(KINDS - 1)]
    }

    /// Takes the slot that was put there last.
    #[inline]
    pub(crate) fn take(&self, class: usize) -> Option<SlotRef> {
        let rack = self.rack(class);
        let cells = rack.cells.get()?;
        let top = rack.top.load(Ordering::Relaxed).min(cells.len());
        for i in (0..top).rev() {
            let word = cells[i].load(Ordering::Relaxed);
            // SYNC magazine: what was done to the slot before it was put here is visible.
            if word != 0 && cells[i].compare_exchange(word, 0, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                rack.top.store(i, Ordering::Relaxed);
                return Some(SlotRef { index: (word as u32).wrapping_sub(1), generation: (word >> 32) as u32 });
            }
        }
        rack.top.store(0, Ordering::Relaxed);
        None
    }

    /// Returns the slot that [`take`](Self::take) will probably give next.
    #[inline]
    pub(crate) fn next(&self, class: usize) -> Option<u32> {
        let rack = self.rack(class);
        let cells = rack.cells.get()?;
        let top = rack.top.load(Ordering::Relaxed).min(cells.len()).checked_sub(1)?;
        (cells[top].load(Ordering::Relaxed) as u32).checked_sub(1)
    }

    /// Keeps a slot; false if there is no room.
    #[inline]
    pub(crate) fn put(&self, class: usize, at: SlotRef) -> bool {
        let rack = self.rack(class);
        let word = u64::from(at.generation) << 32 | (u64::from(at.index) + 1);
        let cells = rack.cells.get_or_init(|| (0..Self::depth(class)).map(|_| AtomicU64::new(0)).collect());
        let top = rack.top.load(Ordering::Relaxed);
        // Another thread of this stripe may have taken the place; whoever finds none soon calls it full.
        for (i, cell) in cells.iter().enumerate().skip(top).take(TRIES) {
            // SYNC magazine: pairs with the exchange in `take`.
            if cell.load(Ordering::Relaxed) == 0
                && cell.compare_exchange(0, word, Ordering::Release, Ordering::Relaxed).is_ok()
            {
                rack.top.store(i + 1, Ordering::Relaxed);
                return true;
            }
        }
        false
    }
}

impl Actor<'_> {
    /// Takes a slot that this client keeps for an object with `flags`: RESERVED, with its memory.
    #[inline]
    pub(crate) fn take_kept(&self, class: usize, flags: u64) -> Option<SlotRef> {
        let magazine = &self.looks.magazine;
        while let Some(at) = magazine.take(class) {
            let slot = Slot::of(self.shared, at.index);
            let state = slot.state();
            let reserved = state.to(slot::RESERVED, Some(self.me.index)).with(flags);
            // Somebody may have taken it away.
            let cached = state.state() == slot::CACHED && state.generation() == at.generation;
            if cached && state.actor() == Some(self.me.index) && slot.cas(state, reserved) {
                // The next creation of this size finds its lines in the cache.
                if let Some(next) = magazine.next(class) {
                    let slot = self.shared.layout.slot(next);
                    self.shared.ctl.prefetch(slot);
                    self.shared.ctl.prefetch(slot + 64);
                    self.shared.ctl.prefetch(self.shared.layout.hold(self.me.index.into(), next));
                }
                return Some(at);
            }
        }
        None
    }

    /// Takes some slots of a class ahead of use, unless somebody queues for memory.
    pub(crate) fn stock(&self, alloc: &mut Alloc<'_>, class: Option<usize>) {
        // Runs are not worth taking ahead. Those who queue have looked for what is CACHED before or will find this
        // lock taken.
        let Some(class) = class.filter(|&class| class <= EMPTY && queue::is_empty(self.shared)) else { return };
        let spare = alloc.reserve_ahead(self.me, class, Magazine::depth(class) / 2);
        spare.for_each(|at| {
            self.looks.magazine.put(class, at);
        });
    }
}

/// Returns which magazine this thread uses.
#[inline]
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES);
    MINE.try_with(|stripe| *stripe).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::{self, Lock};
    use crate::{ObjectId, Store, StoreOptions};

    fn at(index: u32) -> SlotRef {
        SlotRef { index, generation: 7 }
    }

    #[test]
    fn what_is_put_comes_back_last_first_and_only_once() {
        let magazine = Magazine::default();
        let deep = Magazine::depth(0) as u32;
        assert!((0..deep).all(|i| magazine.put(0, at(i))));
        assert!(!magazine.put(0, at(99)), "full");
        assert_eq!(
            (0..deep).rev().map(at).collect::<Vec<_>>(),
            std::iter::from_fn(|| magazine.take(0)).collect::<Vec<_>>()
        );
        assert!(magazine.put(0, at(3)) && magazine.put(EMPTY, at(4)));
        assert_eq!((magazine.take(0), magazine.take(EMPTY), magazine.take(0)), (Some(at(3)), Some(at(4)), None));
    }

    #[test]
    fn large_classes_keep_few() {
        assert_eq!(Magazine::depth(0), DEPTH);
        assert_eq!(Magazine::depth(CLASSES.len() - 1), 18);
        assert_eq!(Magazine::depth(EMPTY), DEPTH);
        assert_eq!([EMPTY + 1, EMPTY + 7, KINDS - 1].map(Magazine::depth), [16, 2, 1]);
    }

    #[test]
    fn a_creation_finds_what_an_object_of_its_size_left() {
        let pages = 64;
        for pages_of in 1..=RUNS {
            let left = class_of(Some(Place::Run { page: 3, pages: pages_of }), pages);
            assert_eq!((left, class_for(pages_of * PAGE)), (Some(EMPTY + pages_of), left));
        }
        assert_eq!((class_for(0), class_of(Some(Place::None), pages)), (Some(EMPTY), Some(EMPTY)));
        assert_eq!(class_for(100), class_of(Some(Place::Cell { class: 1, page: 0, cell: 0 }), pages));
        assert_eq!(class_for(RUNS * PAGE + 1), None);
        let too_long = Place::Run { page: 0, pages: RUNS + 1 };
        let crossing = Place::Run { page: 63, pages: 2 };
        let scratch = Place::Cell { class: 1, page: 64, cell: 0 };
        for place in [too_long, crossing, scratch, Place::Record(1), Place::File(1)] {
            assert_eq!(class_of(Some(place), pages), None, "{place:?}");
        }
    }

    #[test]
    fn a_freed_run_is_taken_again_while_somebody_is_stopped_in_the_allocator() {
        let store = Store::create(StoreOptions::new(4 << 20)).unwrap();
        let other = Store::attach(store.address()).unwrap();
        let (first, second) = (ObjectId::random(), ObjectId::random());
        let address = store.put(first, &[1; 100_000]).unwrap().as_ptr();
        store.delete(first).unwrap();
        assert_eq!(store.stats().used_bytes, 0);
        let address_again = |id| store.put(id, &[2; 100_000]).unwrap().as_ptr();
        assert_eq!(address_again(first), address);
        store.delete(first).unwrap();
        let stopped = lock::acquire(&store.inner().shared, Lock::Alloc, other.client());
        assert_eq!(address_again(second), address);
        drop(stopped);
        store.delete(second).unwrap();
        // All of it is everybody's when memory is short.
        drop(other.create_object(first, (4 << 20) / 8 * 7).unwrap());
        store.check().unwrap();
    }

    #[test]
    fn threads_neither_lose_nor_double_slots() {
        let magazine = Magazine::default();
        let (threads, rounds) = (4, 5_000);
        let sum: u64 = std::thread::scope(|scope| {
            let work = |me: u32| {
                let magazine = &magazine;
                move || {
                    let mut mine = vec![at(me)];
                    for i in 0..rounds {
                        if i % 2 == 0 {
                            mine.retain(|&at| !magazine.put(2, at));
                        } else {
                            mine.extend(magazine.take(2));
                        }
                    }
                    mine
                }
            };
            let all: Vec<_> = (0..threads).map(|me| scope.spawn(work(me))).collect();
            all.into_iter().flat_map(|t| t.join().unwrap()).map(|at| u64::from(at.index) + 1).sum()
        });
        let racks = magazine.0.iter().filter_map(|racks| racks[2].cells.get()).flatten();
        let left: u64 = racks.map(|cell| cell.load(Ordering::Relaxed) & 0xffff_ffff).sum();
        assert_eq!(sum + left, (1..=u64::from(threads)).sum::<u64>());
    }
}
