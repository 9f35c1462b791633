//! Spilling ahead of need (paragraph 20): before a creation has to wait for the disk.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use mobula_store::{Eviction, ObjectState, Store, StoreOptions, StoreStats};

use crate::id;

const MIB: usize = 1 << 20;

/// A store of 16 MiB: from 12.8 on objects go to disk, until it is 12.
fn options(dir: &Path) -> StoreOptions {
    StoreOptions::new(16 * MIB).spill_dir(dir)
}

fn content(n: u8) -> Vec<u8> {
    (0..MIB).map(|i| n.wrapping_mul(37).wrapping_add((i * 11) as u8)).collect()
}

fn put(store: &Store, objects: std::ops::RangeInclusive<u8>) {
    objects.for_each(|n| drop(store.put(id(n), &content(n)).unwrap()));
}

fn eventually(store: &Store, what: &str, condition: impl Fn(&StoreStats) -> bool) {
    let start = Instant::now();
    while !condition(&store.stats()) {
        assert!(start.elapsed() < Duration::from_secs(20), "not {what}: {:?}", store.stats());
        thread::yield_now();
    }
}

fn has_stopped(stats: &StoreStats) -> bool {
    stats.used_bytes <= 12 * MIB as u64
}

#[test]
fn a_burst_finds_room_made_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(options(dir.path())).unwrap();
    let other = Store::attach(store.address()).unwrap();
    put(&store, 1..=12);
    assert_eq!(store.stats().spilled_objects, 0, "three quarters are no reason");
    assert!(other.get(id(1), None).unwrap()[..] == content(1));
    // Whoever creates asks, not only the process that serves the store.
    put(&other, 13..=14);
    eventually(&store, "three quarters again", has_stopped);
    let state = |n| store.info(id(n)).unwrap().state;
    assert_eq!((state(1), state(2)), (ObjectState::Sealed, ObjectState::Spilled), "the least recently used goes first");
    put(&store, 15..=16);
    eventually(&store, "three quarters again", has_stopped);
    store.check().unwrap();
    for n in 1..=16 {
        assert!(other.get(id(n), None).unwrap()[..] == content(n), "object {n}");
    }
}

#[test]
fn who_reads_more_than_three_quarters_has_it_all_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(options(dir.path())).unwrap();
    put(&store, 1..=15);
    eventually(&store, "three quarters", has_stopped);
    eventually(&store, "all back", |stats| {
        (1..=15).for_each(|n| drop(store.get(id(n), None).unwrap()));
        stats.spilled_objects == 0
    });
    // Nothing has been created since, so that nothing goes.
    for _ in 0..100 {
        (1..=15).for_each(|n| drop(store.get(id(n), None).unwrap()));
        assert_eq!(store.stats().spilled_objects, 0);
    }
}

#[test]
fn what_is_viewed_stays_and_goes_when_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(options(dir.path())).unwrap();
    let views: Vec<_> = (1..=14).map(|n| store.put(id(n), &content(n)).unwrap()).collect();
    assert_eq!(store.stats().spilled_objects, 0);
    drop(views);
    put(&store, 15..=15);
    eventually(&store, "three quarters", has_stopped);
    store.check().unwrap();
}

#[test]
fn a_store_that_evicts_or_does_not_spill_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for options in [options(dir.path()).eviction(Eviction::LeastRecentlyUsed), StoreOptions::new(16 * MIB)] {
        let store = Store::create(options).unwrap();
        put(&store, 1..=15);
        assert_eq!(store.stats().spilled_objects, 0);
        assert_eq!(store.stats().objects, 15);
    }
}

#[test]
fn a_store_that_ends_while_it_spills_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..10 {
        let store = Store::create(options(dir.path())).unwrap();
        put(&store, 1..=15);
        drop(store);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
