//! The end of a graph: its actors live on.

use mobula::Graph;

use super::hand;
use super::support::start;

#[mobula::test]
fn actors_go_from_graph_to_graph() {
    let _runtime = start();
    let (a, b) = (hand(), hand());
    for round in 0..20 {
        let graph = Graph::<(u64,), _>::compile(|(x,)| {
            let doubled = a.double(x).bind();
            b.double(doubled).bind()
        })
        .unwrap();
        assert_eq!(graph.execute((round,)).unwrap().get().unwrap(), 4 * round);
        if round % 2 == 0 {
            graph.teardown().unwrap();
        }
    }
    assert_eq!((a.done().call().unwrap(), b.done().call().unwrap()), (20, 20));
}

#[mobula::test]
fn a_call_that_waits_runs_when_the_graph_is_gone() {
    let _runtime = start();
    let hand = hand();
    let graph = Graph::<(u64,), _>::compile(|(x,)| hand.double(x).bind()).unwrap();
    assert_eq!(graph.execute((1,)).unwrap().get().unwrap(), 2);
    let done = hand.done().remote();
    assert_eq!(graph.execute((1,)).unwrap().get().unwrap(), 2);
    drop(graph);
    assert_eq!(super::support::get(&done).unwrap(), 2);
}

#[mobula::test]
fn results_that_nobody_has_read_say_that_it_is_over() {
    let _runtime = start();
    let hand = hand();
    let graph = Graph::<(u64,), _>::compile(|(x,)| hand.double(x).bind()).unwrap();
    let result = graph.execute((1,)).unwrap();
    drop(graph);
    // It may have come before the end.
    match result.get() {
        Ok(two) => assert_eq!(two, 2),
        Err(error) => assert!(error.is_closed(), "{error}"),
    }
}

#[mobula::test]
fn the_graph_keeps_its_actors() {
    let _runtime = start();
    let graph = {
        let (a, b) = (hand(), hand());
        Graph::<(u64,), _>::compile(|(x,)| {
            let doubled = a.double(x).bind();
            b.double(doubled).bind()
        })
        .unwrap()
    };
    for x in 0..100 {
        assert_eq!(graph.execute((x,)).unwrap().get().unwrap(), 4 * x);
    }
}
