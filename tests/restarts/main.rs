//! Restarts of actors: what comes back, what it costs, who hears what meanwhile.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod arguments_and_leaks;
mod backoff;
mod callers;
mod cancelled;
mod constructor;
mod counts;
mod deaths;
mod errors;
mod kill;
mod names;
mod order;
mod resources;
mod retries;
mod starts;
mod storm;
mod unavailable;

use mobula::prelude::*;

use self::support::{Scratch, eventually, get, is_alive, note, pass};

/// Dies in every way and comes back, and notes in a file what it does.
pub(crate) struct Phoenix {
    notes: String,
    value: i64,
}

/// Counts the lines of a kind in a file.
fn count(notes: &str, what: &str) -> usize {
    let text = std::fs::read_to_string(notes).unwrap_or_default();
    text.lines().filter(|line| line.split(' ').next() == Some(what)).count()
}

/// Kills the calling process.
pub(crate) fn die() -> ! {
    loop {
        support::signal(std::process::id(), "KILL");
    }
}

#[mobula::actor]
impl Phoenix {
    pub fn new(notes: String) -> Self {
        note(&notes, &format!("new {}", mobula::context().was_reconstructed()));
        Phoenix { notes, value: 0 }
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Adds and notes it.
    pub fn add(&mut self, by: i64) -> i64 {
        self.value += by;
        note(&self.notes, &format!("add {by}"));
        self.value
    }

    pub fn value(&self) -> i64 {
        self.value
    }

    pub fn reconstructed(&self) -> bool {
        mobula::context().was_reconstructed()
    }

    /// Dies in its first runs, then says how often it has run.
    pub fn die(&self, times: usize) -> usize {
        note(&self.notes, "die");
        let run = count(&self.notes, "die");
        if run <= times {
            die()
        }
        run
    }

    /// The same, with retries that the method has by itself.
    #[mobula::method(max_task_retries = 1)]
    pub fn die_with_one(&self, times: usize) -> usize {
        self.die(times)
    }

    /// Ends its process in good order, as far as the system can tell.
    pub fn leave(&self, code: i32) -> i64 {
        std::process::exit(code)
    }

    /// Fails in its first runs, then says how often it has run.
    pub fn fail(&self, times: usize) -> Result<usize, String> {
        note(&self.notes, "fail");
        let run = count(&self.notes, "fail");
        if run <= times { Err(format!("run {run}")) } else { Ok(run) }
    }

    /// Panics in its first runs, then says how often it has run.
    #[mobula::method(max_task_retries = 2, retry_errors = true)]
    pub fn panic(&self, times: usize) -> usize {
        self.fail(times).unwrap()
    }

    /// Fails the first time, dies the second time, then says how often it has run.
    pub fn fail_and_die(&self) -> Result<usize, String> {
        note(&self.notes, "both");
        match count(&self.notes, "both") {
            1 => Err("the first".into()),
            2 => die(),
            run => Ok(run),
        }
    }

    /// Waits in front of a gate.
    pub fn pass(&self, gate: String) -> i64 {
        note(&self.notes, &format!("pass {}", std::process::id()));
        pass(&gate);
        self.value
    }

    pub fn exit(&self) {
        mobula::exit_actor()
    }

    pub fn own(&self) -> ActorHandle<Phoenix> {
        mobula::context().current_actor()
    }
}

/// A phoenix and its file.
pub(crate) struct Nest {
    pub(crate) notes: Scratch,
    pub(crate) bird: ActorHandle<Phoenix>,
}

impl Nest {
    /// Makes one that may be restarted so often.
    pub(crate) fn new(restarts: i32) -> Self {
        Nest::with(Phoenix::options().max_restarts(restarts))
    }

    pub(crate) fn with(options: mobula::ActorOptions<Phoenix>) -> Self {
        let notes = Scratch::new("notes");
        let bird = options.remote(notes.text()).unwrap();
        Nest { notes, bird }
    }

    /// How many lines of a kind there are.
    pub(crate) fn count(&self, what: &str) -> usize {
        count(&self.notes.text(), what)
    }

    pub(crate) fn pid(&self) -> u32 {
        get(&self.bird.pid().max_task_retries(-1).remote()).unwrap()
    }

    /// Returns the process that waits in front of a gate.
    pub(crate) fn waiting(&self) -> u32 {
        let lines = self.notes.lines();
        lines.iter().rev().find_map(|line| line.strip_prefix("pass ")).unwrap().parse().unwrap()
    }

    /// Waits until a call of this sort has begun so often.
    pub(crate) fn until(&self, what: &str, times: usize) {
        eventually(what, || self.count(what) >= times);
    }
}

/// Waits until a process is gone.
pub(crate) fn until_gone(pid: u32) {
    eventually("the process is gone", || !is_alive(pid));
}
