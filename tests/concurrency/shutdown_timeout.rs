//! A destructor that does not end is ended by the node.

use std::time::Duration;

use mobula::DeathCause;
use mobula::prelude::*;

use super::support::{Scratch, eventually, get, is_alive, note, signal, start};

/// Never comes out of its destructor.
struct Sticky {
    diary: String,
}

#[mobula::actor(shutdown_timeout = 0.2)]
impl Sticky {
    pub fn new(diary: String) -> Self {
        Sticky { diary }
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn rest(&self, time: Duration) {
        std::thread::sleep(time);
        note(&self.diary, "rested");
    }

    pub fn exit(&self) {
        mobula::exit_actor()
    }
}

impl Drop for Sticky {
    fn drop(&mut self) {
        note(&self.diary, "sticks");
        loop {
            std::thread::park();
        }
    }
}

fn sticky(calls: usize, diary: &Scratch) -> (ActorHandle<Sticky>, u32) {
    let sticky = Sticky::options().max_concurrency(calls).remote(diary.text()).unwrap();
    let pid = get(&sticky.pid().remote()).unwrap();
    (sticky, pid)
}

#[mobula::test]
fn the_process_is_killed_and_the_cause_stays() {
    let _runtime = start();
    for calls in [1, 2] {
        let diary = Scratch::new("diary");
        let (sticky, pid) = sticky(calls, &diary);
        let error = get(&sticky.exit().remote()).unwrap_err();
        assert_eq!(error.actor_death().unwrap().cause, DeathCause::Exited, "{error}");
        eventually("its process is gone", || !is_alive(pid));
        assert_eq!(diary.lines(), ["sticks"]);
    }
}

#[mobula::test]
fn calls_before_do_not_count() {
    let _runtime = start();
    for calls in [1, 2] {
        let diary = Scratch::new("diary");
        let (sticky, pid) = sticky(calls, &diary);
        // Twice as long as the destructor may take.
        sticky.rest(Duration::from_millis(400)).remote();
        drop(sticky);
        eventually("its process is gone", || !is_alive(pid));
        assert_eq!(diary.lines(), ["rested", "sticks"]);
    }
}

#[mobula::test]
fn a_stopped_process_is_killed_too() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    let sticky = Sticky::options().shutdown_timeout(Duration::from_millis(600)).remote(diary.text()).unwrap();
    let pid = get(&sticky.pid().remote()).unwrap();
    drop(sticky);
    eventually("its destructor runs", || diary.lines() == ["sticks"]);
    if is_alive(pid) {
        signal(pid, "STOP");
    }
    eventually("its process is gone", || !is_alive(pid));
}

#[mobula::test]
fn a_kill_does_not_wait_for_it() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    let sticky = Sticky::options().shutdown_timeout(Duration::MAX).remote(diary.text()).unwrap();
    let pid = get(&sticky.pid().remote()).unwrap();
    let exit = sticky.exit().remote();
    eventually("its destructor runs", || diary.lines() == ["sticks"]);
    assert!(is_alive(pid));
    mobula::kill(&sticky).unwrap();
    assert!(!is_alive(pid));
    let error = get(&exit).unwrap_err();
    assert_eq!(error.actor_death().unwrap().cause, DeathCause::Killed);
}
