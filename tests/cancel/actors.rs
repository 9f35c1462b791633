//! Calls of actors: queued ones never run, the others keep their order; one that runs hears of it. Never by force.

use mobula::ObjectRef;

use super::support::{Gate, Scratch, get, note, pass, start};
use super::{hold, is_cancelled, note_outcome, until_noted};

pub struct Clerk {
    seen: Vec<u32>,
}

#[mobula::actor]
impl Clerk {
    pub fn new() -> Self {
        Clerk { seen: Vec::new() }
    }

    pub fn see(&mut self, number: u32) -> Vec<u32> {
        self.seen.push(number);
        self.seen.clone()
    }

    pub fn see_after(&mut self, number: u32, _value: bool) -> Vec<u32> {
        self.see(number)
    }

    /// The same without telling what it has seen.
    pub fn note(&mut self, number: u32) {
        self.seen.push(number);
    }

    pub fn hold(&self, diary: String, gate: String) -> bool {
        note(&diary, "begun");
        pass(&gate);
        note(&diary, if mobula::context().is_cancelled() { "cancelled" } else { "not cancelled" });
        true
    }

    pub fn follow(&self, diary: String, of: Vec<ObjectRef<bool>>) {
        note(&diary, "begun");
        note_outcome(&diary, &mobula::get(&of[0]).map(drop));
    }
}

#[mobula::test]
fn a_queued_call_never_runs_and_the_others_keep_their_order() {
    let _runtime = start();
    let clerk = Clerk::remote().unwrap();
    for round in 0..10 {
        let (gate, diary) = (Gate::new(), Scratch::new("diary"));
        let first = clerk.hold(diary.text(), gate.text()).remote();
        until_noted(&diary, "begun");
        // More than a ring takes: some wait here, some there.
        let refs: Vec<_> = (0..3_000).map(|number| clerk.note(round * 3_000 + number).remote()).collect();
        for one in refs.iter().skip(1).step_by(2) {
            mobula::cancel(one, false).unwrap();
        }
        gate.open();
        assert!(get(&first).unwrap());
        assert!(refs.iter().skip(1).step_by(2).all(is_cancelled));
        get(&refs[2_998]).unwrap();
        let seen = get(&clerk.see(u32::MAX).remote()).unwrap();
        let seen = seen.into_iter().filter(|&number| number != u32::MAX);
        let expected = (0..(round + 1) * 3_000).step_by(2);
        assert!(seen.eq(expected), "round {round}");
    }
}

#[mobula::test]
fn those_behind_one_that_waits_for_an_argument_go_on() {
    let _runtime = start();
    let clerk = Clerk::remote().unwrap();
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let value = hold::remote(diary.text(), gate.text());
    let waiting = clerk.see_after(1, &value).remote();
    let behind = clerk.see(2).remote();
    mobula::cancel(&waiting, false).unwrap();
    assert!(is_cancelled(&waiting));
    assert_eq!(get(&behind).unwrap(), [2]);
    gate.open();
}

#[mobula::test]
fn one_that_runs_hears_of_it_and_the_actor_lives_on() {
    let _runtime = start();
    let clerk = Clerk::remote().unwrap();
    let (gate, diary, other) = (Gate::new(), Scratch::new("diary"), Scratch::new("diary"));
    let call = clerk.hold(diary.text(), gate.text()).remote();
    until_noted(&diary, "begun");
    mobula::cancel(&call, false).unwrap();
    assert!(is_cancelled(&call));
    gate.open();
    until_noted(&diary, "cancelled");
    assert!(get(&clerk.hold(other.text(), gate.text()).remote()).unwrap());
    until_noted(&other, "not cancelled");

    let (gate, diary, held) = (Gate::new(), Scratch::new("diary"), Scratch::new("held"));
    let value = hold::remote(held.text(), gate.text());
    let call = clerk.follow(diary.text(), vec![value]).remote();
    until_noted(&diary, "begun");
    mobula::cancel(&call, false).unwrap();
    until_noted(&diary, "cancelled");
    gate.open();
    assert_eq!(get(&clerk.see(5).remote()).unwrap(), [5]);
}

#[mobula::test]
fn force_is_refused() {
    let _runtime = start();
    let clerk = Clerk::remote().unwrap();
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let call = clerk.hold(diary.text(), gate.text()).remote();
    let error = mobula::cancel(&call, true).unwrap_err();
    assert!(error.is_invalid_argument() && error.to_string().contains("mobula::kill"), "{error}");
    gate.open();
    assert!(get(&call).unwrap());
    // It is over: nothing happens.
    mobula::cancel(&call, true).unwrap();
}

#[mobula::test]
fn what_is_cancelled_makes_room_for_further_calls() {
    let _runtime = start();
    let clerk = Clerk::options().max_pending_calls(2).remote().unwrap();
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let value = hold::remote(diary.text(), gate.text());
    for number in 0..100 {
        let waiting = clerk.see_after(number, &value).try_remote().unwrap();
        mobula::cancel(&waiting, false).unwrap();
    }
    assert_eq!(get(&clerk.see(7).remote()).unwrap(), [7]);
    gate.open();
}
