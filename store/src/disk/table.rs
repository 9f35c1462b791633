//! The table of spill files in `ctl`: which exist, how far they are written, how much of them lives.
//!
//! ```text
//!   header (64 bytes)
//!     0  number of the file that is appended to, 0 for none      8  number of the next file
//!    16  number of the last fallback file                        24  a recount is due (0 or 1)
//!
//!   entry (24 bytes), FILES of them; file n has entry n modulo FILES
//!     0  tally {epoch:16 | phase:2 | units:23 | records:23}      8  number     16  cursor in units
//!
//!   FREE --open, with the first record--> OPEN --full--> CLOSED --no record left--> removed --> FREE
//!                                           `--no record left----^
//! ```
//!
//! Files are opened, written and closed only under the lock that moves objects; records are given
//! back by anybody at any time. A record is counted *before* it is written and given back *after* it
//! was taken out of its slot, so that a process that dies in between leaves a tally too high, never
//! too low. Who finds out about the death counts anew:
//!
//! ```text
//!   recount: epoch odd -> look at every slot -> epoch even with the sums, all by compare-and-swap
//!   give back: epoch e -> take the record out of its slot -> subtract if the epoch is e and even,
//!              else leave the tally too high and say that a recount is due
//! ```
//!
//! Whoever subtracts in epoch e took the record out after the sums of e were made, which therefore
//! contain it, and before the next count began, which therefore does not.
//!
//! Invariants:
//! - ST-D1: the records that slots name in a file are never more than its tally says, outside of a recount.
//! - ST-D2: a file is removed only when its tally is zero in phase CLOSED, which no record leaves.
//! - ST-D3: no two files of a store ever have the same number.

use super::record::{FILE_UNITS, Record, UNIT, is_file};
use crate::ctl::Ctl;
use crate::sync::{AtomicU64, Ordering};

/// How many spill files there can be at once; two in a model (proof/disk.rs).
pub(crate) const FILES: usize = if cfg!(loom) { 2 } else { 4096 };
const HEADER_BYTES: usize = 64;
const T_CURRENT: usize = 0;
const T_NEXT: usize = 8;
const T_FALLBACK: usize = 16;
const T_DUE: usize = 24;
const ENTRY_BYTES: usize = 24;
const E_TALLY: usize = 0;
const E_NUMBER: usize = 8;
const E_CURSOR: usize = 16;
/// What the table takes in `ctl`.
pub(crate) const SECTION_BYTES: usize = HEADER_BYTES + FILES * ENTRY_BYTES;
/// How often a recount is repeated because records were given back during it.
const RECOUNTS: usize = 4;

/// What two processes must agree on about this section.
pub(crate) const LAYOUT: &[usize] = &[
    FILES,
    HEADER_BYTES,
    T_CURRENT,
    T_NEXT,
    T_FALLBACK,
    T_DUE,
    ENTRY_BYTES,
    E_TALLY,
    E_NUMBER,
    E_CURSOR,
    COUNT_BITS as usize,
    FILE_UNITS as usize,
];

const FREE: u64 = 0;
const OPEN: u64 = 1;
const CLOSED: u64 = 2;
const COUNT_BITS: u32 = 23;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// The word that says how much of a file lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tally(u64);

impl Tally {
    fn new(epoch: u64, phase: u64, units: u64, records: u64) -> Tally {
        Tally((epoch & 0xffff) << 48 | phase << 46 | units.min(COUNT) << COUNT_BITS | records.min(COUNT))
    }

    fn epoch(self) -> u64 {
        self.0 >> 48
    }

    fn is_counting(self) -> bool {
        self.epoch() & 1 == 1
    }

    fn phase(self) -> u64 {
        self.0 >> 46 & 3
    }

    fn units(self) -> u64 {
        self.0 >> COUNT_BITS & COUNT
    }

    fn records(self) -> u64 {
        self.0 & COUNT
    }

