//! What the store does when processes die (store-api paragraph 13), with real processes and SIGKILL.
//!
//! A child is this test binary again, told by the environment which part to play; it says `ready`
//! on its stdout when it has done its part, and then sleeps until it is killed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and its children talk")]

mod chaos;
mod scenarios;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mobula_store::{Store, StoreOptions};

const PART: &str = "MOBULA_STORE_TEST_PART";
const ADDRESS: &str = "MOBULA_STORE_TEST_ADDRESS";

/// A process that plays a part against a store.
struct Actor(Child);

impl Actor {
    /// Starts `part` and waits until it says that it is ready.
    fn start(part: &str, store: &Store) -> Actor {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "play", "--nocapture", "--test-threads=1"])
            .env(PART, part)
            .env(ADDRESS, store.address())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("ready")), "{part} ended before it was ready");
        Actor(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Does nothing in a test run; in a child it plays the part.
#[test]
fn play() {
    let (Ok(part), Ok(address)) = (std::env::var(PART), std::env::var(ADDRESS)) else { return };
    let store = Store::attach(address).unwrap();
    if part == "chaos" {
        chaos::play(&store);
    }
    scenarios::play(&part, &store);
}

/// Says that the part is done, and keeps what it holds until the process is killed.
fn ready<T>(kept: T) -> ! {
    println!("\nready");
    loop {
        std::thread::park();
        std::hint::black_box(&kept);
    }
}

fn store() -> Store {
    Store::create(StoreOptions::new(8 << 20)).unwrap()
}

/// Waits until `condition` holds.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} did not come true");
        std::thread::yield_now();
    }
}

/// Waits until nothing of the dead is left, and the store is whole and empty but for `objects`.
fn eventually_clean(store: &Store, objects: u64) {
    eventually("the dead client's place is free", || store.stats().clients == 1);
    eventually("only the living hold objects", || {
        let stats = store.stats();
        stats.objects == objects && (objects > 0 || stats.used_bytes == 0)
    });
    assert_eq!(store.check().unwrap().objects, objects);
}
