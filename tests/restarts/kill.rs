//! `kill` and `kill_with`.

use mobula::{DeathCause, KillOptions};

use super::support::{Gate, eventually, get, signal, start};
use super::{Nest, Phoenix, is_alive, until_gone};

const RESTART: KillOptions = KillOptions { restart: true };

#[mobula::test]
fn kill_is_for_good() {
    let _runtime = start();
    let nest = Nest::new(-1);
    let pid = nest.pid();
    let call = nest.bird.value().max_task_retries(-1).remote();
    get(&call).unwrap();
    mobula::kill(&nest.bird).unwrap();
    assert!(!is_alive(pid));
    let error = get(&nest.bird.value().max_task_retries(-1).remote()).unwrap_err();
    assert!(matches!(error.actor_death().unwrap().cause, DeathCause::Killed), "{error:?}");
    mobula::kill_with(&nest.bird, RESTART).unwrap();
    assert_eq!(nest.count("new"), 1);
}

#[mobula::test]
fn kill_can_leave_the_restarts() {
    let _runtime = start();
    let nest = Nest::new(1);
    let (pid, gate) = (nest.pid(), Gate::new());
    let running = nest.bird.pass(gate.text()).remote();
    nest.until("pass", 1);
    mobula::kill_with(&nest.bird, RESTART).unwrap();
    assert!(!is_alive(pid));
    assert!(get(&running).unwrap_err().is_actor_unavailable());
    assert!(get(&nest.bird.reconstructed().max_task_retries(1).remote()).unwrap());
    // It has used up the only one.
    mobula::kill_with(&nest.bird, RESTART).unwrap();
    let error = get(&nest.bird.value().max_task_retries(-1).remote()).unwrap_err();
    assert!(matches!(error.actor_death().unwrap().cause, DeathCause::Killed), "{error:?}");
    assert_eq!(nest.count("new"), 2);
}

#[mobula::test]
fn kill_ends_an_actor_that_is_being_restarted() {
    let _runtime = start();
    for round in 0..20_u32 {
        let nest = Nest::with(Phoenix::options().max_restarts(-1).num_cpus(1.0));
        let pid = nest.pid();
        signal(pid, "KILL");
        for _ in 0..round * 20_000 {
            std::hint::spin_loop();
        }
        let waits = nest.bird.value().max_task_retries(-1).remote();
        mobula::kill(&nest.bird).unwrap();
        assert!(!is_alive(pid));
        assert_eq!(mobula::available_resources()["CPU"], 2.0);
        if let Err(error) = get(&waits) {
            assert!(matches!(error.actor_death().unwrap().cause, DeathCause::Killed), "{error:?}");
        }
        assert!(get(&nest.bird.value().max_task_retries(-1).remote()).unwrap_err().is_actor_died());
    }
}

#[mobula::test]
fn kill_ends_an_actor_that_rests() {
    let _runtime = start();
    let nest = Nest::with(Phoenix::options().max_restarts(-1).num_cpus(1.0));
    // After some short lives the next one waits for a while.
    for _ in 0..4 {
        get(&nest.bird.value().max_task_retries(-1).remote()).unwrap();
        assert!(get(&nest.bird.die(99).remote()).unwrap_err().is_actor_unavailable());
    }
    let waits = nest.bird.value().max_task_retries(-1).remote();
    mobula::kill_with(&nest.bird, RESTART).unwrap();
    mobula::kill(&nest.bird).unwrap();
    assert_eq!(mobula::available_resources()["CPU"], 2.0);
    assert!(get(&waits).unwrap_err().is_actor_died());
}

#[mobula::test]
fn an_actor_that_is_not_created_yet_has_no_process_to_kill() {
    let _runtime = start();
    let gate = Gate::new();
    let notes = super::Scratch::new("notes");
    let late = Phoenix::options().max_restarts(1).remote(behind::remote(gate.text(), notes.text())).unwrap();
    mobula::kill_with(&late, RESTART).unwrap();
    gate.open();
    assert!(!get(&late.reconstructed().remote()).unwrap());
}

#[mobula::task]
fn behind(gate: String, notes: String) -> String {
    super::pass(&gate);
    notes
}

#[mobula::test]
fn many_kills_at_once_are_all_answered() {
    let _runtime = start();
    let nest = Nest::new(-1);
    let pid = nest.pid();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| mobula::kill_with(&nest.bird, RESTART).unwrap());
        }
    });
    until_gone(pid);
    eventually("it is back", || get(&nest.bird.reconstructed().max_task_retries(-1).remote()).unwrap());
    std::thread::scope(|scope| {
        for turn in 0..8 {
            let restart = turn % 2 == 0;
            let bird = &nest.bird;
            scope.spawn(move || mobula::kill_with(bird, KillOptions { restart }).unwrap());
        }
    });
    assert!(get(&nest.bird.value().max_task_retries(-1).remote()).unwrap_err().is_actor_died());
}
