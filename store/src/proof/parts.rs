//! Parts of arrays: each is filled once, by one client at a time, and who seals reads what all have written.
//!
//! Faults that were put into the protocol, and the models that failed then: a part of the dead that is not free (killed);
//! `leave` without Release, a claim that is stored and not exchanged (all); a state that is read without Acquire (seal,
//! killed). What is not seen: a claim whose first look has no Acquire, for the exchange has it.

use loom::sync::Arc;
use loom::thread;

use super::{crashes, explore_within, key, segment};
use crate::client::{self, ClientKey};
use crate::id::ObjectId;
use crate::layout::{C_WORD, PAGE};
use crate::parts::records::{Memory, Records};
use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering, mortal, payload, timeouts};
use crate::waits::{self, On};

/// Where the control board's words stand in the modelled segment, where its records do, and the parts' values.
const BASE: usize = 1 << 20;
const FIRST: usize = 256;
const VALUES: usize = BASE + 1024;

/// An array of some parts of one element each in a modelled segment.
struct Model {
    shared: Shared,
    parts: usize,
}

impl Memory for Model {
    fn word(&self, at: usize) -> &AtomicU64 {
        self.shared.ctl.u64(BASE + at)
    }

    fn is_attached(&self, client: ClientKey) -> bool {
        client::is_attached(&self.shared, client)
    }
}

fn on() -> On {
    On::Object(ObjectId::from_bytes([1; 16]))
}

impl Model {
    fn new(parts: usize) -> Arc<Model> {
        payload::watch(parts);
        Arc::new(Model { shared: segment(3), parts })
    }

    fn records(&self, client: u16) -> Records<'_, Model> {
        Records { memory: self, first: FIRST, count: self.parts, me: key(client) }
    }

    /// A part's element; loom looks for races on it in a page of its own.
    fn element(&self, part: usize) -> &AtomicU64 {
        self.shared.ctl.u64(VALUES + 64 * part)
    }

    /// Writes a claimed part and leaves it. As [`crate::ArrayPart`] does it.
    fn fill(&self, client: u16, part: usize, filled: bool) -> bool {
        payload::written(part * PAGE, 8);
        self.element(part).store(part as u64 + 1, Ordering::Relaxed);
        let left = self.records(client).leave(part, filled);
        if left {
            waits::wake(&self.shared, on());
        }
        left
    }

    /// Fills what is free until all is filled, waiting for those that others fill; returns how many it filled.
    fn work(&self, client: u16) -> usize {
        let records = self.records(client);
        let claim = || match records.claim_any() {
            Some(part) => Some(Some(part)),
            None => records.is_done().then_some(None),
        };
        let mut filled = 0;
        while let Some(part) = waits::wait(&self.shared, on(), None, claim).flatten() {
            assert!(self.fill(client, part, true));
            filled += 1;
        }
        filled
    }

    /// Reads all, as who seals does when all is filled.
    fn look(&self) {
        for part in 0..self.parts {
            payload::read(part * PAGE, 8);
            assert_eq!(self.element(part).load(Ordering::Relaxed), part as u64 + 1, "not what was written");
        }
    }

    /// A client's process is gone, and that was noticed.
    fn reap(&self, client: u16) {
        let at = self.shared.layout.client(client.into());
        self.shared.ctl.u64(at + C_WORD).store(client::word(1, client::FREE), Ordering::SeqCst);
        waits::wake_everybody(&self.shared);
    }
}

#[test]
fn each_part_is_filled_once_and_who_seals_sees_all() {
    explore_within(2, || {
        let model = Model::new(2);
        let other = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.work(0))
        };
        let mine = model.work(1);
        model.look();
        assert_eq!(mine + other.join().unwrap(), 2);
    });
}

#[test]
fn a_part_that_is_given_back_is_another_s() {
    explore_within(3, || {
        let model = Model::new(1);
        let other = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                if model.records(0).claim(0).is_ok() {
                    assert!(model.fill(0, 0, false));
                }
            })
        };
        assert_eq!(model.work(1), 1);
        model.look();
        other.join().unwrap();
    });
}

#[test]
fn whoever_is_killed_all_is_filled() {
    crashes(|stores| {
        timeouts(false);
        let model = Model::new(2);
        let victim = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let mut filled = 0;
                let lived = mortal(stores, || filled = model.work(0));
                if !lived {
                    model.reap(0);
                }
                (lived, filled)
            })
        };
        let mine = model.work(1);
        model.look();
        let (lived, theirs) = victim.join().unwrap();
        assert!(!lived || mine + theirs == 2);
        lived
    });
}

#[test]
fn of_two_heirs_one_gets_the_part_of_the_dead() {
    explore_within(2, || {
        let model = Model::new(1);
        model.records(0).claim(0).unwrap();
        model.reap(0);
        let other = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.work(1))
        };
        let mine = model.work(2);
        model.look();
        assert_eq!(mine + other.join().unwrap(), 1);
    });
}
