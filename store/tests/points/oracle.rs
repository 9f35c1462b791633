//! What must be true after a death, wherever it came.

use std::collections::HashSet;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mobula_store::{ObjectId, ObjectView, Store};

use crate::process::End;
use crate::scripts::Kept;

/// Long enough for anything that ends at all.
const LIMIT: Duration = Duration::from_secs(20);
/// The object that somebody waits for while the victim works.
const AWAITED: u8 = 1;
/// All ids that scripts use are below.
const IDS: u8 = 200;

/// The `n`-th id.
pub(crate) fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

/// The bytes of an object: they follow from its id and length, so that part of an object shows.
pub(crate) fn content(n: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(7) ^ n ^ (len as u8)).collect()
}

fn is_whole(n: u8, view: &ObjectView) -> bool {
    view[..] == content(n, view.len())
}

/// Waits until a condition holds.
pub(crate) fn eventually(what: impl Fn() -> String, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "{}", what());
        thread::yield_now();
    }
}

/// A thread of the survivor's that waits for an object in both ways while the victim works.
pub(crate) struct Waiter(JoinHandle<bool>);

impl Waiter {
    pub(crate) fn start(store: &Store) -> Waiter {
        let store = store.clone();
        Waiter(thread::spawn(move || {
            let Ok((ready, _)) = store.wait(&[id(AWAITED), id(IDS)], 1, Some(LIMIT)) else { return false };
            ready == [id(AWAITED)]
        }))
    }

    fn join(self) -> bool {
        self.0.join().expect("the waiter does not panic")
    }
}

/// Examines a store that only `clients` living clients are left of, and empties it.
pub(crate) fn examine(
    store: &Store,
    clients: u64,
    ends: &[End],
    waiter: Waiter,
    kept: Kept,
    context: &dyn Fn(&str) -> String,
) {
    eventually(|| context("a dead client's place is not free"), || store.stats().clients == clients);
    check(store, context);
    // A client on its way out does not count any more; what it had comes free a little later.
    eventually(|| context("a creation of the dead still waits for memory"), || store.stats().queued_creates == 0);
    acknowledged(store, ends, context);
    if !store.contains(id(AWAITED)) {
        let bytes = content(AWAITED, 10);
        drop(store.put(id(AWAITED), &bytes).unwrap_or_else(|e| panic!("{}", context(&e.to_string()))));
    }
    assert!(waiter.join(), "{}", context("who waits for an object is not woken by its seal"));
    kept.examine(store, ends, context);
    empty(store, context);
}

fn check(store: &Store, context: &dyn Fn(&str) -> String) {
    store.check().unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
}

/// What the victims said to be done is done; everything else is whole or absent.
fn acknowledged(store: &Store, ends: &[End], context: &dyn Fn(&str) -> String) {
    let said = |what: &str| ends.iter().flat_map(|end| end.said(what)).collect::<HashSet<u8>>();
    let (sealed, deleting, deleted) = (said("sealed"), said("deleting"), said("deleted"));
    for n in 0..IDS {
        match store.get(id(n), Some(Duration::ZERO)) {
            Ok(view) => {
                assert!(is_whole(n, &view), "{}", context(&format!("object {n} is there in part")));
                assert!(!deleted.contains(&n), "{}", context(&format!("object {n} was deleted and is there")));
            }
            Err(_) => {
                let lost = sealed.contains(&n) && !deleting.contains(&n);
                assert!(!lost, "{}", context(&format!("object {n} was sealed and is lost")));
            }
        }
    }
}

fn is_empty(store: &Store) -> bool {
    let stats = store.stats();
    [stats.objects, stats.used_bytes, stats.spilled_bytes, stats.fallback_bytes] == [0; 4]
}

/// Deletes what there is; then nothing is left, and nearly all memory is free in one piece.
fn empty(store: &Store, context: &dyn Fn(&str) -> String) {
    for object in store.list() {
        // What is in use or counted goes by itself.
        let _ = store.delete(object.id);
    }
    let left = || context(&format!("objects or bytes are left: {:?}, {:?}", store.stats(), store.list()));
    eventually(left, || is_empty(store));
    check(store, context);
    let large = store.stats().capacity_bytes as usize / 8 * 7;
    drop(store.create_object(id(IDS), large).unwrap_or_else(|e| panic!("{}", context(&e.to_string()))));
    for n in 0..IDS {
        let again = store.put(id(n), b"the id can be used").map(drop).and_then(|()| store.delete(id(n)));
        again.unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
    }
    eventually(left, || is_empty(store));
    check(store, context);
}
