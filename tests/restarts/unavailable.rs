//! What callers hear while an actor is restarted.

use mobula::prelude::*;

use super::support::{Gate, get, signal, start_with};
use super::{Nest, Phoenix, until_gone};

/// Calls an actor without retries until that works again; gives the kinds of errors on the way.
fn errors_until_it_works(bird: &ActorHandle<Phoenix>) -> Vec<mobula::Error> {
    let mut errors = Vec::new();
    loop {
        match get(&bird.value().remote()) {
            Ok(_) => return errors,
            Err(error) => errors.push(error),
        }
    }
}

#[mobula::test]
fn without_retries_calls_are_unavailable_and_then_work_again() {
    let _runtime = start_with(2.0);
    let nest = Nest::new(-1);
    for _ in 0..4 {
        signal(nest.pid(), "KILL");
        let errors = errors_until_it_works(&nest.bird);
        assert!(errors.iter().all(mobula::Error::is_actor_unavailable), "{errors:?}");
    }
}

#[mobula::test]
fn the_error_names_the_actor_and_what_its_process_ended_of() {
    let _runtime = start_with(2.0);
    let nest = Nest::new(1);
    let error = get(&nest.bird.die(1).remote()).unwrap_err();
    let text = error.to_string();
    let id = ActorHandle::id(&nest.bird).to_string();
    assert!(error.is_actor_unavailable(), "{error:?}");
    for part in ["Phoenix", id.as_str(), "being restarted", "SIGKILL"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[mobula::test]
fn try_remote_says_it_at_once() {
    let _runtime = start_with(2.0);
    let nest = Nest::new(-1);
    // The second and third process wait before they start.
    for _ in 0..3 {
        get(&nest.bird.value().max_task_retries(-1).remote()).unwrap();
        assert!(get(&nest.bird.die(99).remote()).unwrap_err().is_actor_unavailable());
    }
    let error = nest.bird.value().try_remote().unwrap_err();
    assert!(error.is_actor_unavailable(), "{error:?}");
    let waits = nest.bird.value().max_task_retries(1).try_remote().unwrap();
    assert_eq!(get(&waits).unwrap(), 0);
}

#[mobula::task]
fn ask(bird: ActorHandle<Phoenix>, retries: i32) -> Result<i64, mobula::Error> {
    mobula::get(&bird.value().max_task_retries(retries).remote())
}

#[mobula::test]
fn who_hears_of_it_late_is_told() {
    let _runtime = start_with(2.0);
    let (notes, gate) = (super::Scratch::new("notes"), Gate::new());
    let slow = Slow::options().max_restarts(1).remote(notes.text(), gate.text()).unwrap();
    let pid = get(&slow.pid().remote()).unwrap();
    signal(pid, "KILL");
    until_gone(pid);
    super::eventually("the second start", || notes.lines().len() == 2);
    // A process that has never heard of the actor before.
    let waits = ask_slow::remote(&slow);
    gate.open();
    assert_ne!(get(&waits).unwrap(), pid);
}

#[mobula::task]
fn ask_slow(slow: ActorHandle<Slow>) -> Result<u32, mobula::Error> {
    mobula::get(&slow.pid().remote())
}

/// Starts at once the first time, and behind a gate afterwards.
struct Slow;

#[mobula::actor]
impl Slow {
    pub fn new(notes: String, gate: String) -> Self {
        super::note(&notes, "new");
        if mobula::context().was_reconstructed() {
            super::pass(&gate);
        }
        Slow
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

#[mobula::test]
fn dependents_of_a_call_that_is_tried_again_wait() {
    let _runtime = start_with(2.0);
    let nest = Nest::new(-1);
    let run = nest.bird.die(1).max_task_retries(1).remote();
    assert_eq!(get(&twice::remote(&run)).unwrap(), 4);
    // And those of one that is not fail with the same error.
    let broken = nest.bird.die(9).remote();
    assert!(get(&twice::remote(&broken)).unwrap_err().is_actor_unavailable());
    assert_eq!(get(&ask::remote(&nest.bird, -1)).unwrap(), 0);
}

#[mobula::task]
fn twice(run: usize) -> usize {
    2 * run
}
