//! Models of rings (see [`crate::proof`]): frames arrive whole, in order, and a ring is freed once; who sleeps with
//! a ring's own look as its `has_work` is woken for what comes.
//!
//! | put in on purpose | found by |
//! |---|---|
//! | a look that forgets the rings that are open; P2 left out | all three models of user threads |
//! | a look that forgets the count of openings | `frames_wake_a_user_thread_that_lies_down` |
//! | U2 left out; no look at U3 | the same, and `a_frame_whose_answer_is_waited_for_..` |
//! | E2 left out | `a_frame_sent_as_a_user_thread_leaves_..` |

use loom::sync::Arc;
use loom::thread;

use super::mailbox::Receiver;
use super::sender::Sender;
use super::{Ring, State, indices, sweep, undrained_from};
use crate::bell::{Doorbell, ring_to_wait};
use crate::client::{self, ClientKey};
use crate::layout::C_WORD;
use crate::proof::{crashes, explore, explore_within, key, segment};
use crate::shared::Shared;
use crate::sync::{Mutex, Ordering, mortal, timeouts};

const FROM: ClientKey = ClientKey { index: 0, generation: 0 };
const TO: ClientKey = ClientKey { index: 1, generation: 0 };

fn start() -> Arc<Shared> {
    let shared = segment(2);
    for index in 0..2 {
        Doorbell::of(&shared, index).reset();
    }
    assert_eq!((FROM, TO), (key(0), key(1)));
    Arc::new(shared)
}

/// The `n`-th frame: two words, so that a torn one shows.
fn frame(n: u8) -> [u8; 16] {
    [n; 16]
}

/// Takes what is there; it must be the frames that come next.
fn take(shared: &Shared, receiver: &mut Receiver, taken: &mut u8) {
    receiver.poll(shared, 8, &mut |from, bytes| {
        *taken += 1;
        assert_eq!((from, bytes), (FROM, &frame(*taken)[..]));
    });
}

/// Receives `count` frames, asleep in between.
fn receive(shared: &Shared, receiver: &mut Receiver, count: u8) {
    let mut taken = 0;
    loop {
        take(shared, receiver, &mut taken);
        if taken == count {
            return;
        }
        Doorbell::of(shared, TO.index).park_service(&|| receiver.has_work(shared), None);
    }
}

/// The same by a user thread, which has said that it polls.
fn receive_as_user(shared: &Shared, receiver: &mut Receiver, count: u8) {
    let mut taken = 0;
    loop {
        take(shared, receiver, &mut taken);
        if taken == count {
            return;
        }
        Doorbell::of(shared, TO.index).park_user(&|| receiver.has_work(shared), None);
    }
}

/// Opens a ring and sends two frames through it; it stays open as long as what the thread gives.
fn send_two(shared: &Arc<Shared>) -> thread::JoinHandle<Sender> {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let mut sender = Sender::open(&shared, FROM, TO).unwrap();
        sender.try_send(&shared, &frame(1), false).unwrap();
        sender.try_send(&shared, &frame(2), false).unwrap();
        sender
    })
}

fn assert_all_free(shared: &Shared) {
    for index in indices(shared) {
        assert_eq!(Ring::of(shared, index).word().state(), State::Free);
    }
}

/// The client's process is gone: the first step of its reaping, then the sweep of its rings.
fn reap(shared: &Shared, dead: ClientKey) {
    let word = shared.ctl.u64(shared.layout.client(dead.index.into()) + C_WORD);
    word.store(client::word(dead.generation, client::REAPING), Ordering::SeqCst);
    sweep(shared, dead);
}

#[test]
fn frames_arrive_whole_in_order_and_wake_the_receiver() {
    explore(|| {
        let shared = start();
        let sender = send_two(&shared);
        receive(&shared, &mut Receiver::new(TO), 2);
        sender.join().unwrap();
    });
}

/// A user thread receives in the service thread's place, asleep in between: the ring that is opened, and both frames.
#[test]
fn frames_wake_a_user_thread_that_lies_down() {
    explore(|| {
        let shared = start();
        let sender = send_two(&shared);
        let (mut receiver, bell) = (Receiver::new(TO), Doorbell::of(&shared, TO.index));
        bell.poll_begin();
        receive_as_user(&shared, &mut receiver, 2);
        bell.poll_end(&|| receiver.has_work(&shared));
        sender.join().unwrap();
    });
}

/// The same in a ring that is open, by a sender that hands the processor over if it finds the receiver asleep.
#[test]
fn a_frame_whose_answer_is_waited_for_wakes_a_user_thread() {
    explore(|| {
        let shared = start();
        let mut sender = Sender::open(&shared, FROM, TO).unwrap();
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for n in 1..=2 {
                    sender.publish(&shared, &frame(n), false).unwrap();
                    ring_to_wait(&shared, TO.index, &mut || true);
                }
            })
        };
        let (mut receiver, bell) = (Receiver::new(TO), Doorbell::of(&shared, TO.index));
        bell.poll_begin();
        receive_as_user(&shared, &mut receiver, 2);
        sender.join().unwrap();
    });
}

