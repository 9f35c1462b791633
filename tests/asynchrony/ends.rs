//! The end of an actor whose calls wait: of itself, by the last handle, by force; and its restart.

use std::sync::atomic::{AtomicBool, Ordering};

use super::support::{Gate, Scratch, eventually, get, is_alive, note, signal, start};
use super::{Noted, lines, opens, until_noted};

struct Clerk {
    diary: String,
    left: AtomicBool,
}

#[mobula::actor]
impl Clerk {
    pub fn new(diary: String) -> Self {
        Clerk { diary, left: AtomicBool::new(false) }
    }

    pub async fn pid(&self) -> u32 {
        std::process::id()
    }

    pub async fn waits(&self, gate: String) -> bool {
        let _noted = Noted(self.diary.clone());
        opens(&gate).await;
        self.left.load(Ordering::SeqCst)
    }

    /// Is not `async`.
    pub fn exits_at_once(&self) {
        note(&self.diary, "leaves");
        mobula::exit_actor()
    }

    pub async fn exits(&self, gate: String) {
        opens(&gate).await;
        self.left.store(true, Ordering::SeqCst);
        note(&self.diary, "leaves");
        mobula::exit_actor()
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        note(&self.diary, "ended");
    }
}

#[mobula::test]
fn the_last_handle_ends_it_when_all_calls_have_run() {
    let _runtime = start();
    let (diary, gate) = (Scratch::new("diary"), Gate::new());
    let clerk = Clerk::remote(diary.text()).unwrap();
    let pid = clerk.pid().call().unwrap();
    let waits: Vec<_> = (0..10).map(|_| clerk.waits(gate.text()).remote()).collect();
    drop(clerk);
    gate.open();
    assert!(waits.iter().all(|one| !get(one).unwrap()));
    eventually("it is gone", || !is_alive(pid));
    assert_eq!((lines(&diary, "dropped"), lines(&diary, "ended")), (10, 1));
    assert_eq!(diary.lines().last().unwrap(), "ended", "no future outlives the value");
}

#[mobula::test]
fn exit_actor_lets_those_that_run_end() {
    let _runtime = start();
    let (diary, gate, exit) = (Scratch::new("diary"), Gate::new(), Gate::new());
    let clerk = Clerk::remote(diary.text()).unwrap();
    let waits = clerk.waits(gate.text()).remote();
    let exits = clerk.exits(exit.text()).remote();
    clerk.pid().call().unwrap();
    exit.open();
    until_noted(&diary, "leaves");
    gate.open();
    assert!(get(&waits).unwrap());
    assert!(get(&exits).unwrap_err().is_actor_died());
    until_noted(&diary, "ended");
    assert!(get(&clerk.pid().remote()).unwrap_err().is_actor_died());
}

#[mobula::test]
fn those_that_run_are_answered_when_a_method_that_is_not_async_exits() {
    let _runtime = start();
    let (diary, gate) = (Scratch::new("diary"), Gate::new());
    let clerk = Clerk::remote(diary.text()).unwrap();
    let waits: Vec<_> = (0..5).map(|_| clerk.waits(gate.text()).remote()).collect();
    let exits = clerk.exits_at_once().remote();
    until_noted(&diary, "leaves");
    gate.open();
    assert!(waits.iter().all(|one| !get(one).unwrap()));
    assert!(get(&exits).unwrap_err().is_actor_died());
    until_noted(&diary, "ended");
}

#[mobula::test]
fn a_death_fails_all_that_wait_and_a_restart_serves_again() {
    let _runtime = start();
    let (diary, gate) = (Scratch::new("diary"), Gate::new());
    let clerk = Clerk::options().max_restarts(1).remote(diary.text()).unwrap();
    let pid = clerk.pid().call().unwrap();
    let waits: Vec<_> = (0..10).map(|_| clerk.waits(gate.text()).remote()).collect();
    clerk.pid().call().unwrap();
    signal(pid, "KILL");
    assert!(waits.iter().all(|one| get(one).unwrap_err().is_actor_unavailable()));
    let mut again = None;
    eventually("it is there again", || {
        again = get(&clerk.pid().remote()).ok();
        again.is_some()
    });
    assert_ne!(again, Some(pid));
    // Calls that may be made again are.
    let retried = clerk.waits(gate.text()).max_task_retries(3).remote();
    mobula::kill(&clerk).unwrap();
    assert!(get(&retried).unwrap_err().is_actor_died());
    assert_eq!(lines(&diary, "dropped"), 0);
}
