//! A health check in a group of its own answers while the default group is stuck.

use mobula::prelude::*;

use super::support::{Gate, get, pass, start};

struct Service {
    jobs: u32,
}

#[mobula::actor(concurrency_groups(health = 1))]
impl Service {
    pub fn new() -> Self {
        Service { jobs: 0 }
    }

    pub fn work(&self, gate: String) {
        pass(&gate);
    }

    pub fn change(&mut self) -> u32 {
        self.jobs += 1;
        self.jobs
    }

    #[mobula::method(concurrency_group = "health")]
    pub fn is_alive(&self) -> bool {
        true
    }
}

/// Asks how it is.
#[mobula::task]
fn check(service: ActorHandle<Service>) -> Result<bool, mobula::Error> {
    mobula::get(&service.is_alive().remote())
}

#[mobula::test]
fn it_answers_while_calls_are_stuck_and_others_wait() {
    let _runtime = start();
    for calls in [1, 2] {
        let service = Service::options().max_concurrency(calls).remote().unwrap();
        let gate = Gate::new();
        let stuck: Vec<_> = (0..calls).map(|_| service.work(gate.text()).remote()).collect();
        // These have no place, whatever they are.
        let change = service.change().remote();
        let more = service.work(gate.text()).remote();
        for _ in 0..20 {
            assert!(get(&service.is_alive().remote()).unwrap());
        }
        assert!(get(&check::remote(&service)).unwrap());
        gate.open();
        assert_eq!(get(&change).unwrap(), 1);
        get(&more).unwrap();
        mobula::get_all(&stuck).unwrap();
    }
}
