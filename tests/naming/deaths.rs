//! Deaths of those who claim names, at any moment.

use mobula::prelude::*;

use super::support::{Gate, eventually, get, signal, start, start_with};
use super::{Counter, end_behind, pid_of, until_free, until_gone};

#[mobula::test]
fn a_creator_that_dies_before_the_arguments_are_there_frees_the_name() {
    let _runtime = start_with(4.0);
    let creator = Counter::remote(0).unwrap();
    get(&creator.begin("global").remote()).unwrap();
    // Others have handles of it, strong ones, too.
    let weak: ActorHandle<Counter> = mobula::get_actor("global").unwrap();
    let strong = Counter::options().name("global").get_if_exists(true).remote(0).unwrap();
    assert_eq!(ActorHandle::id(&weak), ActorHandle::id(&strong));
    let calls = [weak.add(1).remote(), strong.add(1).remote()];
    assert!(get(&creator.abort().remote()).unwrap_err().is_actor_died());
    until_free("global");
    for call in &calls {
        let error = get(call).unwrap_err();
        assert!(matches!(error.actor_death().unwrap().cause, mobula::DeathCause::OwnerDied), "{error:?}");
    }
    assert_eq!(get(&Counter::options().name("global").remote(1).unwrap().add(1).remote()).unwrap(), 2);
}

#[mobula::test]
fn a_creator_that_dies_before_its_actor_is_placed_frees_the_name() {
    let _runtime = start();
    let creator = Counter::remote(0).unwrap();
    get(&creator.begin_large("global").remote()).unwrap();
    let found: ActorHandle<Counter> = mobula::get_actor("global").unwrap();
    let call = found.add(1).remote();
    mobula::kill(&creator).unwrap();
    until_free("global");
    assert!(get(&call).unwrap_err().is_actor_died());
}

#[mobula::test]
fn a_worker_whose_task_has_ended_and_that_dies_frees_the_name() {
    let _runtime = start_with(4.0);
    let gate = Gate::new();
    // The task returns while its actor still waits for an argument, which only its worker can hand on.
    let (worker, strong) = get(&begin_and_return::remote("global", gate.text())).unwrap();
    let call = strong.add(1).remote();
    assert!(Counter::options().name("global").remote(0).unwrap_err().is_name_taken());
    // Then what it has made belongs to the driver, which lives on.
    eventually("the worker is given back", || mobula::available_resources()["CPU"] == 3.0);
    signal(worker, "KILL");
    until_gone(worker);
    until_free("global");
    assert!(get(&call).unwrap_err().is_actor_died());
    gate.open();
}

#[mobula::task]
fn begin_and_return(name: String, gate: String) -> Result<(u32, ActorHandle<Counter>), mobula::Error> {
    let late = wait_behind::remote(gate);
    Ok((std::process::id(), Counter::options().name(name).remote(&late)?))
}

#[mobula::task]
fn wait_behind(gate: String) -> i64 {
    super::support::pass(&gate);
    1
}

#[mobula::test]
fn what_a_task_has_named_lives_on_with_its_caller() {
    let _runtime = start_with(4.0);
    let gate = Gate::new();
    let (_, strong) = get(&begin_and_return::remote("global", gate.text())).unwrap();
    gate.open();
    assert_eq!(get(&strong.add(1).remote()).unwrap(), 2);
    assert_eq!(pid_of("global"), get(&strong.pid().remote()).unwrap());
}

#[mobula::test]
fn one_that_waits_for_a_name_and_dies_gets_none() {
    let _runtime = start_with(4.0);
    let gate = Gate::new();
    let first = Counter::options().name("global").remote(0).unwrap();
    let held_up = end_behind(first, "global", &gate);
    let waiter = Counter::remote(0).unwrap();
    let pid = get(&waiter.pid().remote()).unwrap();
    let _ = waiter.take("global", 5).remote();
    signal(pid, "KILL");
    until_gone(pid);
    gate.open();
    get(&held_up).unwrap();
    until_free("global");
    assert_eq!(get(&Counter::options().name("global").remote(1).unwrap().add(1).remote()).unwrap(), 2);
}

#[mobula::test]
fn creators_that_die_at_any_moment_leave_no_name() {
    let _runtime = start_with(4.0);
    for round in 0..12_u32 {
        let creator = Counter::remote(0).unwrap();
        let pid = get(&creator.pid().remote()).unwrap();
        let _ = creator.take("global", 0).remote();
        let _ = creator.begin("other").remote();
        // Sooner or later: wherever it is then, its names are free in the end.
        for _ in 0..round * 20_000 {
            std::hint::spin_loop();
        }
        signal(pid, "KILL");
        until_gone(pid);
        eventually("all names are free", || mobula::list_named_actors(true).unwrap().is_empty());
    }
}

#[mobula::test]
fn a_crash_frees_the_name_and_get_if_exists_creates_again() {
    let _runtime = start();
    for round in 0..10 {
        let counter = Counter::options().name("global").get_if_exists(true).remote(round).unwrap();
        let pid = get(&counter.pid().remote()).unwrap();
        signal(pid, "KILL");
        assert!(eventually_dead(&counter));
        let again = Counter::options().name("global").get_if_exists(true).remote(100).unwrap();
        assert_eq!(get(&again.add(1).remote()).unwrap(), 101);
        until_gone(pid);
        mobula::kill(&again).unwrap();
    }
}

fn eventually_dead(counter: &ActorHandle<Counter>) -> bool {
    eventually("its death is told", || get(&counter.add(0).remote()).is_err_and(|error| error.is_actor_died()));
    true
}
