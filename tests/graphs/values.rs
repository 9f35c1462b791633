//! What travels: large values, arrays, constants.

use mobula::{Array, Graph};

use super::hand;
use super::support::{eventually, start, stats};

#[mobula::test]
fn large_values_go_through_the_store_and_leave_it() {
    let _runtime = start();
    let (a, b) = (hand(), hand());
    let graph = Graph::<(usize,), _>::compile(|(count,)| {
        let bytes = a.bytes(count).bind();
        (b.len(&bytes).bind(), bytes)
    })
    .unwrap();
    for count in [0, 10, 5_000, 100_000, 1_000_000, 10] {
        let (len, bytes) = graph.execute((count,)).unwrap().get().unwrap();
        assert!(len == count && bytes.len() == count && bytes.iter().all(|&byte| byte == 7));
    }
    // Far more than the store has room for.
    for _ in 0..200 {
        assert_eq!(graph.execute((1_000_000,)).unwrap().get().unwrap().0, 1_000_000);
    }
    graph.teardown().unwrap();
    eventually("what the graph had is gone", || stats().used_bytes < 1_000_000);
}

#[mobula::test]
fn an_input_may_be_large() {
    let _runtime = start();
    let hand = hand();
    let graph = Graph::<(Vec<u8>,), _>::compile(|(bytes,)| hand.len(bytes).bind()).unwrap();
    for count in [1, 100_000, 2_000_000, 1] {
        assert_eq!(graph.execute((vec![1; count],)).unwrap().get().unwrap(), count);
    }
}

#[mobula::test]
fn arrays_are_not_copied_and_not_lost() {
    let _runtime = start();
    let (a, b) = (hand(), hand());
    let graph = Graph::<(u64,), _>::compile(|(count,)| {
        let numbers = a.numbers(count).bind();
        (b.sum(&numbers).bind(), numbers)
    })
    .unwrap();
    let mut kept = Vec::new();
    for count in 1..100u64 {
        let (sum, numbers) = graph.execute((count,)).unwrap().get().unwrap();
        assert_eq!(sum, count * (count - 1) / 2);
        kept.push(numbers);
    }
    drop(graph);
    // They are the driver's as long as it likes.
    for (numbers, count) in kept.iter().zip(1..) {
        assert_eq!(numbers.len(), count);
        assert!(numbers.iter().copied().eq(0..count as u64));
    }
}

#[mobula::test]
fn constants_are_held_as_long_as_the_graph_lives() {
    let _runtime = start();
    let (a, b) = (hand(), hand());
    let numbers = Array::from_slice(&[1u64, 2, 3]).unwrap();
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        let sum = a.sum(numbers.clone()).bind();
        b.add(x, sum).bind()
    })
    .unwrap();
    drop(numbers);
    for x in 0..50 {
        assert_eq!(graph.execute((x,)).unwrap().get().unwrap(), x + 6);
    }
}
