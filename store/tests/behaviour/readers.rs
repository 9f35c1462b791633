//! Read-only clients (paragraph 12).

use std::time::{Duration, Instant};

use mobula_store::{Deleted, Eviction, HoldState, Lifetime, ObjectId, ObjectOptions, ObjectState, RingError, Segment};
use mobula_store::{Store, StoreOptions};

use crate::{assert_empty, id, store};

const FULL: Option<Duration> = Some(Duration::from_secs(20));

fn reader(store: &Store) -> Store {
    Store::attach_read_only(store.address()).unwrap()
}

fn counted() -> ObjectOptions {
    ObjectOptions::new().lifetime(Lifetime::Counted)
}

/// Waits until a condition holds: what a reader wants done, the server does.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} did not come true");
        std::thread::yield_now();
    }
}

#[test]
fn a_reader_sees_everything() {
    let store = store();
    let reader = reader(&store);
    store.put_with(id(1), &[1; 100_000], &ObjectOptions::new().metadata(b"meta")).unwrap();
    store.put(id(2), b"").unwrap();
    let unsealed = store.create_object(id(3), 10).unwrap();
    let view = reader.get(id(1), None).unwrap();
    assert_eq!((&view[..], view.metadata()), (&[1; 100_000][..], &b"meta"[..]));
    assert!(reader.get(id(3), Some(Duration::ZERO)).unwrap_err().is_timeout());
    let many = reader.get_many(&[id(2), id(3), id(2)], Some(Duration::ZERO)).unwrap();
    assert_eq!(many.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert!(reader.contains(id(1)) && !reader.contains(id(3)) && reader.exists(id(3)));
    let (ready, pending) = reader.wait(&[id(3), id(1)], 1, None).unwrap();
    assert_eq!((ready, pending), (vec![id(1)], vec![id(3)]));
    assert_eq!(reader.list().len(), 3);
    assert_eq!(reader.info(id(3)).unwrap().state, ObjectState::Created);
    let holders = store.info(id(1)).unwrap().holders;
    assert_eq!(holders.len(), 1);
    assert_eq!((holders[0].pid, holders[0].views, holders[0].holds), (std::process::id(), 1, 0));
    assert_eq!(reader.stats(), store.stats());
    assert_eq!(reader.check().unwrap(), store.check().unwrap());
    assert_eq!(store.stats().clients, 2);
    let hold = view.hold();
    drop((many, view));
    assert_eq!((hold.state(), hold.get(None).unwrap().len()), (HoldState::Sealed, 100_000));
    drop((hold, unsealed, reader));
    eventually("the reader is gone", || store.stats().clients == 1);
    store.delete(id(1)).unwrap();
    store.delete(id(2)).unwrap();
    assert_empty(&store);
}

#[test]
fn whatever_would_change_the_store_is_refused() {
    let store = store();
    let reader = reader(&store);
    store.put(id(1), b"kept").unwrap();
    assert!(reader.create_object(id(2), 1).unwrap_err().is_read_only());
    assert!(reader.create_object(id(1), usize::MAX).unwrap_err().is_read_only());
    assert!(reader.put(id(2), b"x").unwrap_err().is_read_only());
    assert!(reader.put(id(2), &[0; 1 << 20]).unwrap_err().is_read_only());
    assert!(reader.put_with(id(2), b"x", &counted()).unwrap_err().is_read_only());
    assert!(reader.delete(id(1)).unwrap_err().is_read_only());
    assert!(reader.delete(id(9)).unwrap_err().is_read_only());
    assert!(reader.evict(0).unwrap_err().is_read_only());
    assert!(reader.hold(id(1)).unwrap_err().is_read_only());
    assert!(reader.promise(id(2)).unwrap_err().is_read_only());
    let error = reader.delete(id(1)).unwrap_err();
    assert!(!error.is_permission_denied() && error.to_string().contains(store.address()), "{error}");
    assert_eq!(reader.open_ring(store.client()).unwrap_err(), RingError::ReadOnly);
    assert!(reader.mailbox().is_none());
    reader.reap(store.client());
    reader.wake_reclaim_waiters();
    reader.bell().kick();
    assert!(reader.is_alive(store.client()));
    assert_eq!(reader.wait_reclaim(0, Some(Duration::ZERO)), store.wait_reclaim(0, Some(Duration::ZERO)));
    // Refused before anything is mapped, as for any client.
    assert!(Store::attach_read_only("/no/such/store").unwrap_err().is_disconnected());
    assert_eq!(&store.get(id(1), None).unwrap()[..], b"kept");
    store.check().unwrap();
}

#[test]
fn seals_wake_readers() {
    let store = store();
    for round in 0..50 {
        let (one, other) = (ObjectId::random(), ObjectId::random());
        let reader = reader(&store);
        std::thread::scope(|scope| {
            let gets = scope.spawn(|| reader.get(one, FULL).unwrap()[0]);
            let waits = scope.spawn(|| reader.wait(&[one, other], 2, FULL).unwrap());
            if round % 2 == 0 {
                // They sleep by then, more often than not.
                std::thread::sleep(Duration::from_millis(2));
            }
            let start = Instant::now();
            drop(store.put(one, &[7]).unwrap());
            drop(store.put(other, &[8]).unwrap());
            assert_eq!(gets.join().unwrap(), 7);
            assert!(waits.join().unwrap().1.is_empty());
            // Not the slice of a second after which every sleeper looks by itself.
            assert!(start.elapsed() < Duration::from_millis(900), "round {round}");
        });
    }
}

#[test]
fn what_a_reader_views_stays_until_it_is_dropped() {
    let store = store();
    let reader = reader(&store);
    let other = self::reader(&store);
    for (n, options) in [(1, ObjectOptions::new()), (2, counted())] {
        drop(store.put_with(id(n), &[n; 10_000], &options).unwrap().hold());
        let hold = (n == 2).then(|| store.put_with(id(n), &[n; 10_000], &options).unwrap().hold());
        let (view, second) = (reader.get(id(n), None).unwrap(), other.get(id(n), None).unwrap());
        drop(hold);
        if n == 1 {
            assert_eq!(store.delete(id(n)).unwrap(), Deleted::AtLastRelease);
            assert!(!reader.contains(id(n)) && reader.get(id(n), Some(Duration::ZERO)).is_err());
        }
        drop(second);
        // Another object of the same size must not come to lie there.
        let others: Vec<_> = (10..200).map(|m| store.put(id(m), &[m; 10_000]).unwrap()).collect();
        assert_eq!(view[..], [n; 10_000]);
        drop(others);
        assert!((10..200).all(|m| store.delete(id(m)).unwrap() == Deleted::Now));
        let clone = view.clone();
        drop(view);
        assert_eq!(clone[..], [n; 10_000]);
        drop(clone);
        eventually("its memory is free", || store.stats().used_bytes == 0);
    }
    assert_empty(&store);
}

#[test]
fn a_creation_that_waits_gets_what_a_reader_drops() {
    let store = Store::create(StoreOptions::new(4 << 20).eviction(Eviction::LeastRecentlyUsed)).unwrap();
    let reader = reader(&store);
    store.put(id(1), &[1; 3 << 20]).unwrap();
    let view = reader.get(id(1), None).unwrap();
    let now = ObjectOptions::new().timeout(Duration::ZERO);
    assert!(store.put_with(id(2), &[2; 3 << 20], &now).unwrap_err().is_store_full());
    let options = ObjectOptions::new().timeout(Duration::from_secs(20));
    std::thread::scope(|scope| {
        let put = scope.spawn(|| drop(store.put_with(id(2), &[2; 3 << 20], &options).unwrap()));
        eventually("it queues", || store.stats().queued_creates == 1);
        drop(view);
        put.join().unwrap();
    });
    assert!(!reader.contains(id(1)) && reader.contains(id(2)));
}

#[test]
fn a_word_that_counts_for_several_objects_keeps_all_of_them() {
    let store = Store::create(StoreOptions::new(16 << 20).max_objects(1 << 18)).unwrap();
    let reader = reader(&store);
    let ids: Vec<_> = (0..150_000u32).map(|_| ObjectId::random()).collect();
    ids.iter().for_each(|&id| drop(store.put(id, b"").unwrap()));
    let view = reader.get(ids[70_000], None).unwrap();
    let gone = ids.iter().filter(|&&id| store.delete(id).unwrap() == Deleted::Now).count();
    // The viewed one, and those whose slots differ from its by multiples of 64 Ki.
    assert!((ids.len() - 3..ids.len()).contains(&gone), "{gone}");
    assert!(ids.iter().all(|&id| !reader.contains(id)));
    drop(view);
    eventually("all are gone", || store.stats().objects == 0);
    assert_empty(&store);
}

#[test]
fn spilled_objects_are_read_where_they_are_and_viewed_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(StoreOptions::new(4 << 20).spill_dir(folder.path())).unwrap();
    let reader = reader(&store);
    store.put(id(0), &[0; 500_000]).unwrap();
    let view = reader.get(id(0), None).unwrap();
    (1..40).for_each(|n| drop(store.put(id(n), &[n; 500_000]).unwrap()));
    assert_eq!(reader.info(id(0)).unwrap().state, ObjectState::Sealed);
    assert!(reader.stats().spilled_objects > 20);
    for n in 0..40 {
        assert_eq!(reader.get(id(n), None).unwrap()[..], [n; 500_000]);
    }
    assert_eq!(view[..], [0; 500_000]);
    drop(view);
    store.check().unwrap();
}

