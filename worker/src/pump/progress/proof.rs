//! Models of followers: nobody sleeps past a change. A lost wake-up is a deadlock, which loom reports.
//!
//! Faults put in on purpose, each found by two models at least: the orders that PROGRESS names weakened to `Acquire`, F3
//! after F4, C3 before C2, C4 left out, no look at F4, a wake for one only, a sequence that does not move.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use loom::thread;

use super::*;
use crate::proof::explore;
use crate::sync::AtomicBool;

/// What is waited for: `count` conditions, each changed by somebody.
struct Scene {
    progress: Progress,
    conditions: Vec<AtomicBool>,
}

impl Scene {
    fn new(count: usize) -> Arc<Scene> {
        let conditions = (0..count).map(|_| AtomicBool::new(false)).collect();
        Arc::new(Scene { progress: Progress::new(), conditions })
    }

    fn change(&self, which: usize) {
        self.conditions[which].store(true, Relaxed);
        self.progress.bump();
    }

    /// Waits as a follower does.
    fn follow(&self, done: impl Fn(&Scene) -> bool) {
        loop {
            let seen = self.progress.now();
            if done(self) {
                return;
            }
            self.progress.wait(seen, None);
        }
    }

    fn all(&self) -> bool {
        self.conditions.iter().all(|condition| condition.load(Relaxed))
    }
}

#[test]
fn a_follower_sees_two_changes() {
    explore(|| {
        let scene = Scene::new(2);
        let changers = [0, 1].map(|which| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.change(which))
        });
        scene.follow(Scene::all);
        for changer in changers {
            changer.join().unwrap();
        }
    });
}

#[test]
fn one_change_wakes_all_followers() {
    explore(|| {
        let scene = Scene::new(1);
        let follower = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.follow(Scene::all))
        };
        let changer = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.change(0))
        };
        scene.follow(Scene::all);
        follower.join().unwrap();
        changer.join().unwrap();
    });
}

/// The second condition follows from the first: who sees to it is a follower itself.
#[test]
fn a_follower_makes_another_ones_progress() {
    explore(|| {
        let scene = Scene::new(2);
        let second = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                scene.follow(|scene| scene.conditions[0].load(Relaxed));
                scene.change(1);
            })
        };
        let first = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.change(0))
        };
        scene.follow(|scene| scene.conditions[1].load(Relaxed));
        first.join().unwrap();
        second.join().unwrap();
    });
}
