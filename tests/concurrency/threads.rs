//! Threads are started when they are needed, and never more than the limit.

use mobula::prelude::*;

use super::support::{Gate, eventually, get, start};
use super::{Hall, hall, pid_of, threads_of};

#[mobula::test]
fn an_actor_without_concurrency_has_none_for_its_calls() {
    let _runtime = start();
    let plain = Hall::remote(None).unwrap();
    let pid = pid_of(&plain);
    let calls: Vec<_> = (0..100).map(|_| plain.meet(1).remote()).collect();
    mobula::get_all(&calls).unwrap();
    assert_eq!(threads_of(pid), 0);
}

#[mobula::test]
fn one_is_started_for_a_call_that_no_other_can_run() {
    let _runtime = start();
    let hall = hall(4);
    let pid = pid_of(&hall);
    for _ in 0..100 {
        get(&hall.meet(1).remote()).unwrap();
        get(&hall.write().remote()).unwrap();
    }
    // A caller may have its answer before the thread that gave it is free again, but only that one.
    assert!(threads_of(pid) <= 1, "one after the other needs no more than another thread");
    for (calls, threads) in [(2, 1), (3, 2), (4, 3)] {
        let gate = Gate::new();
        let held: Vec<_> = (0..calls).map(|_| hall.pass(gate.text()).remote()).collect();
        eventually("all run", || threads_of(pid) >= threads);
        gate.open();
        mobula::get_all(&held).unwrap();
    }
    let gate = Gate::new();
    let held: Vec<_> = (0..20).map(|_| hall.pass(gate.text()).remote()).collect();
    gate.open();
    mobula::get_all(&held).unwrap();
    let many: Vec<_> = (0..200).map(|_| hall.meet(1).remote()).collect();
    mobula::get_all(&many).unwrap();
    assert_eq!(threads_of(pid), 3, "and the first");
}

#[mobula::test]
fn calls_that_were_made_at_once_run_at_once() {
    let _runtime = start();
    let hall: ActorHandle<Hall> = Hall::options().max_concurrency(16).remote(None).unwrap();
    for _ in 0..5 {
        let met: Vec<_> = (0..16).map(|_| hall.meet(16).remote()).collect();
        assert_eq!(mobula::get_all(&met).unwrap(), [16; 16]);
    }
}
