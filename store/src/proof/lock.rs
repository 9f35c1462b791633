//! Locks that survive their owners: one owner at a time, and a dead one is no obstacle.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::{crashes, die, explore, explore_deaths, key, segment};
use crate::client;
use crate::layout::{C_WORD, H_UUID};
use crate::lock::{self, Lock};
use crate::shared::Shared;
use crate::sync::{Ordering, mortal};

/// A segment and something that its nested lock protects: two numbers that are equal.
struct Protected {
    shared: Shared,
    pair: UnsafeCell<(u32, u32)>,
}

impl Protected {
    fn new(clients: u16) -> Arc<Protected> {
        Arc::new(Protected { shared: segment(clients), pair: UnsafeCell::new((0, 0)) })
    }

    /// Takes the lock, repairs if need be, and changes what it protects in two steps.
    fn change(&self, me: u16) {
        let guard = lock::acquire(&self.shared, Lock::Nested, key(me));
        if guard.must_repair() {
            self.repair();
        }
        self.step();
        drop(guard);
    }

    fn step(&self) {
        self.pair.with_mut(|pair| change(pair));
    }

    fn repair(&self) {
        self.pair.with_mut(|pair| repair(pair));
    }
}

#[allow(unsafe_code, reason = "loom's cell finds two threads at once in it")]
fn change(pair: *mut (u32, u32)) {
    // SAFETY: loom fails the model if another thread is in the cell.
    let pair = unsafe { &mut *pair };
    assert_eq!(pair.0, pair.1, "what the lock protects was left half changed");
    pair.0 += 1;
    pair.1 += 1;
}

#[allow(unsafe_code, reason = "loom's cell finds two threads at once in it")]
fn repair(pair: *mut (u32, u32)) {
    // SAFETY: loom fails the model if another thread is in the cell.
    let pair = unsafe { &mut *pair };
    pair.1 = pair.0;
}

#[allow(unsafe_code, reason = "loom's cell finds two threads at once in it")]
fn half(pair: *mut (u32, u32)) {
    // SAFETY: loom fails the model if another thread is in the cell.
    let pair = unsafe { &mut *pair };
    pair.0 += 1;
}

/// Three clients want it; nobody sleeps for ever, nobody meets another inside.
#[test]
fn one_owner_at_a_time_and_every_waiter_is_woken() {
    explore(|| {
        let it = Protected::new(3);
        let others: Vec<_> = (1..3)
            .map(|me| {
                let it = Arc::clone(&it);
                thread::spawn(move || it.change(me))
            })
            .collect();
        it.change(0);
        for other in others {
            other.join().unwrap();
        }
    });
}

/// An owner is killed somewhere between asking for the lock and having given it back, while another wants it.
#[test]
fn an_owner_killed_anywhere_is_no_obstacle_and_its_work_is_repaired() {
    crashes(|stores| {
        let it = Protected::new(2);
        let dying = {
            let it = Arc::clone(&it);
            thread::spawn(move || {
                let lived = mortal(stores, || {
                    let guard = lock::acquire(&it.shared, Lock::Nested, key(1));
                    if guard.must_repair() {
                        it.repair();
                    }
                    it.pair.with_mut(|pair| half(pair));
                    // Killed here, what the lock protects is half changed.
                    it.shared.ctl.u64(H_UUID).store(1, Ordering::Relaxed);
                    it.pair.with_mut(|pair| repair(pair));
                    drop(guard);
                });
                die(&it.shared, 1);
                lived
            })
        };
        it.change(0);
        dying.join().unwrap()
    });
}

/// An owner was killed half way through; two waiters race for its lock, and the first of them repairs.
#[test]
fn a_dead_owners_lock_is_taken_over_once() {
    explore_deaths(|| {
        let it = Protected::new(3);
        let guard = lock::acquire(&it.shared, Lock::Nested, key(1));
        it.pair.with_mut(|pair| half(pair));
        std::mem::forget(guard);
        die(&it.shared, 1);
        let other = {
            let it = Arc::clone(&it);
            thread::spawn(move || it.change(2))
        };
        it.change(0);
        other.join().unwrap();
    });
}

/// A waiter asks whether the owner is dead while the reaper takes its locks over.
#[test]
fn a_waiter_and_the_reaper_do_not_both_take_a_lock_over() {
    explore_deaths(|| {
        let it = Protected::new(3);
        let guard = lock::acquire(&it.shared, Lock::Nested, key(1));
        it.pair.with_mut(|pair| half(pair));
        std::mem::forget(guard);
        die(&it.shared, 1);
        let reaper = {
            let it = Arc::clone(&it);
            thread::spawn(move || {
                if let Some(guard) = lock::take_over(&it.shared, Lock::Nested, key(1), key(2)) {
                    assert!(guard.must_repair());
                    it.repair();
                    drop(guard);
                }
            })
        };
        it.change(0);
        reaper.join().unwrap();
    });
}

/// A client begins to wait for a dead one's lock while the reaper takes it over: the reaper has it all the same, or
/// the client's slices would be all that helps it.
#[test]
fn the_reaper_takes_a_lock_over_for_which_somebody_begins_to_wait() {
    explore(|| {
        let it = Protected::new(3);
        let guard = lock::acquire(&it.shared, Lock::Nested, key(1));
        it.pair.with_mut(|pair| half(pair));
        std::mem::forget(guard);
        let waiter = {
            let it = Arc::clone(&it);
            thread::spawn(move || it.change(2))
        };
        let guard = lock::take_over(&it.shared, Lock::Nested, key(1), key(0)).expect("nobody else may take it over");
        it.repair();
        drop(guard);
        waiter.join().unwrap();
    });
}

/// A client detaches with a lock still in its name (its record is free); its late unlock frees nobody else's.
#[test]
fn who_was_taken_for_dead_cannot_unlock_for_its_successor() {
    explore_deaths(|| {
        let it = Protected::new(3);
        let late = lock::acquire(&it.shared, Lock::Nested, key(1));
        let record = it.shared.layout.client(1) + C_WORD;
        it.shared.ctl.u64(record).store(client::word(1, client::FREE), Ordering::SeqCst);
        let (first, second) = (Arc::clone(&it), Arc::clone(&it));
        let first = thread::spawn(move || first.change(0));
        let second = thread::spawn(move || second.change(2));
        drop(late);
        first.join().unwrap();
        second.join().unwrap();
    });
}
