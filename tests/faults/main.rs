//! Deaths: of workers in every way, of drivers, and what is left afterwards.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod death_in_a_call;
mod drivers;
mod killed_drivers;
mod kills;
mod workers;

use std::time::{Duration, Instant};

use mobula::prelude::*;

/// Starts a runtime with two CPUs.
pub(crate) fn start() -> Runtime {
    mobula::init(Config::new().num_cpus(2.0).object_store_memory(64 << 20)).unwrap()
}

/// Waits until `done` is true; the deadline only ends a test that hangs.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Says whether a process is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => false,
    }
}

/// Dies in every way.
pub(crate) struct Victim;

#[mobula::actor]
impl Victim {
    pub fn new() -> Self {
        Victim
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn abort(&self) -> i64 {
        std::process::abort()
    }

    pub fn exit(&self, code: i32) -> i64 {
        std::process::exit(code)
    }

    pub fn signal(&self, name: String) -> i64 {
        let pid = std::process::id().to_string();
        // More than once: std's own handler of SIGSEGV takes the first one that is no stack overflow
        // and only then lets the signal kill.
        loop {
            std::process::Command::new("kill").args([format!("-{name}"), pid.clone()]).status().unwrap();
        }
    }

    #[expect(unconditional_recursion, reason = "it is to overflow the stack")]
    pub fn overflow(&self, depth: u64) -> i64 {
        // Each frame is touched, so that none can be left out.
        let frame = std::hint::black_box([depth; 512]);
        self.overflow(frame[3] + 1) + frame[7] as i64
    }

    pub fn hang(&self) -> i64 {
        loop {
            std::thread::park();
        }
    }

    pub fn start_program(&self) -> u32 {
        std::process::Command::new("sleep").arg("1000").spawn().unwrap().id()
    }
}
