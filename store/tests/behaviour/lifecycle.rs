//! Create, write, seal, get, abort.

use std::time::Duration;

use mobula_store::ObjectOptions;

use crate::{assert_empty, id, store};

#[test]
fn put_then_get_gives_the_bytes_zero_copy() {
    let store = store();
    let made = store.put(id(1), b"hello").unwrap();
    let view = store.get(id(1), None).unwrap();
    assert_eq!(&view[..], b"hello");
    assert_eq!(made.as_ptr(), view.as_ptr());
    assert_eq!(view.as_ptr() as usize % 64, 0);
    drop((made, view));
    assert!(store.contains(id(1)), "it stays until it is deleted");
    store.delete(id(1)).unwrap();
    assert_empty(&store);
}

#[test]
fn an_unsealed_object_is_not_there_yet() {
    let store = store();
    let buffer = store.create_object(id(1), 10).unwrap();
    assert!(!store.contains(id(1)));
    assert!(store.get(id(1), Some(Duration::ZERO)).unwrap_err().is_timeout());
    assert!(store.create_object(id(1), 10).unwrap_err().is_exists());
    buffer.seal().unwrap();
    assert!(store.contains(id(1)));
    assert!(store.put(id(1), b"x").unwrap_err().is_exists());
}

#[test]
fn dropping_a_buffer_aborts_and_frees() {
    let store = store();
    drop(store.create_object(id(1), 100_000).unwrap());
    store.create_object(id(1), 64).unwrap().abort();
    assert_empty(&store);
    store.put(id(1), b"again").unwrap();
}

#[test]
fn empty_objects_need_no_memory() {
    let store = store();
    let view = store.put(id(1), b"").unwrap();
    assert!(view.is_empty() && view.metadata().is_empty());
    assert_eq!(store.stats().used_bytes, 0);
    assert!(store.contains(id(1)));
}

#[test]
fn metadata_stands_beside_the_data() {
    let store = store();
    let options = ObjectOptions::new().metadata(b"kind=test");
    for len in [0, 1, 7, 8, 63, 64, 1000, 16 << 10, 100_000] {
        let data = vec![3; len];
        let view = store.put_with(id(2), &data, &options).unwrap();
        assert_eq!((&view[..], view.metadata()), (&data[..], &b"kind=test"[..]));
        store.delete(id(2)).unwrap();
    }
    let too_much = ObjectOptions::new().metadata(&vec![0; ObjectOptions::MAX_METADATA + 1]);
    assert!(store.create_object_with(id(2), 0, &too_much).unwrap_err().is_invalid_argument());
    assert_empty(&store);
}

#[test]
fn every_size_is_kept_bit_exact_beside_its_neighbours() {
    let store = store();
    let sizes: Vec<usize> = (0..200).map(|i| (i * i * 7) % 40_000).collect();
    let fill = |i: usize, len: usize| (0..len).map(|k| (k * 31 + i) as u8).collect::<Vec<u8>>();
    for round in 0..3 {
        for (i, &len) in sizes.iter().enumerate() {
            store.put(id(i as u8), &fill(i, len)).unwrap();
        }
        store.check().unwrap();
        for (i, &len) in sizes.iter().enumerate().filter(|(i, _)| i % 3 == round) {
            assert_eq!(&store.get(id(i as u8), None).unwrap()[..], fill(i, len));
        }
        for i in 0..sizes.len() {
            store.delete(id(i as u8)).unwrap();
        }
        assert_empty(&store);
    }
}

#[test]
fn sealing_several_wakes_once_and_keeps_order() {
    let store = store();
    let buffers = (0..5).map(|n| store.create_object(id(n), 8).unwrap()).collect();
    let views = store.seal_all(buffers).unwrap();
    assert_eq!(views.iter().map(|v| v.id()).collect::<Vec<_>>(), (0..5).map(id).collect::<Vec<_>>());
    assert!(store.seal_all(Vec::new()).unwrap().is_empty());
}

#[test]
fn a_view_outlives_every_other_handle() {
    let store = store();
    let view = store.put(id(1), b"still here").unwrap();
    drop(store);
    assert_eq!(&view[..], b"still here");
}

#[test]
fn ids_print_and_parse() {
    let id = mobula_store::ObjectId::random();
    assert_eq!(id.to_string().len(), 32);
    assert_eq!(id.to_string().parse::<mobula_store::ObjectId>().unwrap(), id);
    assert!("xyz".parse::<mobula_store::ObjectId>().is_err());
    assert_ne!(id, mobula_store::ObjectId::random());
}
