//! Rings between real processes that are killed at any moment: the test starts itself again.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::super::{RingSender, SendError};
use super::{LIMIT, frame, in_use, random};
use crate::client::{self, ClientKey};
use crate::{Role, Store, StoreOptions};

const ADDRESS: &str = "MOBULA_TEST_RING_ADDRESS";
const PEER: &str = "MOBULA_TEST_RING_PEER";
const TEST: &str = "ring::tests::killed::frames_of_killed_senders_arrive_without_a_gap";

/// How long the frame with this number is: mostly short, sometimes long enough to wrap.
fn len(number: u64) -> usize {
    if number.is_multiple_of(11) { 3000 } else { (number % 150) as usize }
}

/// What a killed process does all its life.
fn send_until_killed(address: &str, peer: &str) {
    let store = Store::attach(address).unwrap();
    let (index, generation) = peer.split_once(' ').unwrap();
    let peer = ClientKey { index: index.parse().unwrap(), generation: generation.parse().unwrap() };
    let bell = store.bell();
    let mut mailbox = store.mailbox().unwrap();
    let mut sender = store.open_ring(peer).unwrap();
    let mut number = 0u64;
    loop {
        bell.poll_begin();
        if number % 64 == 63 {
            // Now and then the end is closed and opened again.
            drop(sender);
            sender = store.open_ring(peer).unwrap();
        }
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.extend(frame(number, len(number)));
        match sender.try_send(&bytes, number.is_multiple_of(3)) {
            Ok(_) => number += 1,
            Err(SendError::Full) => {
                // An acknowledgement ends this, or an answer.
                bell.park(Role::User, &|| mailbox.has_work(), Some(Duration::from_millis(5)));
            }
            Err(error) => panic!("{error}"),
        }
        mailbox.poll(8, &mut |_, _| {});
        bell.poll_end(&|| mailbox.has_work());
    }
}

/// Children that are killed and waited for, also when the test fails.
struct Family(Vec<Child>);

impl Family {
    fn kill(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.0.clear();
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn frames_of_killed_senders_arrive_without_a_gap() {
    if let (Ok(address), Ok(peer)) = (std::env::var(ADDRESS), std::env::var(PEER)) {
        return send_until_killed(&address, &peer);
    }
    let store = Store::create(StoreOptions::new(1 << 20).max_clients(8)).unwrap();
    let me = store.client();
    let arrived = Mutex::new(HashMap::<ClientKey, u64>::new());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let bell = store.bell();
            let mut mailbox = store.mailbox().unwrap();
            let mut answers = HashMap::<ClientKey, RingSender>::new();
            while !over.load(Ordering::SeqCst) || mailbox.has_work() {
                let mut senders = Vec::new();
                mailbox.poll(16, &mut |from, bytes| {
                    let mut arrived = arrived.lock().unwrap();
                    let next = arrived.entry(from).or_insert(0);
                    assert_eq!(bytes[..8], next.to_le_bytes(), "from {from:?}");
                    assert!(bytes[8..] == frame(*next, len(*next)), "frame {next} from {from:?} has other bytes");
                    *next += 1;
                    senders.push(from);
                });
                for to in senders {
                    if !answers.contains_key(&to)
                        && let Ok(ring) = store.open_ring(to)
                    {
                        answers.insert(to, ring);
                    }
                    let Some(ring) = answers.get_mut(&to) else {
                        continue;
                    };
                    if ring.try_send(b"answer", false) == Err(SendError::PeerGone) {
                        answers.remove(&to);
                    }
                }
                let has_work = || mailbox.has_work() || over.load(Ordering::SeqCst);
                bell.park(Role::Service, &has_work, Some(LIMIT));
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| kill_rounds(&store, me, &arrived)));
        over.store(true, Ordering::SeqCst);
        store.bell().kick_service();
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
    let bell = store.bell();
    let shared = bell.shared();
    // The mailbox may have gone before the last death was noticed: the next one frees what is left.
    let mut mailbox = store.mailbox().unwrap();
    super::until(|| {
        mailbox.poll(8, &mut |from, _| panic!("a frame from {from:?} was left"));
        let clients = (0..8).filter(|i| client::state(client::load(shared, *i)) != client::FREE);
        clients.count() == 1 && in_use(shared) == 0
    });
}

fn kill_rounds(store: &Store, me: ClientKey, arrived: &Mutex<HashMap<ClientKey, u64>>) {
    let mut state = 7;
    for round in 0..12 {
        let known = arrived.lock().unwrap().len();
        let mut family = Family(Vec::new());
        for _ in 0..2 {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", TEST])
                .env(ADDRESS, store.address())
                .env(PEER, format!("{} {}", me.index, me.generation))
                .stdout(Stdio::null())
                .spawn();
            family.0.push(child.unwrap());
        }
        let started = Instant::now();
        while arrived.lock().unwrap().len() < known + 2 {
            assert!(started.elapsed() < LIMIT, "round {round}: no frame of a new process arrived");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(random(&mut state) % 5_000));
        family.kill();
    }
}
