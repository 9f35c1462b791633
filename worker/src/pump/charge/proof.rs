//! Models of who is in charge: a frame that comes at any moment is taken, whoever leads, leaves, ticks or sleeps.
//!
//! The bell is the store's own; a frame is one more in a count (`store/src/ring/proof.rs` has bells with rings). Who
//! waits for a frame here does not lead again: only the service thread can bring it, and if nobody calls that, both
//! sleep for ever, which loom reports.
//!
//! | put in on purpose | found by |
//! |---|---|
//! | L2 or V3 without its fence; no look at L3; `wanted` not stored | all but `what_comes_as_a_leader_leaves_..` at least |
//! | V3 does not try again | `what_comes_as_the_service_thread_stops_..`, `two_leaders_..` |
//! | V3 stops ticking without a turn | the same |
//! | L1 leaves the bell as it is, ticks or not; its `has_work` says no, or looks before E1; L3 before L2 | all |
//!
//! That V4 drains is a matter of time only: without it a frame waits until the service thread stops ticking.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use loom::thread;
use mobula_store::{Role, modelled};

use super::*;
use crate::proof::explore_within;
use crate::pump::progress::Progress;

const TICK: Duration = Duration::from_millis(1);

/// A process that receives: its pump without a core.
struct Scene {
    /// Whose inbox says how many frames were taken out.
    charge: Charge<u32>,
    bell: Bell,
    /// How many frames were sent.
    sent: AtomicU32,
    /// How many frames are settled.
    settled: AtomicU32,
    progress: Progress,
    closed: AtomicBool,
}

/// Has the service thread tick when the model begins.
const HOT: bool = true;

impl Scene {
    /// Makes a process that so many have led in before its service thread looks for the first time.
    fn start(ticks: bool, led: u32) -> Arc<Scene> {
        let charge = Charge::new(0);
        charge.ticking.store(ticks, Relaxed);
        charge.leads.store(led, Relaxed);
        Arc::new(Scene {
            charge,
            // A sleep of the service thread has a timeout only if it ticks.
            bell: modelled::bell(true),
            sent: AtomicU32::new(0),
            settled: AtomicU32::new(0),
            progress: Progress::new(),
            closed: AtomicBool::new(false),
        })
    }

    fn send(&self) {
        self.sent.fetch_add(1, Release);
        self.bell.kick();
    }

    fn has_work(&self, taken: u32) -> bool {
        self.sent.load(Acquire) > taken
    }

    /// Leads for one turn if nobody does.
    fn lead(&self) {
        if let Some(inbox) = self.charge.take(&self.bell) {
            self.drain(inbox, false);
        }
    }

    /// Drains and leaves.
    fn drain(&self, mut inbox: MutexGuard<'_, u32>, serving: bool) {
        let sent = self.sent.load(Acquire);
        if sent > *inbox {
            *inbox = sent;
            self.settled.store(sent, Relaxed);
            self.progress.bump();
        }
        self.charge.leave(&self.bell, inbox, serving, |taken| self.has_work(*taken));
        self.progress.stir();
    }

    /// What the service thread does, without the duties of a core.
    fn serve(&self) {
        let mut rounds = Rounds { leads: 0, idle: 0 };
        while !self.closed.load(Acquire) {
            let timeout = self.charge.is_ticking().then_some(TICK);
            let has_work = || self.closed.load(Acquire) || self.charge.peek(|taken| self.has_work(*taken));
            let called = self.bell.park(Role::Service, &has_work, timeout);
            if let Some(inbox) = self.charge.turn(&mut rounds, called, || self.charge.take(&self.bell)) {
                self.drain(inbox, true);
            }
        }
    }

    /// Waits for frames without leading, as somebody does who finds another one leading each time.
    fn follow(&self, frames: u32) {
        loop {
            let seen = self.progress.now();
            if self.settled.load(Relaxed) == frames {
                return;
            }
            self.progress.wait(seen, None);
        }
    }

    /// Ends the service thread.
    fn close(&self) {
        self.closed.store(true, Release);
        self.bell.kick_service();
    }
}

/// Runs the service thread and `beside` it another one, which sends a frame, while this one leads so many times; the
/// frame is taken.
fn is_taken(scene: Arc<Scene>, leads: usize, beside: fn(&Scene)) {
    let [service, other] = [Scene::serve, beside].map(|run| {
        let scene = Arc::clone(&scene);
        thread::spawn(move || run(&scene))
    });
    for _ in 0..leads {
        scene.lead();
    }
    scene.follow(1);
    // How all come to their ends is no part of it.
    loom::skip_branch();
    other.join().unwrap();
    scene.close();
    service.join().unwrap();
}

/// Case 1: a leader that gives the bell back.
#[test]
fn what_comes_as_a_leader_leaves_is_the_service_threads() {
    explore_within(2, || is_taken(Scene::start(!HOT, 0), 1, Scene::send));
}

/// Cases 2 to 4: the service thread ticks, and stops while a leader comes and goes.
#[test]
fn what_comes_as_the_service_thread_stops_ticking_is_taken() {
    explore_within(2, || is_taken(Scene::start(HOT, 0), 1, Scene::send));
}

/// Who sends is a thread of the process that leads afterwards: two leaders, of whom either may be the last.
#[test]
fn two_leaders_leave_nothing_as_the_service_thread_stops_ticking() {
    explore_within(2, || {
        is_taken(Scene::start(HOT, 0), 1, |scene| {
            scene.send();
            scene.lead();
        });
    });
}

/// The pump gets hot by the first leader, and may be cold again before the second one leaves.
#[test]
fn what_comes_as_the_pump_gets_hot_is_taken() {
    explore_within(1, || is_taken(Scene::start(!HOT, WARM_UP - 1), 2, Scene::send));
}
