//! Seal against wait: no wake-up is lost, and who is woken sees what was sealed.

use loom::sync::Arc;
use loom::thread;

use super::{crashes, explore, segment};
use crate::id::ObjectId;
use crate::layout::{H_CAPACITY, H_CTL_LEN, H_SLOTS, H_UUID};
use crate::shared::Shared;
use crate::sync::{Ordering, mortal, timeouts};
use crate::waits::{self, On};

/// What is sealed: two words that stand for an object's state and for its bytes, without any order of
/// their own, so that the fences of the protocol are all there is.
const OBJECTS: [(usize, usize); 2] = [(H_UUID, H_CAPACITY), (H_CTL_LEN, H_SLOTS)];

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

/// Writes and seals, without the wake.
fn seal(shared: &Shared, index: usize) {
    let (state, bytes) = OBJECTS[index];
    shared.ctl.u64(bytes).store(7, Ordering::Relaxed);
    shared.ctl.u64(state).store(1, Ordering::Release);
}

fn is_sealed(shared: &Shared, index: usize) -> Option<u64> {
    let (state, bytes) = OBJECTS[index];
    (shared.ctl.u64(state).load(Ordering::Acquire) == 1).then(|| shared.ctl.u64(bytes).load(Ordering::Relaxed))
}

/// Waits for ever for one object; what its creator wrote is there afterwards.
fn wait(shared: &Shared, on: On, index: usize) {
    let seen = waits::wait(shared, on, None, || is_sealed(shared, index));
    assert_eq!(seen, Some(7), "sealed, but not what was written");
}

#[test]
fn a_seal_wakes_two_who_wait_for_the_object() {
    explore(|| {
        let shared = Arc::new(segment(1));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || wait(&shared, On::Object(id(1)), 0))
            })
            .collect();
        seal(&shared, 0);
        waits::sealed(&shared, [id(1)]);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

/// Two objects whose ids share a wait word, sealed by two clients at once.
#[test]
fn seals_of_two_objects_on_one_word_wake_their_waiters() {
    explore(|| {
        let shared = Arc::new(segment(1));
        let waiter = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                wait(&shared, On::Object(id(1)), 0);
                wait(&shared, On::Object(id(1)), 1);
            })
        };
        let sealer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                seal(&shared, 1);
                waits::sealed(&shared, [id(1)]);
            })
        };
        seal(&shared, 0);
        waits::sealed(&shared, [id(1)]);
        sealer.join().unwrap();
        waiter.join().unwrap();
    });
}

/// One waits for the object and one for any.
#[test]
fn a_seal_wakes_who_waits_for_any_object() {
    explore(|| {
        let shared = Arc::new(segment(1));
        let any = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || wait(&shared, On::Any, 0))
        };
        let one = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || wait(&shared, On::Object(id(1)), 0))
        };
        seal(&shared, 0);
        waits::sealed(&shared, [id(1)]);
        any.join().unwrap();
        one.join().unwrap();
    });
}

/// A sealer is killed at any store; the reaper wakes everybody, and what was not sealed is sealed by another.
#[test]
fn a_sealer_killed_anywhere_leaves_nobody_asleep() {
    crashes(|stores| {
        timeouts(false);
        let shared = Arc::new(segment(1));
        let waiter = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || wait(&shared, On::Object(id(1)), 0))
        };
        let sealer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                mortal(stores, || {
                    seal(&shared, 0);
                    waits::sealed(&shared, [id(1)]);
                })
            })
        };
        let lived = sealer.join().unwrap();
        if is_sealed(&shared, 0).is_none() {
            seal(&shared, 0);
        }
        if !lived {
            waits::wake_everybody(&shared);
        }
        waiter.join().unwrap();
        lived
    });
}
