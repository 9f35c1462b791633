//! Spilling and files as memory of last resort (paragraphs 15 and 20).

use std::path::Path;
use std::time::Duration;

use mobula_store::{Deleted, Lifetime, ObjectId, ObjectOptions, ObjectState, Store, StoreOptions};

use crate::id;

const MIB: usize = 1 << 20;

fn spilling(dir: &Path) -> Store {
    let options = StoreOptions::new(8 * MIB).spill_dir(dir).create_timeout(Duration::from_millis(300));
    Store::create(options).expect("a store that spills")
}

fn content(n: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| n.wrapping_mul(31).wrapping_add((i * 7) as u8)).collect()
}

fn files(dir: &Path) -> Vec<String> {
    let stores = std::fs::read_dir(dir).unwrap().flatten();
    let inside = stores.flat_map(|store| std::fs::read_dir(store.path()).unwrap().flatten());
    inside.map(|file| file.file_name().to_string_lossy().into_owned()).filter(|name| name != "alive").collect()
}

#[test]
fn more_than_fits_is_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = spilling(dir.path());
    let other = Store::attach(store.address()).unwrap();
    for n in 1..=30 {
        let options = ObjectOptions::new().metadata(&[n; 10]);
        store.put_with(id(n), &content(n, MIB), &options).unwrap();
    }
    let stats = store.stats();
    assert!(stats.spilled_objects >= 22 && stats.spilled_bytes >= 22 * MIB as u64, "{stats:?}");
    assert_eq!(store.info(id(1)).unwrap().state, ObjectState::Spilled, "the oldest goes first");
    store.check().unwrap();
    for client in [&other, &store] {
        for n in 1..=30 {
            assert!(client.contains(id(n)));
            let view = client.get(id(n), Some(Duration::ZERO)).unwrap();
            assert!(view[..] == content(n, MIB), "object {n}");
            assert_eq!(view.metadata(), [n; 10]);
            assert!((view.as_ptr() as usize).is_multiple_of(64));
        }
    }
    for n in 1..=30 {
        assert_eq!(store.delete(id(n)).unwrap(), Deleted::Now);
    }
    drop(other);
    crate::assert_empty(&store);
    assert_eq!((store.stats().spilled_bytes, store.stats().spilled_objects), (0, 0));
    drop(store);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the folder goes with the store");
}

#[test]
fn what_is_viewed_stays_in_memory_and_what_is_held_may_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = spilling(dir.path());
    let viewed = store.put(id(1), &content(1, MIB)).unwrap();
    let counted = ObjectOptions::new().lifetime(Lifetime::Counted);
    let held = store.put_with(id(2), &content(2, MIB), &counted).unwrap().hold();
    for n in 3..=20 {
        store.put(id(n), &content(n, MIB)).unwrap();
    }
    assert_eq!(store.info(id(1)).unwrap().state, ObjectState::Sealed);
    assert!(viewed[..] == content(1, MIB));
    assert_eq!(store.info(id(2)).unwrap().state, ObjectState::Spilled);
    assert!(held.get(None).unwrap()[..] == content(2, MIB));
    drop(held);
    assert!(store.info(id(2)).is_none(), "a counted object on disk goes with its last hold");
    store.check().unwrap();
}

#[test]
fn with_everything_viewed_there_is_nothing_to_spill() {
    let dir = tempfile::tempdir().unwrap();
    let store = spilling(dir.path());
    let views: Vec<_> = (1..=7).map(|n| store.put(id(n), &content(n, MIB)).unwrap()).collect();
    let refused = store.create_object(id(99), 7 * MIB).unwrap_err();
    assert!(refused.is_store_full(), "{refused}");
    drop(views);
    drop(store.create_object(id(99), 7 * MIB).unwrap());
}

#[test]
fn a_view_of_a_spilled_object_survives_its_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let store = spilling(dir.path());
    for n in 1..=16 {
        store.put(id(n), &content(n, MIB)).unwrap();
    }
    // Memory has room for some of them only, so that the others are read on disk.
    let mut full: Vec<_> = (1..=16).map(|n| store.get(id(n), None).unwrap()).collect();
    let is_spilled = |n: &u8| store.info(id(*n)).unwrap().state == ObjectState::Spilled;
    let n = (1..=16).find(is_spilled).expect("one that is on disk");
    let on_disk = full.remove(usize::from(n) - 1);
    assert_eq!(store.delete(id(n)).unwrap(), Deleted::AtLastRelease);
    let clone = on_disk.clone();
    drop(on_disk);
    assert!(clone[..] == content(n, MIB));
    let spilled = store.stats().spilled_objects;
    drop(clone);
    assert!(store.info(id(n)).is_none());
    assert!(store.stats().spilled_objects <= spilled);
    drop(full);
    store.check().unwrap();
}