    /// The same file in another phase.
    fn to(self, phase: u64) -> Tally {
        Tally::new(self.epoch(), phase, self.units(), self.records())
    }

    /// The same file with this much alive; closed if that is nothing.
    fn alive(self, epoch: u64, units: u64, records: u64) -> Tally {
        if records == 0 { Tally::new(epoch, CLOSED, 0, 0) } else { Tally::new(epoch, self.phase(), units, records) }
    }
}

/// What a record adds to the units of its file.
///
/// A record that has a file of its own adds none: the cursor says how much it is.
fn weight(units: u64) -> u64 {
    if units > FILE_UNITS { 0 } else { units }
}

/// Room for one record, counted and not written yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) record: Record,
    pub(super) units: u64,
    /// Whether the file has to be made.
    pub(super) fresh: bool,
}

/// What all spill files hold.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Spilled {
    pub(crate) bytes: u64,
    pub(crate) objects: u64,
}

/// The table at its place in `ctl`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table<'a> {
    ctl: &'a Ctl,
    at: usize,
}

impl<'a> Table<'a> {
    /// Returns the table that starts at byte `at`; zeroed memory is an empty one.
    pub(crate) fn new(ctl: &'a Ctl, at: usize) -> Table<'a> {
        Table { ctl, at }
    }

    /// Sums up what is on disk, headers and padding included.
    #[cfg(test)]
    pub(crate) fn spilled(self) -> Spilled {
        let mut sum = Spilled::default();
        for entry in self.entries() {
            let tally = entry.tally();
            if tally.phase() != FREE && tally.records() > 0 {
                // A file of one large record weighs nothing in the tally, but its cursor knows.
                let units = if tally.units() == 0 { entry.cursor().load(Ordering::Relaxed) } else { tally.units() };
                sum.bytes = sum.bytes.saturating_add(units.saturating_mul(UNIT));
                sum.objects += tally.records();
            }
        }
        sum
    }

    /// Says whether a record may have been given back in a way that only a recount can see.
    pub(crate) fn is_recount_due(self) -> bool {
        // SYNC due: pairs with the Release change in `make_due`.
        self.word(T_DUE).load(Ordering::Acquire) != 0
    }

    /// Says that a process may have died between taking a record out of its slot and giving it back.
    pub(crate) fn make_due(self) {
        // SYNC due: pairs with the Acquire swap in `recount`, which sees what all did who asked, not only the last of
        // them: each adds to the word, a plain store would hide the one before it.
        self.word(T_DUE).fetch_or(1, Ordering::Release);
    }

    /// Says whether the file of a record is counted as one with records.
    pub(crate) fn counts(self, record: Record) -> bool {
        let tally = self.entry(record.file()).tally();
        self.of(record.file()).is_some() && tally.phase() != FREE && tally.records() > 0
    }

    /// Draws the number of a new fallback file; no other ever has it.
    pub(crate) fn next_fallback(self) -> u64 {
        self.word(T_FALLBACK).fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Counts a record in the file that is appended to, or in a new one; under the lock that moves.
    ///
    /// `None` if no file can be added.
    pub(crate) fn reserve(self, units: u64) -> Option<Room> {
        let alone = units > FILE_UNITS;
        if !alone && let Some(room) = self.reserve_in_current(units) {
            return Some(room);
        }
        let next = self.word(T_NEXT).load(Ordering::Relaxed).max(1);
        if !is_file(next) {
            return None;
        }
        let number = (next..next + FILES as u64).find(|n| self.entry(*n).tally().phase() == FREE)?;
        if !is_file(number) {
            return None;
        }
        // The number is spent before anything has it (ST-D3).
        self.word(T_NEXT).store(number + 1, Ordering::Relaxed);
        let entry = self.entry(number);
        let free = entry.tally();
        entry.number().store(number, Ordering::Relaxed);
        entry.cursor().store(0, Ordering::Relaxed);
        let phase = if alone { CLOSED } else { OPEN };
        // SYNC tally: publishes number and cursor.
        entry.set(free, Tally::new(free.epoch(), phase, weight(units), 1)).ok()?;
        if !alone {
            self.word(T_CURRENT).store(number, Ordering::Relaxed);
        }
        Some(Room { record: Record::new(number, 0), units, fresh: true })
    }

    fn reserve_in_current(self, units: u64) -> Option<Room> {
        let number = self.word(T_CURRENT).load(Ordering::Relaxed);
        let entry = self.of(number)?;
        let cursor = entry.cursor().load(Ordering::Relaxed);
        if cursor.checked_add(units).is_none_or(|end| end > FILE_UNITS) {
            self.close_current();
            return None;
        }
        let counted = entry.update(|t| {
            let is_open = t.phase() == OPEN && !t.is_counting();
            is_open.then(|| Tally::new(t.epoch(), OPEN, t.units() + weight(units), t.records() + 1))
        });
        counted.map(|_| Room { record: Record::new(number, cursor), units, fresh: false })
    }

    /// Moves the cursor behind a record that was written; under the lock that moves.
    pub(crate) fn written(self, room: Room) {
        let end = room.record.offset() / UNIT + room.units;
        self.entry(room.record.file()).cursor().store(end, Ordering::Relaxed);
    }

    /// Appends nothing more to the current file; under the lock that moves.
    pub(super) fn close_current(self) {
        if let Some(entry) = self.of(self.word(T_CURRENT).swap(0, Ordering::Relaxed)) {
            entry.update(|t| (t.phase() == OPEN).then(|| t.to(CLOSED)));
        }
    }

    /// Gives a record back after `take` has taken it out of its slot; true if its file has to be removed.
    ///
    /// Nothing happens if `take` says that it was not there any more.
    pub(crate) fn give_back(self, record: Record, units: u64, take: impl FnOnce() -> bool) -> bool {
        // SYNC tally: pairs with the end of a recount, whose looks at the slots come before `take`.
        let seen = self.entry(record.file()).tally();
        let entry = self.of(record.file());
        if !take() {
            return false;
        }
        let Some(entry) = entry else { return false };
        // SYNC tally: pairs with the start of a recount, whose looks at the slots come after `take`.
        let left = entry.update(|t| {
            let known = t.epoch() == seen.epoch() && !t.is_counting() && t.phase() != FREE;
            known.then(|| {
                let units = t.units().saturating_sub(weight(units));
                t.alive(t.epoch(), units, t.records().saturating_sub(1))
            })
        });
        if left.is_none() {
            // What was taken is seen as taken by the recount that sees this.
            self.make_due();
        }
        left.is_some_and(|tally| tally.records() == 0)
    }

    /// Frees the entry of a file that was removed.
    pub(crate) fn removed(self, number: u64) {
        if let Some(entry) = self.of(number) {
            entry.update(|t| {
                let empty = t.phase() == CLOSED && t.records() == 0;
                // The next even epoch: whoever saw the old file cannot take the new one for it.
                empty.then(|| Tally::new((t.epoch() | 1) + 1, FREE, 0, 0))
            });
        }
    }

    /// Counts anew what lives and returns the files to remove; under the lock that moves.
    ///
    /// `live` looks at all slots and returns each record with its units.
    pub(crate) fn recount<I>(self, mut live: impl FnMut() -> I) -> Vec<u64>
    where
        I: IntoIterator<Item = (Record, u64)>,
    {
        for _ in 0..RECOUNTS {
            // SYNC due: pairs with the Release change in `make_due`.
            self.word(T_DUE).swap(0, Ordering::AcqRel);
            for entry in self.entries() {
                // SYNC tally: what was given back until here is taken out of its slot.
                entry.update(|t| (t.phase() != FREE).then_some(Tally(t.0 | 1 << 48)));
            }
            let mut sums = vec![(0u64, 0u64); FILES];
            for (record, units) in live() {
                if self.of(record.file()).is_some() {
                    let (records, sum) = &mut sums[record.file() as usize % FILES];
                    *records += 1;
                    *sum += weight(units);
                }
            }
            for (entry, (records, units)) in self.entries().zip(sums) {
                // SYNC tally: whoever sees the sums takes records out after they were made.
                entry.update(|t| (t.phase() != FREE).then(|| t.alive((t.epoch() | 1) + 1, units, records)));
            }
            if !self.is_recount_due() {
                break;
            }
        }
        let is_dead = |e: &Entry<'_>| e.tally().phase() == CLOSED && e.tally().records() == 0;
        self.entries().filter(is_dead).map(|e| e.number().load(Ordering::Relaxed)).collect()
    }

    fn word(self, field: usize) -> &'a AtomicU64 {
        self.ctl.u64(self.at + field)
    }

    fn entries(self) -> impl Iterator<Item = Entry<'a>> {
        (0..FILES).map(move |index| Entry { ctl: self.ctl, at: self.at + HEADER_BYTES + index * ENTRY_BYTES })
    }

