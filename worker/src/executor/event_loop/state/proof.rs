//! Models of a call that is woken while it is polled: it is polled again, and by one thread at a time.
//!
//! Faults put in on purpose, each found: a `begin` that stores, a `wake` that only loads where nothing changes, a `pause`
//! that stores WAITING, any of the orders weakened to `Relaxed`.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use loom::sync::atomic::AtomicBool;
use loom::thread;

use super::*;
use crate::proof::explore;

/// A call that is ready when it has been told so many things.
struct Call {
    state: State,
    told: [AtomicBool; 2],
    polled: AtomicBool,
    queued: AtomicBool,
}

impl Call {
    /// Tells it something, and wakes it.
    fn tell(&self, what: usize) {
        self.told[what].store(true, Relaxed);
        if self.state.wake() {
            assert!(!self.queued.swap(true, SeqCst), "it is in the queue twice");
        }
    }

    /// Polls it as long as it is queued; true if it is done.
    fn drive(&self) -> bool {
        while self.queued.swap(false, SeqCst) {
            self.state.begin();
            assert!(!self.polled.swap(true, Relaxed), "it is polled by two");
            let ready = self.told.iter().all(|told| told.load(Relaxed));
            self.polled.store(false, Relaxed);
            if ready {
                self.state.end();
                return true;
            }
            if self.state.pause() {
                assert!(!self.queued.swap(true, SeqCst), "it is in the queue twice");
            }
        }
        false
    }
}

fn call(told: bool) -> Arc<Call> {
    Arc::new(Call {
        state: State::queued(),
        told: [AtomicBool::new(false), AtomicBool::new(told)],
        polled: AtomicBool::new(false),
        queued: AtomicBool::new(true),
    })
}

#[test]
fn what_is_told_during_a_poll_is_seen_by_it_or_the_next() {
    explore(|| {
        let call = call(true);
        let teller = call.clone();
        let tells = thread::spawn(move || teller.tell(0));
        let done = call.drive();
        tells.join().unwrap();
        assert!(done || call.drive(), "nobody polls it any more");
        assert!(!call.state.wake(), "it is done");
    });
}

#[test]
fn of_two_who_wake_one_queues_it() {
    explore(|| {
        let call = call(false);
        let tellers = [0, 1].map(|what| {
            let call = call.clone();
            thread::spawn(move || call.tell(what))
        });
        let done = call.drive();
        tellers.into_iter().for_each(|teller| teller.join().unwrap());
        assert!(done || call.drive(), "nobody polls it any more");
    });
}

#[test]
fn it_is_polled_by_one_thread_at_a_time() {
    explore(|| {
        let call = call(true);
        let other = call.clone();
        let drives = thread::spawn(move || {
            other.tell(0);
            other.drive()
        });
        let here = call.drive();
        let there = drives.join().unwrap();
        assert!(here || there || call.drive());
        assert!(!(here && there), "it was done twice");
    });
}
