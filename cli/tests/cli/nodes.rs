//! `mobula start`, `stop` and `status` as a user meets them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::{call, eventually, failed, mobula, said};

/// A temporary folder of its own, in which nodes of this test are the only ones.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = mobula(args);
        command.env("TMPDIR", self.0.path()).env_remove("MOBULA_ADDRESS");
        command
    }

    pub(crate) fn call(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts a node in the background; returns its session folder.
    pub(crate) fn start(&self, more: &[&str]) -> PathBuf {
        let args = [&["start", "--num-cpus", "2", "--object-store-memory", "16MiB"], more].concat();
        let text = said(&self.call(&args));
        let dir = PathBuf::from(text.trim_end());
        assert!(dir.is_dir() && dir.starts_with(self.0.path()), "{text}");
        dir
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&said(&self.call(&["status", "--json"]))).unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn is_empty(&self) -> bool {
        std::fs::read_dir(self.0.path()).unwrap().next().is_none()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Of a test that has failed.
        if !self.is_empty() {
            let _ = self.call(&["stop", "--force"]);
        }
    }
}

pub(crate) fn pid(status: &Value) -> u32 {
    status["node"]["pid"].as_u64().unwrap().try_into().unwrap()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with(['Z', 'X']))
}

#[test]
fn a_node_is_started_looked_at_and_stopped() {
    let place = Place::new();
    let dir = place.start(&["--resource", "licence=3", "--num-gpus", "1"]);
    let status = place.status();
    assert_eq!(status["node"]["session_dir"], dir.to_str().unwrap());
    assert_eq!(status["node"]["embedded"], false);
    assert_eq!(status["resources"]["licence"]["total"], 3.0);
    assert_eq!(status["resources"]["CPU"]["available"], 2.0);
    assert!(status["drivers"].as_array().unwrap().is_empty() && status["actors"].as_array().unwrap().is_empty());
    let text = said(&place.call(&["status"]));
    assert!(text.contains("of mobula start") && text.contains("licence"), "{text}");
    // It has left its terminal and folder.
    let pid = pid(&status);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session: u32 = stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().parse().unwrap();
    assert_eq!(session, pid, "{stat}");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
    for fd in 0..3 {
        assert_eq!(std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap(), Path::new("/dev/null"));
    }
    assert_eq!(said(&place.call(&["stop"])), "");
    assert!(!is_alive(pid) && place.is_empty());
    assert!(failed(&place.call(&["status"])).contains("mobula start"));
    assert!(failed(&place.call(&["stop"])).contains("no node of this user runs"));
}

#[test]
fn errors_of_the_node_reach_the_caller() {
    let place = Place::new();
    let text = failed(&place.call(&["start", "--num-cpus=-1"]));
    assert!(text.contains("CPU") && text.contains("-1"), "{text}");
    assert_eq!(place.call(&["start", "--resource", "licence"]).status.code(), Some(2));
    assert!(place.is_empty());
    let nowhere = place.0.path().join("nowhere");
    let text = failed(&place.call(&["status", "--address", nowhere.to_str().unwrap()]));
    assert!(text.contains("nowhere"), "{text}");
}

#[test]
fn a_node_in_the_foreground_ends_with_a_signal() {
    let place = Place::new();
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = place.command(&["start", "--block", "--num-cpus", "1", "--object-store-memory", "16MiB"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        eventually("it serves", || place.call(&["status"]).status.success());
        rustix::process::kill_process(Pid::from_child(&child), signal).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(place.is_empty());
    }
}

#[test]
fn force_ends_a_node_that_does_not_answer() {
    let place = Place::new();
    place.start(&[]);
    let pid = pid(&place.status());
    rustix::process::kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::STOP).unwrap();
    assert_eq!(said(&place.call(&["stop", "--force"])), "");
    assert!(!is_alive(pid) && place.is_empty());
}

#[test]
fn the_newest_node_is_meant_unless_another_one_is_named() {
    let place = Place::new();
    let first = place.start(&[]);
    let second = place.start(&[]);
    assert_eq!(place.status()["node"]["session_dir"], second.to_str().unwrap());
    said(&place.call(&["stop", "--address", first.to_str().unwrap()]));
    assert!(!first.exists() && second.exists());
    // One that was killed is passed over, and swept.
    let third = place.start(&[]);
    let pid = pid(&place.status());
    rustix::process::kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    eventually("it is dead", || !is_alive(pid));
    assert_eq!(place.status()["node"]["session_dir"], second.to_str().unwrap());
    assert!(!third.exists());
    said(&place.call(&["stop"]));
    assert!(place.is_empty());
    assert_eq!(call(&["stop", "--help"]).status.code(), Some(0));
}
