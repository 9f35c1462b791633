//! Seal against wait: no wake-up is lost, and who is woken sees what was sealed.

use loom::sync::Arc;
use loom::thread;

use super::{crashes, explore, segment};
use crate::id::ObjectId;
use crate::shared::Shared;
use crate::slot::{self, Slot, State};
use crate::sync::{Ordering, mortal, timeouts};
use crate::waits::{self, On};

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

/// An object of `slot` that is being created by client 1.
fn creating(shared: &Shared, index: u32) {
    let slot = Slot::of(shared, index);
    assert!(slot.cas(State(0), State::new(0, Some(1), 0, slot::CREATING)));
}

/// Writes and seals, without the wake.
fn seal(shared: &Shared, index: u32) {
    let slot = Slot::of(shared, index);
    slot.nested().store(7, Ordering::Relaxed);
    let state = slot.state();
    assert!(slot.cas(state, state.to(slot::SEALED, None)));
}

fn is_sealed(shared: &Shared, index: u32) -> Option<u64> {
    let slot = Slot::of(shared, index);
    (slot.state().state() == slot::SEALED).then(|| slot.nested().load(Ordering::Relaxed))
}

/// Waits for ever for one object; what its creator wrote is there afterwards.
fn wait(shared: &Shared, on: On, index: u32) {
    let seen = waits::wait(shared, on, None, || is_sealed(shared, index));
    assert_eq!(seen, Some(7), "sealed, but not what was written");
}

#[test]
fn a_seal_wakes_two_who_wait_for_the_object() {
    explore(|| {
        let shared = Arc::new(segment(1));
        creating(&shared, 0);
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
        creating(&shared, 0);
        creating(&shared, 1);
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
        creating(&shared, 0);
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
        creating(&shared, 0);
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
