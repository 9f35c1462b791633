//! Calls that are tried again.

use super::support::{Gate, get, signal, start};
use super::{Nest, Phoenix};

#[mobula::test]
fn a_call_runs_once_and_as_often_as_it_has_retries() {
    let _runtime = start();
    let nest = Nest::new(-1);
    // Two runs die, the third one lives.
    assert_eq!(get(&nest.bird.die(2).max_task_retries(2).remote()).unwrap(), 3);
    assert_eq!(nest.count("die"), 3);
}

#[mobula::test]
fn a_call_whose_retries_are_spent_is_unavailable() {
    let _runtime = start();
    let nest = Nest::new(-1);
    let error = get(&nest.bird.die(9).max_task_retries(2).remote()).unwrap_err();
    assert!(error.is_actor_unavailable(), "{error:?}");
    assert_eq!(nest.count("die"), 3);
    assert_eq!(get(&nest.bird.value().max_task_retries(-1).remote()).unwrap(), 0);
}

#[mobula::test]
fn a_call_without_retries_runs_at_most_once() {
    let _runtime = start();
    let nest = Nest::new(-1);
    let error = get(&nest.bird.die(9).remote()).unwrap_err();
    assert!(error.is_actor_unavailable() && error.to_string().contains("SIGKILL"), "{error}");
    assert_eq!(get(&nest.bird.value().max_task_retries(-1).remote()).unwrap(), 0);
    assert_eq!(nest.count("die"), 1);
}

#[mobula::test]
fn retries_without_end_end_with_the_restarts() {
    let _runtime = start();
    let nest = Nest::new(2);
    let error = get(&nest.bird.die(9).max_task_retries(-1).remote()).unwrap_err();
    assert!(error.is_actor_died(), "{error:?}");
    assert_eq!((nest.count("die"), nest.count("new")), (3, 3));
}

#[mobula::test]
fn the_call_counts_before_the_method_and_that_before_the_actor() {
    let _runtime = start();
    let of_actor = Nest::with(Phoenix::options().max_restarts(-1).max_task_retries(3));
    assert_eq!(get(&of_actor.bird.die(3).remote()).unwrap(), 4);
    let of_method = Nest::with(Phoenix::options().max_restarts(-1).max_task_retries(3));
    assert!(get(&of_method.bird.die_with_one(9).remote()).unwrap_err().is_actor_unavailable());
    assert_eq!(of_method.count("die"), 2);
    let of_call = Nest::with(Phoenix::options().max_restarts(-1).max_task_retries(3));
    assert!(get(&of_call.bird.die_with_one(9).max_task_retries(0).remote()).unwrap_err().is_actor_unavailable());
    assert_eq!(of_call.count("die"), 1);
}

#[mobula::test]
fn handles_know_the_retries_wherever_they_go() {
    let _runtime = start();
    let nest = Nest::with(Phoenix::options().max_restarts(-1).max_task_retries(2).name("bird"));
    let own = get(&nest.bird.own().remote()).unwrap();
    assert_eq!(get(&own.die(1).remote()).unwrap(), 2);
    let found = mobula::get_actor::<Phoenix>("bird").unwrap();
    assert_eq!(get(&found.die(3).remote()).unwrap(), 4);
    assert_eq!(get(&from_a_task::remote(&nest.bird)).unwrap(), 6);
}

#[mobula::task]
fn from_a_task(bird: mobula::ActorHandle<Phoenix>) -> Result<usize, mobula::Error> {
    mobula::get(&bird.die(5).remote())
}

#[mobula::test]
fn what_has_not_begun_runs_in_the_next_process_for_nothing() {
    let _runtime = start();
    let nest = Nest::new(-1);
    let gate = Gate::new();
    let held_up = nest.bird.pass(gate.text()).remote();
    // More than a process takes out of its ring at once.
    let calls: Vec<_> = (0..500).map(|by| nest.bird.add(by).remote()).collect();
    nest.until("pass", 1);
    signal(nest.waiting(), "KILL");
    assert!(get(&held_up).unwrap_err().is_actor_unavailable());
    let mut sum = 0;
    for (by, call) in (0..500).zip(&calls) {
        sum += by;
        assert_eq!(get(call).unwrap(), sum);
    }
    assert_eq!(nest.count("add"), 500, "none ran twice");
}

#[mobula::test]
fn what_has_not_begun_keeps_its_retries() {
    let _runtime = start();
    let nest = Nest::new(-1);
    // Each of them finds the process that the one before has left, and has one retry of its own.
    let calls: Vec<_> = (1..=4).map(|turn| nest.bird.die(2 * turn - 1).max_task_retries(1).remote()).collect();
    for (turn, call) in calls.iter().enumerate() {
        assert_eq!(get(call).unwrap(), 2 * turn + 2);
    }
    assert_eq!((nest.count("die"), nest.count("new")), (8, 5));
}
