//! The queue of creations: whoever waits for memory gets it when it comes free, in whatever order and whoever dies.
//!
//! | put in on purpose | found by |
//! |---|---|
//! | younger requests bar elder ones | `two_who_wait_are_served_one_after_the_other` |
//! | who leaves the queue wakes nobody | `who_is_served_leaves_the_rest_to_the_next` |
//! | the count is stored, not exchanged | `the_count_is_right_when_all_is_quiet` |
//! | requests of the dead stay | `a_waiter_killed_anywhere_keeps_nobody_waiting` |
//!
//! The last of these found that a reaper left a dead client's lock where it was if somebody began to wait for it
//! at that moment (`lock.rs`, `the_reaper_takes_a_lock_over_for_which_somebody_begins_to_wait`).

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use super::scene::{RUN, Scene};
use super::{crashes_within, explore, explore_deaths_within, explore_within, key, segment};
use crate::alloc::Shortage;
use crate::queue::{self, Request, Wants};
use crate::sync::{mortal, timeouts};

/// Two want all memory while its owner gives it back: one after the other has it, and nobody sleeps for ever.
#[test]
fn two_who_wait_are_served_one_after_the_other() {
    explore_within(2, || {
        let scene = Scene::new(3, 1);
        scene.put(0, 1, RUN, Duration::ZERO, 0).unwrap();
        let waiting = [1, 2].map(|client| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                scene.put(client, 1 + client as u8, RUN, Duration::MAX, 0).unwrap();
                assert!(scene.delete(client, 1 + client as u8));
            })
        });
        scene.delete(0, 1);
        for waiting in waiting {
            waiting.join().unwrap();
        }
        scene.assert_quiet(&[]);
    });
}

/// Two wait for a run each, and two come free at once: whoever is served tells the other, who stood behind it.
#[test]
fn who_is_served_leaves_the_rest_to_the_next() {
    explore_within(1, || {
        let scene = Scene::new(3, 2);
        scene.put(0, 1, 2 * RUN, Duration::ZERO, 0).unwrap();
        let waiting = [1, 2].map(|client| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || (client, scene.reserve(client, RUN, Duration::MAX, 0).unwrap()))
        });
        scene.delete(0, 1);
        for waiting in waiting {
            let (client, at) = waiting.join().unwrap();
            scene.fill(client, at, 1 + client as u8, RUN);
        }
        scene.assert_quiet(&[2, 3]);
    });
}

/// A client gives up at once, another queues, while memory comes free.
#[test]
fn who_does_not_wait_does_not_keep_who_waits_from_its_memory() {
    explore(|| {
        let scene = Scene::new(2, 1);
        scene.put(0, 1, RUN, Duration::ZERO, 0).unwrap();
        let waiting = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || _ = scene.put(1, 2, RUN, Duration::MAX, 0).unwrap())
        };
        scene.delete(0, 1);
        if scene.put(0, 3, RUN, Duration::ZERO, 0).is_ok() {
            scene.delete(0, 3);
        }
        waiting.join().unwrap();
        scene.assert_quiet(&[2]);
    });
}

/// Two wait as long as they may; what one of them gets or not, the other is not kept from it.
#[test]
fn who_gives_up_leaves_the_queue() {
    explore_deaths_within(2, || {
        let scene = Scene::new(2, 1);
        scene.put(0, 1, RUN, Duration::ZERO, 0).unwrap();
        let waiting = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                if scene.put(1, 2, RUN, Duration::from_secs(2), 0).is_ok() {
                    assert!(scene.delete(1, 2));
                }
            })
        };
        let _ = scene.put(0, 3, RUN, Duration::from_millis(20), 0);
        assert!(scene.delete(0, 1));
        scene.delete(0, 3);
        waiting.join().unwrap();
        timeouts(false);
        scene.assert_quiet(&[]);
    });
}

/// One joins while another joins and leaves: whoever counted last counted right.
#[test]
fn the_count_is_right_when_all_is_quiet() {
    explore(|| {
        let shared = Arc::new(segment(2));
        let wants = Wants { bytes: RUN, slot: true };
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let mut request = Request::new(&shared, key(1), wants);
                request.join(Shortage::Memory, 0, u64::MAX);
            })
        };
        let mut request = Request::new(&shared, key(0), wants);
        request.join(Shortage::Memory, 0, u64::MAX);
        other.join().unwrap();
        assert!(!queue::is_empty(&shared) && queue::len(&shared) == 1);
        drop(request);
        assert!(queue::is_empty(&shared) && queue::len(&shared) == 0);
    });
}

/// Of two who wait one is killed at any store, in the queue or with the memory that it waited for.
#[test]
fn a_waiter_killed_anywhere_keeps_nobody_waiting() {
    crashes_within(1, |stores| {
        timeouts(false);
        let scene = Scene::new(3, 1);
        scene.put(0, 1, RUN, Duration::ZERO, 0).unwrap();
        let dying = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                mortal(stores, || {
                    scene.put(1, 2, RUN, Duration::MAX, 0).unwrap();
                    scene.delete(1, 2);
                })
            })
        };
        let waiting = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                scene.put(2, 3, RUN, Duration::MAX, 0).unwrap();
                scene.delete(2, 3);
            })
        };
        scene.delete(0, 1);
        let lived = dying.join().unwrap();
        scene.reap(0, 1);
        if scene.there(&[2]) == [2] {
            // It was sealed before its maker died, and stays.
            scene.delete(0, 2);
        }
        waiting.join().unwrap();
        scene.assert_quiet(&[]);
        lived
    });
}
