//! The end of a client: it comes, once, and after the last unit and handle. What a drop does between U1 and U3 is a
//! look at the client's memory, which whoever ends it overwrites.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::explore;
use crate::life::{Life, MINUS_ONE};
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::sys::seat::Seat;

/// A client, its lock and the seats of the threads that know it.
struct Scene {
    life: Life,
    ends: Mutex<()>,
    seats: [Seat; 3],
    /// What the units count in.
    word: AtomicU64,
    /// Stands for the client's memory.
    memory: UnsafeCell<()>,
    ended: AtomicUsize,
}

impl Scene {
    /// Makes a client with one handle, and a unit that each of `threads` has taken.
    fn new(threads: &[usize]) -> Arc<Scene> {
        let scene = Scene {
            life: Life::new(),
            ends: Mutex::new(()),
            // The last one has no line of its own.
            seats: [0, 1, 7].map(|number| Seat::new(number, None)),
            word: AtomicU64::new(threads.len() as u64),
            memory: UnsafeCell::new(()),
            ended: AtomicUsize::new(0),
        };
        threads.iter().for_each(|&thread| scene.life.take(&scene.seats[thread]));
        Arc::new(scene)
    }

    fn end_if(&self, over: bool) {
        if over {
            self.memory.with_mut(|_| ());
            assert_eq!(self.ended.fetch_add(1, Relaxed), 0, "a client ended twice");
        }
    }

    fn change(&self, thread: usize, by: u64) {
        let seat = &self.seats[thread];
        self.life.sit(seat);
        self.word.fetch_add(by, Ordering::SeqCst);
        self.memory.with(|_| ());
        if !self.life.stand(seat, by) {
            self.end_if(self.life.count_late(&self.ends, by));
        }
    }

    fn drop_unit(&self, thread: usize) {
        self.change(thread, MINUS_ONE);
    }

    fn drop_handle(&self) {
        self.memory.with(|_| ());
        self.end_if(self.life.let_go(&self.ends, || self.seats.iter()));
    }

    fn beside(scene: &Arc<Scene>, work: impl FnOnce(&Scene) + 'static) -> thread::JoinHandle<()> {
        let scene = Arc::clone(scene);
        thread::spawn(move || work(&scene))
    }

    fn assert_ended(&self) {
        assert_eq!(self.ended.load(Relaxed), 1, "a client without handles and units is still there");
    }
}

#[test]
fn a_client_ends_with_its_last_unit_or_handle() {
    explore(|| {
        let scene = Scene::new(&[1]);
        let other = Scene::beside(&scene, |scene| scene.drop_unit(1));
        scene.drop_handle();
        other.join().unwrap();
        scene.assert_ended();
    });
}

/// The units were taken by the other thread each, so that the lines' sums are right only together.
#[test]
fn units_dropped_where_they_were_not_taken_end_a_client_once() {
    explore(|| {
        let scene = Scene::new(&[0, 2]);
        let others = [1, 2].map(|thread| Scene::beside(&scene, move |scene| scene.drop_unit(thread)));
        scene.drop_handle();
        others.into_iter().for_each(|other| other.join().unwrap());
        scene.assert_ended();
    });
}

#[test]
fn a_unit_taken_by_another_one_keeps_the_client() {
    explore(|| {
        let scene = Scene::new(&[0]);
        let other = Scene::beside(&scene, |scene| {
            scene.change(1, 1);
            scene.drop_unit(1);
            assert_eq!(scene.ended.load(Relaxed), 0, "ended under a unit");
            scene.drop_unit(1);
        });
        scene.drop_handle();
        other.join().unwrap();
        scene.assert_ended();
    });
}

#[test]
fn a_client_that_is_brought_back_ends_once() {
    explore(|| {
        let scene = Scene::new(&[1]);
        let other = Scene::beside(&scene, |scene| {
            scene.life.bring_back(&scene.ends);
            scene.life.take(&scene.seats[1]);
            scene.drop_unit(1);
            scene.drop_unit(1);
            assert_eq!(scene.ended.load(Relaxed), 0, "ended under a handle");
            scene.drop_handle();
        });
        scene.drop_handle();
        other.join().unwrap();
        scene.assert_ended();
    });
}
