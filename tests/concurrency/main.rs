//! Calls that run beside each other, groups of them, and the end of an actor.

#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod blocked_get;
mod exit;
mod fairness;
mod groups;
mod health_check;
mod killed;
mod not_sync;
mod order;
mod panics;
mod readers;
mod shutdown_hook;
mod shutdown_timeout;
mod threads;
mod writers;

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use mobula::prelude::*;

use self::support::{eventually, get, note, pass};

/// Counts who is inside, and can do all that the scenarios need.
pub(crate) struct Hall {
    inside: AtomicU32,
    most: AtomicU32,
    writes: u32,
    started: Mutex<Vec<u32>>,
    /// Where the destructor leaves a note.
    diary: Option<String>,
}

#[mobula::actor]
impl Hall {
    pub fn new(diary: Option<String>) -> Self {
        Hall { inside: AtomicU32::new(0), most: AtomicU32::new(0), writes: 0, started: Mutex::default(), diary }
    }

    /// Comes back when so many calls are in here at once.
    pub fn meet(&self, number: u32) -> u32 {
        self.enter();
        eventually("the others come", || self.most.load(Ordering::SeqCst) >= number);
        self.leave();
        number
    }

    /// Waits in front of a gate; returns the most that were inside so far.
    pub fn pass(&self, gate: String) -> u32 {
        self.enter();
        pass(&gate);
        self.leave();
        self.most.load(Ordering::SeqCst)
    }

    /// Is not to meet anybody; returns how often it has run.
    pub fn write(&mut self) -> Result<u32, String> {
        let inside = self.enter();
        std::thread::yield_now();
        self.leave();
        self.writes += 1;
        if inside == 1 { Ok(self.writes) } else { Err(format!("{inside} are inside")) }
    }

    /// The same, held up by a gate.
    pub fn write_behind(&mut self, gate: String) -> Result<u32, String> {
        pass(&gate);
        self.write()
    }

    pub fn writes(&self) -> u32 {
        self.writes
    }

    /// Notes that it has started.
    pub fn start(&self, number: u32) {
        self.started.lock().unwrap().push(number);
    }

    /// The same, and then waits in front of a gate.
    pub fn stand(&self, number: u32, gate: String) {
        self.start(number);
        pass(&gate);
    }

    pub fn seen(&self) -> Vec<u32> {
        self.started.lock().unwrap().clone()
    }

    /// Notes that it has started, alone.
    pub fn start_alone(&mut self, number: u32) {
        self.start(number);
    }

    pub fn started(&mut self) -> Vec<u32> {
        std::mem::take(&mut *self.started.lock().unwrap())
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Says where it runs: thread, actor, task.
    pub fn place(&self) -> (String, String, String) {
        place()
    }

    pub fn fail(&self, text: String) {
        panic!("{text}");
    }

    /// Fails when two are inside.
    pub fn fail_together(&self) {
        self.meet(2);
        panic!("both");
    }

    pub fn fail_alone(&mut self) {
        panic!("alone");
    }

    pub fn exit(&self) {
        mobula::exit_actor()
    }

    /// Ends the actor once the gate is open.
    pub fn exit_behind(&self, gate: String) {
        pass(&gate);
        mobula::exit_actor()
    }

    /// Catches what cannot be caught, and drops or keeps it.
    pub fn catch_exit(&self, keep: bool) -> u32 {
        let caught = std::panic::catch_unwind(|| mobula::exit_actor());
        if keep {
            std::mem::forget(caught);
        }
        7
    }

    /// Calls another hall, and waits for that.
    pub fn call(&self, other: ActorHandle<Hall>, gate: String) -> Result<u32, mobula::Error> {
        mobula::get(&other.pass(gate).remote())
    }

    /// Calls itself, and waits for that.
    pub fn call_itself(&self) -> Result<u32, mobula::Error> {
        let itself: ActorHandle<Hall> = mobula::context().current_actor();
        mobula::get(&itself.pid().remote())
    }
}

impl Hall {
    fn enter(&self) -> u32 {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        inside
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Hall {
    fn drop(&mut self) {
        if let Some(diary) = &self.diary {
            note(diary, "dropped");
        }
    }
}

/// Says where this runs: thread, actor, task.
pub(crate) fn place() -> (String, String, String) {
    let context = mobula::context();
    let thread = format!("{:?}", std::thread::current().id());
    let text = |id: Option<String>| id.unwrap_or_default();
    (thread, text(context.actor_id().map(|id| id.to_string())), text(context.task_id().map(|id| id.to_string())))
}

/// Makes a hall for so many at once.
pub(crate) fn hall(calls: usize) -> ActorHandle<Hall> {
    Hall::options().max_concurrency(calls).remote(None).unwrap()
}

/// Counts the threads that an actor's process has beside the first for its calls.
pub(crate) fn threads_of(pid: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let name = |task: &fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.filter_map(Result::ok).filter(|task| name(task).trim() == "mobula-actor").count()
}

/// Returns the process of a hall.
pub(crate) fn pid_of(hall: &ActorHandle<Hall>) -> u32 {
    get(&hall.pid().remote()).unwrap()
}
