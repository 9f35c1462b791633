//! The order of one caller's calls over restarts.

use super::support::{Gate, get, signal, start};
use super::{Nest, Phoenix};

/// Returns the numbers that were added, in order.
fn added(nest: &Nest) -> Vec<i64> {
    nest.notes.lines().iter().filter_map(|line| line.strip_prefix("add ")?.parse().ok()).collect()
}

#[mobula::test]
fn what_is_tried_again_comes_first_and_the_rest_in_order() {
    let _runtime = start();
    let nest = Nest::new(-1);
    let gate = Gate::new();
    let first = nest.bird.add(0).remote();
    let held_up = nest.bird.pass(gate.text()).max_task_retries(1).remote();
    let calls: Vec<_> =
        (1..2000).map(|by| nest.bird.add(by).max_task_retries(i32::from(by % 2 == 0)).remote()).collect();
    nest.until("pass", 1);
    assert_eq!(get(&first).unwrap(), 0);
    signal(nest.waiting(), "KILL");
    nest.until("pass", 2);
    // What is made meanwhile comes last.
    let last = nest.bird.add(2000).max_task_retries(1).remote();
    gate.open();
    assert_eq!(get(&held_up).unwrap(), 0);
    for call in &calls {
        get(call).unwrap();
    }
    get(&last).unwrap();
    assert_eq!(added(&nest), (0..=2000).collect::<Vec<_>>());
}

#[mobula::test]
fn calls_behind_one_that_waits_for_an_argument_keep_their_place() {
    let _runtime = start();
    let nest = Nest::new(-1);
    let gate = Gate::new();
    get(&nest.bird.value().remote()).unwrap();
    let late = nest.bird.add(late_number::remote(gate.text())).remote();
    let behind: Vec<_> = (2..100).map(|by| nest.bird.add(by).remote()).collect();
    let pid = nest_pid(&nest);
    signal(pid, "KILL");
    super::until_gone(pid);
    gate.open();
    get(&late).unwrap();
    for call in &behind {
        get(call).unwrap();
    }
    assert_eq!(added(&nest), (1..100).collect::<Vec<_>>());
}

/// The calls of another process are not behind those of this one.
fn nest_pid(nest: &Nest) -> u32 {
    get(&pid_of::remote(&nest.bird)).unwrap()
}

#[mobula::task]
fn pid_of(bird: mobula::ActorHandle<Phoenix>) -> Result<u32, mobula::Error> {
    mobula::get(&bird.pid().remote())
}

#[mobula::task]
fn late_number(gate: String) -> i64 {
    super::pass(&gate);
    1
}
