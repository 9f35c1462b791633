//! What an actor holds, it holds over its restarts.

use mobula::prelude::*;

use super::support::{config, eventually, get, signal};
use super::{Nest, Phoenix, until_gone};

fn available(name: &str) -> f64 {
    mobula::available_resources()[name]
}

#[mobula::test]
fn they_stay_with_the_actor_and_go_back_once() {
    let _runtime = mobula::init(config(2.0).num_gpus(2.0).resource("arm", 1.0)).unwrap();
    let options = Phoenix::options().max_restarts(2).num_cpus(1.5).num_gpus(1.0).resource("arm", 1.0);
    let nest = Nest::with(options);
    for _ in 0..2 {
        let pid = nest.pid();
        signal(pid, "KILL");
        // At every moment of the restart.
        for _ in 0..50 {
            assert_eq!((available("CPU"), available("GPU"), available("arm")), (0.5, 1.0, 0.0));
        }
        until_gone(pid);
    }
    let pid = nest.pid();
    signal(pid, "KILL");
    eventually("all is free", || (available("CPU"), available("GPU"), available("arm")) == (2.0, 2.0, 1.0));
    assert!(get(&nest.bird.value().max_task_retries(-1).remote()).unwrap_err().is_actor_died());
    assert_eq!((available("CPU"), available("GPU"), available("arm")), (2.0, 2.0, 1.0));
}

/// Knows what its process was given.
struct Given;

#[mobula::actor(max_restarts = 2)]
impl Given {
    pub fn new() -> Self {
        Given
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn all(&self) -> (Vec<u32>, String, String) {
        let variable = |name| std::env::var(name).unwrap_or_default();
        (mobula::context().gpu_ids(), variable("CUDA_VISIBLE_DEVICES"), variable("OWN"))
    }
}

#[mobula::test]
fn the_next_process_has_the_same_gpus_and_variables() {
    let _runtime = mobula::init(config(2.0).num_gpus(3.0)).unwrap();
    let first = Given::options().num_gpus(1.0).remote().unwrap();
    let second = Given::options().num_gpus(1.0).env("OWN", "7").remote().unwrap();
    get(&first.pid().remote()).unwrap();
    let before: (Vec<u32>, String, String) = get(&second.all().remote()).unwrap();
    assert_eq!(before, (vec![1], "1".into(), "7".into()));
    // A lower one is free by now.
    mobula::kill(&first).unwrap();
    let pid = get(&second.pid().remote()).unwrap();
    signal(pid, "KILL");
    until_gone(pid);
    assert_eq!(get(&second.all().max_task_retries(1).remote()).unwrap(), before);
    let _: &ActorHandle<Given> = &second;
}
