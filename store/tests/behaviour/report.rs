//! Lists, descriptions and figures (paragraph 10).

use mobula_store::{ObjectOptions, ObjectState, Store, StoreOptions};

use crate::{id, store};

#[test]
fn list_and_info_tell_all_about_an_object() {
    let store = store();
    let view = store.put_with(id(1), &[0; 1000], &ObjectOptions::new().metadata(b"meta")).unwrap();
    let clone = view.clone();
    let info = store.info(id(1)).unwrap();
    assert_eq!((info.id, info.len, info.metadata_len, info.state), (id(1), 1000, 4, ObjectState::Sealed));
    assert_eq!(info.creator_pid, std::process::id());
    assert_eq!(
        info.holders.iter().map(|h| (h.pid, h.views, h.holds)).collect::<Vec<_>>(),
        [(std::process::id(), 1, 0)]
    );
    let other = Store::attach(store.address()).unwrap();
    let there = other.get(id(1), None).unwrap();
    let hold = there.hold();
    let info = store.info(id(1)).unwrap();
    assert_eq!(info.holders.iter().map(|h| (h.views, h.holds)).collect::<Vec<_>>(), [(1, 0), (1, 1)]);
    let buffer = store.create_object(id(2), 10).unwrap();
    let states: Vec<_> = store.list().into_iter().map(|info| (info.id, info.state)).collect();
    assert_eq!(states, [(id(1), ObjectState::Sealed), (id(2), ObjectState::Created)]);
    store.delete(id(1)).unwrap();
    assert!(store.info(id(1)).is_none());
    assert!(store.list().iter().any(|info| info.id == id(1) && info.state == ObjectState::Deleted));
    drop((clone, view, there, hold, buffer));
    assert!(store.list().is_empty());
}

#[test]
fn stats_add_up() {
    let store = store();
    let empty = store.stats();
    assert_eq!((empty.used_bytes, empty.objects, empty.committed_bytes), (0, 0, 0));
    assert_eq!(empty.free_bytes, empty.capacity_bytes);
    store.put(id(1), &[0; 1000]).unwrap();
    let buffer = store.create_object(id(2), 100_000).unwrap();
    let stats = store.stats();
    assert_eq!(stats.used_bytes + stats.free_bytes, stats.capacity_bytes);
    assert!(stats.used_bytes >= 101_000 && stats.committed_bytes >= stats.used_bytes);
    assert_eq!((stats.objects, stats.unsealed_objects, stats.clients), (2, 1, 1));
    drop(buffer);
}

#[test]
fn figures_take_nothing_away_and_wait_for_nobody() {
    let store = Store::create(StoreOptions::new(8 << 20)).unwrap();
    let other = Store::attach(store.address()).unwrap();
    // What is freed stays with its client, and a look at the figures leaves it there.
    let address = store.put(id(1), &[1; 100_000]).unwrap().as_ptr();
    store.delete(id(1)).unwrap();
    let stats = other.stats();
    assert_eq!((stats.used_bytes, stats.free_bytes), (0, stats.capacity_bytes));
    assert_eq!(stats.largest_free_bytes, stats.capacity_bytes);
    // The other one takes memory from the allocator: it would be the same if that had got it back.
    other.put(id(2), &[2; 100_000]).unwrap();
    let mine = store.put(id(1), &[1; 100_000]).unwrap();
    assert_eq!(mine.as_ptr(), address);
    assert_eq!(store.stats().used_bytes, other.stats().used_bytes);
}
