//! What calls travel through: `Config::call_path`.

use mobula::CallPath;
use mobula::prelude::*;

use super::config;
use super::support::{eventually, is_alive, signal};

/// Says whether this process takes nothing out of rings.
fn is_without_rings() -> bool {
    // A client has one mailbox at a time, and nothing comes through rings without one.
    mobula::store::current().is_ok_and(|store| store.mailbox().is_some())
}

struct Witness {
    heard: u64,
}

#[mobula::actor]
impl Witness {
    pub fn new() -> Self {
        Witness { heard: 0 }
    }

    pub fn hear(&mut self, words: Vec<u8>) -> usize {
        self.heard += 1;
        words.len()
    }

    pub fn heard(&self) -> u64 {
        self.heard
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn is_without_rings(&self) -> bool {
        is_without_rings()
    }

    pub fn ask(&self, other: ActorHandle<Witness>) -> Result<Vec<u8>, mobula::Error> {
        assert!(mobula::get(&other.is_without_rings().remote())?);
        mobula::get(&many::remote(100_000))
    }
}

#[mobula::task]
fn many(count: usize) -> Vec<u8> {
    assert!(is_without_rings());
    vec![7; count]
}

#[mobula::test]
fn nothing_travels_through_rings_if_the_program_says_so() {
    let _runtime = mobula::init(config().call_path(CallPath::IpcChannel)).unwrap();
    assert!(is_without_rings());
    let (witness, other) = (Witness::remote().unwrap(), Witness::remote().unwrap());
    // More than any socket's buffer, in frames of every size, one call behind the other.
    let sizes = (0..2_000).map(|number| number * 37 % 3_700);
    let calls: Vec<_> = sizes.clone().map(|size| witness.hear(vec![1; size]).remote()).collect();
    assert_eq!(mobula::get_all(&calls).unwrap(), sizes.collect::<Vec<_>>());
    assert_eq!(mobula::get(&witness.heard().remote()).unwrap(), 2_000);
    assert!(mobula::get(&witness.is_without_rings().remote()).unwrap());
    assert_eq!(mobula::get(&witness.ask(&other).remote()).unwrap(), vec![7; 100_000]);
    let tasks: Vec<_> = (0..500).map(many::remote).collect();
    assert!(mobula::get_all(&tasks).unwrap().iter().enumerate().all(|(count, bytes)| bytes.len() == count));
}

/// Stops a process; none of its threads runs when this returns.
fn stop(pid: u32) {
    signal(pid, "STOP");
    let is_stopped = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap();
        stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('T')
    };
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    eventually("it is stopped", || threads().all(|thread| is_stopped(thread.unwrap())));
}

#[mobula::test]
fn nobody_waits_in_a_send_to_a_process_that_is_stopped() {
    let _runtime = mobula::init(config().call_path(CallPath::IpcChannel)).unwrap();
    let (stopped, other) = (Witness::remote().unwrap(), Witness::remote().unwrap());
    let pid = mobula::get(&stopped.pid().remote()).unwrap();
    stop(pid);
    // Ten times what its socket takes.
    let calls: Vec<_> = (0..1_000).map(|_| stopped.hear(vec![1; 2_000]).remote()).collect();
    assert_eq!(mobula::get(&other.hear(vec![1; 5]).remote()).unwrap(), 5);
    assert!(calls.iter().all(|call| mobula::get_timeout(call, std::time::Duration::ZERO).unwrap_err().is_timeout()));
    signal(pid, "CONT");
    assert!(mobula::get_all(&calls).unwrap().iter().all(|&size| size == 2_000));
    // The same, and it never goes on: what was sent and what was not fail alike.
    stop(pid);
    let calls: Vec<_> = (0..1_000).map(|_| stopped.hear(vec![1; 2_000]).remote()).collect();
    signal(pid, "KILL");
    assert!(calls.iter().all(|call| mobula::get(call).unwrap_err().is_actor_died()));
    eventually("it is gone", || !is_alive(pid));
    assert_eq!(mobula::get(&other.hear(vec![1; 6]).remote()).unwrap(), 6);
}

#[mobula::test]
fn rings_are_what_the_program_gets_otherwise() {
    let _runtime = mobula::init(config().call_path(CallPath::SharedMemory)).unwrap();
    let witness = Witness::remote().unwrap();
    assert!(!is_without_rings());
    assert!(!mobula::get(&witness.is_without_rings().remote()).unwrap());
}