/// A user thread takes what is there and leaves, its last look the ring's: a frame that it does not see is the service
/// thread's.
#[test]
fn a_frame_sent_as_a_user_thread_leaves_is_the_service_threads() {
    explore_within(2, || {
        let shared = start();
        let mut sender = Sender::open(&shared, FROM, TO).unwrap();
        let inbox = Arc::new(Mutex::new((Receiver::new(TO), 0)));
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || sender.try_send(&shared, &frame(1), false).unwrap())
        };
        let user = {
            let (shared, inbox) = (Arc::clone(&shared), Arc::clone(&inbox));
            thread::spawn(move || {
                let Ok(mut inbox) = inbox.try_lock() else { return };
                let (receiver, taken) = &mut *inbox;
                let bell = Doorbell::of(&shared, TO.index);
                bell.poll_begin();
                take(&shared, receiver, taken);
                bell.poll_end(&|| receiver.has_work(&shared));
                let all = *taken == 1;
                drop(inbox);
                if all {
                    // Nothing is left that the service thread would be called for.
                    bell.kick_service();
                }
            })
        };
        loop {
            // It waits for the lock; the worker crate's service thread does not, and has itself called instead.
            let mut locked = inbox.lock().unwrap();
            let (receiver, taken) = &mut *locked;
            take(&shared, receiver, taken);
            if *taken == 1 {
                break;
            }
            drop(locked);
            let has_work = || inbox.try_lock().is_ok_and(|inbox| inbox.0.has_work(&shared));
            Doorbell::of(&shared, TO.index).park_service(&has_work, None);
        }
        loom::skip_branch();
        sender.join().unwrap();
        user.join().unwrap();
    });
}

/// The sender closes its end while the receiver drains: the frame arrives, and the ring is freed.
#[test]
fn a_closed_ring_is_drained_and_freed() {
    explore(|| {
        let shared = start();
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let mut sender = Sender::open(&shared, FROM, TO).unwrap();
                sender.try_send(&shared, &frame(1), false).unwrap();
                sender.close(&shared);
            })
        };
        let mut receiver = Receiver::new(TO);
        receive(&shared, &mut receiver, 1);
        sender.join().unwrap();
        take(&shared, &mut receiver, &mut 1);
        assert_all_free(&shared);
    });
}

/// The sender drops its end, opens it again, sends and drops it once more while the receiver gives the drained ring
/// back: what it decided about the first end does not free the second one.
#[test]
fn a_ring_taken_up_again_keeps_the_order() {
    explore(|| {
        let shared = start();
        let mut sender = Sender::open(&shared, FROM, TO).unwrap();
        sender.try_send(&shared, &frame(1), false).unwrap();
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                sender.close(&shared);
                let mut sender = Sender::open(&shared, FROM, TO).unwrap();
                sender.try_send(&shared, &frame(2), false).unwrap();
                sender.close(&shared);
            })
        };
        receive(&shared, &mut Receiver::new(TO), 2);
        sender.join().unwrap();
    });
}

/// Both ends go at once, one by a drop and one by death: one of them frees the ring.
#[test]
fn a_ring_without_ends_is_freed_once() {
    explore(|| {
        let shared = start();
        let mut sender = Sender::open(&shared, FROM, TO).unwrap();
        let reaper = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || reap(&shared, TO))
        };
        sender.close(&shared);
        reaper.join().unwrap();
        assert_all_free(&shared);
    });
}

/// A sender is killed at any store of opening and sending; what it published arrives, nothing else does.
#[test]
fn a_sender_killed_anywhere_leaves_whole_frames_and_no_ring() {
    crashes(|stores| {
        timeouts(false);
        let shared = start();
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let lived = mortal(stores, || {
                    let mut sender = Sender::open(&shared, FROM, TO).unwrap();
                    sender.try_send(&shared, &frame(1), false).unwrap();
                    sender.try_send(&shared, &frame(2), false).unwrap();
                });
                reap(&shared, FROM);
                lived
            })
        };
        let (mut receiver, mut taken) = (Receiver::new(TO), 0);
        take(&shared, &mut receiver, &mut taken);
        let lived = sender.join().unwrap();
        while receiver.has_work(&shared) {
            take(&shared, &mut receiver, &mut taken);
        }
        assert!(taken <= 2 && (!lived || taken == 2), "{taken} frames arrived");
        assert!(!undrained_from(&shared, FROM));
        assert_all_free(&shared);
        lived
    });
}
