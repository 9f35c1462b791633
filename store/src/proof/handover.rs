//! Queues without a bound: no message is lost or overtaken where one ring is full and the next one begins.
//!
//! Everything but the memory of rings is the store's code. A ring is there from the beginning; that it is a child before it
//! is in use (ST-Q6) is a word here. The first ring has one cell, later ones have two.
//!
//! | put in on purpose | found by |
//! |---|---|
//! | no second look at the end of a ring when a cell is claimed | two who meet a full ring, the close |
//! | a ring that is over is left with messages on their way in it | two who meet a full ring, the close |
//! | a ring is left that is not over | who was late |
//! | the end of a ring is looked at behind its cells | who was late, the close |
//! | the next ring is in use before the last one is over; the last one is never over | killed producer |
//! | the next ring is in use before it is a child | all in which the queue grows |
//! | a close counts though there is a ring behind | the close |
//! | a put looks at the ring alone | the close |
//!
//! What is not seen: who brings a ring into use that somebody has brought in before, since a third one would have to be
//! brought in and left meanwhile; and a full ring for which nobody is woken, since each put of a model wakes.

use std::cell::Cell;
use std::convert::Infallible;

use loom::sync::Arc;
use loom::thread;

use super::cells::is_orphan;
use super::{crashes_within, explore_within, key, segment};
use crate::client;
use crate::id::ObjectId;
use crate::layout::{C_WORD, PAGE};
use crate::lock::{self, Lock};
use crate::message_queue::cells::{Cells, Memory, NoRoom, Seen, name};
use crate::message_queue::handover::{self, Head, Line, Link};
use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering, mortal, payload, timeouts};
use crate::waits::{self, On};

/// Where the root's words stand in the modelled segment, and those of rings.
const ROOT: usize = 1 << 20;
const CLOSED: usize = ROOT + 128;
const OLDEST: usize = ROOT + 256;
const MADE: usize = ROOT + 384;
/// One word for each ring: is it a child?
const CHILDREN: usize = ROOT + 512;
const RING: usize = 1 << 14;

const RING_CLOSED: usize = 128;
const STRIDE: usize = 64;
const MESSAGE: usize = 8;

/// More rings than any model makes.
const RINGS: usize = 8;

/// A queue in a modelled segment, whose first ring is in use.
struct Model(Shared);

/// One of its rings, as a client works on it.
#[derive(Clone, Copy)]
struct Ring<'a> {
    model: &'a Model,
    number: u64,
    client: u16,
}

/// The queue, as a client works on it.
struct Handle<'a> {
    model: &'a Model,
    client: u16,
    put: Cell<Option<u64>>,
    get: Cell<Option<u64>>,
}

fn on() -> On {
    On::Object(ObjectId::from_bytes([1; 16]))
}

impl Memory for Ring<'_> {
    fn word(&self, at: usize) -> &AtomicU64 {
        self.model.word(ROOT + (self.number as usize + 1) * RING + at)
    }

    fn is_orphan(&self, owner: u32) -> bool {
        is_orphan(&self.model.0, owner)
    }
}

impl Ring<'_> {
    fn cells(&self) -> Cells<'_, Self> {
        Cells { memory: self, cells: 1 << self.number.min(1), stride: STRIDE, me: name(key(self.client)) }
    }

    /// Where loom looks for races on a position's message: each has a page of its own.
    fn page(&self, position: u64) -> usize {
        (self.number as usize * 2 + (position % self.cells().cells) as usize) * PAGE
    }

    fn take(&self, position: u64) -> u64 {
        payload::read(self.page(position), 8);
        let message = self.word(self.cells().at(position) + MESSAGE).load(Ordering::Relaxed);
        self.cells().give_up(position);
        message
    }
}

impl Link for Ring<'_> {
    fn number(&self) -> u64 {
        self.number
    }

    fn is_over(&self) -> bool {
        self.word(RING_CLOSED).load(Ordering::SeqCst) != 0
    }

    fn put(&self, message: &[u8], is_over: impl Fn() -> bool) -> Result<(), NoRoom> {
        let position = self.cells().claim_room(is_over)?;
        payload::written(self.page(position), 8);
        self.word(self.cells().at(position) + MESSAGE).store(message[0].into(), Ordering::Relaxed);
        self.cells().publish(position);
        Ok(())
    }

    fn claim(&self, ended: bool) -> Seen {
        self.cells().claim_message(ended)
    }
}

