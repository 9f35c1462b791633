//! Short-lived objects that other processes wait for: a wait ends when its object is sealed, whoever
//! died before, and no wait ends early.

use std::time::{Duration, Instant};

use mobula_store::{Lifetime, ObjectId};

use super::{Lane, Step, unexpected};
use crate::torture::content::{Key, Kind, Stamp, now_ns};
use crate::torture::journal::Op;

/// How many such objects a lane has.
pub(super) const LEN: u64 = 6;
const LARGEST: usize = 4096;

impl Lane<'_> {
    fn stream_id(&self, worker: u16, lane: u8, number: u64) -> ObjectId {
        Key { kind: Kind::Stream, worker, lane, number }.id()
    }

    /// Makes the next object of this lane's stream; an older one with its id goes before.
    pub(super) fn publish(&mut self) -> Step {
        let number = self.random.below(LEN);
        let id = self.stream_id(self.cast.worker, self.number, number);
        let store = self.store();
        if let Some(stamp) = self.stream[number as usize].take() {
            self.start(Op::Delete, id, stamp);
            match store.delete(id) {
                Err(error) if error.is_not_found() && self.may_be_evicted(id, stamp) => {}
                deleted => drop(deleted.map_err(|error| unexpected("delete of what is there", id, &error))?),
            }
            self.done(Op::Delete, id, true);
            if self.random.one_in(2) {
                return Ok(());
            }
        }
        let stamp = Stamp::new(self.random.index(LARGEST), Lifetime::UntilDeleted);
        let patience = self.patience();
        self.start(Op::Create, id, stamp);
        let begun = Instant::now();
        match store.create_object_with(id, stamp.len, &stamp.options(patience, 0)) {
            Ok(mut buffer) => {
                stamp.fill(id, &mut buffer);
                let view = buffer.seal().map_err(|error| unexpected("seal", id, &error))?;
                self.count(Op::Seal);
                self.done(Op::Create, id, true);
                self.stream[number as usize] = Some(stamp);
                drop(view);
                Ok(())
            }
            Err(error) => {
                self.done(Op::Create, id, false);
                self.refused(&error, id, begun, patience)?;
                self.make_room()
            }
        }
    }

    /// Waits for an object of another lane's stream.
    pub(super) fn follow(&mut self) -> Step {
        let worker = self.random.below(self.cast.plan.workers.into()) as u16;
        let lane = self.random.below(self.cast.plan.lanes.into()) as u8;
        let number = self.random.below(LEN);
        let id = self.stream_id(worker, lane, number);
        let longest = if self.random.one_in(8) { 1500 } else { 40 };
        let timeout = Duration::from_millis(self.random.below(longest));
        let store = self.store();
        let (begun, begun_ns) = (Instant::now(), now_ns());
        let answer = store.get(id, Some(timeout));
        let (took, now) = (begun.elapsed(), now_ns());
        self.count(Op::Get);
        match answer {
            Ok(view) => {
                let stamp = self.verified(&view)?;
                self.tally.slowest_wake_ns =
                    self.tally.slowest_wake_ns.max(now.saturating_sub(stamp.version.max(begun_ns)));
                if self.random.one_in(4) {
                    self.keep_view(view, stamp);
                }
                Ok(())
            }
            Err(error) if error.is_timeout() && took >= timeout => Ok(()),
            Err(error) => Err(format!("get of {id} for {timeout:?} answered after {took:?}: {error}")),
        }
    }
}
