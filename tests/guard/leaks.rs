//! What a test may leave behind.

use std::process::{Command, Stdio};

use super::support::{config, eventually, is_alive};
use super::{is_caught, misbehaves};

#[mobula::test]
fn leaves_a_process() {
    if misbehaves() {
        // In a group of its own, and nothing of the runtime's.
        let mut sleep = Command::new("sleep");
        sleep.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        println!("pid={}", sleep.spawn().unwrap().id());
    }
}

#[test]
fn a_process_is_caught_and_ended() {
    let said = is_caught("leaks::leaves_a_process", &["left behind", "sleep 1000"]);
    let pid = said.split("pid=").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    eventually("the process ends", || !is_alive(pid));
}

#[mobula::test]
fn leaves_a_descriptor() {
    if misbehaves() {
        std::mem::forget(std::fs::File::open("/dev/zero").unwrap());
    }
}

#[test]
fn a_descriptor_is_caught() {
    is_caught("leaks::leaves_a_descriptor", &["left behind", "descriptor", "/dev/zero"]);
}

#[mobula::test]
fn leaves_a_segment() {
    if misbehaves() {
        let name = format!("/dev/shm/mobula-left-{}", std::process::id());
        std::fs::write(name, "left").unwrap();
    }
}

#[test]
fn a_segment_is_caught() {
    let said = is_caught("leaks::leaves_a_segment", &["left behind", "mobula-left-"]);
    remove(&said, "mobula-left-", "/dev/shm");
}

#[mobula::test]
fn leaves_a_session_folder() {
    if misbehaves() {
        let name = format!("mobula-{}-00000000", std::process::id());
        std::fs::create_dir(std::env::temp_dir().join(name)).unwrap();
    }
}

#[test]
fn a_session_folder_is_caught() {
    let said = is_caught("leaks::leaves_a_session_folder", &["left behind", "-00000000"]);
    let base = std::env::temp_dir();
    remove(&said, "mobula-", base.to_str().unwrap());
}

/// Removes what a test has left on purpose: the first path below `base` in what was said.
fn remove(said: &str, start: &str, base: &str) {
    let name = said
        .split(['/', '\n', ' '])
        .find(|word| word.starts_with(start) && word.contains(|c: char| c.is_ascii_digit()));
    let path = std::path::Path::new(base).join(name.unwrap());
    let _ = std::fs::remove_file(&path);
    let _ = std::fs::remove_dir(&path);
}

#[mobula::test]
fn leaves_a_runtime() {
    if misbehaves() {
        std::mem::forget(mobula::init(config(1.0)).unwrap());
    }
}

#[test]
fn a_runtime_that_still_runs_is_caught() {
    is_caught("leaks::leaves_a_runtime", &["left behind", "descriptor", "thread mobula-node"]);
}

#[mobula::test]
fn leaves_nothing() {
    let _runtime = mobula::init(config(1.0)).unwrap();
    let object = mobula::put(&vec![1u8; 100_000]).unwrap();
    assert_eq!(mobula::get(&object).unwrap().len(), 100_000);
}
