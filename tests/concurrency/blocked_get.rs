//! A `get` that blocks one thread holds up no other, and its caller is the actor.

use mobula::prelude::*;

use super::support::{Gate, get, start, start_with};
use super::{Hall, hall};

#[mobula::test]
fn others_run_while_one_waits() {
    let _runtime = start();
    let (here, there, gate) = (hall(2), Hall::remote(None).unwrap(), Gate::new());
    let waits = here.call(&there, gate.text()).remote();
    for _ in 0..20 {
        assert_eq!(get(&here.meet(1).remote()).unwrap(), 1);
    }
    gate.open();
    assert_eq!(get(&waits).unwrap(), 1);
}

#[mobula::test]
fn two_may_wait_at_once_for_answers_in_any_order() {
    let _runtime = start();
    let (here, there) = (hall(3), hall(3));
    let gates = [Gate::new(), Gate::new()];
    let waits: Vec<_> = gates.iter().map(|gate| here.call(&there, gate.text()).remote()).collect();
    gates[1].open();
    assert!(get(&waits[1]).unwrap() >= 1);
    assert_eq!(get(&here.meet(1).remote()).unwrap(), 1);
    gates[0].open();
    assert!(get(&waits[0]).unwrap() >= 1);
}

#[mobula::test]
fn an_actor_may_call_itself() {
    let _runtime = start_with(1.0);
    let hall = hall(2);
    let pid = get(&hall.pid().remote()).unwrap();
    for _ in 0..10 {
        assert_eq!(get(&hall.call_itself().remote()).unwrap(), pid);
    }
}

#[mobula::test]
fn each_thread_knows_where_it_is() {
    let _runtime = start();
    let hall = hall(3);
    let meet: Vec<_> = (0..3).map(|_| hall.meet(3).remote()).collect();
    mobula::get_all(&meet).unwrap();
    let places: Vec<_> = (0..20).map(|_| hall.place().remote()).collect();
    let places = mobula::get_all(&places).unwrap();
    let tasks: std::collections::HashSet<_> = places.iter().map(|(_, _, task)| task.clone()).collect();
    assert_eq!(tasks.len(), 20, "each call has its own id");
    assert!(places.iter().all(|(_, actor, _)| *actor == ActorHandle::id(&hall).to_string()));
}
