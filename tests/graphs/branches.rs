//! Chains, branches and joins; several results; several outputs.

use mobula::Graph;

use super::hand;
use super::support::start;

#[mobula::test]
fn one_step_runs_many_times() {
    let _runtime = start();
    let hand = hand();
    let graph = Graph::<(u64,), _>::compile(|(x,)| hand.double(x).bind()).unwrap();
    for x in 0..1_000 {
        assert_eq!(graph.execute((x,)).unwrap().get().unwrap(), 2 * x);
    }
    graph.teardown().unwrap();
    assert_eq!(hand.done().call().unwrap(), 1_000);
}

#[mobula::test]
fn a_chain_goes_from_actor_to_actor() {
    let _runtime = start();
    let hands = [hand(), hand(), hand()];
    let graph = Graph::<(u64,), _>::compile(|(x,)| hands.iter().fold(x, |x, hand| hand.double(x).bind())).unwrap();
    for x in 0..300 {
        assert_eq!(graph.execute((x,)).unwrap().get().unwrap(), 8 * x);
    }
}

#[mobula::test]
fn steps_of_one_actor_are_a_chain_too() {
    let _runtime = start();
    let (a, b) = (hand(), hand());
    // There and back again: a, b, a.
    let graph = Graph::<(u64, u64), _>::compile(|(x, y)| {
        let sum = a.add(x, y).bind();
        let doubled = b.double(&sum).bind();
        a.add(doubled, sum).bind()
    })
    .unwrap();
    for x in 0..300 {
        assert_eq!(graph.execute((x, 1)).unwrap().get().unwrap(), 3 * (x + 1));
    }
}

#[mobula::test]
fn branches_join() {
    let _runtime = start();
    let (left, right, join) = (hand(), hand(), hand());
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        let doubled = left.double(&x).bind();
        let more = right.add(&x, 100).bind();
        join.add(doubled, more).bind()
    })
    .unwrap();
    for x in 0..300 {
        assert_eq!(graph.execute((x,)).unwrap().get().unwrap(), 3 * x + 100);
    }
}

#[mobula::test]
fn there_are_several_outputs() {
    let _runtime = start();
    let hands: Vec<_> = (0..4).map(|_| hand()).collect();
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        hands.iter().zip(0..).map(|(hand, n)| hand.add(&x, n).bind()).collect::<Vec<_>>()
    })
    .unwrap();
    assert_eq!(graph.execute((5,)).unwrap().get().unwrap(), [5, 6, 7, 8]);
    drop(graph);
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        let first = hands[0].double(x).bind();
        // One step's result as an output and as an argument, and twice.
        let second = hands[1].double(&first).bind();
        (first.clone(), second, first)
    })
    .unwrap();
    assert_eq!(graph.execute((3,)).unwrap().get().unwrap(), (6, 12, 6));
}

#[mobula::test]
fn a_call_can_have_several_results() {
    let _runtime = start();
    let (a, b) = (hand(), hand());
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        let (number, text) = a.both(x).bind();
        (b.double(number).bind(), b.text(text).bind())
    })
    .unwrap();
    assert_eq!(graph.execute((4,)).unwrap().get().unwrap(), (10, "4!".to_owned()));
}
