//! Eviction of the least recently used (paragraphs 2, 11, 15).

use std::time::Duration;

use mobula_store::{Eviction, Lifetime, ObjectId, ObjectOptions, Store, StoreOptions};

use crate::{assert_empty, id};

const EIGHTH: usize = 128 << 10;

/// A store in which eight objects of an eighth fit, and no creation waits.
fn lru() -> Store {
    let options = StoreOptions::new(8 * EIGHTH).create_timeout(Duration::ZERO);
    Store::create(options.eviction(Eviction::LeastRecentlyUsed)).unwrap()
}

fn fill(store: &Store, ids: std::ops::Range<u8>) {
    for n in ids {
        store.put(id(n), &[n; EIGHTH]).unwrap();
    }
}

fn there(store: &Store) -> Vec<u8> {
    (0..=255).filter(|&n| store.contains(id(n))).collect()
}

#[test]
fn the_least_recently_used_goes_first_and_only_as_much_as_needed() {
    let store = lru();
    fill(&store, 0..8);
    fill(&store, 8..9);
    assert_eq!(there(&store), [1, 2, 3, 4, 5, 6, 7, 8]);
    // A get is a use, by whichever client.
    let other = Store::attach(store.address()).unwrap();
    for n in [1, 3] {
        assert_eq!(other.get(id(n), None).unwrap()[..], [n; EIGHTH]);
    }
    fill(&store, 9..11);
    assert_eq!(there(&store), [1, 3, 5, 6, 7, 8, 9, 10]);
    let hold = other.hold(id(5)).unwrap();
    drop(hold.get(None).unwrap());
    drop(hold);
    fill(&other, 11..12);
    assert_eq!(there(&store), [1, 3, 5, 7, 8, 9, 10, 11]);
    store.check().unwrap();
    for n in there(&store) {
        store.delete(id(n)).unwrap();
    }
    drop(other);
    while store.stats().clients > 1 {
        std::thread::yield_now();
    }
    assert_empty(&store);
}

#[test]
fn what_is_viewed_held_contained_or_counted_stays() {
    let store = lru();
    fill(&store, 0..3);
    let _view = store.get(id(0), None).unwrap();
    let _hold = store.hold(id(1)).unwrap();
    let child = store.hold(id(2)).unwrap();
    let _parent = store.put_with(id(3), &[3; EIGHTH / 2], &ObjectOptions::new().children(&[child])).unwrap();
    let _counted =
        store.put_with(id(4), &[4; EIGHTH], &ObjectOptions::new().lifetime(Lifetime::Counted)).unwrap().hold();
    let mut unsealed = store.create_object(id(5), EIGHTH).unwrap();
    fill(&store, 6..20);
    assert_eq!(there(&store), [0, 1, 2, 3, 4, 18, 19]);
    unsealed.fill(5);
    drop(unsealed.seal().unwrap());
    // Nothing that may go is enough.
    assert!(store.put(id(20), &[20; 6 * EIGHTH]).unwrap_err().is_store_full());
    assert_eq!(there(&store)[..5], [0, 1, 2, 3, 4]);
    for (n, byte) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)] {
        assert_eq!(store.get(id(n), Some(Duration::ZERO)).unwrap()[0], byte);
    }
    store.check().unwrap();
}

#[test]
fn a_large_object_gets_its_hole() {
    let store = lru();
    for n in 0..400u64 {
        store.put(ObjectId::from_bytes(u128::from(n).to_le_bytes()), &vec![1; 1 + (n as usize * 997) % 9_000]).unwrap();
    }
    fill(&store, 1..4);
    store.put(id(200), &vec![2; 7 * EIGHTH]).unwrap();
    assert_eq!(store.get(id(200), Some(Duration::ZERO)).unwrap().len(), 7 * EIGHTH);
    store.check().unwrap();
}

#[test]
fn a_full_table_evicts_as_well() {
    let options = StoreOptions::new(1 << 20).max_objects(64).create_timeout(Duration::ZERO);
    let store = Store::create(options.eviction(Eviction::LeastRecentlyUsed)).unwrap();
    for n in 0..200 {
        store.put(id(n), b"").unwrap();
    }
    assert_eq!(there(&store), (136..200).collect::<Vec<_>>());
    store.check().unwrap();
}

#[test]
fn a_full_table_costs_one_object_however_large_the_next_is() {
    let options = StoreOptions::new(1 << 20).max_objects(64).create_timeout(Duration::ZERO);
    let store = Store::create(options.eviction(Eviction::LeastRecentlyUsed)).unwrap();
    for n in 0..64 {
        store.put(id(n), &[n; 1000]).unwrap();
    }
    store.put(id(64), &[64; EIGHTH]).unwrap();
    assert_eq!(there(&store), (1..65).collect::<Vec<_>>());
    store.check().unwrap();
}

