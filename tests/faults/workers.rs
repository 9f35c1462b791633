//! A worker's process ends while it runs a call or task.

use mobula::DeathCause;
use mobula::prelude::*;

use super::{Victim, eventually, is_alive, start};

fn crash_status(object: &ObjectRef<i64>) -> String {
    let error = mobula::get(object).unwrap_err();
    assert!(error.is_actor_died(), "{error}");
    match &error.actor_death().unwrap().cause {
        DeathCause::Crashed { status } => status.clone(),
        other => panic!("died of {other:?}"),
    }
}

#[mobula::test]
fn an_abort_is_a_crash_with_its_signal() {
    let _runtime = start();
    let victim = Victim::remote().unwrap();
    assert!(crash_status(&victim.abort().remote()).contains("SIGABRT"));
}

#[mobula::test]
fn an_exit_is_a_crash_with_its_status() {
    let _runtime = start();
    let victim = Victim::remote().unwrap();
    assert!(crash_status(&victim.exit(3).remote()).contains('3'));
}

#[mobula::test]
fn signals_from_outside_are_crashes() {
    let _runtime = start();
    for name in ["KILL", "SEGV"] {
        let victim = Victim::remote().unwrap();
        let status = crash_status(&victim.signal(name.to_string()).remote());
        assert!(status.contains(&format!("SIG{name}")), "{status}");
    }
}

#[mobula::test]
fn calls_in_every_stage_fail_and_later_ones_too() {
    let _runtime = start();
    let victim = Victim::remote().unwrap();
    let answered = victim.pid().remote();
    let refs: Vec<_> =
        std::iter::once(victim.abort().remote()).chain((0..2000).map(|_| victim.exit(0).remote())).collect();
    assert_ne!(mobula::get(&answered).unwrap(), std::process::id());
    for object in &refs {
        assert!(mobula::get(object).unwrap_err().is_actor_died());
    }
    assert!(mobula::get(&victim.pid().remote()).unwrap_err().is_actor_died());
    assert!(victim.pid().try_remote().unwrap_err().is_actor_died());
}

#[mobula::test]
fn what_was_answered_before_a_death_is_an_answer() {
    let _runtime = start();
    // So few victims, and calls of each, that ipc-channel, too, takes all answers at once: what it does not take dies with its
    // maker.
    for _ in 0..5 {
        let victim = Victim::remote().unwrap();
        let pid = mobula::get(&victim.pid().remote()).unwrap();
        // Nobody waits for these: what comes of them is on its way until the news of the death is handled.
        let answered: Vec<_> = (0..8).map(|_| victim.pid().remote()).collect();
        let last = victim.abort().remote();
        eventually("the death was heard of", || victim.pid().try_remote().is_err());
        for answer in &answered {
            assert_eq!(mobula::get(answer).unwrap(), pid);
        }
        assert!(crash_status(&last).contains("SIGABRT"));
    }
}

#[mobula::test]
fn others_live_on() {
    let _runtime = start();
    let (victim, other) = (Victim::remote().unwrap(), Victim::remote().unwrap());
    let pid = mobula::get(&other.pid().remote()).unwrap();
    crash_status(&victim.abort().remote());
    assert_eq!(mobula::get(&other.pid().remote()).unwrap(), pid);
}

#[mobula::task(max_retries = 0)]
fn die() -> i64 {
    std::process::abort()
}

#[mobula::task]
fn live(x: i64) -> i64 {
    x
}

#[mobula::test]
fn a_task_whose_worker_dies_is_a_crash_and_the_pool_goes_on() {
    let _runtime = start();
    for round in 0..5 {
        let error = mobula::get(&die::remote()).unwrap_err();
        assert!(error.is_worker_crashed(), "{error}");
        assert_eq!(mobula::get(&live::remote(round)).unwrap(), round);
    }
}

#[mobula::test]
fn programs_that_a_worker_started_die_with_it() {
    let _runtime = start();
    let victim = Victim::remote().unwrap();
    let program = mobula::get(&victim.start_program().remote()).unwrap();
    assert!(is_alive(program));
    crash_status(&victim.abort().remote());
    eventually("the program ends", || !is_alive(program));
}

struct Owner {
    made: Vec<ObjectRef<Vec<u8>>>,
}

#[mobula::actor]
impl Owner {
    pub fn new() -> Self {
        Owner { made: Vec::new() }
    }

    pub fn make(&mut self) -> Vec<ObjectRef<Vec<u8>>> {
        self.made.push(mobula::put(&vec![1u8; 10]).unwrap());
        self.made.push(mobula::put(&vec![2u8; 100_000]).unwrap());
        self.made.clone()
    }

    pub fn promise(&self, victim: ActorHandle<Victim>) -> Vec<ObjectRef<i64>> {
        vec![victim.hang().remote()]
    }

    pub fn die(&self) -> i64 {
        std::process::abort()
    }
}

#[mobula::test]
fn put_objects_outlive_their_maker_and_promises_do_not() {
    let _runtime = start();
    let (owner, victim) = (Owner::remote().unwrap(), Victim::remote().unwrap());
    let made = mobula::get(&owner.make().remote()).unwrap();
    let promised = mobula::get(&owner.promise(&victim).remote()).unwrap();
    assert!(mobula::get_timeout(&promised[0], std::time::Duration::from_millis(10)).unwrap_err().is_timeout());
    crash_status(&owner.die().remote());
    assert_eq!(mobula::get(&made[0]).unwrap(), [1; 10]);
    assert_eq!(mobula::get(&made[1]).unwrap(), vec![2; 100_000]);
    let error = mobula::get(&promised[0]).unwrap_err();
    assert!(error.is_object_lost(), "{error}");
}
