//! `Array::into_mut`: in place for the one who holds the array alone, a copy for everybody else.

use mobula_store::{Array, Store};

use crate::store;

fn array(store: &Store) -> Array<u32> {
    let data: Vec<u32> = (0..5_000).collect();
    Array::from_shape_in(store, &[50, 100], &data).unwrap()
}

#[test]
fn the_only_holder_writes_in_place_under_a_new_id() {
    let store = store();
    let old = array(&store);
    let (address, id, used) = (old.as_ptr(), old.id(), store.stats().used_bytes);
    let mut writable = old.into_mut().unwrap();
    assert!(!store.contains(id), "the old array is gone");
    assert_eq!((writable.shape(), writable[4_999]), (&[50, 100][..], 4_999));
    writable[0] = 77;
    let new = writable.seal().unwrap();
    assert_eq!((new.as_ptr(), new[0], new[1]), (address, 77, 1));
    assert_ne!(new.id(), id);
    assert_eq!((store.stats().used_bytes, store.stats().objects), (used, 1));
    drop(new);
    crate::assert_empty(&store);
}

#[test]
fn a_clone_a_hold_another_client_and_a_parent_each_make_it_a_copy() {
    let store = store();
    let other = Store::attach(store.address()).unwrap();
    type Holder = fn(&Array<u32>, &Store, &Store) -> Box<dyn std::any::Any>;
    let holders: [Holder; 4] = [
        |array, _, _| Box::new(array.clone()),
        |array, store, _| Box::new(store.hold(array.id()).unwrap()),
        |array, _, other| Box::new(other.get(array.id(), None).unwrap()),
        |array, store, _| {
            let children = [store.hold(array.id()).unwrap()];
            let options = mobula_store::ObjectOptions::new().children(&children);
            let parent = store.put_with(mobula_store::ObjectId::random(), b"parent", &options).unwrap();
            store.delete(parent.id()).unwrap();
            Box::new(parent)
        },
    ];
    for holder in holders {
        let old = array(&store);
        let (address, id) = (old.as_ptr(), old.id());
        let held = holder(&old, &store, &other);
        let mut writable = old.into_mut().unwrap();
        writable[0] = 77;
        assert_eq!(store.get(id, None).unwrap()[..4], [0; 4], "whoever holds the old one sees it as it was");
        assert_ne!(writable.seal().unwrap().as_ptr(), address);
        drop(held);
    }
    drop(other);
    crate::assert_empty(&store);
}

#[test]
fn a_clone_that_is_gone_is_no_obstacle() {
    let store = store();
    let old = array(&store);
    drop(old.clone());
    let address = old.as_ptr();
    assert_eq!(old.into_mut().unwrap().seal().unwrap().as_ptr(), address);
    crate::assert_empty(&store);
}

#[test]
fn dropping_the_writable_one_frees_it() {
    let store = store();
    drop(array(&store).into_mut().unwrap());
    crate::assert_empty(&store);
}
