//! Allocator and magazines: nobody gets memory that another has, and none is lost.
//!
//! | put in on purpose | found by |
//! |---|---|
//! | who frees looks at the queue before the slot is CACHED; no wake for space | `a_freed_cell_is_found_by_who_begins_to_queue`, `what_is_taken_ahead_is_found_by_who_begins_to_queue` |
//! | a kept slot is taken, or taken away, by a store | `a_kept_cell_goes_to_its_owner_or_to_who_is_short` |
//! | who leaves a slot does not try again; the owner of the lock does not look | `what_two_leave_is_freed` |
//! | no rebuild after a take-over | `an_allocation_killed_anywhere_is_undone`, `a_release_killed_anywhere_is_undone` |

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use super::scene::{RUN, Scene};
use super::{crashes_within, die, explore, explore_within};
use crate::layout::PAGE;
use crate::sync::{mortal, timeouts};

const CELL: usize = 64;

/// Who keeps what it freed wants it for an object while another, who is short of memory, takes it away.
fn what_is_kept_goes_to_its_owner_or_to_who_is_short(len: usize) {
    explore(move || {
        let scene = Scene::new(2, 1);
        scene.put(0, 1, len, Duration::ZERO, 0).unwrap();
        assert!(scene.delete(0, 1));
        let short = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || _ = scene.put(1, 2, RUN, Duration::MAX, 0).unwrap())
        };
        if scene.put(0, 3, len, Duration::ZERO, 0).is_ok() {
            assert!(scene.visit(0, 3));
            assert!(scene.delete(0, 3));
        }
        short.join().unwrap();
        scene.assert_quiet(&[2]);
    });
}

#[test]
fn a_kept_cell_goes_to_its_owner_or_to_who_is_short() {
    what_is_kept_goes_to_its_owner_or_to_who_is_short(CELL);
}

#[test]
fn a_kept_run_goes_to_its_owner_or_to_who_is_short() {
    what_is_kept_goes_to_its_owner_or_to_who_is_short(PAGE);
}

/// What a client frees, to keep it, while another begins to queue: that one finds it.
fn what_is_freed_is_found_by_who_begins_to_queue(len: usize) {
    explore(move || {
        let scene = Scene::new(2, 1);
        scene.put(0, 1, len, Duration::ZERO, 0).unwrap();
        let short = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || _ = scene.put(1, 2, RUN, Duration::MAX, 0).unwrap())
        };
        assert!(scene.delete(0, 1));
        short.join().unwrap();
        scene.assert_quiet(&[2]);
    });
}

#[test]
fn a_freed_cell_is_found_by_who_begins_to_queue() {
    what_is_freed_is_found_by_who_begins_to_queue(CELL);
}

#[test]
fn a_freed_run_is_found_by_who_begins_to_queue() {
    what_is_freed_is_found_by_who_begins_to_queue(PAGE);
}

/// A client frees what is too large to be kept while another has the allocator: that one, or itself, gives it back.
#[test]
fn what_is_left_to_the_owner_of_the_lock_is_freed() {
    explore(|| {
        let scene = Scene::new(2, 2);
        scene.put(0, 1, RUN, Duration::ZERO, 0).unwrap();
        let other = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || assert!(scene.delete(1, 1)))
        };
        scene.put(0, 2, RUN, Duration::ZERO, 0).unwrap();
        other.join().unwrap();
        scene.assert_quiet(&[2]);
    });
}

/// Two free at once while a third has the allocator.
#[test]
fn what_two_leave_is_freed() {
    explore_within(1, || {
        let scene = Scene::new(3, 3);
        scene.put(0, 1, RUN, Duration::ZERO, 0).unwrap();
        scene.put(0, 2, RUN, Duration::ZERO, 0).unwrap();
        let others = [1, 2].map(|client| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || assert!(scene.delete(client, client as u8)))
        });
        _ = scene.put(0, 3, RUN, Duration::MAX, 0).unwrap();
        for other in others {
            other.join().unwrap();
        }
        scene.assert_quiet(&[3]);
    });
}

/// A client takes cells ahead of use while another begins to queue: that one finds them.
#[test]
fn what_is_taken_ahead_is_found_by_who_begins_to_queue() {
    explore_within(2, || {
        let scene = Scene::new(2, 1);
        // Slots that were used before, since only such are taken ahead.
        for n in [1, 2] {
            scene.put(1, n, PAGE / 8, Duration::ZERO, 0).unwrap();
        }
        scene.delete(1, 1);
        scene.delete(1, 2);
        let short = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || _ = scene.put(1, 4, RUN, Duration::MAX, 0).unwrap())
        };
        if scene.put(0, 3, CELL, Duration::ZERO, 0).is_ok() {
            assert!(scene.delete(0, 3));
        }
        short.join().unwrap();
        scene.assert_quiet(&[4]);
    });
}

/// The reaper frees what a dead client kept while another, who is short, takes it.
#[test]
fn what_a_dead_client_kept_goes_to_who_is_short() {
    explore(|| {
        let scene = Scene::new(3, 1);
        scene.put(1, 1, CELL, Duration::ZERO, 0).unwrap();
        assert!(scene.delete(1, 1));
        die(&scene.shared, 1);
        let short = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || _ = scene.put(2, 2, RUN, Duration::MAX, 0).unwrap())
        };
        scene.reap(0, 1);
        short.join().unwrap();
        scene.assert_quiet(&[2]);
    });
}

/// A client is killed at any store of a creation and a deletion, most of them in the allocator, while another allocates.
#[test]
fn an_allocation_killed_anywhere_is_undone() {
    crashes_within(1, |stores| {
        let scene = Scene::new(2, 2);
        let dying = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                let lived = mortal(stores, || {
                    if scene.put(1, 1, CELL, Duration::ZERO, 0).is_ok() {
                        scene.delete(1, 1);
                    }
                });
                die(&scene.shared, 1);
                lived
            })
        };
        let _ = scene.put(0, 2, RUN, Duration::from_secs(1), 0);
        let lived = dying.join().unwrap();
        timeouts(false);
        scene.reap(0, 1);
        scene.assert_quiet(&scene.there(&[1, 2]));
        lived
    });
}

/// The same for a deletion of a run, which merges with its neighbours, beside another one.
#[test]
fn a_release_killed_anywhere_is_undone() {
    crashes_within(1, |stores| {
        let scene = Scene::new(2, 3);
        scene.put(1, 1, RUN, Duration::ZERO, 0).unwrap();
        scene.put(1, 2, RUN, Duration::ZERO, 0).unwrap();
        let dying = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                let lived = mortal(stores, || _ = scene.delete(1, 1));
                die(&scene.shared, 1);
                lived
            })
        };
        scene.delete(0, 2);
        let lived = dying.join().unwrap();
        timeouts(false);
        scene.reap(0, 1);
        scene.assert_quiet(&scene.there(&[1]));
        lived
    });
}
