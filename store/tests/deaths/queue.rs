//! Creations that queue for memory in processes that die or are stopped (paragraphs 13, 15).

use std::thread;
use std::time::{Duration, Instant};

use mobula_store::{ObjectBuffer, ObjectId, ObjectOptions, Result, Store};

use crate::{Actor, eventually, eventually_clean, store};

const EIGHTH: usize = 1 << 20;
const LONG: Duration = Duration::from_secs(60);
/// How long the stopped process would wait.
const PATIENCE: Duration = Duration::from_millis(1500);

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

fn create(store: &Store, n: u8, len: usize, timeout: Duration) -> Result<ObjectBuffer> {
    store.create_object_with(id(n), len, &ObjectOptions::new().timeout(timeout))
}

/// Runs in the child.
pub(crate) fn play(part: &str, store: &Store) {
    let patience = match part {
        "queues" => LONG,
        "queues-briefly" => PATIENCE,
        _ => return,
    };
    println!("\nready");
    let _kept = create(store, 100, 2 * EIGHTH, patience);
    loop {
        thread::park();
    }
}

/// A store whose eight eighths are taken, and a child that queues for two of them for longer than others may overtake.
fn blocked(part: &str) -> (Store, Actor) {
    let store = store();
    for n in 0..8 {
        store.put(id(n), &vec![n; EIGHTH]).unwrap();
    }
    let child = Actor::start(part, &store);
    eventually("the child queues", || store.stats().queued_creates == 1);
    let start = Instant::now();
    while start.elapsed() <= Duration::from_millis(50) {
        thread::sleep(Duration::from_millis(5));
    }
    store.delete(id(0)).unwrap();
    (store, child)
}

fn delete_all(store: &Store) {
    for object in store.list() {
        store.delete(object.id).unwrap();
    }
}

#[test]
fn requests_of_the_dead_vanish_and_the_next_is_served() {
    let (store, child) = blocked("queues");
    assert!(create(&store, 101, EIGHTH, Duration::ZERO).unwrap_err().is_store_full(), "memory is kept for the child");
    thread::scope(|scope| {
        let next = scope.spawn(|| create(&store, 101, EIGHTH, LONG).unwrap());
        eventually("both queue", || store.stats().queued_creates == 2);
        child.kill();
        drop(next.join().unwrap());
    });
    assert_eq!(store.stats().queued_creates, 0);
    delete_all(&store);
    eventually_clean(&store, 0);
}

#[test]
fn a_stopped_request_blocks_others_until_its_own_deadline() {
    let start = Instant::now();
    let (store, child) = blocked("queues-briefly");
    child.signal(libc::SIGSTOP);
    if start.elapsed() < PATIENCE {
        let early = create(&store, 101, EIGHTH, Duration::ZERO);
        assert!(early.is_err() || start.elapsed() >= PATIENCE, "memory is kept for the child");
    }
    // The child does not even know that its time is over.
    drop(create(&store, 101, EIGHTH, LONG).unwrap());
    assert!(start.elapsed() >= PATIENCE, "memory was kept until then");
    assert_eq!(store.stats().queued_creates, 1, "it is still stopped");
    child.signal(libc::SIGCONT);
    eventually("the child has given up", || store.stats().queued_creates == 0);
    child.kill();
    delete_all(&store);
    eventually_clean(&store, 0);
}

#[test]
fn what_was_served_to_the_dead_comes_back() {
    let (store, child) = blocked("queues");
    store.delete(id(1)).unwrap();
    eventually("the child is served", || store.stats().queued_creates == 0 && store.stats().unsealed_objects == 1);
    thread::scope(|scope| {
        let next = scope.spawn(|| create(&store, 101, 2 * EIGHTH, LONG).unwrap());
        eventually("the next one queues", || store.stats().queued_creates == 1);
        child.kill();
        drop(next.join().unwrap());
    });
    delete_all(&store);
    eventually_clean(&store, 0);
}
