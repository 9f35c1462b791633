//! Objects that refer to others hold them.

use mobula_store::{Lifetime, ObjectHold, ObjectId, ObjectOptions, Store};

use crate::{assert_empty, id, store};

fn parent(store: &Store, children: &[ObjectHold]) -> ObjectHold {
    let options = ObjectOptions::new().lifetime(Lifetime::Counted).children(children).metadata(b"parent");
    store.put_with(ObjectId::random(), b"value", &options).unwrap().hold()
}

#[test]
fn a_child_lives_as_long_as_its_parent() {
    let store = store();
    let child = store.put_with(id(1), &[1; 10], &ObjectOptions::new().lifetime(Lifetime::Counted)).unwrap().hold();
    let holder = parent(&store, std::slice::from_ref(&child));
    drop(child);
    store.check().unwrap();
    assert!(store.contains(id(1)));
    drop(holder);
    assert!(!store.contains(id(1)));
    assert_empty(&store);
}

#[test]
fn a_long_chain_is_released_without_recursion() {
    let store = store();
    let mut last = parent(&store, &[]);
    for _ in 0..20_000 {
        last = parent(&store, &[last]);
    }
    store.check().unwrap();
    drop(last);
    assert_empty(&store);
}

#[test]
fn a_child_named_twice_is_counted_twice() {
    let store = store();
    let child = parent(&store, &[]);
    let (a, b) = (parent(&store, &[child.clone(), child.clone()]), parent(&store, std::slice::from_ref(&child)));
    drop(child);
    drop(a);
    assert_eq!(store.stats().objects, 2);
    drop(b);
    assert_empty(&store);
}
