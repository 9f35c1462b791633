//! `new` runs again: what it may do and what ends the actor for good.

use mobula::DeathCause;
use mobula::prelude::*;

use super::support::{Gate, Scratch, eventually, get, note, pass, signal, start};
use super::{die, until_gone};

/// Has a constructor that does what a list says, one word for each run.
struct Fussy(u32);

#[mobula::actor]
impl Fussy {
    pub fn new(notes: String, manners: Vec<String>) -> Result<Self, String> {
        let run = std::fs::read_to_string(&notes).unwrap_or_default().lines().count();
        let this = mobula::context();
        assert_eq!(this.was_reconstructed(), run > 0);
        // It works in here, too.
        let _own: ActorHandle<Fussy> = this.current_actor();
        note(&notes, "new");
        match manners.get(run).map(String::as_str) {
            Some("die") => die(),
            Some("exit") => std::process::exit(0),
            Some("err") => Err("not today".into()),
            Some("panic") => panic!("not today"),
            Some(gate) if !gate.is_empty() => {
                pass(gate);
                Ok(Fussy(run as u32))
            }
            _ => Ok(Fussy(run as u32)),
        }
    }

    pub fn run(&self) -> u32 {
        self.0
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

fn manners(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[mobula::test]
fn a_process_that_ends_in_new_uses_up_a_restart() {
    let _runtime = start();
    for word in ["die", "exit"] {
        let notes = Scratch::new("notes");
        let fussy = Fussy::options().max_restarts(2).remote(notes.text(), manners(&[word, word])).unwrap();
        // Nothing of the call has begun, so it waits without retries.
        let call = fussy.run().remote();
        assert_eq!(get(&call).unwrap(), 2);
    }
    let notes = Scratch::new("notes");
    let fussy = Fussy::options().max_restarts(1).remote(notes.text(), manners(&["die", "die", ""])).unwrap();
    let error = get(&fussy.run().remote()).unwrap_err();
    assert!(matches!(error.actor_death().unwrap().cause, DeathCause::Crashed { .. }), "{error:?}");
    assert_eq!(notes.lines().len(), 2);
}

#[mobula::test]
fn an_err_or_a_panic_in_new_is_the_end() {
    let _runtime = start();
    for word in ["err", "panic"] {
        let notes = Scratch::new("notes");
        let fussy = Fussy::options().max_restarts(-1).remote(notes.text(), manners(&[word])).unwrap();
        let error = get(&fussy.run().max_task_retries(-1).remote()).unwrap_err();
        assert!(matches!(error.actor_death().unwrap().cause, DeathCause::CreationFailed(_)), "{error:?}");
        assert!(error.to_string().contains("not today"), "{error}");
        assert_eq!(notes.lines().len(), 1);
    }
}

#[mobula::test]
fn an_err_in_the_second_new_is_the_end_too() {
    let _runtime = start();
    let notes = Scratch::new("notes");
    let fussy = Fussy::options().max_restarts(-1).remote(notes.text(), manners(&["", "err"])).unwrap();
    let pid = get(&fussy.pid().remote()).unwrap();
    signal(pid, "KILL");
    until_gone(pid);
    let error = get(&fussy.run().max_task_retries(-1).remote()).unwrap_err();
    assert!(matches!(error.actor_death().unwrap().cause, DeathCause::CreationFailed(_)), "{error:?}");
    assert_eq!(notes.lines().len(), 2);
}

#[mobula::test]
fn one_killed_during_its_second_start_comes_back_again() {
    let _runtime = start();
    let notes = Scratch::new("notes");
    let fussy = Fussy::options().max_restarts(2).remote(notes.text(), manners(&["", "die"])).unwrap();
    let pid = get(&fussy.pid().remote()).unwrap();
    signal(pid, "KILL");
    until_gone(pid);
    assert_eq!(get(&fussy.run().max_task_retries(1).remote()).unwrap(), 2);
}

#[mobula::test]
fn a_restart_lasts_until_new_has_run() {
    let _runtime = start();
    let (notes, gate) = (Scratch::new("notes"), Gate::new());
    let fussy = Fussy::options().max_restarts(1).remote(notes.text(), manners(&["", &gate.text()])).unwrap();
    let pid = get(&fussy.pid().remote()).unwrap();
    signal(pid, "KILL");
    until_gone(pid);
    eventually("the second start", || notes.lines().len() == 2);
    // What is called before the caller hears of the death has not begun, and waits like those with retries.
    let refused = || fussy.run().try_remote().is_err_and(|error| error.is_actor_unavailable());
    eventually("the caller hears of the death", refused);
    let waits = fussy.run().max_task_retries(1).remote();
    assert!(mobula::get_timeout(&waits, std::time::Duration::from_millis(20)).unwrap_err().is_timeout());
    gate.open();
    assert_eq!(get(&waits).unwrap(), 1);
    assert_eq!(get(&fussy.run().remote()).unwrap(), 1);
}
