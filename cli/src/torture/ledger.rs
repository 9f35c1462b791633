//! What the supervisor knows of one worker process from its journal.
//!
//! ```text
//!             Start create            Done ok                Start delete
//!   absent ---------------> unsure ------------> present --------------> unsure
//!      ^                      |                                            |
//!      +----------------------+--------------------------------------------+   Done
//! ```
//!
//! After the death of the process: what is *present* must be in the store, bit by bit; what is
//! *unsure* is whole or absent. Only objects of which one lane is the only author are booked.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use mobula_store::ObjectId;

use crate::torture::content::{Key, Kind};
use crate::torture::journal::{Op, Record, Tag};

/// How many records are kept as evidence.
const RECENT: usize = 400;

/// What is known of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Whether it must be there; otherwise it may.
    pub(crate) sure: bool,
    pub(crate) version: u64,
    pub(crate) len: u64,
}

/// What was counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) ops: BTreeMap<Op, u64>,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    pub(crate) slowest_wake_ns: u64,
}

/// The books of one process.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) objects: HashMap<ObjectId, Entry>,
    pub(crate) tally: Tally,
    pub(crate) violations: Vec<String>,
    pub(crate) ready: bool,
    /// When each lane was heard last, and whether it has left.
    pub(crate) lanes: BTreeMap<u8, (Instant, bool)>,
    recent: VecDeque<Record>,
}

impl Ledger {
    /// Books a record.
    pub(crate) fn book(&mut self, record: Record) {
        match record.tag {
            Tag::Ready => self.ready = true,
            Tag::Start => self.begin(&record),
            Tag::Done => self.finish(&record),
            Tag::Tally => {
                *self.tally.ops.entry(record.op).or_default() += record.len;
                self.tally.objects += record.version;
                self.tally.bytes += record.more;
            }
            Tag::Woken => self.tally.slowest_wake_ns = self.tally.slowest_wake_ns.max(record.len),
            Tag::Left => {}
            Tag::Violation => self.violations.push(record.text.clone()),
        }
        if record.tag != Tag::Ready {
            self.lanes.insert(record.lane, (Instant::now(), record.tag == Tag::Left));
        }
        if !matches!(record.tag, Tag::Tally | Tag::Woken) {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(record);
        }
    }

    fn begin(&mut self, record: &Record) {
        if !is_booked(record.id) {
            return;
        }
        match record.op {
            Op::Create => {
                let entry = Entry { sure: false, version: record.version, len: record.len };
                self.objects.insert(record.id, entry);
            }
            Op::Delete => {
                if let Some(entry) = self.objects.get_mut(&record.id) {
                    entry.sure = false;
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self, record: &Record) {
        match (record.op, record.ok) {
            (Op::Create, true) => {
                if let Some(entry) = self.objects.get_mut(&record.id) {
                    entry.sure = true;
                }
            }
            (Op::Create, false) | (Op::Delete, true) => {
                self.objects.remove(&record.id);
            }
            _ => {}
        }
    }

    /// Writes the last records out, those of one object or of all.
    pub(crate) fn evidence(&self, id: Option<ObjectId>, most: usize) -> Vec<String> {
        let lines = self.recent.iter().filter(|record| id.is_none_or(|id| record.id == id)).map(|r| {
            let (tag, op) = (r.tag, r.op.name());
            format!("{:>16} lane {} {tag:?} {op} ok={} {} v{} {} bytes", r.time, r.lane, r.ok, r.id, r.version, r.len)
        });
        let lines: Vec<String> = lines.collect();
        lines[lines.len().saturating_sub(most)..].to_vec()
    }
}

fn is_booked(id: ObjectId) -> bool {
    Key::of(id).is_some_and(|key| matches!(key.kind, Kind::Kept | Kind::Stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_sure_between_its_seal_and_its_deletion() {
        let id = Key { kind: Kind::Kept, worker: 0, lane: 0, number: 1 }.id();
        let record = |tag, op, ok| Record { ok, id, version: 5, len: 9, ..Record::new(tag, op, 0) };
        let mut ledger = Ledger::default();
        let sure = |ledger: &Ledger| ledger.objects.get(&id).map(|entry| entry.sure);
        ledger.book(record(Tag::Start, Op::Create, true));
        assert_eq!(sure(&ledger), Some(false));
        ledger.book(record(Tag::Done, Op::Create, true));
        assert_eq!(sure(&ledger), Some(true));
        ledger.book(record(Tag::Start, Op::Delete, true));
        assert_eq!(sure(&ledger), Some(false));
        ledger.book(record(Tag::Done, Op::Delete, true));
        assert_eq!(sure(&ledger), None);
        ledger.book(record(Tag::Start, Op::Create, true));
        ledger.book(record(Tag::Done, Op::Create, false));
        assert_eq!(sure(&ledger), None);
        assert_eq!(ledger.evidence(Some(id), 3).len(), 3);
    }
}
