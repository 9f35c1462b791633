//! Several executions on their way; results that are read late, in any order, or never.

use std::time::Duration;

use mobula::{Graph, GraphOptions};

use super::hand;
use super::support::{Gate, start};

#[mobula::test]
fn executions_overlap() {
    let _runtime = start();
    let (a, b) = (hand(), hand());
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        let doubled = a.double(x).bind();
        b.double(doubled).bind()
    })
    .unwrap();
    for round in 0..20u64 {
        let refs: Vec<_> = (0..100).map(|x| graph.execute((x + round,)).unwrap()).collect();
        for (x, result) in (0..).zip(refs) {
            assert_eq!(result.get().unwrap(), 4 * (x + round));
        }
    }
}

#[mobula::test]
fn results_are_read_in_any_order_and_once() {
    let _runtime = start();
    let hand = hand();
    let graph = Graph::<(u64,), _>::compile(|(x,)| hand.double(x).bind()).unwrap();
    let mut refs: Vec<_> = (0..50).map(|x| graph.execute((x,)).unwrap()).collect();
    let mut first = refs.remove(0);
    for (x, result) in (1u64..).zip(refs).collect::<Vec<_>>().into_iter().rev() {
        if x % 3 == 0 {
            drop(result);
        } else {
            assert_eq!(result.get().unwrap(), 2 * x);
        }
    }
    assert_eq!(first.get_timeout(Duration::from_secs(40)).unwrap(), 0);
    assert!(first.get_timeout(Duration::from_secs(40)).unwrap_err().is_not_found());
    assert_eq!(graph.execute((9,)).unwrap().get().unwrap(), 18);
}

#[mobula::test]
fn one_that_is_on_its_way_is_waited_for_no_longer_than_asked() {
    let _runtime = start();
    let hand = hand();
    let gate = Gate::new();
    let text = gate.text();
    let graph = Graph::<(u64,), _>::compile(|(x,)| hand.behind(x, text).bind()).unwrap();
    let mut result = graph.execute((5,)).unwrap();
    assert!(result.get_timeout(Duration::ZERO).unwrap_err().is_timeout());
    assert!(result.get_timeout(Duration::from_millis(30)).unwrap_err().is_timeout());
    gate.open();
    assert_eq!(result.get_timeout(Duration::from_secs(40)).unwrap(), 5);
}

#[mobula::test]
fn unread_results_are_bounded() {
    let _runtime = start();
    let hand = hand();
    let options = GraphOptions::new().in_flight(4).unread(10);
    let graph = options.compile::<(u64,), _>(|(x,)| hand.double(x).bind()).unwrap();
    let mut refs = Vec::new();
    let full = loop {
        match graph.execute((refs.len() as u64,)) {
            Ok(result) => refs.push(result),
            Err(error) => break error,
        }
    };
    assert!(full.is_full(), "{full}");
    assert_eq!(refs.len(), 14);
    for (x, result) in (0..).zip(refs) {
        assert_eq!(result.get().unwrap(), 2 * x);
    }
    assert_eq!(graph.execute((1,)).unwrap().get().unwrap(), 2);
}

#[mobula::test]
fn what_nobody_reads_takes_no_room() {
    let _runtime = start();
    let hand = hand();
    let options = GraphOptions::new().in_flight(4).unread(10);
    let graph = options.compile::<(u64,), _>(|(x,)| hand.double(x).bind()).unwrap();
    for x in 0..1_000 {
        drop(graph.execute((x,)).unwrap());
    }
    assert_eq!(graph.execute((1,)).unwrap().get().unwrap(), 2);
}

#[mobula::test]
fn several_threads_execute() {
    let _runtime = start();
    let hand = hand();
    let graph = Graph::<(u64,), _>::compile(|(x,)| hand.double(x).bind()).unwrap();
    std::thread::scope(|scope| {
        for start in 0..4u64 {
            let graph = &graph;
            scope.spawn(move || {
                for x in start * 1_000..start * 1_000 + 200 {
                    assert_eq!(graph.execute((x,)).unwrap().get().unwrap(), 2 * x);
                }
            });
        }
    });
}
