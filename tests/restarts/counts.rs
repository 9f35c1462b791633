//! How often an actor comes back.

use mobula::DeathCause;

use super::support::{eventually, get, signal, start};
use super::{Nest, Phoenix, until_gone};

/// Kills the actor's process and returns what a call with retries says then.
fn next_value(nest: &Nest) -> mobula::Result<i64> {
    let pid = nest.pid();
    signal(pid, "KILL");
    until_gone(pid);
    get(&nest.bird.value().max_task_retries(-1).remote())
}

#[mobula::test]
fn an_actor_comes_back_as_often_as_it_may() {
    let _runtime = start();
    let nest = Nest::new(2);
    assert_eq!(get(&nest.bird.add(5).remote()).unwrap(), 5);
    assert_eq!(next_value(&nest).unwrap(), 0);
    assert_eq!(next_value(&nest).unwrap(), 0);
    let error = next_value(&nest).unwrap_err();
    assert!(matches!(error.actor_death().unwrap().cause, DeathCause::Crashed { .. }), "{error:?}");
    assert_eq!(nest.notes.lines(), ["new false", "add 5", "new true", "new true"]);
}

#[mobula::test]
fn without_restarts_it_does_not_come_back() {
    let _runtime = start();
    let nest = Nest::new(0);
    let error = get(&nest.bird.die(1).max_task_retries(5).remote()).unwrap_err();
    assert!(error.is_actor_died(), "{error:?}");
    assert_eq!((nest.count("new"), nest.count("die")), (1, 1));
}

#[mobula::test]
fn minus_one_is_always() {
    let _runtime = start();
    let nest = Nest::new(-1);
    for _ in 0..5 {
        assert_eq!(next_value(&nest).unwrap(), 0);
    }
    assert_eq!(nest.count("new"), 6);
}

#[mobula::test]
fn an_exit_status_of_zero_is_a_crash() {
    let _runtime = start();
    let nest = Nest::new(1);
    let error = get(&nest.bird.leave(0).remote()).unwrap_err();
    assert!(error.is_actor_unavailable(), "{error:?}");
    assert!(get(&nest.bird.reconstructed().max_task_retries(1).remote()).unwrap());
    let error = get(&nest.bird.leave(3).remote()).unwrap_err();
    assert!(error.is_actor_died() && error.to_string().contains("exit status 3"), "{error}");
}

#[mobula::test]
fn an_actor_that_exits_does_not_come_back() {
    let _runtime = start();
    let nest = Nest::new(-1);
    let error = get(&nest.bird.exit().max_task_retries(-1).remote()).unwrap_err();
    assert!(matches!(error.actor_death().unwrap().cause, DeathCause::Exited), "{error:?}");
    assert!(get(&nest.bird.value().max_task_retries(-1).remote()).unwrap_err().is_actor_died());
    assert_eq!(nest.count("new"), 1);
}

#[mobula::test]
fn an_actor_out_of_scope_does_not_come_back() {
    let _runtime = start();
    let nest = Nest::new(-1);
    let pid = nest.pid();
    let Nest { bird, notes } = nest;
    let weak = get(&bird.own().remote()).unwrap();
    drop(bird);
    until_gone(pid);
    let error = get(&weak.value().max_task_retries(-1).remote()).unwrap_err();
    assert!(matches!(error.actor_death().unwrap().cause, DeathCause::OutOfScope), "{error:?}");
    assert_eq!(notes.lines().len(), 1);
}

struct Settled;

#[mobula::actor(max_restarts = 1, max_task_retries = 1)]
impl Settled {
    pub fn new() -> Self {
        Settled
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

#[mobula::test]
fn the_class_can_say_it() {
    let _runtime = start();
    let settled = Settled::remote().unwrap();
    let first = get(&settled.pid().remote()).unwrap();
    signal(first, "KILL");
    until_gone(first);
    let second = get(&settled.pid().remote()).unwrap();
    assert_ne!(first, second);
    // The options count before the class.
    let brittle = Settled::options().max_restarts(0).remote().unwrap();
    let pid = get(&brittle.pid().remote()).unwrap();
    signal(pid, "KILL");
    until_gone(pid);
    eventually("its death is told", || get(&brittle.pid().remote()).is_err_and(|error| error.is_actor_died()));
}

#[mobula::test]
fn numbers_without_sense_are_refused() {
    let _runtime = start();
    assert!(Phoenix::options().max_restarts(-2).remote("").unwrap_err().is_invalid_argument());
    assert!(Phoenix::options().max_task_retries(-2).remote("").unwrap_err().is_invalid_argument());
    let nest = Nest::new(0);
    let error = nest.bird.value().max_task_retries(-2).try_remote().unwrap_err();
    assert!(error.is_invalid_argument() && error.to_string().contains("max_task_retries"), "{error}");
}
