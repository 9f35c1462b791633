//! `kill`.

use mobula::DeathCause;

use super::{Victim, is_alive, start};

#[mobula::test]
fn a_killed_actor_is_gone_when_kill_returns() {
    let _runtime = start();
    let victim = Victim::options().num_cpus(1.0).remote().unwrap();
    let pid = mobula::get(&victim.pid().remote()).unwrap();
    let running = victim.hang().remote();
    let queued = victim.pid().remote();
    mobula::kill(&victim).unwrap();
    assert!(!is_alive(pid));
    assert_eq!(mobula::available_resources()["CPU"], 2.0);
    let error = mobula::get(&running).unwrap_err();
    assert!(matches!(error.actor_death().unwrap().cause, DeathCause::Killed), "{error:?}");
    assert!(mobula::get(&queued).unwrap_err().is_actor_died());
    assert!(mobula::get(&victim.pid().remote()).unwrap_err().is_actor_died());
    mobula::kill(&victim).unwrap();
}

#[mobula::test]
fn an_actor_can_be_killed_while_it_starts() {
    let _runtime = start();
    for _ in 0..10 {
        let victim = Victim::remote().unwrap();
        let call = victim.hang().remote();
        mobula::kill(&victim).unwrap();
        assert!(mobula::get(&call).unwrap_err().is_actor_died());
    }
}

#[mobula::task]
fn never() -> i64 {
    loop {
        std::thread::park();
    }
}

struct Late;

#[mobula::actor]
impl Late {
    pub fn new(_after: i64) -> Self {
        Late
    }

    pub fn ping(&self) -> i64 {
        1
    }
}

#[mobula::test]
fn an_actor_can_be_killed_while_it_waits_for_its_arguments() {
    let _runtime = start();
    let late = Late::remote(never::remote()).unwrap();
    let call = late.ping().remote();
    mobula::kill(&late).unwrap();
    assert!(mobula::get(&call).unwrap_err().is_actor_died());
}
