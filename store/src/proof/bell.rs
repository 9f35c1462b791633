//! Doorbells: who sleeps is woken for what was published before, whoever is in charge.

use loom::sync::Arc;
use loom::thread;

use super::{explore, segment};
use crate::bell::Doorbell;
use crate::layout::{H_CAPACITY as TAKEN, H_CTL_LEN as OVER, H_UUID as PUBLISHED};
use crate::shared::Shared;
use crate::sync::Ordering;

/// A bell and a count of frames that are published for its process.
fn start() -> Arc<Shared> {
    let shared = segment(1);
    Doorbell::of(&shared, 0).reset();
    Arc::new(shared)
}

fn publish(shared: &Shared) {
    shared.ctl.u64(PUBLISHED).fetch_add(1, Ordering::Release);
    Doorbell::of(shared, 0).ring();
}

fn published(shared: &Shared) -> u64 {
    shared.ctl.u64(PUBLISHED).load(Ordering::Acquire)
}

/// Sleeps as the service thread until `count` frames are there.
fn serve(shared: &Shared, count: u64) {
    let bell = Doorbell::of(shared, 0);
    while published(shared) < count {
        bell.park_service(&|| published(shared) >= count, None);
    }
}

#[test]
fn two_senders_wake_the_service_thread() {
    explore(|| {
        let shared = start();
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || publish(&shared))
            })
            .collect();
        serve(&shared, 2);
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

#[test]
fn a_user_thread_polls_sleeps_and_is_woken() {
    explore(|| {
        let shared = start();
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                publish(&shared);
                publish(&shared);
            })
        };
        let bell = Doorbell::of(&shared, 0);
        bell.poll_begin();
        while published(&shared) < 2 {
            bell.park_user(&|| published(&shared) >= 2, None);
        }
        sender.join().unwrap();
    });
}

/// A user thread takes what is there and leaves; what comes meanwhile is the service thread's.
#[test]
fn what_comes_as_a_user_leaves_is_the_service_threads() {
    explore(|| {
        let shared = start();
        let taken = |shared: &Shared| shared.ctl.u64(TAKEN).load(Ordering::Acquire);
        let service = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let has_work = || published(&shared) > taken(&shared);
                while !has_work() && shared.ctl.u64(OVER).load(Ordering::Acquire) == 0 {
                    Doorbell::of(&shared, 0).park_service(&has_work, None);
                }
            })
        };
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || publish(&shared))
        };
        let bell = Doorbell::of(&shared, 0);
        bell.poll_begin();
        let seen = published(&shared);
        shared.ctl.u64(TAKEN).store(seen, Ordering::Release);
        bell.poll_end(&|| published(&shared) > seen);
        sender.join().unwrap();
        if seen == 1 {
            // The user thread took it all: the service thread has nothing to wake for but this.
            shared.ctl.u64(OVER).store(1, Ordering::Release);
            bell.kick_service();
        }
        service.join().unwrap();
    });
}

#[test]
fn a_kick_reaches_the_service_thread_whoever_is_in_charge() {
    explore(|| {
        let shared = start();
        let service = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let bell = Doorbell::of(&shared, 0);
                // It returns for a kick, or for nothing: then it parks again.
                while shared.ctl.u64(PUBLISHED).load(Ordering::Acquire) == 0 {
                    bell.park_service(&|| false, None);
                }
            })
        };
        let bell = Doorbell::of(&shared, 0);
        bell.poll_begin();
        shared.ctl.u64(PUBLISHED).store(1, Ordering::Release);
        bell.kick_service();
        bell.poll_end(&|| false);
        service.join().unwrap();
    });
}
