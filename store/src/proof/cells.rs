//! Cells of queues: a message is taken once, whole and in order, whoever dies, and a close loses none.
//!
//! Faults that were put into the protocol, and the models that failed then: `claim_full` that does not give on what a
//! dead producer has (killed producer); the second look of `claim_room` left out (close). What is not seen:
//! `publish` without Release, since the fence of the wake follows at once and loom does not switch in between.

use loom::sync::Arc;
use loom::thread;

use super::{crashes, explore_within, segment};
use crate::client::{self, ClientKey};
use crate::id::ObjectId;
use crate::layout::{C_WORD, PAGE};
use crate::message_queue::cells::{Cells, Memory, NoRoom, Seen, name};
use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering, mortal, payload, timeouts};
use crate::waits::{self, On};

/// Where the cells' words stand in the modelled segment, and from a cell to its message.
const BASE: usize = 1 << 20;
const STRIDE: usize = 64;
const MESSAGE: usize = 8;
const CLOSED: usize = BASE + 128;

/// A queue in a modelled segment.
struct Model(Shared);

impl Memory for Model {
    fn word(&self, at: usize) -> &AtomicU64 {
        self.0.ctl.u64(at % BASE + BASE)
    }

    fn is_orphan(&self, owner: u32) -> bool {
        is_orphan(&self.0, owner)
    }
}

/// As a board says it.
pub(super) fn is_orphan(shared: &Shared, owner: u32) -> bool {
    let at = client::at(shared, (owner & 0xff) as usize, client::ALIVE);
    at.is_none_or(|key| name(key) != owner)
}

/// Where loom looks for races on a position's message: each has a page of its own.
fn page(cells: &Cells<'_, Model>, position: u64) -> usize {
    (position % cells.cells) as usize * PAGE
}

fn on() -> On {
    On::Object(ObjectId::from_bytes([1; 16]))
}

impl Model {
    fn new() -> Arc<Model> {
        payload::watch(2);
        Arc::new(Model(segment(3)))
    }

    fn cells(&self, cells: u64, client: u16) -> Cells<'_, Model> {
        Cells { memory: self, cells, stride: STRIDE, me: name(ClientKey { index: client, generation: 0 }) }
    }

    fn is_closed(&self) -> bool {
        self.0.ctl.u64(CLOSED).load(Ordering::SeqCst) != 0
    }

    fn close(&self) {
        self.0.ctl.u64(CLOSED).swap(1, Ordering::SeqCst);
        waits::wake(&self.0, on());
    }

    /// Puts a message; false if the queue is closed. As [`crate::MessageQueue`] does it.
    fn put(&self, cells: Cells<'_, Model>, message: u64) -> bool {
        let position = waits::wait(&self.0, on(), None, || match cells.claim_room(|| self.is_closed()) {
            Ok(position) => Some(Some(position)),
            Err(NoRoom::Full) => None,
            Err(NoRoom::Over) => Some(None),
            Err(NoRoom::Nonsense) => panic!("nobody has damaged a word"),
        });
        let position = position.flatten();
        if let Some(position) = position {
            payload::written(page(&cells, position), 8);
            self.word(cells.at(position) + MESSAGE).store(message, Ordering::Relaxed);
            cells.publish(position);
        }
        waits::wake(&self.0, on());
        position.is_some()
    }

    /// Takes a message; `None` if the queue is closed and drained.
    fn get(&self, cells: Cells<'_, Model>) -> Option<u64> {
        let position = waits::wait(&self.0, on(), None, || match cells.claim_message(self.is_closed()) {
            Seen::Message(position) => Some(Some(position)),
            Seen::End => Some(None),
            Seen::Nothing => None,
            Seen::Nonsense => panic!("nobody has damaged a word"),
        });
        let position = position.flatten()?;
        payload::read(page(&cells, position), 8);
        let message = self.word(cells.at(position) + MESSAGE).load(Ordering::Relaxed);
        cells.give_up(position);
        waits::wake(&self.0, on());
        Some(message)
    }

    /// A client's process is gone, and that was noticed.
    fn reap(&self, client: u16) {
        let at = self.0.layout.client(client.into());
        self.0.ctl.u64(at + C_WORD).store(client::word(1, client::FREE), Ordering::SeqCst);
        waits::wake_everybody(&self.0);
    }
}

