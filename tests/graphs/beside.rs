//! Actors with concurrency go on answering calls while they are in a graph.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mobula::Graph;

use super::support::start;

struct Shared {
    done: AtomicU64,
    last: Mutex<u64>,
}

#[mobula::actor(concurrency_groups(health = 1))]
impl Shared {
    pub fn new() -> Self {
        Shared { done: AtomicU64::new(0), last: Mutex::new(0) }
    }

    pub fn double(&self, x: u64) -> u64 {
        self.done.fetch_add(1, Ordering::Relaxed);
        2 * x
    }

    /// Alone, also beside the graph's steps.
    pub fn set(&mut self, x: u64) {
        *self.last.get_mut().unwrap() = x;
    }

    #[mobula::method(concurrency_group = "health")]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

#[mobula::test]
fn calls_run_beside_the_graph() {
    let _runtime = start();
    let actor = Shared::remote().unwrap();
    let graph = Graph::<(u64,), _>::compile(|(x,)| actor.double(x).bind()).unwrap();
    for x in 0..200 {
        assert_eq!(graph.execute((x,)).unwrap().get().unwrap(), 2 * x);
        assert_eq!(actor.done().call().unwrap(), 2 * x + 1);
        actor.set(x).call().unwrap();
        assert_eq!(actor.double(x).call().unwrap(), 2 * x);
    }
    graph.teardown().unwrap();
    assert_eq!(actor.done().call().unwrap(), 400);
}

#[mobula::test]
fn a_step_may_be_exclusive_there() {
    let _runtime = start();
    let actor = Shared::remote().unwrap();
    let graph = Graph::<(u64,), _>::compile(|(x,)| actor.set(x).bind()).unwrap();
    let refs: Vec<_> = (0..100).map(|x| graph.execute((x,)).unwrap()).collect();
    let doubled: Vec<_> = (0..100).map(|x| actor.double(x).remote()).collect();
    refs.into_iter().for_each(|result| result.get().unwrap());
    assert_eq!(mobula::get_all(&doubled).unwrap(), (0..100).map(|x| 2 * x).collect::<Vec<_>>());
}
