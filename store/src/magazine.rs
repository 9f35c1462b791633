//! Magazines: free slots with their memory that a client keeps for its next creations.
//!
//! A slot that a client frees stays CACHED in its name with the cell of the arena that it had, and
//! the next object of that size class takes both without a lock. The slot's state is the truth:
//! whoever is short of memory takes CACHED slots of any client away with one compare-and-swap, and
//! the reaper takes those of the dead. A magazine only remembers where they are; what it remembers
//! may be gone already.
//!
//! ```text
//!   one array of cells a class, {generation:32 | slot + 1:32}; taking one is a swap with 0,
//!   putting one a compare-and-swap of 0; a hint says where the last one lies
//! ```

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::alloc::CLASSES;
use crate::slot::SlotRef;

/// Magazines of a client: its threads are spread over them.
const STRIPES: usize = 4;
/// How many slots of a class a magazine keeps.
const DEPTH: usize = 256;
/// How many bytes of a class a magazine keeps, but always one slot.
const BYTES: usize = 256 << 10;
/// How far from the hint a place for a slot is looked for.
const TRIES: usize = 8;
/// The class of objects without memory.
pub(crate) const EMPTY: usize = CLASSES.len();

/// The free slots that one client keeps.
#[derive(Debug)]
pub(crate) struct Magazine([[Rack; EMPTY + 1]; STRIPES]);

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
        CLASSES.get(class).map_or(DEPTH, |size| (BYTES / size).clamp(1, DEPTH))
    }

    #[inline]
    fn rack(&self, class: usize) -> &Rack {
        &self.0[stripe()][class.min(EMPTY)]
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