#[test]
fn messages_come_whole_and_in_order() {
    explore_within(2, || {
        let model = Model::new();
        let producer = {
            let model = Arc::clone(&model);
            thread::spawn(move || (1..=3).for_each(|n| assert!(model.put(model.cells(2, 0), n))))
        };
        for n in 1..=3 {
            assert_eq!(model.get(model.cells(2, 1)), Some(n));
        }
        producer.join().unwrap();
    });
}

#[test]
fn of_two_consumers_each_has_its_own() {
    explore_within(2, || {
        let model = Model::new();
        assert!(model.put(model.cells(2, 0), 1) && model.put(model.cells(2, 0), 2));
        let other = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.get(model.cells(2, 2)).unwrap())
        };
        let mine = model.get(model.cells(2, 1)).unwrap();
        assert_eq!(mine + other.join().unwrap(), 3);
    });
}

#[test]
fn of_two_producers_nothing_is_lost() {
    explore_within(2, || {
        let model = Model::new();
        let producers = [1, 2].map(|n| {
            let model = Arc::clone(&model);
            thread::spawn(move || assert!(model.put(model.cells(1, n as u16 - 1), n)))
        });
        let taken = model.get(model.cells(1, 2)).unwrap() + model.get(model.cells(1, 2)).unwrap();
        assert_eq!(taken, 3);
        for producer in producers {
            producer.join().unwrap();
        }
    });
}

#[test]
fn what_was_put_before_a_close_is_taken_and_nothing_else() {
    explore_within(2, || {
        let model = Model::new();
        let producer = {
            let model = Arc::clone(&model);
            thread::spawn(move || u64::from(model.put(model.cells(2, 0), 7)))
        };
        let closer = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.close())
        };
        let mut taken = 0;
        while let Some(message) = model.get(model.cells(2, 1)) {
            assert_eq!(message, 7);
            taken += 1;
        }
        closer.join().unwrap();
        assert_eq!(producer.join().unwrap(), taken);
    });
}

#[test]
fn a_producer_killed_anywhere_stops_nobody() {
    crashes(|stores| {
        timeouts(false);
        let model = Model::new();
        let victim = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let lived = mortal(stores, || {
                    (1..=2).for_each(|n| assert!(model.put(model.cells(2, 0), n)));
                });
                if !lived {
                    model.reap(0);
                }
                lived
            })
        };
        // Whatever of the two came, it came in order, and the living one's message comes behind its own.
        let consumer = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let mut taken = Vec::new();
                while taken.last() != Some(&9) {
                    taken.push(model.get(model.cells(2, 1)).unwrap());
                }
                taken
            })
        };
        let lived = victim.join().unwrap();
        assert!(model.put(model.cells(2, 2), 9));
        let taken = consumer.join().unwrap();
        assert!([&[9][..], &[1, 9], &[1, 2, 9]].contains(&&taken[..]), "{taken:?}");
        assert!(!lived || taken.len() == 3);
        lived
    });
}

#[test]
fn a_consumer_killed_anywhere_takes_one_message_with_it_at_most() {
    crashes(|stores| {
        timeouts(false);
        let model = Model::new();
        (1..=2).for_each(|n| assert!(model.put(model.cells(2, 0), n)));
        let victim = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let mut taken = 0;
                let lived = mortal(stores, || {
                    let message = model.get(model.cells(2, 1));
                    assert_eq!(message, Some(1));
                    taken = 1;
                });
                if !lived {
                    model.reap(1);
                }
                lived
            })
        };
        let lived = victim.join().unwrap();
        // The cell of the dead one is there for another lap.
        let producer = {
            let model = Arc::clone(&model);
            thread::spawn(move || (3..=4).for_each(|n| assert!(model.put(model.cells(2, 0), n))))
        };
        let mut taken = Vec::new();
        while taken.last() != Some(&4) {
            taken.push(model.get(model.cells(2, 2)).unwrap());
        }
        producer.join().unwrap();
        assert!([&[1, 2, 3, 4][..], &[2, 3, 4]].contains(&&taken[..]), "{taken:?}");
        lived
    });
}