#[test]
fn a_damaged_record_is_corrupt_and_never_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let store = spilling(dir.path());
    for n in 1..=16 {
        store.put(id(n), &content(n, MIB)).unwrap();
    }
    let folder = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    for name in files(dir.path()) {
        let path = folder.join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        for at in (1000..bytes.len()).step_by(300_000) {
            bytes[at] ^= 1;
        }
        std::fs::write(&path, bytes).unwrap();
    }
    let mut corrupt = 0;
    for n in 1..=16 {
        match store.get(id(n), Some(Duration::ZERO)) {
            Ok(view) => assert!(view[..] == content(n, MIB), "object {n}"),
            Err(error) => {
                assert!(error.is_corrupt(), "{error}");
                assert!(error.to_string().contains(&id(n).to_string()));
                corrupt += 1;
            }
        }
    }
    assert!(corrupt >= 8, "{corrupt} were on disk");
    for n in 1..=16 {
        store.delete(id(n)).unwrap();
    }
    crate::assert_empty(&store);
}

#[test]
fn evict_spills_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let store = spilling(dir.path());
    for n in 1..=4 {
        store.put(id(n), &content(n, MIB)).unwrap();
    }
    assert!(store.evict(2 * MIB as u64).unwrap() >= 2 * MIB as u64);
    assert_eq!(store.stats().spilled_objects, 2);
    assert!((1..=4).all(|n| store.get(id(n), None).unwrap()[..] == content(n, MIB)));
}

#[test]
fn a_file_is_the_last_resort() {
    let options = StoreOptions::new(4 * MIB).fallback(true).create_timeout(Duration::from_millis(300));
    let store = Store::create(options).unwrap();
    let other = Store::attach(store.address()).unwrap();
    let mut views: Vec<_> = (1..=3).map(|n| store.put(id(n), &content(n, MIB)).unwrap()).collect();
    let metadata = ObjectOptions::new().metadata(b"on disk");
    views.push(store.put_with(id(4), &content(4, 2 * MIB), &metadata).unwrap());
    views.push(store.put(id(5), &content(5, 2 * MIB)).unwrap());
    assert!(store.stats().fallback_bytes >= 4 * MIB as u64, "{:?}", store.stats());
    let mut buffer = store.create_object(id(6), 3 * MIB).unwrap();
    buffer.copy_from_slice(&content(6, 3 * MIB));
    views.push(buffer.seal().unwrap());
    for (n, len) in [(1, MIB), (4, 2 * MIB), (5, 2 * MIB), (6, 3 * MIB)] {
        assert!(other.get(id(n), None).unwrap()[..] == content(n, len), "object {n}");
    }
    assert_eq!(other.get(id(4), None).unwrap().metadata(), b"on disk");
    assert!(store.create_object(id(7), 100 * MIB).unwrap_err().is_store_full(), "what can never fit");
    drop(views);
    for n in 1..=6 {
        assert_eq!(store.delete(id(n)).unwrap(), Deleted::Now);
    }
    assert_eq!(store.stats().fallback_bytes, 0);
    drop(other);
    crate::assert_empty(&store);
}

#[test]
fn a_promise_is_kept_in_a_file_if_there_is_no_memory() {
    let options = StoreOptions::new(4 * MIB).fallback(true).create_timeout(Duration::ZERO);
    let store = Store::create(options).unwrap();
    let pinned = store.put(id(1), &content(1, 3 * MIB)).unwrap();
    let promise = store.promise(id(2)).unwrap();
    let hold = promise.hold();
    let metadata = ObjectOptions::new().metadata(b"as promised");
    let mut buffer = promise.fulfil(2 * MIB, &metadata).unwrap();
    buffer.copy_from_slice(&content(2, 2 * MIB));
    drop(buffer.seal().unwrap());
    assert!(store.stats().fallback_bytes >= 2 * MIB as u64, "{:?}", store.stats());
    let view = hold.get(None).unwrap();
    assert!(view[..] == content(2, 2 * MIB) && view.metadata() == b"as promised");
    store.check().unwrap();
    drop((view, hold));
    assert_eq!((store.stats().objects, store.stats().fallback_bytes), (1, 0));
    // A promise that is broken after it has its file leaves none.
    let promise = store.promise(id(2)).unwrap();
    drop(promise.fulfil(2 * MIB, &metadata).unwrap());
    assert_eq!(store.stats().objects, 1);
    drop(pinned);
    store.delete(id(1)).unwrap();
    crate::assert_empty(&store);
}

#[test]
fn fragments_are_moved_together_for_a_creation() {
    let store = Store::create(StoreOptions::new(16 * MIB)).unwrap();
    let ids: Vec<ObjectId> = (0..).map(|_| ObjectId::random()).take(160).collect();
    for id in &ids {
        let options = ObjectOptions::new().timeout(Duration::ZERO);
        if store.put_with(*id, &content(3, 100_000), &options).is_err() {
            break;
        }
    }
    for id in ids.iter().step_by(8) {
        let _ = store.delete(*id);
    }
    let free = store.stats().free_bytes as usize;
    assert!(store.stats().largest_free_bytes < 500_000 && free >= 2 * 900_000);
    drop(store.create_object(ObjectId::random(), 900_000).unwrap());
    for id in ids.iter().filter(|id| store.contains(**id)) {
        assert!(store.get(*id, None).unwrap()[..] == content(3, 100_000));
    }
    store.check().unwrap();
}
