//! `exit_actor` from any thread.

use std::time::Duration;

use mobula::{DeathCause, Error};

use super::support::{Gate, Scratch, eventually, get, is_alive, start};
use super::{Hall, hall, pid_of, threads_of};

fn is_exited(error: &Error) -> bool {
    error.actor_death().is_some_and(|death| death.cause == DeathCause::Exited)
}

#[mobula::test]
fn what_has_begun_on_other_threads_is_run_to_its_end() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    let hall = Hall::options().max_concurrency(3).remote(Some(diary.text())).unwrap();
    let (gate, way_out, pid) = (Gate::new(), Gate::new(), pid_of(&hall));
    let running = [hall.pass(gate.text()).remote(), hall.pass(gate.text()).remote()];
    let exit = hall.exit_behind(way_out.text()).remote();
    let behind: Vec<_> = (0..5).map(|_| hall.pid().remote()).collect();
    eventually("all three run", || threads_of(pid) == 2);
    way_out.open();
    // It waits for those that run.
    assert!(mobula::get_timeout(&exit, Duration::from_millis(50)).unwrap_err().is_timeout());
    assert!(is_alive(pid));
    gate.open();
    for one in &running {
        assert!(get(one).unwrap() >= 1);
    }
    assert!(is_exited(&get(&exit).unwrap_err()));
    for one in &behind {
        assert!(is_exited(&get(one).unwrap_err()));
    }
    eventually("its process is gone", || !is_alive(pid));
    assert_eq!(diary.lines(), ["dropped"]);
    assert!(is_exited(&get(&hall.pid().remote()).unwrap_err()));
}

#[mobula::test]
fn what_does_not_come_to_its_end_dies_after_the_shutdown_timeout() {
    let _runtime = start();
    let limit = Duration::from_millis(100);
    let hall = Hall::options().max_concurrency(2).shutdown_timeout(limit).remote(None).unwrap();
    let (gate, pid) = (Gate::new(), pid_of(&hall));
    let stuck = hall.pass(gate.text()).remote();
    let exit = hall.exit().remote();
    assert!(is_exited(&get(&exit).unwrap_err()));
    assert!(is_exited(&get(&stuck).unwrap_err()));
    eventually("its process is gone", || !is_alive(pid));
}

#[mobula::test]
fn it_cannot_be_caught() {
    let _runtime = start();
    for calls in [1, 2] {
        for keep in [false, true] {
            let hall = hall(calls);
            let pid = pid_of(&hall);
            let caught = hall.catch_exit(keep).remote();
            let behind = hall.pid().remote();
            assert!(is_exited(&get(&caught).unwrap_err()));
            if calls == 1 {
                assert!(is_exited(&get(&behind).unwrap_err()));
            }
            eventually("its process is gone", || !is_alive(pid));
        }
    }
}

#[mobula::test]
fn inside_new_too() {
    let _runtime = start();
    let quitter = Quitter::options().max_concurrency(2).remote().unwrap();
    assert!(is_exited(&get(&quitter.value().remote()).unwrap_err()));
    let quitter = Quitter::remote().unwrap();
    assert!(is_exited(&get(&quitter.value().remote()).unwrap_err()));
}

struct Quitter;

#[mobula::actor]
impl Quitter {
    pub fn new() -> Self {
        mobula::exit_actor()
    }

    pub fn value(&self) -> u32 {
        7
    }
}
