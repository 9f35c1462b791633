//! Deleting in every state (paragraph 6).

use std::time::Duration;

use mobula_store::Deleted;

use crate::{assert_empty, id, store};

#[test]
fn an_unused_object_goes_now() {
    let store = store();
    drop(store.put(id(1), &[1; 100]).unwrap());
    assert_eq!(store.delete(id(1)).unwrap(), Deleted::Now);
    assert!(store.delete(id(1)).unwrap_err().is_not_found());
    assert_empty(&store);
}

#[test]
fn an_object_in_use_goes_at_the_last_release() {
    let store = store();
    let view = store.put(id(1), &[1; 100]).unwrap();
    let clone = view.clone();
    assert_eq!(store.delete(id(1)).unwrap(), Deleted::AtLastRelease);
    assert!(!store.contains(id(1)));
    assert!(store.get(id(1), Some(Duration::ZERO)).unwrap_err().is_timeout());
    assert!(store.delete(id(1)).unwrap_err().is_not_found());
    let second = store.put(id(1), &[2; 50]).unwrap();
    assert_eq!((view[0], second[0]), (1, 2));
    drop(view);
    assert_eq!(clone[99], 1);
    drop((clone, second));
    store.delete(id(1)).unwrap();
    assert_empty(&store);
}

#[test]
fn an_unsealed_object_is_remembered() {
    let store = store();
    let buffer = store.create_object(id(1), 10).unwrap();
    assert!(store.delete(id(1)).unwrap_err().is_not_sealed());
    let view = buffer.seal().unwrap();
    assert_eq!(view.len(), 10);
    assert!(!store.contains(id(1)));
    drop(view);
    assert_empty(&store);
}

#[test]
fn any_client_may_delete() {
    let store = store();
    let other = mobula_store::Store::attach(store.address()).unwrap();
    let view = store.put(id(1), &[1; 10]).unwrap();
    assert_eq!(other.delete(id(1)).unwrap(), Deleted::AtLastRelease);
    drop(view);
    assert_empty(&other);
}
