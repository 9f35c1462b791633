//! Several callers of one actor, each with retries of its own.

use mobula::prelude::*;

use super::support::{Gate, get, signal, start_with};
use super::{Nest, Phoenix, until_gone};

/// Calls on behalf of somebody else.
struct Caller(ActorHandle<Phoenix>);

#[mobula::actor]
impl Caller {
    pub fn new(bird: ActorHandle<Phoenix>) -> Self {
        Caller(bird)
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn value(&self) -> Result<i64, mobula::Error> {
        mobula::get(&self.0.value().remote())
    }

    /// Passes a gate there; says what came of it.
    pub fn pass(&self, gate: String, retries: i32) -> String {
        match mobula::get(&self.0.pass(gate).max_task_retries(retries).remote()) {
            Ok(_) => "passed".into(),
            Err(error) if error.is_actor_unavailable() => "unavailable".into(),
            Err(error) => error.to_string(),
        }
    }

    /// Adds there, without retries.
    pub fn add(&self, by: i64, times: usize) -> Result<Vec<i64>, mobula::Error> {
        let calls: Vec<_> = (0..times).map(|_| self.0.add(by).remote()).collect();
        mobula::get_all(&calls)
    }

    /// Makes calls that nobody waits for.
    pub fn begin(&self, gate: String) {
        let _ = self.0.pass(gate).max_task_retries(-1).remote();
    }
}

#[mobula::test]
fn each_caller_has_its_own_retries() {
    let _runtime = start_with(2.0);
    let nest = Nest::new(-1);
    let [brave, meek] = [(); 2].map(|()| Caller::remote(&nest.bird).unwrap());
    get(&brave.value().remote()).unwrap();
    get(&meek.value().remote()).unwrap();
    let gate = Gate::new();
    let running = meek.pass(gate.text(), 0).remote();
    nest.until("pass", 1);
    signal(nest.waiting(), "KILL");
    assert_eq!(get(&running).unwrap(), "unavailable");
    nest.pid();
    let running = brave.pass(gate.text(), 1).remote();
    nest.until("pass", 2);
    signal(nest.waiting(), "KILL");
    nest.until("pass", 3);
    gate.open();
    assert_eq!(get(&running).unwrap(), "passed");
}

#[mobula::test]
fn the_first_unanswered_call_of_each_caller_may_have_begun() {
    let _runtime = start_with(2.0);
    let nest = Nest::new(-1);
    let caller = Caller::remote(&nest.bird).unwrap();
    get(&caller.value().remote()).unwrap();
    let gate = Gate::new();
    let running = nest.bird.pass(gate.text()).max_task_retries(1).remote();
    nest.until("pass", 1);
    // Behind the running one: with retries nothing of these is lost, and nothing runs twice.
    let own: Vec<_> = (0..50).map(|_| nest.bird.add(1).max_task_retries(1).remote()).collect();
    signal(nest.waiting(), "KILL");
    nest.until("pass", 2);
    gate.open();
    get(&running).unwrap();
    for call in &own {
        get(call).unwrap();
    }
    assert_eq!(nest.count("add"), 50);
    assert_eq!(get(&caller.add(1, 10).remote()).unwrap().last(), Some(&60));
}

#[mobula::test]
fn a_caller_that_dies_during_a_restart_takes_its_calls_along() {
    let _runtime = start_with(2.0);
    let nest = Nest::new(-1);
    let caller = Caller::remote(&nest.bird).unwrap();
    let gate = Gate::new();
    let pid = get(&caller.pid().remote()).unwrap();
    get(&caller.begin(gate.text()).remote()).unwrap();
    nest.until("pass", 1);
    let bird = nest.waiting();
    signal(pid, "STOP");
    signal(bird, "KILL");
    until_gone(bird);
    signal(pid, "KILL");
    until_gone(pid);
    assert_eq!(get(&nest.bird.value().max_task_retries(-1).remote()).unwrap(), 0);
    assert_eq!(nest.count("pass"), 1);
}