#[test]
fn readers_come_and_go_beside_writers() {
    let store = store();
    let known: Vec<_> = (0..8).map(id).collect();
    std::thread::scope(|scope| {
        for thread in 0..2u8 {
            let (store, known) = (store.clone(), &known);
            scope.spawn(move || {
                for round in 0..300u32 {
                    let id = known[(round as usize + thread as usize) % 8];
                    let _ = store.put_with(id, &[round as u8; 20_000], &ObjectOptions::new());
                    let _ = store.delete(known[round as usize % 8]);
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let reader = reader(&store);
                    for &id in known.iter().cycle().take(200) {
                        if let Ok(view) = reader.get(id, Some(Duration::ZERO)) {
                            assert!(view.iter().all(|byte| *byte == view[0]));
                        }
                    }
                }
            });
        }
    });
    known.iter().for_each(|&id| drop(store.delete(id)));
    eventually("all are gone", || store.stats().objects == 0);
    eventually("the reader is gone", || store.stats().clients == 1);
    assert_empty(&store);
}

#[test]
fn readers_of_a_named_store_take_memory_only_while_they_are_there() {
    let name = format!("mobula-test-readers-{}", std::process::id());
    let store = Store::create(StoreOptions::new(1 << 20).segment(Segment::Named(name.clone()))).unwrap();
    store.put(id(1), b"by name").unwrap();
    let readers: Vec<_> = (0..20).map(|_| Store::attach_read_only(format!("name:{name}")).unwrap()).collect();
    for reader in &readers {
        assert_eq!(&reader.get(id(1), None).unwrap()[..], b"by name");
    }
    drop(readers);
    eventually("the reader is gone", || store.stats().clients == 1);
    store.delete(id(1)).unwrap();
    assert_empty(&store);
}
