//! Claims, as long as everybody lives.

use std::thread;
use std::time::Duration;

use mobula_store::{Array, ArrayMut, ObjectId, SharedArray, Store};

use super::{assert_numbered, decoded, encoded, fill, store};

#[test]
fn parts_are_as_even_as_can_be() {
    let store = store();
    let array = SharedArray::<u64>::new_in(&store, &[10, 3], 4).unwrap();
    let ranges: Vec<_> = (0..4).map(|part| array.part(part).unwrap().range()).collect();
    assert_eq!(ranges, [0..9, 9..18, 18..24, 24..30]);
    assert_eq!((array.shape(), array.part_count(), array.unfilled()), (&[10, 3][..], 4, vec![0, 1, 2, 3]));
}

#[test]
fn bounds_may_be_given() {
    let store = store();
    let array = SharedArray::<u64>::with_bounds_in(&store, &[2, 4], &[0, 1, 1, 8]).unwrap();
    assert!(array.part(1).unwrap().is_empty());
    (0..3).for_each(|part| fill(&array, part));
    assert_numbered(&array);
    for bounds in [&[0, 9][..], &[1, 8], &[0, 5, 4, 8], &[0], &[]] {
        let refused = SharedArray::<u64>::with_bounds_in(&store, &[2, 4], bounds).unwrap_err();
        assert!(refused.is_invalid_argument(), "{refused}");
    }
}

#[test]
fn a_part_has_one_owner() {
    let store = store();
    let array = SharedArray::<u64>::new_in(&store, &[4], 2).unwrap();
    let mut first = array.part(0).unwrap();
    let refused = array.part(0).unwrap_err();
    assert!(refused.is_full() && refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    assert!(array.part_timeout(0, Some(Duration::ZERO)).unwrap_err().is_timeout());
    first[1] = 1;
    assert_eq!(first.len(), 2);
    drop(first);
    fill(&array, 0);
    assert!(array.part(0).unwrap_err().is_closed());
    assert!(array.part_timeout(0, None).unwrap_err().is_closed());
    assert!(array.part(2).unwrap_err().is_invalid_argument());
    assert_eq!(array.next_part().unwrap().unwrap().index(), 1);
    let second = array.next_part().unwrap().unwrap();
    assert!(array.next_part().unwrap().is_none());
    assert!(array.wait_part(Some(Duration::ZERO)).unwrap_err().is_timeout());
    assert!(array.wait(Some(Duration::ZERO)).unwrap_err().is_timeout());
    drop(second);
    fill(&array, 1);
    assert!(array.wait_part(None).unwrap().is_none());
    array.wait(None).unwrap();
    assert_numbered(&array);
}

#[test]
fn what_is_not_filled_is_not_sealed() {
    let store = store();
    let array = SharedArray::<u64>::new_in(&store, &[8], 4).unwrap();
    fill(&array, 2);
    let kept = array.part(3).unwrap();
    let refused = array.seal().unwrap_err();
    assert!(refused.is_unfilled(), "{refused}");
    let text = refused.to_string();
    let pid = std::process::id();
    assert!(
        text.contains(&format!("3 of 4 parts are not filled: 0 (free), 1 (free), 3 (being filled by pid {pid})")),
        "{text}"
    );
    drop(kept);
    for part in [0, 1, 3] {
        fill(&array, part);
    }
    assert_numbered(&array);
    assert_numbered(&array);
}

#[test]
fn it_is_sealed_in_place_and_goes_with_the_last_handle() {
    let store = store();
    let array = SharedArray::<u64>::new_in(&store, &[64, 64], 1).unwrap();
    let mut part = array.next_part().unwrap().unwrap();
    let address = part.as_ptr();
    super::number(&mut part);
    part.finish().unwrap();
    let sealed: Array<u64> = array.seal().unwrap();
    assert_eq!(
        (sealed.as_ptr().cast::<u8>() as usize % 4096, sealed.shape()),
        (address as usize % 4096, &[64, 64][..])
    );
    let id = sealed.id();
    drop(array);
    assert_eq!(sealed[4095], 4095);
    store.check().unwrap();
    drop(sealed);
    assert!(!store.exists(id));
    assert_eq!(store.stats().objects, 0);
}

#[test]
fn handles_cross_before_and_after_the_seal() {
    let store = store();
    let other = Store::attach(store.address()).unwrap();
    let mine = SharedArray::<u64>::new_in(&store, &[100], 2).unwrap();
    let bytes = encoded(&mine);
    let theirs = decoded(&other, &bytes).unwrap();
    let kept = mine.part(0).unwrap();
    assert!(theirs.part(0).unwrap_err().is_full());
    drop(kept);
    fill(&theirs, 0);
    fill(&mine, 1);
    assert_numbered(&theirs);
    assert_numbered(&mine);
    let late = decoded(&other, &bytes).unwrap();
    assert!(late.part(0).unwrap_err().is_closed() && late.next_part().unwrap().is_none());
    let again = decoded(&store, &encoded(&late)).unwrap();
    assert_eq!(again.seal().unwrap(), mine.seal().unwrap());
    drop((mine, theirs, late, again));
    assert!(decoded(&other, &bytes).unwrap_err().contains("does not exist"));
    assert_eq!(store.stats().objects, 0);
    store.check().unwrap();
}

#[test]
fn another_type_is_refused() {
    let store = store();
    let array = SharedArray::<f64>::new_in(&store, &[100], 2).unwrap();
    let (bytes, _holds) = mobula_store::transfer::encode(|| postcard::to_stdvec(&array).unwrap());
    assert!(decoded(&store, &bytes).unwrap_err().contains("another type"));
    let plain = ArrayMut::<u64>::zeros_in(&store, &[100]).unwrap().seal().unwrap();
    let (bytes, _holds) = mobula_store::transfer::encode(|| postcard::to_stdvec(&plain).unwrap());
    assert!(decoded(&store, &bytes).is_err());
    let unknown = postcard::to_stdvec(&ObjectId::random()).unwrap();
    assert!(decoded(&store, &unknown).unwrap_err().contains("does not exist"));
    assert!(postcard::to_stdvec(&array).is_err(), "nobody holds it on the way");
}

#[test]
fn shapes_that_make_no_sense_are_refused() {
    let store = store();
    for (shape, parts) in [(&[4][..], 0), (&[4], 5), (&[0, 4], 1), (&[], 1), (&[4, 0], 2), (&[usize::MAX, 8], 2)] {
        let refused = SharedArray::<u64>::new_in(&store, shape, parts).unwrap_err();
        assert!(refused.is_invalid_argument(), "{refused}");
    }
    assert!(SharedArray::<u8>::new_in(&store, &[7], 1).unwrap_err().is_invalid_argument());
    assert!(SharedArray::<u8>::new_in(&store, &[1 << 30], 1).unwrap_err().is_store_full());
    assert_eq!(store.stats().objects, 0);
}

#[test]
fn threads_fill_each_part_once() {
    let store = store();
    let array = SharedArray::<u64>::new_in(&store, &[10_000], 1_000).unwrap();
    let fills: usize = thread::scope(|scope| {
        let work = || {
            let mut fills = 0;
            while let Some(mut part) = array.wait_part(None).unwrap() {
                super::number(&mut part);
                part.finish().unwrap();
                fills += 1;
            }
            fills
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        array.wait(None).unwrap();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(fills, 1_000);
    assert_numbered(&array);
    store.check().unwrap();
}
