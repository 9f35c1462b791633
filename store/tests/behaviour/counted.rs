//! Objects that go with their last view or hold (paragraph 11), and promises.

use std::thread;
use std::time::Duration;

use mobula_store::{HoldState, Lifetime, ObjectOptions, ObjectView, Store};

use crate::{assert_empty, id, store};

fn counted(store: &Store, n: u8) -> ObjectView {
    store.put_with(id(n), &[n; 100], &ObjectOptions::new().lifetime(Lifetime::Counted)).unwrap()
}

#[test]
fn the_last_view_takes_it_along() {
    let store = store();
    let view = counted(&store, 1);
    let other = Store::attach(store.address()).unwrap();
    let there = other.get(id(1), None).unwrap();
    drop(view);
    assert!(store.contains(id(1)));
    drop(there);
    assert!(!store.contains(id(1)));
    assert_empty(&store);
}

#[test]
fn a_hold_keeps_it_and_gives_views() {
    let store = store();
    let hold = counted(&store, 1).hold();
    assert_eq!(hold.state(), HoldState::Sealed);
    assert_eq!(hold.get(None).unwrap()[0], 1);
    let second = Store::attach(store.address()).unwrap().hold(id(1)).unwrap();
    drop(hold);
    assert_eq!(second.get(Some(Duration::ZERO)).unwrap().len(), 100);
    drop(second);
    assert_empty(&store);
    assert!(store.hold(id(1)).unwrap_err().is_not_found());
}

#[test]
fn a_promise_is_kept() {
    let store = store();
    let promise = store.promise(id(1)).unwrap();
    let other = Store::attach(store.address()).unwrap();
    let hold = other.hold(id(1)).unwrap();
    assert_eq!(hold.state(), HoldState::Pending);
    assert!(hold.get(Some(Duration::ZERO)).unwrap_err().is_timeout());
    let waiter = thread::spawn(move || hold.get(Some(Duration::from_secs(20))).unwrap().to_vec());
    let mut buffer = promise.fulfil(4, &ObjectOptions::new().metadata(b"m")).unwrap();
    buffer.copy_from_slice(b"kept");
    drop(buffer.seal().unwrap());
    assert_eq!(waiter.join().unwrap(), b"kept");
    drop(other);
    assert_empty(&store);
}

#[test]
fn a_broken_promise_is_lost_not_waited_for() {
    let store = store();
    let promise = store.promise(id(1)).unwrap();
    let hold = promise.hold();
    let waiter = thread::spawn(move || {
        let error = hold.get(Some(Duration::from_secs(20))).unwrap_err();
        (error.is_not_found(), hold.state())
    });
    drop(promise);
    assert_eq!(waiter.join().unwrap(), (true, HoldState::Lost));
    assert_empty(&store);
}

#[test]
fn ends_are_counted_for_those_who_wait() {
    let store = store();
    let options = ObjectOptions::new().lifetime(Lifetime::Counted).notify();
    let view = store.put_with(id(1), b"", &options).unwrap();
    let before = store.wait_reclaim(u32::MAX, None);
    assert_eq!(store.wait_reclaim(before, Some(Duration::from_millis(1))), before);
    let other = store.clone();
    let waiter = thread::spawn(move || other.wait_reclaim(before, Some(Duration::from_secs(20))));
    drop(view);
    assert_ne!(waiter.join().unwrap(), before);
    assert!(!store.exists(id(1)));
}

#[test]
fn racing_getters_and_droppers_never_lose_or_leak() {
    let store = store();
    for _ in 0..500 {
        let view = counted(&store, 1);
        thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    for _ in 0..20 {
                        if let Ok(view) = store.get(id(1), Some(Duration::ZERO)) {
                            assert!(view.iter().all(|&b| b == 1));
                            let hold = view.hold();
                            drop(view);
                            assert_eq!(hold.get(Some(Duration::ZERO)).unwrap().len(), 100);
                        }
                    }
                });
            }
            s.spawn(move || drop(view));
        });
        assert_empty(&store);
    }
}
