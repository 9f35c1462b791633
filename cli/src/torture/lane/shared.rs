//! Objects that everybody works on: whatever state one finds them in, what can be read is whole.

use std::time::{Duration, Instant};

use mobula_store::{Deleted, HoldState, Lifetime, ObjectId};

use super::{BAG, Lane, Step, unexpected};
use crate::torture::content::{Key, Kind, Stamp};
use crate::torture::journal::Op;

impl Lane<'_> {
    pub(super) fn some_shared(&mut self) -> ObjectId {
        let number = self.random.below(self.cast.plan.shared_ids);
        Key { kind: Kind::Shared, worker: 0, lane: 0, number }.id()
    }

    pub(super) fn work_on_shared(&mut self) -> Step {
        match self.random.below(12) {
            0..=3 => self.make_shared(),
            4..=6 => self.get_shared(),
            7 => self.hold_shared(),
            8 => self.get_held(),
            9 | 10 => self.delete_shared(),
            _ => self.promise_shared(),
        }
    }

    fn make_shared(&mut self) -> Step {
        let id = self.some_shared();
        let lifetime = if self.random.one_in(2) { Lifetime::Counted } else { Lifetime::UntilDeleted };
        let stamp = Stamp::new(self.size(), lifetime);
        let children = self.holds.len().min(self.random.index(3));
        let patience = if self.random.one_in(4) { self.patience() } else { Duration::ZERO };
        let options = stamp.options(patience, self.padding()).children(&self.holds[..children]);
        let store = self.store();
        let begun = Instant::now();
        let mut buffer = match store.create_object_with(id, stamp.len, &options) {
            Ok(buffer) => buffer,
            Err(error) if error.is_exists() => return Ok(()),
            Err(error) => {
                self.refused(&error, id, begun, patience)?;
                return self.make_room();
            }
        };
        self.count(Op::Create);
        stamp.fill(id, &mut buffer);
        if self.random.one_in(8) {
            self.count(Op::Abort);
            return Ok(());
        }
        let view = buffer.seal().map_err(|error| unexpected("seal", id, &error))?;
        self.count(Op::Seal);
        self.keep_view(view, stamp);
        Ok(())
    }

    fn get_shared(&mut self) -> Step {
        let id = self.some_shared();
        let timeout = Duration::from_micros(if self.random.one_in(8) { self.random.below(5000) } else { 0 });
        let store = self.store();
        let begun = Instant::now();
        let answer = store.get(id, Some(timeout));
        self.count(Op::Get);
        match answer {
            Ok(view) => {
                let stamp = self.verified(&view)?;
                if self.random.one_in(2) && self.holds.len() < BAG {
                    self.holds.push(view.hold());
                    self.count(Op::Hold);
                }
                self.keep_view(view, stamp);
                Ok(())
            }
            Err(error) if error.is_timeout() && begun.elapsed() >= timeout => Ok(()),
            Err(error) => Err(format!("get of {id} for {timeout:?} answered after {:?}: {error}", begun.elapsed())),
        }
    }

    fn hold_shared(&mut self) -> Step {
        let id = self.some_shared();
        let store = self.store();
        self.count(Op::Hold);
        match store.hold(id) {
            Ok(hold) => {
                self.keep_hold(hold);
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(unexpected("hold", id, &error)),
        }
    }

    /// What is held and was sealed can be read, whatever others do; a state never goes back.
    fn get_held(&mut self) -> Step {
        let Some(hold) = self.random.pick(&self.holds).cloned() else { return Ok(()) };
        let before = hold.state();
        let answer = hold.get(Some(Duration::from_micros(self.random.below(2000))));
        self.count(Op::Get);
        match (before, answer) {
            (HoldState::Lost, Err(error)) if error.is_not_found() => Ok(()),
            (HoldState::Pending, Err(error)) if error.is_timeout() || error.is_not_found() => Ok(()),
            (HoldState::Pending | HoldState::Sealed, Ok(view)) => self.verified(&view).map(drop),
            (before, Ok(view)) => Err(format!("object {} was {before:?} and can be read", view.id())),
            (before, Err(error)) => Err(format!("held object {} was {before:?}: {error}", hold.id())),
        }
    }

    fn delete_shared(&mut self) -> Step {
        let id = self.some_shared();
        let store = self.store();
        self.count(Op::Delete);
        match store.delete(id) {
            Ok(Deleted::Now | Deleted::AtLastRelease) => Ok(()),
            Err(error) if error.is_not_found() || error.is_not_sealed() => Ok(()),
            Err(error) => Err(unexpected("delete", id, &error)),
        }
    }

    /// Promises an object; keeps the promise or breaks it.
    fn promise_shared(&mut self) -> Step {
        let id = self.some_shared();
        let store = self.store();
        self.count(Op::Promise);
        let begun = Instant::now();
        let promise = match store.promise(id) {
            Ok(promise) => promise,
            Err(error) if error.is_exists() => return Ok(()),
            Err(error) => {
                self.refused(&error, id, begun, self.cast.plan.patience)?;
                return self.make_room();
            }
        };
        let hold = promise.hold();
        let broken = |hold: &mobula_store::ObjectHold| match hold.get(Some(Duration::ZERO)) {
            Err(error) if error.is_not_found() => Ok(()),
            other => Err(format!("get of {id}, a broken promise, answered {other:?}")),
        };
        if self.random.one_in(4) {
            drop(promise);
            return broken(&hold);
        }
        let stamp = Stamp::new(self.size(), Lifetime::Counted);
        let patience = self.patience();
        let options = stamp.options(patience, self.padding());
        let begun = Instant::now();
        let mut buffer = match promise.fulfil(stamp.len, &options) {
            Ok(buffer) => buffer,
            Err(error) => {
                self.refused(&error, id, begun, patience)?;
                broken(&hold)?;
                return self.make_room();
            }
        };
        stamp.fill(id, &mut buffer);
        if self.random.one_in(8) {
            drop(buffer);
            return broken(&hold);
        }
        let view = buffer.seal().map_err(|error| unexpected("seal", id, &error))?;
        self.count(Op::Seal);
        drop(view);
        let view = hold.get(Some(Duration::ZERO)).map_err(|error| unexpected("get of held", id, &error))?;
        self.matches(&view, stamp)
    }
}
