//! Snippets of `docs/fault-tolerance.md`.

use std::fs;
use std::path::Path;

use mobula::prelude::*;

use super::config;
use super::support::Scratch;

#[mobula::task(max_retries = 5)]
fn flaky(notes: String) -> u32 {
    let tries = count(&notes);
    if tries < 3 {
        std::process::abort(); // as if it had been killed
    }
    tries
}

#[mobula::task(retry_errors = true)] // an `Err` or a panic costs a try, too
fn picky(notes: String) -> Result<u32, String> {
    match count(&notes) {
        tries @ 0..3 => Err(format!("not yet, after {tries}")),
        tries => Ok(tries),
    }
}

/// Counts calls in a file, which outlives the processes.
fn count(notes: &str) -> u32 {
    let path = Path::new(notes);
    let tries = fs::read_to_string(path).map_or(0, |text| text.parse().unwrap()) + 1;
    fs::write(path, tries.to_string()).unwrap();
    tries
}

struct Session {
    calls: u64,
}

#[mobula::actor(max_restarts = 3, max_task_retries = -1)]
impl Session {
    pub fn new() -> Self {
        Session { calls: 0 } // runs again in every incarnation: what was there before is lost
    }

    pub fn call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    pub fn is_new(&self) -> bool {
        !mobula::context().was_reconstructed()
    }

    #[mobula::method(max_task_retries = 0)] // at most once, whatever the class says
    pub fn crash(&self) {
        std::process::abort();
    }
}

#[mobula::test]
fn fault_tolerance() {
    let _runtime = mobula::init(config()).unwrap();
    check().unwrap();
}

fn check() -> mobula::Result<()> {
    let scratch = Scratch::new("flaky");
    assert_eq!(mobula::get(&flaky::remote(scratch.text()))?, 3);
    let scratch = Scratch::new("picky");
    assert_eq!(mobula::get(&picky::remote(scratch.text()))?, 3);
    let scratch = Scratch::new("once");
    let once = flaky::options().max_retries(0).remote(scratch.text());
    assert!(mobula::get(&once).is_err_and(|error| error.is_worker_crashed()));

    let session = Session::remote()?;
    assert_eq!(session.call().call()?, 1);
    let broken = session.crash().call().unwrap_err();
    assert!(broken.is_actor_unavailable()); // it may have run, and was not tried again
    assert_eq!(session.call().call()?, 1); // waits for the new incarnation, which counts anew
    assert!(!session.is_new().call()?);

    mobula::kill_with(&session, KillOptions { restart: true })?; // a crash on purpose
    assert_eq!(session.call().call()?, 1);
    mobula::kill(&session)?; // the end
    assert!(session.call().call().is_err_and(|error| error.is_actor_died()));
    Ok(())
}
