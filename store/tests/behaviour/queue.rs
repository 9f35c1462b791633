//! The queue of creations in a full store (paragraph 15).

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mobula_store::{ObjectBuffer, ObjectOptions, Result, Store, StoreOptions};

use crate::{assert_empty, id};

const EIGHTH: usize = 128 << 10;
/// As long as a smaller request may overtake.
const GRACE: Duration = Duration::from_millis(50);
/// Longer than any test needs.
const LONG: Duration = Duration::from_secs(60);

/// A store of eight eighths, all of which are taken by objects 0 to 7.
fn full() -> Store {
    let store = Store::create(StoreOptions::new(8 * EIGHTH).create_timeout(LONG)).unwrap();
    for n in 0..8 {
        store.put(id(n), &[n; EIGHTH]).unwrap();
    }
    store
}

fn queued(store: &Store, count: u64) {
    let start = Instant::now();
    while store.stats().queued_creates != count {
        assert!(start.elapsed() < LONG, "{} creations queue, not {count}", store.stats().queued_creates);
        thread::yield_now();
    }
}

fn create(store: &Store, n: u8, len: usize, timeout: Duration) -> Result<ObjectBuffer> {
    store.create_object_with(id(n), len, &ObjectOptions::new().timeout(timeout))
}

/// Sleeps until requests that are queued by now are too old to be overtaken.
fn age() {
    let start = Instant::now();
    while start.elapsed() <= GRACE {
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn first_come_first_served() {
    let store = full();
    let served = AtomicU32::new(0);
    thread::scope(|scope| {
        let mut places = Vec::new();
        for n in 0..8u8 {
            let (store, served) = (&store, &served);
            let client = Store::attach(store.address()).unwrap();
            places.push(scope.spawn(move || {
                let buffer = create(&client, 100 + n, EIGHTH, LONG).unwrap();
                let place = served.fetch_add(1, Ordering::SeqCst);
                drop(buffer.seal().unwrap());
                place
            }));
            queued(store, u64::from(n) + 1);
        }
        for n in 0..8u8 {
            store.delete(id(n)).unwrap();
            queued(&store, 7 - u64::from(n));
            while served.load(Ordering::SeqCst) <= u32::from(n) {
                thread::yield_now();
            }
        }
        let places: Vec<_> = places.into_iter().map(|place| place.join().unwrap()).collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 5, 6, 7]);
    });
    for n in 100..108 {
        store.delete(id(n)).unwrap();
    }
    while store.stats().clients > 1 {
        thread::yield_now();
    }
    assert_empty(&store);
}

#[test]
fn smaller_ones_overtake_a_request_that_is_young() {
    let store = full();
    // On a machine that is busy the request may have aged before the smaller one comes: then again.
    for _ in 0..1000 {
        let start = Instant::now();
        let done = thread::scope(|scope| {
            let large = scope.spawn(|| create(&store, 100, 2 * EIGHTH, LONG).unwrap());
            queued(&store, 1);
            store.delete(id(0)).unwrap();
            let small = create(&store, 101, EIGHTH, Duration::ZERO);
            let in_time = start.elapsed() < GRACE;
            // Of the same size: never.
            let equal = create(&store, 102, 2 * EIGHTH, Duration::ZERO);
            assert!(equal.unwrap_err().is_store_full());
            assert!(small.is_ok() || !in_time, "{:?}", small.err());
            let overtook = small.is_ok();
            drop(small);
            store.delete(id(1)).unwrap();
            drop(large.join().unwrap());
            overtook
        });
        if done {
            return;
        }
        store.put(id(0), &[0; EIGHTH]).unwrap();
        store.put(id(1), &[1; EIGHTH]).unwrap();
    }
    panic!("the smaller request never came in time");
}

#[test]
fn memory_is_kept_for_a_request_that_has_aged() {
    let store = full();
    let other = Store::attach(store.address()).unwrap();
    thread::scope(|scope| {
        let large = scope.spawn(|| create(&store, 100, 2 * EIGHTH, LONG).unwrap());
        queued(&store, 1);
        age();
        store.delete(id(0)).unwrap();
        // There is memory for it, but not for it.
        for len in [1, 1000, EIGHTH] {
            assert!(create(&other, 101, len, Duration::ZERO).unwrap_err().is_store_full());
        }
        // What needs no memory is not kept from anybody.
        drop(create(&other, 102, 0, Duration::ZERO).unwrap());
        drop(other.promise(id(102)).unwrap());
        let small = scope.spawn(|| create(&other, 103, 1000, LONG).unwrap());
        queued(&store, 2);
        store.delete(id(1)).unwrap();
        let large = large.join().unwrap();
        assert_eq!(store.stats().queued_creates, 1, "the small one waits");
        // Now its turn has come, when there is memory.
        store.delete(id(2)).unwrap();
        drop(small.join().unwrap());
        drop(large);
    });
    assert_eq!(store.stats().queued_creates, 0);
}

