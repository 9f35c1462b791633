//! `get_if_exists`: the actor that has the name, or a new one.

use mobula::prelude::*;

use super::support::{Gate, eventually, get, is_alive, start};
use super::{Counter, end_behind, pid_of, until_free, until_gone};

fn take(name: &str, start: i64) -> ActorHandle<Counter> {
    Counter::options().name(name).get_if_exists(true).remote(start).unwrap()
}

#[mobula::test]
fn the_first_creates_and_the_others_get_the_same() {
    let _runtime = start();
    let first = take("global", 10);
    let second = take("global", 20);
    assert_eq!(ActorHandle::id(&first), ActorHandle::id(&second));
    assert_eq!(get(&second.add(1).remote()).unwrap(), 11, "the arguments of the later ones are of no use");
    let maker = Counter::remote(0).unwrap();
    let pid = get(&maker.take("global", 30).remote()).unwrap();
    assert_eq!(pid, pid_of("global"));
    assert_eq!(pid, get(&first.pid().remote()).unwrap());
    // One that was not created in this way serves as well.
    let named = Counter::options().name("named").remote(1).unwrap();
    assert_eq!(ActorHandle::id(&take("named", 2)), ActorHandle::id(&named));
}

#[mobula::test]
fn what_get_if_exists_gives_counts_and_what_get_actor_gives_does_not() {
    let _runtime = start();
    let first = take("global", 1);
    let second = take("global", 2);
    let weak: ActorHandle<Counter> = mobula::get_actor("global").unwrap();
    drop(first);
    assert_eq!(get(&weak.add(1).remote()).unwrap(), 2);
    // It counts elsewhere, too.
    let keeper = Counter::remote(0).unwrap();
    get(&keeper.keep(&second).remote()).unwrap();
    let pid = get(&second.pid().remote()).unwrap();
    drop(second);
    assert_eq!(get(&keeper.add_there(1).remote()).unwrap(), 3);
    assert!(is_alive(pid));
    // And a weak one does not, wherever it goes.
    let other = Counter::remote(0).unwrap();
    get(&other.keep(&weak).remote()).unwrap();
    let stored = mobula::put(&weak).unwrap();
    get(&keeper.let_go().remote()).unwrap();
    until_gone(pid);
    until_free("global");
    eventually("its end is told", || get(&weak.add(0).remote()).is_err_and(|error| error.is_actor_died()));
    assert!(get(&mobula::get(&stored).unwrap().add(0).remote()).unwrap_err().is_actor_died());
    let error = get(&other.add_there(1).remote()).unwrap_err();
    assert!(error.to_string().contains("died"), "{error}");
}

#[mobula::test]
fn one_whose_last_handle_is_gone_is_waited_for() {
    let _runtime = start();
    let gate = Gate::new();
    let first = take("global", 1);
    let pid = get(&first.pid().remote()).unwrap();
    let weak: ActorHandle<Counter> = mobula::get_actor("global").unwrap();
    let held_up = end_behind(first, "global", &gate);
    let queued = weak.add(5).remote();
    let second = std::thread::scope(|scope| {
        scope.spawn(|| {
            // It still has its name, and is not to be had.
            assert!(Counter::options().name("global").remote(0).unwrap_err().is_name_taken());
            assert!(is_alive(pid));
            gate.open();
        });
        take("global", 100)
    });
    assert!(!is_alive(pid), "the first one has ended before");
    assert_eq!(get(&held_up).unwrap(), 1);
    assert_eq!(get(&queued).unwrap(), 6, "what was queued has run");
    assert_eq!(get(&second.add(1).remote()).unwrap(), 101);
}

#[mobula::test]
fn one_that_exits_is_waited_for() {
    let _runtime = start();
    for round in 0..10 {
        let first = take("global", 1);
        let pid = get(&first.pid().remote()).unwrap();
        let exit = first.exit().remote();
        assert!(get(&exit).unwrap_err().is_actor_died());
        let second = take("global", round);
        assert!(!is_alive(pid));
        assert_eq!(get(&second.add(1).remote()).unwrap(), round + 1);
        mobula::kill(&second).unwrap();
    }
}

#[mobula::test]
fn one_whose_owner_was_killed_is_not_taken() {
    let _runtime = start();
    for _ in 0..10 {
        let (owner, middle) = (Counter::remote(0).unwrap(), "middle");
        get(&owner.make(middle, 0).remote()).unwrap();
        let child: ActorHandle<Counter> = mobula::get_actor(middle).unwrap();
        get(&child.make("grandchild", 0).remote()).unwrap();
        let pid = pid_of("grandchild");
        mobula::kill(&owner).unwrap();
        let new = take("grandchild", 7);
        until_gone(pid);
        assert_eq!(get(&new.add(0).remote()).unwrap(), 7);
        mobula::kill(&new).unwrap();
    }
}

#[mobula::test]
fn an_actor_that_ends_does_not_wait_for_itself() {
    let _runtime = start();
    let gate = Gate::new();
    let counter = Counter::options().name("global").remote(0).unwrap();
    let weak: ActorHandle<Counter> = mobula::get_actor("global").unwrap();
    assert_eq!(get(&weak.add(1).remote()).unwrap(), 1);
    let said = weak.take_own(gate.text(), "global").remote();
    drop(counter);
    gate.open();
    let said = get(&said).unwrap();
    assert!(said.contains("this one"), "{said}");
    until_free("global");
}

/// Creates one after another has ended.
#[mobula::task]
fn create(name: String) -> Result<i64, mobula::Error> {
    let counter = Counter::options().name(name).get_if_exists(true).remote(1)?;
    mobula::get(&counter.add(1).remote())
}

#[mobula::task]
fn open(gate: String) {
    std::fs::write(gate, "open").unwrap();
}

#[mobula::test]
fn a_task_that_waits_for_an_end_lends_its_cpu() {
    let _runtime = super::support::start_with(1.0);
    let gate = Gate::new();
    let counter = take("global", 0);
    let held_up = end_behind(counter, "global", &gate);
    let created = create::remote("global");
    // There is one CPU, and the first task waits for what the second one does.
    let opened = open::remote(gate.text());
    get(&opened).unwrap();
    assert_eq!(get(&created).unwrap(), 2);
    get(&held_up).unwrap();
}
