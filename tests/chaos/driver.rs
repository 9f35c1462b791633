//! Drivers in processes of their own, killed at any moment.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mobula::prelude::*;

use super::config;
use super::lanes;
use super::monkey::Monkey;
use super::random::Random;
use super::support::{Scratch, eventually};

/// Says that a process is a driver, and what it draws; all of its processes have it.
pub(crate) const ROLE: &str = "MOBULA_CHAOS_DRIVER";

/// Which node a driver attaches to, if it has none of its own.
const NODE: &str = "MOBULA_CHAOS_NODE";

/// What a driver was started as.
pub(crate) struct Role(u64);

impl Role {
    /// Returns the role of this process if it has one.
    pub(crate) fn of_this_process() -> Option<Self> {
        let text = std::env::var(ROLE).ok()?;
        Some(Role(text.split('-').next()?.parse().unwrap()))
    }

    /// Works, and kills its own workers, until it is killed.
    pub(crate) fn play(self) -> ! {
        // With or without a node of its own.
        let config = match std::env::var(NODE) {
            Ok(address) => Config::new().address(address),
            Err(_) => config(),
        };
        let runtime = mobula::init(config).unwrap();
        let node = runtime.info().pid;
        let mut random = Random::new(self.0);
        loop {
            let end = Instant::now() + Duration::from_secs(1);
            let monkey = Monkey::start(node, random.fork(), end);
            lanes::run(&mut random, end);
            monkey.join();
        }
    }
}

/// Starts drivers one after the other and kills each; gives how many that were. Every other one attaches to `node`.
pub(crate) fn start(node: &Path, mut random: Random, end: Instant) -> JoinHandle<u32> {
    let node = node.to_owned();
    thread::spawn(move || {
        let mut killed = 0;
        while Instant::now() < end {
            let said = Scratch::new("chaos");
            let mark = format!("{}-{}-{killed}", random.below(1 << 32), std::process::id());
            let mut command = Command::new("/proc/self/exe");
            if random.below(2) == 0 {
                command.env(NODE, &node);
            }
            let mut driver = command
                .env(ROLE, &mark)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::create(said.path()).unwrap())
                .spawn()
                .unwrap();
            // The moment is the point: during init, in the middle of everything, after a round of its own.
            thread::sleep(Duration::from_micros(random.below(if killed % 2 == 0 { 20_000 } else { 2_000_000 })));
            if driver.try_wait().unwrap().is_some() {
                panic!("a driver has ended by itself, {mark}: {}", said.lines().join("\n"));
            }
            driver.kill().unwrap();
            driver.wait().unwrap();
            eventually("the processes of a killed driver are gone", || !exists(&mark));
            killed += 1;
        }
        killed
    })
}

/// True if a process lives whose environment has the mark.
fn exists(mark: &str) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.any(|pid| mark_of(pid).is_some_and(|other| other == mark))
}

/// Returns the mark in a process's environment.
pub(crate) fn mark_of(pid: u32) -> Option<String> {
    variable_of(pid, ROLE)
}

/// Returns a variable that a process was started with.
pub(crate) fn variable_of(pid: u32, name: &str) -> Option<String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environ.split(|&byte| byte == 0);
    let value = variables.find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(value).into_owned())
}