#[test]
fn a_request_that_gives_up_frees_the_way() {
    let store = full();
    store.delete(id(0)).unwrap();
    let patience = GRACE * 6;
    thread::scope(|scope| {
        let start = Instant::now();
        let large = scope.spawn(|| create(&store, 100, 2 * EIGHTH, patience).unwrap_err());
        queued(&store, 1);
        age();
        // Nothing is freed from now on: it is served because the other one gives up.
        let small = create(&store, 101, EIGHTH, LONG).unwrap();
        assert!(start.elapsed() >= patience, "it was kept until the deadline of the other");
        assert!(large.join().unwrap().is_store_full());
        drop(small);
    });
}

#[test]
fn refusal_comes_at_the_deadline_and_not_earlier() {
    let store = full();
    for millis in [1, 20, 120] {
        let patience = Duration::from_millis(millis);
        let start = Instant::now();
        let error = create(&store, 100, EIGHTH, patience).unwrap_err();
        assert!(error.is_store_full() && start.elapsed() >= patience, "{error}");
        assert!(error.to_string().contains(&format!("within {patience:?}")), "{error}");
    }
    // Of two, the one whose time is over first gives up first, whoever came first.
    let order = AtomicU32::new(0);
    let order = &order;
    thread::scope(|scope| {
        let wait = |n: u8, patience| {
            let store = &store;
            scope.spawn(move || {
                assert!(create(store, n, EIGHTH, patience).unwrap_err().is_store_full());
                order.fetch_add(1, Ordering::SeqCst)
            })
        };
        let later = wait(100, GRACE * 20);
        queued(&store, 1);
        let sooner = wait(101, GRACE * 2);
        assert_eq!((sooner.join().unwrap(), later.join().unwrap()), (0, 1));
    });
}

#[test]
fn a_zero_timeout_does_not_queue() {
    let store = full();
    thread::scope(|scope| {
        let tries = scope.spawn(|| {
            for _ in 0..200 {
                assert!(create(&store, 100, EIGHTH, Duration::ZERO).unwrap_err().is_store_full());
            }
        });
        while !tries.is_finished() {
            assert_eq!(store.stats().queued_creates, 0);
        }
    });
}

#[test]
fn ones_own_unsealed_objects_do_not_deadlock() {
    let store = Store::create(StoreOptions::new(8 * EIGHTH).create_timeout(GRACE)).unwrap();
    let mut mine: Vec<_> = (0..8).map(|n| store.create_object(id(n), EIGHTH).unwrap()).collect();
    assert!(store.create_object(id(8), EIGHTH).unwrap_err().is_store_full());
    mine.pop();
    mine.push(store.create_object(id(8), EIGHTH).unwrap());
    drop(mine);
    assert_empty(&store);
}

#[test]
fn small_requests_are_served_beside_a_stream_of_large_ones() {
    let store = Store::create(StoreOptions::new(8 * EIGHTH).create_timeout(LONG)).unwrap();
    thread::scope(|scope| {
        for thread in 0..3u8 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..50 {
                    let view = store.put(id(thread), &vec![thread; 5 * EIGHTH]).unwrap();
                    store.delete(id(thread)).unwrap();
                    drop(view);
                }
            });
        }
        for thread in 10..13u8 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..200 {
                    let view = store.put(id(thread), &[thread; 4 * (16 << 10)]).unwrap();
                    store.delete(id(thread)).unwrap();
                    drop(view);
                }
            });
        }
    });
    assert_eq!(store.stats().queued_creates, 0);
    assert_empty(&store);
}

#[test]
fn more_requests_than_places_are_all_served() {
    let store = Store::create(StoreOptions::new(8 * EIGHTH).create_timeout(LONG)).unwrap();
    let all = store.put(id(0), &vec![0; 7 * EIGHTH]).unwrap();
    thread::scope(|scope| {
        for n in 0..1100u64 {
            let store = &store;
            let work = move || {
                let mut bytes = [7; 16];
                bytes[..8].copy_from_slice(&n.to_le_bytes());
                let id = mobula_store::ObjectId::from_bytes(bytes);
                drop(store.create_object(id, 3 * EIGHTH).unwrap());
            };
            thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, work).unwrap();
        }
        queued(&store, 1024);
        store.delete(id(0)).unwrap();
        drop(all);
    });
    assert_eq!(store.stats().queued_creates, 0);
    assert_empty(&store);
}
