//! Compaction of a real store: what is asked for appears, and every byte is where its object says.

use super::*;
use crate::alloc::Alloc;
use crate::{ObjectId, Store, StoreOptions};

fn id(n: u64) -> ObjectId {
    ObjectId::from_words([n, !n])
}

fn content(n: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (n as usize * 31 + i * 7) as u8).collect()
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

fn verify(store: &Store, live: &[(u64, usize)]) {
    for &(n, len) in live {
        assert!(store.get(id(n), None).unwrap()[..] == content(n, len), "object {n} of {len} bytes");
    }
    store.check().unwrap();
}

/// Fills a store with objects of all sizes and takes one in ten away, several times.
fn worn(capacity: usize, random: &mut Random) -> (Store, Vec<(u64, usize)>) {
    let store = Store::create(StoreOptions::new(capacity)).unwrap();
    let (mut live, mut next) = (Vec::new(), 0);
    for _ in 0..4 {
        loop {
            let len = 1 << (6 + random.below(11));
            let len = len + random.below(len);
            next += 1;
            let options = crate::ObjectOptions::new().timeout(std::time::Duration::ZERO);
            match store.put_with(id(next), &content(next, len), &options) {
                Ok(_) => live.push((next, len)),
                Err(error) => {
                    assert!(error.is_store_full());
                    break;
                }
            }
        }
        let stats = store.stats();
        while store.stats().free_bytes < stats.capacity_bytes / 10 {
            let (n, _) = live.swap_remove(random.below(live.len()));
            store.delete(id(n)).unwrap();
        }
    }
    (store, live)
}

#[test]
fn half_of_what_is_free_becomes_one_piece() {
    for seed in 1..=6 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed));
        let (store, live) = worn(8 << 20, &mut random);
        let stats = store.stats();
        let pages = (stats.free_bytes / 2) as usize / PAGE;
        let actor = store.inner().actor();
        let mover = Mover::lock(actor);
        assert!(compact(&mover, actor, pages), "seed {seed}: {pages} pages of {stats:?}");
        drop(mover);
        let largest = Alloc::lock(actor.shared, actor.me).largest_free();
        assert!(largest >= pages * PAGE, "seed {seed}: {largest} in one piece, {pages} pages were asked for");
        assert_eq!(store.stats().used_bytes, stats.used_bytes);
        verify(&store, &live);
    }
}

#[test]
fn objects_larger_than_the_holes_go_through_the_scratch() {
    let store = Store::create(StoreOptions::new(4 << 20)).unwrap();
    // Small holes between large objects.
    let lens: Vec<usize> = (0..16).map(|i| if i % 2 == 0 { PAGE } else { 31 * PAGE }).collect();
    for (n, &len) in lens.iter().enumerate() {
        store.put(id(n as u64), &content(n as u64, len)).unwrap();
    }
    let rest = store.stats().largest_free_bytes as usize;
    store.put(id(99), &content(99, rest)).unwrap();
    for n in (0..16).step_by(2) {
        store.delete(id(n)).unwrap();
    }
    assert_eq!(store.stats().largest_free_bytes as usize, PAGE);
    let actor = store.inner().actor();
    let mover = Mover::lock(actor);
    assert!(compact(&mover, actor, 4));
    drop(mover);
    assert!(store.stats().largest_free_bytes as usize >= 4 * PAGE);
    assert!(scratch_is_empty(actor));
    verify(&store, &(1..16).step_by(2).map(|n| (n, 31 * PAGE)).chain([(99, rest)]).collect::<Vec<_>>());
}

#[test]
fn what_is_viewed_stays_where_it_is() {
    let store = Store::create(StoreOptions::new(1 << 20)).unwrap();
    let pages = store.stats().capacity_bytes as usize / PAGE;
    for n in 0..pages as u64 {
        store.put(id(n), &content(n, PAGE)).unwrap();
    }
    let pinned = store.get(id(7), None).unwrap();
    let address = pinned.as_ptr();
    for n in (0..pages as u64).step_by(2) {
        store.delete(id(n)).unwrap();
    }
    let actor = store.inner().actor();
    let mover = Mover::lock(actor);
    assert!(compact(&mover, actor, pages / 4));
    assert!(!compact(&mover, actor, pages / 2), "the pinned one is in the way");
    drop(mover);
    assert!(pinned.as_ptr() == address && pinned[..] == content(7, PAGE));
    verify(&store, &(1..pages as u64).step_by(2).map(|n| (n, PAGE)).collect::<Vec<_>>());
}

