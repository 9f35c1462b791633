//! Calls that were cancelled are not tried again.

use super::Nest;
use super::support::{Gate, get, signal, start};

#[mobula::test]
fn a_call_that_was_cancelled_while_it_ran_does_not_run_again() {
    let _runtime = start();
    let nest = Nest::new(-1);
    let gate = Gate::new();
    let running = nest.bird.pass(gate.text()).max_task_retries(-1).remote();
    let queued: Vec<_> = (1..=20).map(|by| nest.bird.add(by).max_task_retries(1).remote()).collect();
    nest.until("pass", 1);
    mobula::cancel(&running, false).unwrap();
    mobula::cancel(&queued[3], false).unwrap();
    signal(nest.waiting(), "KILL");
    assert!(get(&running).unwrap_err().is_cancelled());
    for (index, call) in queued.iter().enumerate() {
        match get(call) {
            Ok(_) => assert_ne!(index, 3),
            Err(error) => assert!(index == 3 && error.is_cancelled(), "{index}: {error:?}"),
        }
    }
    assert_eq!((nest.count("pass"), nest.count("add"), nest.count("new")), (1, 19, 2));
}

#[mobula::test]
fn a_call_that_waits_for_a_restart_can_be_cancelled() {
    let _runtime = start();
    let nest = Nest::new(-1);
    for _ in 0..3 {
        get(&nest.bird.value().max_task_retries(-1).remote()).unwrap();
        assert!(get(&nest.bird.die(99).remote()).unwrap_err().is_actor_unavailable());
    }
    let waits = nest.bird.add(1).max_task_retries(-1).remote();
    let behind = nest.bird.add(2).max_task_retries(-1).remote();
    mobula::cancel(&waits, false).unwrap();
    assert!(get(&waits).unwrap_err().is_cancelled());
    assert_eq!(get(&behind).unwrap(), 2);
    assert_eq!(nest.count("add"), 1);
}

#[mobula::test]
fn a_call_that_fails_and_was_cancelled_is_not_tried_again() {
    let _runtime = start();
    let nest = Nest::new(0);
    let gate = Gate::new();
    let held_up = nest.bird.pass(gate.text()).remote();
    let failing = nest.bird.fail(usize::MAX).max_task_retries(-1).retry_errors(true).remote();
    nest.until("pass", 1);
    gate.open();
    nest.until("fail", 3);
    mobula::cancel(&failing, false).unwrap();
    assert!(get(&failing).unwrap_err().is_cancelled());
    get(&held_up).unwrap();
    // Behind everything of it that could still come.
    assert_eq!(get(&nest.bird.add(1).remote()).unwrap(), 1);
    let fails = nest.count("fail");
    assert_eq!(get(&nest.bird.add(1).remote()).unwrap(), 2);
    assert_eq!(nest.count("fail"), fails);
}
