//! Typed arrays.

use mobula_store::{Array, ArrayMut, Store, current, set_current, transfer};

use crate::{assert_empty, id, store};

#[test]
fn an_array_is_a_slice_with_a_shape() {
    let store = store();
    let data: Vec<f64> = (0..600).map(f64::from).collect();
    let a = Array::from_shape_in(&store, &[20, 30], &data).unwrap();
    assert_eq!((a.shape(), a.len(), &a[..]), (&[20, 30][..], 600, &data[..]));
    assert_eq!(a.as_ptr() as usize % 64, 0);
    let b = a.clone();
    assert_eq!(a.as_ptr(), b.as_ptr());
    drop(a);
    assert_eq!(b[599], 599.0);
    drop(b);
    assert_empty(&store);
}

#[test]
fn a_shape_that_does_not_fit_is_an_error() {
    let store = store();
    assert!(Array::from_shape_in(&store, &[2, 2], &[1u8, 2, 3]).unwrap_err().is_invalid_argument());
    assert!(Array::from_shape_in(&store, &[usize::MAX, 2], &[1u8]).unwrap_err().is_invalid_argument());
    assert!(ArrayMut::<u64>::zeros_in(&store, &[usize::MAX / 4]).unwrap_err().is_invalid_argument());
    assert!(ArrayMut::<u8>::zeros_in(&store, &[1; 40]).unwrap_err().is_invalid_argument());
    assert_empty(&store);
}

#[test]
fn empty_arrays_are_fine() {
    let store = store();
    let a = Array::<f32>::from_shape_in(&store, &[0, 3], &[]).unwrap();
    assert_eq!((a.len(), a.shape()), (0, &[0, 3][..]));
    let m = ArrayMut::<i32>::zeros_in(&store, &[0]).unwrap();
    assert!(m.seal().unwrap().is_empty());
    assert_eq!(store.stats().used_bytes % 64, 0);
}

#[test]
fn zeros_are_zero_in_reused_memory() {
    let store = store();
    for _ in 0..3 {
        let mut m = ArrayMut::<u32>::zeros_in(&store, &[1000]).unwrap();
        assert!(m.iter().all(|&x| x == 0));
        m.fill(u32::MAX);
        drop(m);
    }
    assert_empty(&store);
}

#[test]
fn an_array_crosses_by_id_and_only_inside_a_message() {
    let store = store();
    let a = Array::from_shape_in(&store, &[3], &[1u16, 2, 3]).unwrap();
    let refused = postcard::to_allocvec(&a).unwrap_err();
    let (bytes, holds) = transfer::encode(|| postcard::to_allocvec(&(7u8, &a)).unwrap());
    assert!(!transfer::is_encoding());
    assert_eq!((holds.len(), holds[0].id()), (1, a.id()));
    let other = Store::attach(store.address()).unwrap();
    let (n, b): (u8, Array<u16>) = transfer::decode(&other, || postcard::from_bytes(&bytes).unwrap());
    assert_eq!((n, &b[..]), (7, &[1u16, 2, 3][..]));
    drop(a);
    drop(holds);
    assert_eq!(b[2], 3, "the reader holds it");
    assert!(postcard::from_bytes::<(u8, Array<u16>)>(&bytes).is_err(), "no store to look in");
    assert!(
        transfer::decode(&other, || postcard::from_bytes::<(u8, Array<i16>)>(&bytes)).is_err(),
        "another element type"
    );
    drop(b);
    drop(other);
    assert!(!format!("{refused}").is_empty());
    assert_empty(&store);
}

#[test]
fn a_plain_object_is_no_array() {
    let store = store();
    let view = store.put(id(1), &[0; 64]).unwrap();
    assert!(Array::<u8>::from_view(view).unwrap_err().is_invalid_argument());
}

#[test]
fn the_current_store_serves_arrays() {
    assert!(Array::from_slice(&[1u8]).unwrap_err().is_disconnected());
    let store = store();
    set_current(Some(store.clone()));
    assert_eq!(current().unwrap().address(), store.address());
    let a = Array::from_slice(&[1u8, 2]).unwrap();
    let m = ArrayMut::<u8>::with_len(5).unwrap();
    assert_eq!((a.len(), m.len()), (2, 5));
    set_current(None);
    assert!(current().is_err());
    assert_eq!(&a[..], [1, 2]);
}
