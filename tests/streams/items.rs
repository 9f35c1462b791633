//! What comes out: in the order made, as soon as made, small and large, refs like any other.

use mobula::prelude::*;

use super::support::{Gate, all_space_back, get, start, stats};
use super::{DEADLINE, count, gated, next, plain, values};

#[mobula::task]
fn arrays(count: usize, len: usize) -> impl Iterator<Item = Array<u32>> {
    (0..count).map(move |item| Array::from_slice(&vec![item as u32; len]).unwrap())
}

#[mobula::task]
fn texts(sizes: Vec<usize>) -> impl Iterator<Item = String> {
    sizes.into_iter().map(|size| "x".repeat(size))
}

#[mobula::task]
fn refs(to: u64) -> impl Iterator<Item = ObjectRef<u64>> {
    (0..to).map(|item| mobula::put(&item).unwrap())
}

#[mobula::task]
fn words(text: String) -> Box<dyn_words::Words> {
    Box::new(dyn_words::Words(text))
}

/// A value that happens to be an iterator is no stream: only what is written as `impl Iterator` is.
mod dyn_words {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct Words(pub String);
}

#[mobula::test]
fn they_come_in_the_order_made() {
    let _runtime = start();
    assert_eq!(values(count::remote(10_000)), (0..10_000).collect::<Vec<_>>());
    assert!(values(count::remote(0)).is_empty());
    let sum: u64 = count::remote(100).map(|item| get(&item).unwrap()).sum();
    assert_eq!(sum, 4950);
    assert_eq!(get(&words::remote("a b")).unwrap().0, "a b");
}

#[mobula::test]
fn the_first_comes_while_the_second_is_made() {
    let _runtime = start();
    let gate = Gate::new();
    let mut stream = gated::remote(1, gate.text());
    assert_eq!(get(&next(&mut stream).unwrap()).unwrap(), 0);
    assert!(stream.try_next().is_none() && !stream.is_done());
    let error = stream.next_timeout(std::time::Duration::ZERO).unwrap_err();
    assert!(error.is_timeout() && error.to_string().contains("item 2"), "{error}");
    gate.open();
    assert_eq!(get(&next(&mut stream).unwrap()).unwrap(), 1);
    assert!(next(&mut stream).is_none() && stream.is_done());
}

#[mobula::test]
fn what_has_come_can_be_taken_without_waiting() {
    let _runtime = start();
    let mut stream = count::remote(3);
    let mut taken = Vec::new();
    super::eventually("all have come", || {
        taken.extend(stream.try_next());
        stream.is_done()
    });
    assert_eq!(mobula::get_all(&taken).unwrap(), [0, 1, 2]);
}

#[mobula::test]
fn large_ones_go_through_the_store_and_leave_it() {
    let _runtime = start();
    let before = stats();
    let mut sum = 0;
    // More than the store has room for at once.
    let mut stream = arrays::options().stream_backpressure(4).remote(100, 1 << 18);
    while let Some(item) = next(&mut stream) {
        let array = get(&item).unwrap();
        assert_eq!(array.len(), 1 << 18);
        sum += u64::from(array[7]);
    }
    assert_eq!(sum, 4950);
    let sizes = vec![0, 1023, 1024, 1025, 5000, 200_000, 3];
    let texts = values(texts::remote(sizes.clone()));
    assert_eq!(texts.iter().map(String::len).collect::<Vec<_>>(), sizes);
    all_space_back(before);
}

#[mobula::test]
fn their_refs_are_refs_like_any_other() {
    let _runtime = start();
    let before = stats();
    let items: Vec<_> = count::remote(20).collect();
    let passed: Vec<_> = items.iter().map(plain::remote).collect();
    assert_eq!(mobula::get_all(&passed).unwrap(), (0..20).collect::<Vec<_>>());
    let (ready, others) = mobula::wait(&items, 20, Some(DEADLINE)).unwrap();
    assert_eq!((ready.len(), others.len()), (20, 0));
    assert_eq!(mobula::as_completed(items).count(), 20);
    // A large one keeps the object that it came in.
    let text = texts::remote(vec![100_000]).next().unwrap();
    let size = get(&length::remote(vec![text])).unwrap();
    assert_eq!(size, 100_000);
    // Refs inside the items.
    let inner: Vec<_> = values(refs::remote(50));
    assert_eq!(mobula::get_all(&inner).unwrap(), (0..50).collect::<Vec<_>>());
    drop((inner, passed, ready));
    all_space_back(before);
}

#[mobula::task]
fn late(x: u64, gate: String) -> u64 {
    super::pass(&gate);
    x
}

#[mobula::task]
fn length(of: Vec<ObjectRef<String>>) -> usize {
    mobula::get(&of[0]).unwrap().len()
}

#[mobula::test]
fn arguments_may_be_refs() {
    let _runtime = start();
    let gate = Gate::new();
    let to = late::remote(5, gate.text());
    let mut stream = count::remote(&to);
    assert!(stream.try_next().is_none() && !stream.is_done());
    gate.open();
    assert_eq!(values(stream), [0, 1, 2, 3, 4]);
}

#[mobula::test]
fn ten_streams_at_once_do_not_mix() {
    let _runtime = start();
    let mut streams: Vec<_> =
        (0..10).map(|_| count::options().num_cpus(0.1).stream_backpressure(7).remote(200)).collect();
    for round in 0..200 {
        for stream in &mut streams {
            assert_eq!(get(&next(stream).unwrap()).unwrap(), round);
        }
    }
    for stream in &mut streams {
        assert!(next(stream).is_none());
    }
}
