//! The destructor of an actor's value runs at every ordinary end, and at no other.

use mobula::DeathCause;
use mobula::prelude::*;

use super::support::{Gate, Scratch, all_space_back, eventually, get, is_alive, note, signal, start, stats};
use super::{Hall, pid_of, place};

/// Tells its end to another actor and to a diary.
struct Teller {
    diary: String,
    home: String,
    listener: ActorHandle<Hall>,
    panics: bool,
}

#[mobula::actor]
impl Teller {
    pub fn new(diary: String, listener: ActorHandle<Hall>, panics: bool) -> Self {
        Teller { diary, home: place().0, listener, panics }
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn work(&self, gate: String) {
        super::support::pass(&gate);
        note(&self.diary, "worked");
    }

    pub fn exit(&mut self) {
        mobula::exit_actor()
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        let (thread, actor, task) = place();
        assert_eq!(self.home, thread, "dropped where it was made");
        assert_eq!(task, "");
        let itself: ActorHandle<Teller> = mobula::context().current_actor();
        assert_eq!(ActorHandle::id(&itself).to_string(), actor);
        let put = mobula::put(&41).unwrap();
        assert_eq!(mobula::get(&put).unwrap(), 41);
        assert_eq!(mobula::get(&self.listener.meet(1).remote()).unwrap(), 1);
        self.listener.start(7).remote();
        note(&self.diary, &actor);
        assert!(!self.panics, "it panics in the end");
    }
}

fn teller(calls: usize, diary: &Scratch, listener: &ActorHandle<Hall>, panics: bool) -> ActorHandle<Teller> {
    Teller::options().max_concurrency(calls).remote(diary.text(), listener, panics).unwrap()
}

#[mobula::test]
fn after_the_last_handle_and_all_calls() {
    let _runtime = start();
    let listener = Hall::remote(None).unwrap();
    let before = stats();
    for calls in [1, 3] {
        for panics in [false, true] {
            let (diary, gate) = (Scratch::new("diary"), Gate::new());
            let teller = teller(calls, &diary, &listener, panics);
            let (pid, id) = (get(&teller.pid().remote()).unwrap(), ActorHandle::id(&teller).to_string());
            for _ in 0..4 {
                teller.work(gate.text()).remote();
            }
            drop(teller);
            gate.open();
            eventually("its process is gone", || !is_alive(pid));
            assert_eq!(diary.lines(), ["worked", "worked", "worked", "worked", &id]);
            assert_eq!(get(&listener.started().remote()).unwrap(), [7], "what it has said is delivered");
        }
    }
    all_space_back(before);
}

#[mobula::test]
fn after_exit_actor() {
    let _runtime = start();
    let listener = Hall::remote(None).unwrap();
    for calls in [1, 3] {
        for panics in [false, true] {
            let diary = Scratch::new("diary");
            let teller = teller(calls, &diary, &listener, panics);
            let id = ActorHandle::id(&teller).to_string();
            let error = get(&teller.exit().remote()).unwrap_err();
            assert_eq!(error.actor_death().unwrap().cause, DeathCause::Exited);
            assert_eq!(diary.lines(), [id]);
            assert_eq!(get(&listener.started().remote()).unwrap(), [7]);
        }
    }
}

#[mobula::test]
fn not_after_a_kill_a_crash_or_the_end_of_the_runtime() {
    let (runtime, diary) = (start(), Scratch::new("diary"));
    let new = |calls| Hall::options().max_concurrency(calls).remote(Some(diary.text())).unwrap();
    let mut kept = Vec::new();
    for calls in [1, 3] {
        let (killed, crashed, alive) = (new(calls), new(calls), new(calls));
        let pids = [pid_of(&killed), pid_of(&crashed)];
        pid_of(&alive);
        mobula::kill(&killed).unwrap();
        signal(pids[1], "KILL");
        eventually("both are gone", || !pids.iter().any(|&pid| is_alive(pid)));
        kept.push(alive);
    }
    runtime.shutdown();
    drop(kept);
    assert!(diary.lines().is_empty(), "{:?}", diary.lines());
}
