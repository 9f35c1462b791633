//! What cannot be a graph.

use mobula::{Graph, GraphOptions};

use super::hand;
use super::support::start;

#[mobula::test]
fn an_actor_is_in_one_graph() {
    let _runtime = start();
    let hand = hand();
    let graph = Graph::<(u64,), _>::compile(|(x,)| hand.double(x).bind()).unwrap();
    let refused = Graph::<(u64,), _>::compile(|(x,)| hand.double(x).bind()).unwrap_err();
    assert!(refused.is_invalid_argument(), "{refused}");
    drop(graph);
    assert!(Graph::<(u64,), _>::compile(|(x,)| hand.double(x).bind()).is_ok());
}

#[mobula::test]
fn a_refused_graph_leaves_its_actors_free() {
    let _runtime = start();
    let (a, b) = (hand(), hand());
    let _graph = Graph::<(u64,), _>::compile(|(x,)| a.double(x).bind()).unwrap();
    let both = || {
        Graph::<(u64,), _>::compile(|(x,)| {
            let first = b.double(x).bind();
            a.double(first).bind()
        })
    };
    assert!(both().unwrap_err().is_invalid_argument());
    assert_eq!(b.double(1).call().unwrap(), 2);
    assert!(Graph::<(u64,), _>::compile(|(x,)| b.double(x).bind()).is_ok());
}

#[mobula::test]
fn nodes_are_for_binding() {
    let _runtime = start();
    let hand = hand();
    let mut of_another = None;
    let _ = Graph::<(u64,), _>::compile(|(x,)| {
        of_another = Some(x.clone());
        assert!(mobula::get(&hand.double(&x).remote()).unwrap_err().is_invalid_argument());
        assert!(hand.double(&x).call().unwrap_err().is_invalid_argument());
        x
    })
    .unwrap_err();
    let foreign = of_another.unwrap();
    let refused = Graph::<(u64,), _>::compile(|(_x,)| hand.double(foreign).bind()).unwrap_err();
    assert!(refused.is_invalid_argument(), "{refused}");
    let object = mobula::put(&5u64).unwrap();
    let refused = Graph::<(u64,), _>::compile(|(x,)| hand.add(x, &object).bind()).unwrap_err();
    assert!(refused.to_string().contains("a ref"), "{refused}");
}

#[mobula::test]
fn a_graph_has_steps_and_sensible_options() {
    let _runtime = start();
    let hand = hand();
    let empty = Graph::<(u64,), _>::compile(|_| Vec::<mobula::Node<u64>>::new()).unwrap_err();
    assert!(empty.is_invalid_argument(), "{empty}");
    for options in
        [GraphOptions::new().in_flight(0), GraphOptions::new().in_flight(5_000), GraphOptions::new().inline_bytes(8)]
    {
        assert!(options.compile::<(u64,), _>(|(x,)| hand.double(x).bind()).unwrap_err().is_invalid_argument());
    }
    assert_eq!(hand.double(2).call().unwrap(), 4);
}