/// Moves an object to the start of the scratch, as a compaction that is cut short leaves it.
fn strand(store: &Store, n: u64) {
    let actor = store.inner().actor();
    let (at, state) = crate::index::find(actor.shared, id(n)).unwrap();
    let page = actor.shared.layout.scratch();
    let place = match Slot::of(actor.shared, at.index).place(state).unwrap() {
        Place::Cell { class, cell, .. } => Place::Cell { class, page, cell },
        Place::Run { pages, .. } => Place::Run { page, pages },
        other => panic!("{other:?}"),
    };
    Mover::lock(actor).relocate(at, |_| Ok(place)).unwrap();
    assert!(!scratch_is_empty(actor));
}

#[test]
fn what_is_viewed_in_the_scratch_is_not_written_over() {
    let store = Store::create(StoreOptions::new(4 << 20)).unwrap();
    for n in 0..16 {
        store.put(id(n), &content(n, if n % 2 == 0 { PAGE } else { 31 * PAGE })).unwrap();
    }
    strand(&store, 3);
    let stranded = store.get(id(3), None).unwrap();
    for n in (0..16).step_by(2) {
        store.delete(id(n)).unwrap();
    }
    let actor = store.inner().actor();
    let largest = store.stats().largest_free_bytes as usize;
    // Others go through the scratch behind it.
    assert!(compact(&Mover::lock(actor), actor, largest / PAGE + 4));
    assert!(stranded[..] == content(3, 31 * PAGE), "the bytes of a view changed");
    drop(stranded);
    for n in [13, 15] {
        store.delete(id(n)).unwrap();
    }
    let largest = store.stats().largest_free_bytes as usize;
    assert!(compact(&Mover::lock(actor), actor, largest / PAGE + 2));
    assert!(scratch_is_empty(actor));
    verify(&store, &(1..13).step_by(2).map(|n| (n, 31 * PAGE)).collect::<Vec<_>>());
}

#[test]
fn who_is_stranded_comes_home_though_its_hole_is_taken() {
    let store = Store::create(StoreOptions::new(4 << 20)).unwrap();
    let lens = |n: u64| if n.is_multiple_of(2) { PAGE } else { 7 * PAGE };
    for n in 0..64 {
        store.put(id(n), &content(n, lens(n))).unwrap();
    }
    strand(&store, 31);
    store.put(id(99), &content(99, lens(31))).unwrap();
    for n in (0..64).step_by(2) {
        store.delete(id(n)).unwrap();
    }
    let stats = store.stats();
    assert_eq!((stats.largest_free_bytes as usize, stats.free_bytes as usize), (PAGE, (32 - 7) * PAGE));
    let actor = store.inner().actor();
    assert!(compact(&Mover::lock(actor), actor, 12));
    assert!(scratch_is_empty(actor));
    let scratch = actor.shared.layout.scratch() * PAGE;
    assert!(!crate::arena::is_committed(actor.shared, scratch / CHUNK), "the scratch has no memory afterwards");
    verify(&store, &(1..64).step_by(2).chain([99]).map(|n| (n, lens(n))).collect::<Vec<_>>());
}

#[test]
fn memory_in_the_scratch_is_not_kept_for_the_next_object() {
    let store = Store::create(StoreOptions::new(1 << 20)).unwrap();
    store.put(id(1), &content(1, 1000)).unwrap();
    strand(&store, 1);
    store.delete(id(1)).unwrap();
    store.put(id(2), &content(2, 1000)).unwrap();
    assert!(scratch_is_empty(store.inner().actor()));
    verify(&store, &[(2, 1000)]);
}
