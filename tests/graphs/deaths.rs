//! An actor that ends takes the graph with it and nothing else.

use mobula::Graph;

use super::support::{Gate, signal, start};
use super::{Hand, hand};

#[mobula::test]
fn a_death_ends_the_graph_and_leaves_the_others() {
    let _runtime = start();
    let (a, b, c) = (hand(), hand(), hand());
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        let first = a.double(x).bind();
        let second = b.dies_at(first, 20).bind();
        c.double(second).bind()
    })
    .unwrap();
    for x in 0..10 {
        assert_eq!(graph.execute((x,)).unwrap().get().unwrap(), 4 * x);
    }
    let error = graph.execute((10,)).unwrap().get().unwrap_err();
    assert!(error.is_actor_died(), "{error}");
    // It says so from now on.
    let again = graph.execute((11,)).and_then(|result| result.get()).unwrap_err();
    assert!(again.is_actor_died(), "{again}");
    // The others are free, for calls and for another graph.
    assert_eq!((a.double(1).call().unwrap(), c.double(2).call().unwrap()), (2, 4));
    let other = Graph::<(u64,), _>::compile(|(x,)| {
        let first = a.double(x).bind();
        c.double(first).bind()
    })
    .unwrap();
    assert_eq!(other.execute((1,)).unwrap().get().unwrap(), 4);
    assert!(graph.teardown().unwrap_err().is_actor_died());
}

#[mobula::test]
fn one_that_is_killed_between_executions_is_noticed() {
    let _runtime = start();
    let (a, b) = (hand(), hand());
    let pid = a.pid().call().unwrap();
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        let first = a.double(x).bind();
        b.double(first).bind()
    })
    .unwrap();
    assert_eq!(graph.execute((1,)).unwrap().get().unwrap(), 4);
    signal(pid, "KILL");
    let error = loop {
        match graph.execute((1,)).and_then(|result| result.get()) {
            Ok(four) => assert_eq!(four, 4),
            Err(error) => break error,
        }
    };
    assert!(error.is_actor_died(), "{error}");
    assert_eq!(b.double(3).call().unwrap(), 6);
}

#[mobula::test]
fn one_whose_constructor_fails_is_noticed() {
    let _runtime = start();
    let (a, b) = (hand(), Stillborn::remote().unwrap());
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        let first = a.double(x).bind();
        b.pass(first).bind()
    });
    // Whichever comes first: the news, or the graph.
    let error = match graph {
        Ok(graph) => graph.execute((1,)).and_then(|result| result.get()).unwrap_err(),
        Err(error) => error,
    };
    assert!(error.is_actor_died(), "{error}");
    assert_eq!(a.double(3).call().unwrap(), 6);
}

#[mobula::test]
fn an_actor_may_leave() {
    let _runtime = start();
    let (a, b) = (hand(), hand());
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        let first = a.exits_at(x, 3).bind();
        b.double(first).bind()
    })
    .unwrap();
    assert_eq!(graph.execute((1,)).unwrap().get().unwrap(), 2);
    let error = graph.execute((3,)).unwrap().get().unwrap_err();
    assert!(error.is_actor_died(), "{error}");
    assert_eq!(b.double(3).call().unwrap(), 6);
}

#[mobula::test]
fn one_that_is_killed_while_many_are_on_their_way() {
    let _runtime = start();
    let (a, b) = (hand(), hand());
    let gate = Gate::new();
    let text = gate.text();
    let graph = Graph::<(u64,), _>::compile(|(x,)| {
        let first = a.double(x).bind();
        b.behind(first, text).bind()
    })
    .unwrap();
    let refs: Vec<_> = (0..10).map(|x| graph.execute((x,)).unwrap()).collect();
    mobula::kill(&b).unwrap();
    for result in refs {
        let error = result.get().unwrap_err();
        assert!(error.is_actor_died(), "{error}");
    }
    assert_eq!(a.double(1).call().unwrap(), 2);
}

#[mobula::test]
fn a_driver_that_ends_leaves_nothing() {
    let runtime = start();
    let hands: Vec<_> = (0..3).map(|_| hand()).collect();
    let graph = Graph::<(u64,), _>::compile(|(x,)| hands.iter().fold(x, |x, hand| hand.double(x).bind())).unwrap();
    let result = graph.execute((1,)).unwrap();
    runtime.shutdown();
    assert!(result.get().unwrap_err().is_not_initialized());
    assert!(graph.execute((1,)).unwrap_err().is_not_initialized());
}

/// It is never made.
struct Stillborn;

#[mobula::actor]
impl Stillborn {
    pub fn new() -> Result<Self, String> {
        Err("no".to_owned())
    }

    pub fn pass(&mut self, x: u64) -> u64 {
        x
    }
}

/// A graph that an actor has compiled.
struct Boss {
    graph: Graph<(u64,), mobula::Node<u64>>,
}

#[mobula::actor]
impl Boss {
    pub fn new(hand: mobula::ActorHandle<Hand>) -> mobula::Result<Self> {
        Ok(Boss { graph: Graph::compile(|(x,)| hand.double(x).bind())? })
    }

    pub fn double(&mut self, x: u64) -> mobula::Result<u64> {
        self.graph.execute((x,))?.get()
    }
}

#[mobula::test]
fn the_death_of_who_compiled_it_ends_it() {
    let _runtime = start();
    let hand = hand();
    let boss = Boss::remote(hand.clone()).unwrap();
    assert_eq!(boss.double(4).call().unwrap(), 8);
    mobula::kill(&boss).unwrap();
    // Its loop is over, so the actor's calls run again.
    assert_eq!(hand.double(1).call().unwrap(), 2);
    let graph = Graph::<(u64,), _>::compile(|(x,)| hand.double(x).bind()).unwrap();
    assert_eq!(graph.execute((6,)).unwrap().get().unwrap(), 12);
}
