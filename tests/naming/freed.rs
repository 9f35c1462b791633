//! When a name is free again.

use mobula::prelude::*;

use super::support::{Gate, eventually, get, is_alive, start};
use super::{Counter, until_free, until_gone};

fn named(name: &str) -> mobula::Result<ActorHandle<Counter>> {
    Counter::options().name(name).num_cpus(2.0).remote(0)
}

#[mobula::test]
fn a_killed_actors_name_and_resources_are_free_when_kill_returns() {
    let _runtime = start();
    for _ in 0..20 {
        let counter = named("global").unwrap();
        let pid = get(&counter.pid().remote()).unwrap();
        // Others have handles of it.
        let weak: ActorHandle<Counter> = mobula::get_actor("global").unwrap();
        mobula::kill(&counter).unwrap();
        assert!(!is_alive(pid));
        assert!(mobula::get_actor::<Counter>("global").unwrap_err().is_not_found());
        assert_eq!(mobula::available_resources()["CPU"], 2.0);
        assert!(mobula::list_named_actors(true).unwrap().is_empty());
        assert!(get(&weak.add(1).remote()).unwrap_err().is_actor_died());
        assert!(weak.add(1).try_remote().unwrap_err().is_actor_died());
    }
}

#[mobula::test]
fn one_is_killed_by_a_handle_that_was_found_while_it_starts_or_waits() {
    let _runtime = start();
    for _ in 0..10 {
        let starting = named("global").unwrap();
        mobula::kill(&mobula::get_actor::<Counter>("global").unwrap()).unwrap();
        assert!(get(&starting.add(1).remote()).unwrap_err().is_actor_died());
        assert!(mobula::get_actor::<Counter>("global").unwrap_err().is_not_found());
    }
    let first = named("first").unwrap();
    // It waits for CPUs.
    let second = named("second").unwrap();
    assert!(named("second").unwrap_err().is_name_taken());
    mobula::kill(&mobula::get_actor::<Counter>("second").unwrap()).unwrap();
    assert!(get(&second.add(1).remote()).unwrap_err().is_actor_died());
    let third = named("second").unwrap();
    drop(first);
    assert_eq!(get(&third.add(1).remote()).unwrap(), 1);
}

#[mobula::test]
fn the_last_handle_frees_the_name_whoever_has_weak_ones() {
    let _runtime = start();
    let counter = named("global").unwrap();
    let pid = get(&counter.pid().remote()).unwrap();
    let weak: ActorHandle<Counter> = mobula::get_actor("global").unwrap();
    drop(counter);
    until_free("global");
    assert!(!is_alive(pid));
    let again = named("global").unwrap();
    assert_eq!(get(&again.add(3).remote()).unwrap(), 3);
    assert!(get(&weak.add(1).remote()).unwrap_err().is_actor_died(), "the old handle is not of the new actor");
}

#[mobula::test]
fn an_end_of_any_kind_frees_the_name() {
    let _runtime = start();
    for _ in 0..5 {
        let counter = named("global").unwrap();
        assert!(get(&counter.exit().remote()).unwrap_err().is_actor_died());
        let counter = named("global").unwrap_or_else(|_| {
            until_free("global");
            named("global").unwrap()
        });
        assert!(get(&counter.abort().remote()).unwrap_err().is_actor_died());
        // Who knows of the death finds the name free.
        let counter = named("global").unwrap();
        mobula::kill(&counter).unwrap();
        let failed = Counter::options().name("global").remote(-1).unwrap();
        assert!(get(&failed.add(1).remote()).unwrap_err().is_actor_died());
        let again = named("global").unwrap();
        mobula::kill(&again).unwrap();
    }
}

#[mobula::test]
fn an_argument_that_fails_frees_the_name() {
    let _runtime = start();
    let (other, gate) = (Counter::remote(0).unwrap(), Gate::new());
    let failing = fail_behind::remote(gate.text());
    let counter = Counter::options().name("global").remote(&failing).unwrap();
    assert!(Counter::options().name("global").remote(0).unwrap_err().is_name_taken());
    let found = get(&other.find("global").remote()).unwrap();
    let call = found.add(1).remote();
    gate.open();
    let error = get(&call).unwrap_err();
    assert!(error.is_actor_died() && error.to_string().contains("no number today"), "{error:?}");
    assert!(get(&counter.add(1).remote()).unwrap_err().is_actor_died());
    until_free("global");
    // One that had failed before takes no name at all.
    assert!(Counter::options().name("global").remote(&failing).is_err());
    assert!(mobula::list_named_actors(true).unwrap().is_empty());
}

#[mobula::task]
fn fail_behind(gate: String) -> Result<i64, String> {
    super::support::pass(&gate);
    Err("no number today".into())
}

#[mobula::test]
fn one_that_waits_for_its_argument_is_found_and_called() {
    let _runtime = start();
    let gate = Gate::new();
    let late = Counter::options().name("global").remote(give_behind::remote(gate.text(), 40)).unwrap();
    let found: ActorHandle<Counter> = mobula::get_actor("global").unwrap();
    let elsewhere = Counter::remote(0).unwrap();
    let taken = Counter::options().name("global").get_if_exists(true).remote(1).unwrap();
    get(&elsewhere.keep(&taken).remote()).unwrap();
    let calls = [found.add(1).remote(), taken.add(1).remote(), late.add(0).remote()];
    let there = elsewhere.add_there(0).remote();
    gate.open();
    assert_eq!(mobula::get_all(&calls).unwrap(), [41, 42, 42]);
    assert!(get(&there).unwrap() >= 40);
}

#[mobula::task]
fn give_behind(gate: String, value: i64) -> i64 {
    super::support::pass(&gate);
    value
}

#[mobula::test]
fn one_that_waits_for_its_argument_loses_its_name_with_its_last_handle_or_by_kill() {
    let _runtime = super::support::start_with(4.0);
    let never = super::never::remote();
    for _ in 0..5 {
        let counter = Counter::options().name("global").remote(&never).unwrap();
        let weak: ActorHandle<Counter> = mobula::get_actor("global").unwrap();
        let call = weak.add(1).remote();
        mobula::kill(&counter).unwrap();
        assert!(mobula::get_actor::<Counter>("global").unwrap_err().is_not_found());
        assert!(get(&call).unwrap_err().is_actor_died());
        let killed_elsewhere = Counter::options().name("global").remote(&never).unwrap();
        let call = killed_elsewhere.add(1).remote();
        get(&kill_by_name::remote("global")).unwrap();
        assert!(mobula::get_actor::<Counter>("global").unwrap_err().is_not_found());
        let error = get(&call).unwrap_err();
        assert!(error.is_actor_died(), "its creator hears of it: {error:?}");
    }
}

#[mobula::task]
fn kill_by_name(name: String) -> Result<(), mobula::Error> {
    mobula::kill(&mobula::get_actor::<Counter>(&name)?)
}

#[mobula::test]
fn what_an_owner_has_named_is_free_after_its_end() {
    let _runtime = start();
    let owner = Counter::remote(0).unwrap();
    get(&owner.make("child", 0).remote()).unwrap();
    let strong = Counter::options().name("child").get_if_exists(true).remote(0).unwrap();
    let pid = get(&strong.pid().remote()).unwrap();
    mobula::kill(&owner).unwrap();
    until_free("child");
    until_gone(pid);
    let error = get(&strong.add(1).remote()).unwrap_err();
    assert!(matches!(error.actor_death().unwrap().cause, mobula::DeathCause::OwnerDied), "{error:?}");
    eventually("a new one", || Counter::options().name("child").remote(0).is_ok());
}