    /// Returns the entry that a file of that number would have.
    fn entry(self, number: u64) -> Entry<'a> {
        Entry { ctl: self.ctl, at: self.at + HEADER_BYTES + (number as usize % FILES) * ENTRY_BYTES }
    }

    /// Returns the entry of a file that exists.
    fn of(self, number: u64) -> Option<Entry<'a>> {
        let entry = self.entry(number);
        (is_file(number) && entry.number().load(Ordering::Relaxed) == number).then_some(entry)
    }
}

/// The words of one file.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    ctl: &'a Ctl,
    at: usize,
}

impl<'a> Entry<'a> {
    fn word(self, field: usize) -> &'a AtomicU64 {
        self.ctl.u64(self.at + field)
    }

    fn number(self) -> &'a AtomicU64 {
        self.word(E_NUMBER)
    }

    fn cursor(self) -> &'a AtomicU64 {
        self.word(E_CURSOR)
    }

    fn tally(self) -> Tally {
        Tally(self.word(E_TALLY).load(Ordering::Acquire))
    }

    fn set(self, from: Tally, to: Tally) -> Result<u64, u64> {
        self.word(E_TALLY).compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire)
    }

    /// Changes the tally until `change` says no; returns the new one.
    fn update(self, change: impl Fn(Tally) -> Option<Tally>) -> Option<Tally> {
        let mut now = self.tally();
        loop {
            let next = change(now)?;
            match self.set(now, next) {
                Ok(_) => return Some(next),
                Err(other) => now = Tally(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn heap() -> Ctl {
        Ctl::heap(SECTION_BYTES)
    }

    #[test]
    fn files_are_filled_in_turn_and_large_records_stand_alone() {
        let ctl = heap();
        let table = Table::new(&ctl, 0);
        let add = |units| {
            let room = table.reserve(units).unwrap();
            table.written(room);
            (room.record.file(), room.record.offset() / UNIT, room.fresh)
        };
        assert_eq!(add(FILE_UNITS - 10), (1, 0, true));
        assert_eq!(add(10), (1, FILE_UNITS - 10, false));
        assert_eq!(add(1), (2, 0, true));
        assert_eq!(add(FILE_UNITS + 1), (3, 0, true));
        assert_eq!(add(2), (2, 1, false));
        assert_eq!(add(FILE_UNITS), (4, 0, true));
        assert_eq!(table.spilled(), Spilled { bytes: (3 * FILE_UNITS + 4) * UNIT, objects: 6 });
        assert!(table.give_back(Record::new(3, 0), FILE_UNITS + 1, || true));
        assert!(!table.give_back(Record::new(2, 1), 2, || true));
        assert!(table.give_back(Record::new(2, 0), 1, || true));
        assert_eq!(table.spilled(), Spilled { bytes: 2 * FILE_UNITS * UNIT, objects: 3 });
    }

    #[test]
    fn a_full_table_takes_no_more_until_a_file_goes() {
        let ctl = heap();
        let table = Table::new(&ctl, 0);
        for n in 1..=FILES as u64 {
            assert_eq!(table.reserve(FILE_UNITS).unwrap().record, Record::new(n, 0));
            table.close_current();
        }
        assert_eq!(table.reserve(1), None);
        assert!(table.give_back(Record::new(7, 0), FILE_UNITS, || true));
        // It is free only when the file is removed.
        assert_eq!(table.reserve(1), None);
        table.removed(7);
        assert_eq!(table.reserve(1).unwrap().record.file(), 7 + FILES as u64);
        // A late remover of the old file does nothing to the new one.
        table.removed(7);
        assert!(!table.give_back(Record::new(7, 0), FILE_UNITS, || true));
        assert!(table.counts(Record::new(7 + FILES as u64, 0)));
    }

    /// A recount at every point of a release, and a release at every point of a recount.
    #[test]
    fn recounts_and_releases_meet_without_harm() {
        #[derive(Debug, Clone, Copy, PartialEq)]
        enum At {
            RecountBeforeTake,
            RecountAfterTake,
            ReleaseBeforeLook,
            ReleaseAfterLook,
            RecountDiesBeforeTake,
            RecountDiesAfterTake,
        }
        for at in [
            At::RecountBeforeTake,
            At::RecountAfterTake,
            At::ReleaseBeforeLook,
            At::ReleaseAfterLook,
            At::RecountDiesBeforeTake,
            At::RecountDiesAfterTake,
        ] {
            let ctl = heap();
            let table = Table::new(&ctl, 0);
            let slots = [0, 1].map(|_| {
                let room = table.reserve(5).unwrap();
                table.written(room);
                Cell::new(Some(room.record))
            });
            let look = || slots.iter().filter_map(|s| s.get().map(|r| (r, 5))).collect::<Vec<_>>();
            let first = slots[0].get().unwrap();
            let released = Cell::new(false);
            let release = || {
                if !released.replace(true) {
                    assert!(!table.give_back(first, 5, || slots[0].take().is_some()));
                }
            };
            let die = || {
                let death = std::panic::AssertUnwindSafe(|| table.recount(|| -> Vec<(Record, u64)> { panic!("dies") }));
                std::panic::catch_unwind(death).unwrap_err();
            };
            let take = |before: bool, act: &dyn Fn()| {
                table.give_back(first, 5, || {
                    if before {
                        act();
                    }
                    let took = slots[0].take().is_some();
                    if !before {
                        act();
                    }
                    took
                })
            };
            let recount = || drop(table.recount(look));
            match at {
                At::RecountBeforeTake => assert!(!take(true, &recount)),
                At::RecountAfterTake => assert!(!take(false, &recount)),
                At::RecountDiesBeforeTake => assert!(!take(true, &die)),
                At::RecountDiesAfterTake => assert!(!take(false, &die)),
                At::ReleaseBeforeLook | At::ReleaseAfterLook => {
                    let dead = table.recount(|| {
                        if at == At::ReleaseBeforeLook {
                            release();
                        }
                        let seen = look();
                        release();
                        seen
                    });
                    assert_eq!(dead, [0; 0]);
                }
            }
            // Never too low: the other record keeps the file.
            assert!(table.spilled().objects >= 1, "{at:?}");
            if table.is_recount_due() {
                assert_eq!(table.recount(look), [0; 0], "{at:?}");
            }
            assert_eq!(table.spilled(), Spilled { bytes: 5 * UNIT, objects: 1 }, "{at:?}");
            let second = slots[1].get().unwrap();
            assert!(table.give_back(second, 5, || slots[1].take().is_some()), "{at:?}");
        }
    }
}
