//! A process that is stopped while it has the allocator's lock (store-api paragraph 13): it delays
//! creations to their deadlines, and nothing else.

use std::time::{Duration, Instant};

use mobula_store::{ObjectBuffer, ObjectId, ObjectOptions, Result, Store};

use crate::trace::{Stepped, eventually, stand};

/// How many instructions the child runs between two looks at the lock.
const STRIDE: usize = 20;
/// More than a client keeps for its next creations.
const PAGES: usize = 300_000;

/// What becomes of the stopped process.
pub(crate) struct Stopped {
    pub(crate) name: &'static str,
    pub(crate) child: fn(&Store),
    dies: bool,
}

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

fn create(store: &Store, n: u8, timeout: Duration) -> Result<ObjectBuffer> {
    store.create_object_with(id(n), PAGES, &ObjectOptions::new().timeout(timeout))
}

fn child(store: &Store) {
    stand();
    drop(store.create_object(id(1), PAGES).expect("create").seal().expect("seal"));
}

pub(crate) fn all() -> Vec<Stopped> {
    vec![
        Stopped { name: "stopped_inside_the_allocator_and_goes_on", child, dies: false },
        Stopped { name: "stopped_inside_the_allocator_and_dies", child, dies: true },
    ]
}

/// Says whether the lock is taken, as the refusal of a creation says.
fn is_locked(store: &Store) -> bool {
    match create(store, 2, Duration::ZERO) {
        Ok(_) => false,
        Err(error) => {
            assert!(error.is_store_full(), "{error}");
            error.to_string().contains("has the allocator")
        }
    }
}

/// Stops a child inside the lock, does everything that must go on, and lets the child go on or die.
pub(crate) fn run(stopped: &Stopped) -> usize {
    let name = stopped.name;
    let store = crate::store();
    for n in 10..20 {
        store.put(id(n), &[n; 1000]).expect("put");
    }
    let buffer = store.create_object(id(20), PAGES).expect("create");
    let aborted = store.create_object(id(21), PAGES).expect("create");
    let mut child = Stepped::start(name, &store);
    let mut steps = 0;
    while !is_locked(&store) {
        child.step(STRIDE);
        steps += STRIDE;
        assert!(!child.is_ended(), "{name}: the child was never found inside the lock");
    }

    let waiter = {
        let store = store.clone();
        std::thread::spawn(move || store.wait(&[id(20)], 1, None).expect("wait").0.len())
    };
    let views: Vec<_> = (10..20).map(|n| store.get(id(n), Some(Duration::ZERO)).expect("get")).collect();
    assert!(views.iter().zip(10..).all(|(view, n)| view[..] == [n; 1000]) && store.contains(id(10)));
    drop(views);
    drop(buffer.seal().expect("seal"));
    assert_eq!(waiter.join().expect("the waiter"), 1);
    drop(aborted);
    let patience = Duration::from_millis(60);
    let start = Instant::now();
    let error = create(&store, 2, patience).expect_err("the allocator is taken");
    assert!(error.is_store_full() && start.elapsed() >= patience, "{name}: {error}");

    if stopped.dies {
        child.kill();
        eventually(&format!("{name}: the dead client's place is not free"), || store.stats().clients == 1);
    } else {
        child.step_to_end();
        drop(child);
    }
    drop(create(&store, 2, Duration::from_secs(20)).unwrap_or_else(|e| panic!("{name}: {e}")));
    store.check().unwrap_or_else(|e| panic!("{name}: {e}"));
    for object in store.list() {
        let _ = store.delete(object.id);
    }
    eventually(&format!("{name}: bytes are left"), || store.stats().used_bytes == 0);
    steps
}
