//! Graphs over `async` methods: each step waits on the thread of the loop, and calls go on beside it.

use mobula::Graph;

use super::support::{Gate, get, start};
use super::{Hall, opens};

struct Stage {
    by: u64,
}

#[mobula::actor]
impl Stage {
    pub fn new(by: u64) -> Self {
        Stage { by }
    }

    pub async fn step(&self, x: u64) -> u64 {
        mobula::sleep(std::time::Duration::from_micros(50)).await;
        x + self.by
    }

    pub async fn waits(&self, gate: String) -> u64 {
        opens(&gate).await;
        self.by
    }
}

#[mobula::test]
fn a_chain_of_async_methods_answers_calls_meanwhile() {
    let _runtime = start();
    let (one, two, gate) = (Stage::remote(1).unwrap(), Stage::remote(10).unwrap(), Gate::new());
    let waits = one.waits(gate.text()).remote();
    let graph = Graph::<(u64,), _>::compile(|(x,)| two.step(one.step(x).bind()).bind()).unwrap();
    for x in 0..200 {
        assert_eq!(graph.execute((x,)).unwrap().get().unwrap(), x + 11);
        if x % 20 == 0 {
            assert_eq!(get(&two.step(x).remote()).unwrap(), x + 10);
        }
    }
    gate.open();
    assert_eq!(get(&waits).unwrap(), 1);
    graph.teardown().unwrap();
    assert_eq!(get(&one.step(5).remote()).unwrap(), 6);
    assert_eq!(get(&Hall::remote().unwrap().add(1, 2).remote()).unwrap(), 3);
}
