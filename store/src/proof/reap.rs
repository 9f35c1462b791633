//! Reaping beside the living: one reaper at a time, nothing left by those who could not wait for it.
//!
//! | put in on purpose | found by |
//! |---|---|
//! | two reap at once | `the_second_of_two_reapers_leaves_the_newcomer_alone` |
//! | who gives up says nothing; the owner of the lock does not look | `what_one_reaper_leaves_the_other_does` |
//! | nobody goes on for a client that has left | `what_is_left_to_a_client_that_leaves_is_gone_on_with` |
//! | the units of the dead stay | all of them |

use loom::sync::Arc;
use loom::thread;

use super::scene::{Scene, id};
use super::{crashes_within, die, explore, explore_deaths, key, own_start};
use crate::client::{self, ClientKey};
use crate::holds::{Actor, Adopted, HOLD, Looks};
use crate::index;
use crate::reap;
use crate::sync::{Ordering, hasty, mortal, timeouts};

/// A counted object that some clients hold, without memory; those who hold it are gone.
fn start(clients: u16, holders: &[u16]) -> Arc<Scene> {
    hasty(true);
    let scene = Scene::new(clients, 1);
    let (first, others) = holders.split_first().unwrap();
    let at = scene.held(*first, 1, 0);
    for &holder in others {
        assert!(matches!(scene.actor(holder).adopt(at, HOLD, false), Adopted::Sealed(_)));
    }
    for &holder in holders {
        die(&scene.shared, holder);
    }
    scene
}

/// Two reapers, each with a dead client of its own; neither waits for the other longer than it may.
#[test]
fn what_one_reaper_leaves_the_other_does() {
    explore_deaths(|| {
        let scene = start(4, &[2, 3]);
        let other = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || reap::reap(&scene.actor(1), key(3)))
        };
        reap::reap(&scene.actor(0), key(2));
        other.join().unwrap();
        timeouts(false);
        scene.assert_free(2);
        scene.assert_free(3);
        scene.assert_quiet(&[]);
    });
}

/// Two reap the same client, and a newcomer gets its place as soon as that is free: its hold stays.
#[test]
fn the_second_of_two_reapers_leaves_the_newcomer_alone() {
    explore(|| {
        let scene = start(3, &[1]);
        let at = scene.put(0, 2, 0, std::time::Duration::ZERO, 0).unwrap();
        let other = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || _ = reap::reap(&scene.actor(2), key(1)))
        };
        reap::reap(&scene.actor(0), key(1));
        let newcomer = client::take(&scene.shared, std::process::id(), own_start(), 3).unwrap();
        assert_eq!(newcomer, ClientKey { index: 1, generation: 1 });
        assert!(client::confirm(&scene.shared, newcomer));
        let looks = Looks::default();
        let actor = Actor { me: newcomer, looks: &looks, ..scene.actor(0) };
        assert!(matches!(actor.adopt(at, HOLD, false), Adopted::Sealed(_)));
        other.join().unwrap();
        let word = scene.shared.ctl.u64(scene.shared.layout.hold(1, at.index));
        assert_eq!(word.load(Ordering::SeqCst), HOLD, "a reaper took a newcomer's hold");
        scene.assert_quiet(&[2]);
    });
}

/// A client is reaped while another takes its object: that one has it, or it is gone.
#[test]
fn what_the_dead_held_is_taken_or_gone() {
    explore(|| {
        let scene = start(3, &[1]);
        let other = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                let Some((at, _)) = index::find(&scene.shared, id(1)) else { return };
                if let Adopted::Sealed(_) = scene.actor(2).adopt(at, HOLD, false) {
                    assert_eq!(scene.there(&[1]), [1]);
                    scene.actor(2).drop_unit(at.index, HOLD);
                }
            })
        };
        scene.reap(0, 1);
        other.join().unwrap();
        scene.assert_quiet(&[]);
    });
}

/// A client leaves while another finds somebody dead and does not wait for it: who hears of its end goes on.
#[test]
fn what_is_left_to_a_client_that_leaves_is_gone_on_with() {
    explore_deaths(|| {
        let scene = start(3, &[2]);
        let leaving = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || reap::detach(&scene.actor(1), key(1)))
        };
        reap::reap(&scene.actor(0), key(2));
        leaving.join().unwrap();
        timeouts(false);
        // The server hears that the connection has ended.
        reap::reap_if_dead(scene.actor(0), key(1));
        reap::go_on(&scene.actor(0));
        scene.assert_free(1);
        scene.assert_free(2);
        scene.assert_quiet(&[]);
    });
}

/// A reaper is killed at any store, while another reaps somebody else; then it is reaped itself.
#[test]
fn a_reaper_killed_anywhere_is_no_obstacle() {
    crashes_within(1, |stores| {
        let scene = start(4, &[2, 3]);
        let dying = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                let lived = mortal(stores, || _ = reap::reap(&scene.actor(1), key(3)));
                die(&scene.shared, 1);
                lived
            })
        };
        reap::reap(&scene.actor(0), key(2));
        let lived = dying.join().unwrap();
        scene.reap(0, 1);
        if client::at(&scene.shared, 3, client::ALIVE).is_some() {
            // It died before it began.
            scene.reap(0, 3);
        }
        timeouts(false);
        scene.assert_free(2);
        scene.assert_free(3);
        scene.assert_quiet(&[]);
        lived
    });
}
