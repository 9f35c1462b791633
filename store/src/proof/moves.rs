//! Moves: an object's bytes are where its state says, whoever reads, deletes or dies meanwhile.
//!
//! | put in on purpose | found by |
//! |---|---|
//! | no look for views after MOVING (M4) | `a_reader_sees_the_object_wherever_it_is` |
//! | the state is stored in M6, not exchanged | the same, `an_object_deleted_on_its_way_leaves_nothing` |
//! | the mover holds nothing | `an_object_deleted_on_its_way_leaves_nothing` |
//! | the record is written after the allocator is unlocked; a rebuild forgets what it names; nobody asks whether that has arrived | `a_mover_killed_anywhere_leaves_no_memory_behind`, `a_mover_killed_anywhere_leaves_the_object_whole` |
//! | the reaper leaves the lock of moves | `a_mover_killed_anywhere_leaves_no_memory_behind` |

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use super::scene::{RUN, Scene};
use super::{crashes_within, die, explore, explore_deaths};
use crate::holds::HOLD;
use crate::moves::{Mover, Stays};
use crate::slot::SlotRef;
use crate::sync::{mortal, timeouts};

/// Moves an object to another place, if it can be.
fn relocate(scene: &Scene, client: u16, at: SlotRef) -> Result<(), Stays> {
    let mover = Mover::try_lock(scene.actor(client)).ok_or(Stays::NoRoom)?;
    mover.relocate(at, |alloc| alloc.take(RUN))
}

/// Object 1 with pages of its own.
fn start(clients: u16, runs: usize, flags: u64) -> (Arc<Scene>, SlotRef) {
    let scene = Scene::new(clients, runs);
    let at = scene.put(0, 1, RUN, Duration::ZERO, flags).unwrap();
    (scene, at)
}

/// An object moves while one reads it and another uses the memory that it leaves.
#[test]
fn a_reader_sees_the_object_wherever_it_is() {
    explore(|| {
        let (scene, at) = start(3, 2, 0);
        let mover = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || drop(relocate(&scene, 1, at)))
        };
        let reader = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || assert!(scene.visit(2, 1), "an object that is being moved is not to be had"))
        };
        let put = scene.put(0, 2, RUN, Duration::ZERO, 0).is_ok();
        mover.join().unwrap();
        reader.join().unwrap();
        scene.assert_quiet(if put { &[1, 2] } else { &[1] });
    });
}

/// An object is deleted while it moves: its memory is there for who comes next when the delete returns, and both of
/// its places are when the mover is done.
#[test]
fn an_object_deleted_on_its_way_leaves_nothing() {
    explore(|| {
        let (scene, at) = start(2, 2, 0);
        let mover = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || drop(relocate(&scene, 1, at)))
        };
        assert!(scene.delete_now(0, 1), "the object is still there");
        scene.put(0, 2, RUN, Duration::ZERO, 0).unwrap();
        mover.join().unwrap();
        scene.assert_quiet(&[2]);
    });
}

/// The last holder lets go while the object moves, whose mover holds it, too.
#[test]
fn a_counted_object_released_on_its_way_goes() {
    explore(|| {
        let scene = Scene::new(2, 2);
        // Held from before its maker lets go.
        let at = scene.held(0, 1, RUN);
        let mover = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || drop(relocate(&scene, 1, at)))
        };
        scene.actor(0).drop_unit(at.index, HOLD);
        mover.join().unwrap();
        scene.assert_quiet(&[]);
    });
}

/// A mover is killed at any store while another client does something with the object and then makes one more in
/// what is free; `left` is what is there afterwards of the first.
fn a_mover_killed_anywhere(clients: u16, runs: usize, beside: fn(&Scene) -> bool, left: &'static [u8]) {
    crashes_within(1, move |stores| {
        let (scene, at) = start(clients, runs, 0);
        let dying = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                let lived = mortal(stores, || drop(relocate(&scene, 1, at)));
                die(&scene.shared, 1);
                lived
            })
        };
        assert!(beside(&scene));
        let put = scene.put(0, 2, RUN, Duration::from_secs(1), 0).is_ok();
        let lived = dying.join().unwrap();
        timeouts(false);
        scene.reap(0, 1);
        let mut there = left.to_vec();
        there.extend(put.then_some(2));
        scene.assert_quiet(&there);
        lived
    });
}

/// It reads the object.
#[test]
fn a_mover_killed_anywhere_leaves_the_object_whole() {
    a_mover_killed_anywhere(2, 3, |scene| scene.visit(0, 1), &[1]);
}

/// It deletes the object, and uses the memory that comes free.
#[test]
fn a_mover_killed_anywhere_leaves_no_memory_behind() {
    a_mover_killed_anywhere(2, 2, |scene| scene.delete(0, 1), &[]);
}

/// A mover that cannot have the allocator in time leaves its record; the next one gives back what it names.
#[test]
fn what_a_mover_could_not_give_back_the_next_one_does() {
    explore_deaths(|| {
        let (scene, at) = start(3, 3, 0);
        let mover = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || drop(relocate(&scene, 1, at)))
        };
        let reader = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || assert!(scene.visit(2, 1)))
        };
        let put = scene.put(0, 2, RUN, Duration::from_secs(1), 0).is_ok();
        mover.join().unwrap();
        reader.join().unwrap();
        timeouts(false);
        drop(Mover::try_lock(scene.actor(0)).expect("nobody moves anything"));
        scene.assert_quiet(if put { &[1, 2] } else { &[1] });
    });
}

/// Two want to move the same object: one at a time does.
#[test]
fn one_object_moves_at_a_time() {
    explore(|| {
        let (scene, at) = start(2, 3, 0);
        let mover = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || drop(relocate(&scene, 1, at)))
        };
        let _ = relocate(&scene, 0, at);
        mover.join().unwrap();
        scene.assert_quiet(&[1]);
    });
}