impl<'a> Handle<'a> {
    fn ring(&self, number: u64) -> Ring<'a> {
        // What is in use can be opened.
        let child = self.model.word(CHILDREN + 8 * number as usize).load(Ordering::SeqCst);
        assert!(child == 1, "ring {number} is in use and no child");
        Ring { model: self.model, number, client: self.client }
    }

    /// Puts a message; false if the queue is closed. As [`crate::MessageQueue`] does it.
    fn put(&self, message: u8) -> bool {
        let Ok(put) = handover::put(self, &[message]);
        self.wake();
        put
    }

    /// Takes a message; `None` if the queue is closed and drained.
    fn get(&self) -> Option<u64> {
        let head = waits::wait(&self.model.0, on(), None, || match handover::claim(self) {
            Ok(Head::Mine(ring, position)) => Some(Some((ring, position))),
            Ok(Head::Nothing) => None,
            Ok(Head::Closed) => Some(None),
        });
        let (ring, position) = head.flatten()?;
        let message = ring.take(position);
        self.wake();
        Some(message)
    }
}

impl<'a> Line for Handle<'a> {
    type Link = Ring<'a>;
    type Error = Infallible;

    fn is_closed(&self) -> bool {
        self.model.word(CLOSED).load(Ordering::SeqCst) != 0
    }

    fn made(&self) -> u64 {
        self.model.word(MADE).load(Ordering::SeqCst)
    }

    fn putting(&self) -> Result<Ring<'a>, Infallible> {
        let number = self.put.get().unwrap_or_else(|| self.made() - 1);
        self.put.set(Some(number));
        Ok(self.ring(number))
    }

    fn taking(&self) -> Result<Ring<'a>, Infallible> {
        let number = self.get.get().unwrap_or_else(|| self.model.word(OLDEST).load(Ordering::SeqCst));
        self.get.set(Some(number));
        Ok(self.ring(number))
    }

    fn grow(&self, full: &Ring<'a>) -> Result<(), Infallible> {
        let number = full.number + 1;
        if self.made() <= number {
            let lock = lock::acquire(&self.model.0, Lock::Nested, key(self.client));
            let add = || {
                self.model.word(CHILDREN + 8 * number as usize).store(1, Ordering::SeqCst);
                true
            };
            let end = || _ = full.word(RING_CLOSED).swap(1, Ordering::SeqCst);
            handover::bring_in(self.model.word(MADE), number, add, end);
            drop(lock);
            self.wake();
        }
        self.put.set(Some(self.made() - 1));
        Ok(())
    }

    fn leave(&self, drained: &Ring<'a>) -> Result<(), Infallible> {
        self.get.set(Some(handover::retire(self.model.word(OLDEST), drained.number)));
        Ok(())
    }

    fn nonsense(&self, _: &Ring<'a>) -> Infallible {
        panic!("nobody has damaged a word")
    }

    fn wake(&self) {
        waits::wake(&self.model.0, on());
    }
}

impl Model {
    fn new(clients: u16) -> Arc<Model> {
        payload::watch(2 * RINGS);
        let model = Model(segment(clients));
        model.word(CHILDREN).store(1, Ordering::SeqCst);
        model.word(MADE).store(1, Ordering::SeqCst);
        Arc::new(model)
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        self.0.ctl.u64(at)
    }

    fn handle(&self, client: u16) -> Handle<'_> {
        Handle { model: self, client, put: Cell::default(), get: Cell::default() }
    }

    fn close(&self) {
        self.word(CLOSED).swap(1, Ordering::SeqCst);
        waits::wake(&self.0, on());
    }

    /// A client's process is gone, and that was noticed by another.
    fn reap(&self, client: u16, reaper: u16) {
        drop(lock::take_over(&self.0, Lock::Nested, key(client), key(reaper)));
        let at = self.0.layout.client(client.into());
        self.0.ctl.u64(at + C_WORD).store(client::word(1, client::FREE), Ordering::SeqCst);
        waits::wake_everybody(&self.0);
    }
}

#[test]
fn messages_come_in_order_across_rings() {
    explore_within(2, || {
        let model = Model::new(2);
        let producer = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let queue = model.handle(0);
                (1..=3).for_each(|n| assert!(queue.put(n)));
            })
        };
        let queue = model.handle(1);
        for n in 1..=3 {
            assert_eq!(queue.get(), Some(n));
        }
        producer.join().unwrap();
    });
}

