//! What the store does when processes die (store-api paragraph 13), with real processes and SIGKILL.
//!
//! A child is this test binary again, told by the environment which part to play; it says `ready`
//! on its stdout when it has done its part, and then sleeps until it is killed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and its children talk")]

mod channels;
mod chaos;
mod named;
mod nodes;
mod queue;
mod readers;
mod scenarios;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mobula_store::{Store, StoreOptions};

const PART: &str = "MOBULA_STORE_TEST_PART";
const ADDRESS: &str = "MOBULA_STORE_TEST_ADDRESS";

/// A process that plays a part against a store.
struct Actor(Child, String);

impl Actor {
    /// Starts `part` and waits until it says that it is ready.
    fn start(part: &str, store: &Store) -> Actor {
        Actor::start_at(part, store.address())
    }

    /// Starts `part` at an address, where there may be no store yet.
    fn start_at(part: &str, address: &str) -> Actor {
        let actor = Actor::spawn(Command::new(std::env::current_exe().unwrap()), part, address);
        actor.unwrap_or_else(|| panic!("{part} ended before it was ready"))
    }

    /// Starts `part` by a command that runs this binary; `None` if it ended before it was ready.
    fn spawn(mut command: Command, part: &str, address: &str) -> Option<Actor> {
        let mut child = command
            .args(["--exact", "play", "--nocapture", "--test-threads=1"])
            .env(PART, part)
            .env(ADDRESS, address)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).find(|line| line.ends_with("ready"));
        match ready {
            Some(line) => Some(Actor(child, line)),
            None => {
                let _ = child.wait();
                None
            }
        }
    }

    /// Returns what the process said before it was ready.
    fn said(&self) -> &str {
        self.1.trim_end_matches("ready").trim()
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Fails if the process has ended by itself.
    fn assert_lives(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "a child has ended");
    }

    fn signal(&self, signal: i32) {
        signal_to(self.pid(), signal);
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
    if nodes::play(&part, &address) || readers::play(&part, &address) {
        return;
    }
    let store = Store::attach(address).unwrap();
    if part == "chaos" {
        chaos::play(&store);
    }
    channels::play(&part, &store);
    queue::play(&part, &store);
    scenarios::play(&part, &store);
}

/// Says that the part is done, and keeps what it holds until the process is killed.
fn ready<T>(kept: T) -> ! {
    ready_with("", kept)
}

/// Says what there is to say and that the part is done.
fn ready_with<T>(what: &str, kept: T) -> ! {
    println!("\n{what} ready");
    loop {
        std::thread::park();
        std::hint::black_box(&kept);
    }
}

#[allow(unsafe_code)]
fn signal_to(pid: u32, signal: i32) {
    // SAFETY: sends a signal to a process of this test; nothing of this process is touched.
    assert_eq!(unsafe { libc::kill(pid.cast_signed(), signal) }, 0, "signal {signal} to {pid}");
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