#[test]
fn what_has_no_memory_is_not_evicted_for_memory() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(8 * EIGHTH).create_timeout(Duration::ZERO).fallback(true).spill_dir(dir.path());
    let store = Store::create(options.eviction(Eviction::LeastRecentlyUsed)).unwrap();
    store.put(id(100), b"").unwrap();
    // All memory is pinned, so that the next one becomes a file.
    let pins: Vec<_> = (0..8).map(|n| store.put(id(n), &[n; EIGHTH]).unwrap()).collect();
    store.put(id(101), &[101; EIGHTH]).unwrap();
    assert_eq!(store.stats().fallback_bytes, EIGHTH as u64);
    drop(pins);
    for n in 0..8 {
        store.get(id(n), None).unwrap();
    }
    // Both are the oldest now.
    fill(&store, 8..16);
    assert_eq!(there(&store), [8, 9, 10, 11, 12, 13, 14, 15, 100, 101]);
    assert_eq!(store.evict(1).unwrap(), EIGHTH as u64);
    assert_eq!(there(&store), [9, 10, 11, 12, 13, 14, 15, 100, 101]);
    store.check().unwrap();
}

#[test]
fn small_objects_come_and_go_in_order() {
    let store = lru();
    let name = |n: u64| ObjectId::from_bytes(u128::from(n).to_le_bytes());
    for n in 0..20_000u64 {
        store.put(name(n), &[n as u8; 1000]).unwrap();
        // Always used, never evicted.
        assert_eq!(store.get(name(0), Some(Duration::ZERO)).unwrap()[..], [0; 1000], "at {n}");
    }
    let left: Vec<u64> = (1..20_000).filter(|&n| store.contains(name(n))).collect();
    assert!(left.len() > 900, "{} are left", left.len());
    assert_eq!(left, (20_000 - left.len() as u64..20_000).collect::<Vec<_>>(), "the last ones are left");
    store.check().unwrap();
}

#[test]
fn evict_frees_what_it_says() {
    let store = lru();
    fill(&store, 0..6);
    let used = store.stats().used_bytes;
    assert_eq!(store.evict(0).unwrap(), 0);
    assert_eq!(store.evict(1).unwrap(), EIGHTH as u64);
    assert_eq!(there(&store), [1, 2, 3, 4, 5]);
    assert_eq!(store.evict(EIGHTH as u64 + 1).unwrap(), 2 * EIGHTH as u64);
    assert_eq!(store.stats().used_bytes, used - 3 * EIGHTH as u64);
    let _view = store.get(id(4), None).unwrap();
    assert_eq!(store.evict(u64::MAX).unwrap(), 2 * EIGHTH as u64);
    assert_eq!(there(&store), [4]);
    assert_eq!(store.evict(u64::MAX).unwrap(), 0);
    store.check().unwrap();
}

#[test]
fn without_the_option_nothing_goes() {
    let store = Store::create(StoreOptions::new(8 * EIGHTH).create_timeout(Duration::ZERO)).unwrap();
    fill(&store, 0..8);
    assert!(store.put(id(8), &[8; EIGHTH]).unwrap_err().is_store_full());
    assert_eq!(store.evict(u64::MAX).unwrap(), 0);
    assert_eq!(there(&store).len(), 8);
}

#[test]
fn racing_getters_and_creators_see_whole_objects_or_none() {
    let store = lru();
    let other = Store::attach(store.address()).unwrap();
    std::thread::scope(|scope| {
        for (client, from) in [(&store, 0u8), (&other, 100), (&store, 200)] {
            scope.spawn(move || {
                for n in 0..2_000u32 {
                    let n = from + (n % 50) as u8;
                    match client.put(id(n), &vec![n; EIGHTH / 4]) {
                        Ok(_) => {}
                        Err(error) => assert!(error.is_exists() || error.is_store_full(), "{error}"),
                    }
                }
            });
        }
        for client in [&store, &other] {
            scope.spawn(move || {
                for n in 0..20_000u32 {
                    let n = (n % 250) as u8;
                    if let Ok(view) = client.get(id(n), Some(Duration::ZERO)) {
                        assert!(view.iter().step_by(4096).all(|&byte| byte == n));
                    }
                }
            });
        }
    });
    store.check().unwrap();
    store.evict(u64::MAX).unwrap();
    assert_eq!(there(&store), []);
    drop(other);
    while store.stats().clients > 1 {
        std::thread::yield_now();
    }
    assert_empty(&store);
}
