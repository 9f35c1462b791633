//! Records given back against a recount: a tally is never too low, and right in the end.

use std::sync::Mutex;

use loom::sync::Arc;
use loom::thread;

use super::explore;
use crate::ctl::Ctl;
use crate::disk::{Record, SECTION_BYTES, Table};
use crate::sync::{AtomicU64, Ordering};

const UNITS: u64 = 5;

struct Store {
    ctl: Ctl,
    /// The place words of the objects.
    slots: Vec<AtomicU64>,
    /// Who was told to remove which file.
    removed: Mutex<Vec<u64>>,
}

impl Store {
    /// A store with `records` records in one file.
    fn with(records: usize) -> Store {
        let store = Store { ctl: Ctl::heap(SECTION_BYTES), slots: Vec::new(), removed: Mutex::default() };
        let words = (0..records).map(|_| store.write()).collect::<Vec<_>>();
        Store { slots: words.into_iter().map(AtomicU64::new).collect(), ..store }
    }

    fn table(&self) -> Table<'_> {
        Table::new(&self.ctl, 0)
    }

    fn write(&self) -> u64 {
        let room = self.table().reserve(UNITS).unwrap();
        self.table().written(room);
        room.record.to_word()
    }

    /// Gives the record of a slot back, unless somebody else does.
    fn release(&self, slot: usize) {
        let word = self.slots[slot].load(Ordering::SeqCst);
        let Some(record) = Record::from_word(word) else { return };
        let take = || self.slots[slot].compare_exchange(word, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        if self.table().give_back(record, UNITS, take) {
            self.remove(record.file());
        }
    }

    fn remove(&self, file: u64) {
        let named = self.slots.iter().filter_map(|s| Record::from_word(s.load(Ordering::SeqCst)));
        assert!(named.into_iter().all(|record| record.file() != file), "file {file} is removed with a record in it");
        self.removed.lock().unwrap().push(file);
        self.table().removed(file);
    }

    /// As the owner of the lock that moves.
    fn recount(&self) {
        let live = || {
            let words = self.slots.iter().map(|slot| slot.load(Ordering::Acquire)).collect::<Vec<_>>();
            words.into_iter().filter_map(|word| Some((Record::from_word(word)?, UNITS)))
        };
        for file in self.table().recount(live) {
            self.remove(file);
        }
    }

    /// What must be so when all is quiet.
    fn check(&self, live: u64) {
        assert!(self.table().spilled().objects >= live, "the tally is too low");
        if self.table().is_recount_due() {
            self.recount();
        }
        assert_eq!(self.table().spilled().objects, live);
        assert!(!self.table().is_recount_due());
        assert_eq!(self.removed.lock().unwrap().is_empty(), live > 0);
    }
}

#[test]
fn a_release_during_a_recount_is_counted_once() {
    explore(|| {
        let store = Arc::new(Store::with(2));
        let releaser = {
            let store = Arc::clone(&store);
            thread::spawn(move || store.release(0))
        };
        store.recount();
        releaser.join().unwrap();
        store.check(1);
    });
}

#[test]
fn the_last_releases_take_the_file_along_during_a_recount() {
    explore(|| {
        let store = Arc::new(Store::with(2));
        let releasers = [0, 1].map(|slot| {
            let store = Arc::clone(&store);
            thread::spawn(move || store.release(slot))
        });
        store.recount();
        for releaser in releasers {
            releaser.join().unwrap();
        }
        store.check(0);
    });
}

#[test]
fn one_record_is_given_back_once() {
    explore(|| {
        let store = Arc::new(Store::with(2));
        let releaser = {
            let store = Arc::clone(&store);
            thread::spawn(move || store.release(0))
        };
        store.release(0);
        releaser.join().unwrap();
        store.check(1);
    });
}

/// The file that is appended to loses its last record while another is about to be added.
#[test]
fn a_file_is_not_removed_under_a_writer() {
    explore(|| {
        let store = Arc::new(Store::with(1));
        let releaser = {
            let store = Arc::clone(&store);
            thread::spawn(move || store.release(0))
        };
        let record = Record::from_word(store.write()).unwrap();
        releaser.join().unwrap();
        assert!(store.table().counts(record));
        assert_eq!(store.table().spilled().objects, 1);
        assert!(!store.removed.lock().unwrap().contains(&record.file()));
    });
}
