//! The allocator against its own truth, over random sequences.

use super::*;
use crate::ctl::Ctl;
use crate::layout::Layout;

fn shared(capacity: usize, slots: usize) -> Shared {
    let layout = Layout::new(capacity, slots, 2).unwrap();
    let shared = Shared::new(Ctl::heap(layout.len), layout);
    initialise(&shared, key(0));
    shared
}

fn key(index: u16) -> ClientKey {
    ClientKey { index, generation: 0 }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

#[test]
fn classes_are_ascending_multiples_of_64_that_fit_their_bitmaps() {
    assert!(CLASSES.windows(2).all(|w| w[0] < w[1]));
    for (class, size) in CLASSES.into_iter().enumerate() {
        assert!(size.is_multiple_of(64) && spans::cells(class) <= 256 && spans::cells(class) >= 4);
        assert_eq!(class_of(size), Some(class));
        assert_eq!(class_of(size - 63), Some(class));
    }
    assert_eq!(class_of(CLASSES[CLASSES.len() - 1] + 1), None);
}

#[test]
fn random_work_keeps_the_invariants_and_gives_all_back() {
    for seed in 1..20 {
        let shared = shared(2 << 20, 256);
        let mut random = Random(seed * 0x9e37_79b9);
        let mut live: Vec<(SlotRef, Place)> = Vec::new();
        for step in 0..2_000 {
            let mut alloc = Alloc::lock(&shared, key(0));
            if random.below(5) < 3 {
                let bits = random.below(19);
                let bytes = random.below(1 << bits) + random.below(2);
                if let Ok((at, block)) = alloc.reserve(key(0), bytes) {
                    assert!(block.bytes() >= bytes && block.offset().unwrap() % 64 == 0);
                    let start = |b: Place| b.offset().unwrap();
                    let end = |b: Place| start(b) + b.bytes();
                    let apart = |b: Place| b.bytes() == 0 || end(b) <= start(block) || end(block) <= start(b);
                    assert!(
                        block.bytes() == 0 || live.iter().all(|&(_, b)| apart(b)),
                        "seed {seed} step {step}: {block:?}"
                    );
                    live.push((at, block));
                }
            } else if !live.is_empty() {
                let (at, _) = live.swap_remove(random.below(live.len()));
                alloc.release(at);
            }
            if step % 97 == 0 {
                assert_eq!(verify(&alloc), Vec::<String>::new(), "seed {seed} step {step}");
            }
            if step % 500 == 499 {
                let before = alloc.get(A_USED);
                rebuild(&mut alloc);
                assert_eq!(
                    (verify(&alloc), alloc.get(A_USED)),
                    (Vec::new(), before),
                    "rebuilt, seed {seed} step {step}"
                );
            }
        }
        let mut alloc = Alloc::lock(&shared, key(0));
        for (at, _) in live {
            alloc.release(at);
        }
        assert_eq!((verify(&alloc), alloc.get(A_USED)), (Vec::new(), 0));
        assert_eq!(alloc.largest_free(), shared.layout.capacity, "everything merged");
    }
}

#[test]
fn a_lock_taken_over_from_the_dead_is_repaired_first() {
    let shared = shared(1 << 20, 64);
    let (at, _) = Alloc::lock(&shared, key(1)).reserve(key(1), 5000).unwrap();
    // The owner dies in the middle: lists are garbage, the slot is not.
    let dying = lock::acquire(&shared, Lock::Alloc, key(1));
    std::mem::forget(dying);
    for field in [A_USED, A_FREE_SLOT, A_BINS, A_BINS + 8 * 5, A_SPANS] {
        shared.ctl.u64(shared.layout.alloc_at + field).store(u64::MAX >> 8, Ordering::Relaxed);
    }
    let guard = lock::take_over(&shared, Lock::Alloc, key(1), key(0)).unwrap();
    let mut alloc = Alloc::with(&shared, key(0), guard);
    assert_eq!(verify(&alloc), Vec::<String>::new());
    alloc.release(at);
    assert_eq!(alloc.largest_free(), shared.layout.capacity);
}
