//! `&self` calls run beside each other, up to `max_concurrency`.

use mobula::prelude::*;

use super::hall;
use super::support::{Gate, eventually, get, start};

#[mobula::test]
fn as_many_as_the_limit_meet() {
    let _runtime = start();
    for calls in [2, 5] {
        let hall = hall(calls as usize);
        // Each comes back only if all are inside at once.
        let met: Vec<_> = (0..calls).map(|_| hall.meet(calls).remote()).collect();
        for one in &met {
            assert_eq!(get(one).unwrap(), calls);
        }
    }
}

#[mobula::test]
fn no_more_than_the_limit_are_inside() {
    let _runtime = start();
    let (hall, gate) = (hall(3), Gate::new());
    let held: Vec<_> = (0..10).map(|_| hall.pass(gate.text()).remote()).collect();
    // Three are inside: the first three that came, and no other is.
    eventually("three are inside", || {
        let (ready, _) = mobula::wait(&held, 1, Some(std::time::Duration::ZERO)).unwrap();
        ready.is_empty()
    });
    gate.open();
    let most = held.iter().map(|one| get(one).unwrap()).max();
    assert!(most <= Some(3), "{most:?} were inside");
}

#[mobula::test]
fn tasks_and_actors_meet_there_too() {
    let _runtime = mobula::init(super::support::config(2.0)).unwrap();
    let hall = hall(3);
    let there = meet::remote(&hall, 3);
    let other = super::Hall::remote(None).unwrap();
    let here = [hall.meet(3).remote(), hall.meet(3).remote()];
    assert_eq!(get(&there).unwrap(), 3);
    assert_eq!(mobula::get_all(&here).unwrap(), [3, 3]);
    drop(other);
}

#[mobula::task]
fn meet(hall: ActorHandle<super::Hall>, number: u32) -> Result<u32, mobula::Error> {
    mobula::get(&hall.meet(number).remote())
}
