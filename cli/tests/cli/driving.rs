//! Drivers of a node of `mobula start`: this test's executable, started again.
//!
//! The harness starts a process with [`ROLE`] set, which is a driver before anything else, and does what that says.

use std::process::{Child, Command, Stdio};

use mobula::prelude::*;
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::nodes::{Place, is_alive, pid};
use crate::{eventually, said};

/// What a driver is to do.
const ROLE: &str = "MOBULA_CLI_TEST_DRIVER";

struct Counter(i64);

#[mobula::actor]
impl Counter {
    pub fn new() -> Self {
        Counter(0)
    }

    pub fn add(&mut self, by: i64) -> i64 {
        self.0 += by;
        self.0
    }

    pub fn start_program(&self) -> u32 {
        Command::new("sleep").arg("1000").spawn().unwrap().id()
    }
}

mobula::test_support!();

/// Plays a driver if this process is one: a test that is started for that alone.
#[test]
fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let _runtime = mobula::init(Config::new().address("auto").namespace("cli")).unwrap();
    match role.as_str() {
        "create" => {
            let counter = Counter::options().name("kept").lifetime(Lifetime::Detached).remote().unwrap();
            assert_eq!(mobula::get(&counter.add(1).remote()).unwrap(), 1);
        }
        "use" => {
            let counter: ActorHandle<Counter> = mobula::get_actor("kept").unwrap();
            assert_eq!(mobula::get(&counter.add(1).remote()).unwrap(), 2);
        }
        _ => {
            let counter = Counter::options().name("busy").num_cpus(1.0).remote().unwrap();
            mobula::get(&counter.start_program().remote()).unwrap();
            loop {
                std::thread::park();
            }
        }
    }
}

fn driver(place: &Place, role: &str) -> Child {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "driving::play", "--nocapture", "--test-threads=1"]);
    command.env("TMPDIR", place.path()).env_remove("MOBULA_ADDRESS").env(ROLE, role);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

/// Returns the pids of all processes that hold something of a node: its workers, and what these have started.
fn family(place: &Place) -> Vec<u32> {
    let wanted = format!("TMPDIR={}", place.path().display());
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let vars = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            vars.split(|&byte| byte == 0).any(|var| var == wanted.as_bytes())
        })
        .collect()
}

fn names(status: &Value) -> Vec<&str> {
    status["actors"].as_array().unwrap().iter().map(|actor| actor["name"].as_str().unwrap()).collect()
}

#[test]
fn a_detached_actor_outlives_its_driver_and_ends_with_the_node() {
    let place = Place::new();
    place.start(&[]);
    assert!(driver(&place, "create").wait().unwrap().success());
    let status = place.status();
    assert_eq!(names(&status), ["kept"]);
    assert_eq!(status["drivers"][0]["pid"], Value::Null);
    assert!(driver(&place, "use").wait().unwrap().success());
    let text = said(&place.call(&["status"]));
    assert!(text.contains("kept") && text.contains("detached") && text.contains("gone"), "{text}");
    said(&place.call(&["stop"]));
    assert!(place.is_empty() && family(&place).is_empty());
}

#[test]
fn a_killed_driver_leaves_nothing_and_a_killed_node_neither() {
    let place = Place::new();
    place.start(&[]);
    let mut first = driver(&place, "stay");
    eventually("it works", || names(&place.status()) == ["busy"]);
    let status = place.status();
    assert_eq!(status["drivers"][0]["pid"], first.id());
    assert_eq!(status["drivers"][0]["namespace"], "cli");
    assert_eq!(status["resources"]["CPU"]["available"], 1.0);
    eventually("it runs", || {
        let stacks = said(&place.call(&["stack"]));
        stacks.contains("Counter pid=") && stacks.contains("mobula-service")
    });
    let stacks: Value = serde_json::from_str(&said(&place.call(&["stack", "--json"]))).unwrap();
    assert!(stacks.as_array().unwrap().iter().any(|worker| worker["name"] == "Counter"), "{stacks}");
    first.kill().unwrap();
    first.wait().unwrap();
    eventually("it is forgotten", || place.status()["drivers"].as_array().unwrap().is_empty());
    let status = place.status();
    assert!(names(&status).is_empty() && status["resources"]["CPU"]["available"] == 2.0, "{status}");
    let node = pid(&status);
    eventually("only the node is left", || family(&place) == [node]);

    let mut second = driver(&place, "stay");
    eventually("it works", || names(&place.status()) == ["busy"]);
    rustix::process::kill_process(Pid::from_raw(node.cast_signed()).unwrap(), Signal::KILL).unwrap();
    let id = second.id();
    eventually("its workers die with it", || family(&place).iter().all(|&pid| pid == id));
    // A process that is being torn down has no environment any more, but is not dead yet.
    eventually("it is dead", || !is_alive(node));
    second.kill().unwrap();
    second.wait().unwrap();
    // Whoever looks for a node sweeps what it left.
    assert!(!place.call(&["status"]).status.success());
    assert!(place.is_empty());
}
