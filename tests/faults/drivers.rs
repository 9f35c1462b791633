//! A driver ends in every way; nobody of its runtime is left. What is left over, processes and
//! files, is looked for by `#[mobula::test]` itself after each test.

use std::process::{Command, Stdio};

use super::{Victim, start};

/// Marks the process that plays the driver.
const ROLE: &str = "MOBULA_TEST_DRIVER";

/// Starts this test again as a driver that ends as `how` says, and waits for it.
fn end_a_driver(test: &str, how: &str) {
    let status = Command::new("/proc/self/exe")
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, how)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "the driver was to end by {how}");
}

/// Plays the driver, if this process is one.
fn play() {
    let Ok(how) = std::env::var(ROLE) else { return };
    let _runtime = start();
    let victims: Vec<_> = (0..3).map(|_| Victim::remote().unwrap()).collect();
    for victim in &victims {
        mobula::get(&victim.pid().remote()).unwrap();
    }
    let _busy = victims[0].hang().remote();
    match how.as_str() {
        "panic" => panic!("the driver panics"),
        "exit" => std::process::exit(3),
        "abort" => std::process::abort(),
        name => {
            let pid = std::process::id().to_string();
            Command::new("kill").args([format!("-{name}"), pid]).status().unwrap();
            loop {
                std::thread::park();
            }
        }
    }
}

#[mobula::test]
fn a_driver_that_panics_leaves_nothing() {
    play();
    end_a_driver("drivers::a_driver_that_panics_leaves_nothing", "panic");
}

#[mobula::test]
fn a_driver_that_exits_leaves_nothing() {
    play();
    end_a_driver("drivers::a_driver_that_exits_leaves_nothing", "exit");
}

#[mobula::test]
fn a_driver_that_aborts_leaves_nothing() {
    play();
    end_a_driver("drivers::a_driver_that_aborts_leaves_nothing", "abort");
}

#[mobula::test]
fn a_driver_that_is_killed_leaves_nothing() {
    play();
    end_a_driver("drivers::a_driver_that_is_killed_leaves_nothing", "KILL");
}