#[test]
fn of_two_who_meet_a_full_ring_nothing_is_lost() {
    explore_within(2, || {
        let model = Model::new(3);
        assert!(model.handle(0).put(1));
        let producers = [2, 3].map(|n| {
            let model = Arc::clone(&model);
            thread::spawn(move || assert!(model.handle(n - 2).put(n as u8)))
        });
        let queue = model.handle(2);
        let taken = [(); 3].map(|()| queue.get().unwrap());
        assert!([[1, 2, 3], [1, 3, 2]].contains(&taken), "{taken:?}");
        for producer in producers {
            producer.join().unwrap();
        }
    });
}

/// One puts into a ring while another makes the next one: the first is there, or goes on to the next.
#[test]
fn who_was_late_for_a_ring_goes_on_to_the_next() {
    explore_within(2, || {
        let model = Model::new(3);
        let late = {
            let model = Arc::clone(&model);
            thread::spawn(move || assert!(model.handle(0).put(1)))
        };
        let other = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let queue = model.handle(1);
                assert!(queue.put(2) && queue.put(3));
            })
        };
        let queue = model.handle(2);
        let taken = [(); 3].map(|()| queue.get().unwrap());
        assert!([[1, 2, 3], [2, 1, 3], [2, 3, 1]].contains(&taken), "{taken:?}");
        late.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn of_two_consumers_at_the_end_of_a_ring_each_has_its_own() {
    explore_within(2, || {
        let model = Model::new(3);
        let queue = model.handle(0);
        assert!(queue.put(1) && queue.put(2));
        let other = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.handle(2).get().unwrap())
        };
        let mine = model.handle(1).get().unwrap();
        assert_eq!(mine + other.join().unwrap(), 3);
        assert!(queue.put(3));
        assert_eq!(queue.get(), Some(3));
    });
}

#[test]
fn what_was_put_before_a_close_is_taken_whatever_ring_it_is_in() {
    explore_within(2, || {
        let model = Model::new(3);
        let producer = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let queue = model.handle(0);
                (1..=2).take_while(|&n| queue.put(n)).count()
            })
        };
        let closer = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.close())
        };
        let queue = model.handle(1);
        let taken: Vec<u64> = std::iter::from_fn(|| queue.get()).collect();
        closer.join().unwrap();
        let put = producer.join().unwrap() as u64;
        assert_eq!(taken, (1..=put).collect::<Vec<_>>());
    });
}

/// Whatever of the two came, it came in order, and the living one's message comes behind its own.
#[test]
fn a_producer_killed_anywhere_while_the_queue_grows_stops_nobody() {
    crashes_within(1, |stores| {
        timeouts(false);
        let model = Model::new(3);
        let victim = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let lived = mortal(stores, || {
                    let queue = model.handle(0);
                    (1..=2).for_each(|n| assert!(queue.put(n)));
                });
                if !lived {
                    model.reap(0, 2);
                }
                lived
            })
        };
        let consumer = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let queue = model.handle(1);
                let mut taken = Vec::new();
                while taken.last() != Some(&9) {
                    taken.push(queue.get().unwrap());
                }
                taken
            })
        };
        let lived = victim.join().unwrap();
        let queue = model.handle(2);
        assert!(queue.put(8) && queue.put(9));
        let taken = consumer.join().unwrap();
        assert!([&[8, 9][..], &[1, 8, 9], &[1, 2, 8, 9]].contains(&&taken[..]), "{taken:?}");
        assert!(!lived || taken.len() == 4);
        lived
    });
}

/// What it was taking is gone with it, at most that; the others find their way to the next ring.
#[test]
fn a_consumer_killed_anywhere_at_the_end_of_a_ring_stops_nobody() {
    crashes_within(1, |stores| {
        timeouts(false);
        let model = Model::new(3);
        let queue = model.handle(0);
        (1..=2).for_each(|n| assert!(queue.put(n)));
        let victim = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let lived = mortal(stores, || {
                    let queue = model.handle(1);
                    assert_eq!(queue.get(), Some(1));
                    assert_eq!(queue.get(), Some(2));
                });
                if !lived {
                    model.reap(1, 0);
                }
                lived
            })
        };
        let lived = victim.join().unwrap();
        let producer = {
            let model = Arc::clone(&model);
            thread::spawn(move || assert!(model.handle(0).put(3)))
        };
        let queue = model.handle(2);
        let mut taken = Vec::new();
        while taken.last() != Some(&3) {
            taken.push(queue.get().unwrap());
        }
        producer.join().unwrap();
        assert!([&[1, 2, 3][..], &[2, 3], &[3]].contains(&&taken[..]), "{taken:?}");
        lived
    });
}
