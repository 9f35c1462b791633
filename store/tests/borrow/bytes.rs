//! `bytes::Bytes`.

use bytes::{Buf, Bytes};
use mobula_store::{Lifetime, ObjectOptions};

use crate::{assert_empty, assert_pins, id, store};

#[test]
fn bytes_are_the_object_itself() {
    let store = store();
    let view = store.put(id(1), b"0123456789").unwrap();
    let address = view.as_ptr();
    let mut bytes = Bytes::from(view);
    assert_eq!((bytes.as_ptr(), &bytes[..]), (address, &b"0123456789"[..]));
    let tail = bytes.split_off(6);
    bytes.advance(2);
    assert_eq!((&bytes[..], &tail[..]), (&b"2345"[..], &b"6789"[..]));
    assert_eq!(tail.as_ptr(), address.wrapping_add(6));
    drop(bytes);
    let last = tail.slice(3..);
    drop(tail);
    assert_pins(&store, id(1), last);
}

#[test]
fn nobody_makes_them_writable() {
    let store = store();
    let bytes = Bytes::from(store.put(id(1), b"fixed").unwrap());
    assert!(!bytes.is_unique());
    let bytes = bytes.try_into_mut().unwrap_err();
    let mut copy = bytes::BytesMut::from(bytes);
    copy[0] = b'm';
    assert_eq!(&store.get(id(1), None).unwrap()[..], b"fixed");
}

#[test]
fn the_last_clone_anywhere_frees_a_counted_object() {
    let store = store();
    let options = ObjectOptions::new().lifetime(Lifetime::Counted);
    let bytes = Bytes::from(store.put_with(id(1), &[1; 100_000], &options).unwrap());
    let elsewhere = bytes.clone();
    drop(bytes);
    let sum = std::thread::spawn(move || elsewhere.iter().map(|&b| u64::from(b)).sum::<u64>());
    assert_eq!(sum.join().unwrap(), 100_000);
    assert_empty(&store);
}

#[test]
fn an_empty_object_is_empty_bytes() {
    let store = store();
    let bytes = Bytes::from(store.put(id(1), &[]).unwrap());
    assert!(bytes.is_empty());
}
