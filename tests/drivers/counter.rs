//! The class and task that all drivers here have.

use mobula::prelude::*;

/// Counts, and tells where it does.
#[derive(Debug)]
pub struct Counter {
    value: i64,
    children: Vec<ActorHandle<Counter>>,
}

#[mobula::actor]
impl Counter {
    pub fn new(start: i64) -> Self {
        Counter { value: start, children: Vec::new() }
    }

    pub fn add(&mut self, by: i64) -> i64 {
        self.value += by;
        self.value
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn var(&self, name: String) -> Option<String> {
        std::env::var(name).ok()
    }

    pub fn exe(&self) -> String {
        std::env::current_exe().unwrap().display().to_string()
    }

    pub fn folder(&self) -> String {
        std::env::current_dir().unwrap().display().to_string()
    }

    pub fn arguments(&self) -> Vec<String> {
        std::env::args().collect()
    }

    pub fn namespace(&self) -> String {
        mobula::context().namespace()
    }

    /// Creates another one, whose handle it keeps; returns its pid.
    pub fn give_birth(&mut self) -> u32 {
        let child = Counter::remote(0).unwrap();
        let pid = mobula::get(&child.pid().remote()).unwrap();
        self.children.push(child);
        pid
    }

    /// Runs a task; returns the pid of its worker.
    pub fn delegate(&self) -> u32 {
        mobula::get(&worker_pid::remote()).unwrap()
    }

    pub fn print(&self, text: String) {
        println!("{text}");
        eprintln!("{text}");
    }

    pub fn print_much(&self, lines: u32) {
        for line in 0..lines {
            println!("line {line} {}", "x".repeat(100));
        }
    }

    pub fn hang(&self) -> i64 {
        loop {
            std::thread::park();
        }
    }
}

/// Returns the pid of the worker that runs it.
#[mobula::task]
pub fn worker_pid() -> u32 {
    std::process::id()
}

/// Never ends.
#[mobula::task]
pub fn hang() -> u32 {
    loop {
        std::thread::park();
    }
}
