//! Objects that one lane makes and deletes and nobody else does: at any time it knows what is there.

use std::time::{Duration, Instant};

use mobula_store::{Deleted, Error, Lifetime, ObjectBuffer, ObjectId, ObjectView};

use super::{Lane, Step, unexpected};
use crate::torture::content::{Kind, Stamp};
use crate::torture::journal::Op;

/// Unsealed objects that a lane has at most.
const DRAFTS: usize = 4;

/// An object that is being written.
pub(super) struct Draft {
    number: u64,
    id: ObjectId,
    stamp: Stamp,
    buffer: ObjectBuffer,
    /// It was deleted meanwhile and goes with its first view.
    deleted: bool,
}

impl Lane<'_> {
    /// Makes an object, or deletes one if there are enough.
    pub(super) fn make_kept(&mut self) -> Step {
        let most = self.cast.plan.kept;
        let number = self.random.below(most);
        let taken = self.kept.contains_key(&number) || self.drafts.iter().any(|draft| draft.number == number);
        if taken {
            return if self.random.one_in(2) { self.make_existing(number) } else { self.delete_kept() };
        }
        let Some(draft) = self.draft(number)? else { return self.make_room() };
        match self.random.below(10) {
            0 => self.abort(draft),
            1 | 2 if self.drafts.len() < DRAFTS => {
                self.drafts.push(draft);
                Ok(())
            }
            _ => {
                let view = self.seal(draft)?;
                self.sealed(number, view)
            }
        }
    }

    /// Creates and fills; `None` if the store has no room.
    fn draft(&mut self, number: u64) -> Result<Option<Draft>, String> {
        let id = self.key(Kind::Kept, number);
        let stamp = Stamp::new(self.size(), Lifetime::UntilDeleted);
        let patience = self.patience();
        let options = stamp.options(patience, self.padding());
        let store = self.store();
        self.start(Op::Create, id, stamp);
        let begun = Instant::now();
        match store.create_object_with(id, stamp.len, &options) {
            Ok(mut buffer) => {
                self.count(Op::Create);
                stamp.fill(id, &mut buffer);
                Ok(Some(Draft { number, id, stamp, buffer, deleted: false }))
            }
            Err(error) => {
                self.done(Op::Create, id, false);
                self.refused(&error, id, begun, patience)?;
                Ok(None)
            }
        }
    }

    /// A creation may only be refused for want of room, and not before its time.
    pub(super) fn refused(&self, error: &Error, id: ObjectId, begun: Instant, patience: Duration) -> Step {
        let took = begun.elapsed();
        if !error.is_store_full() {
            return Err(unexpected("create", id, error));
        }
        if took < patience {
            return Err(format!("create of {id} gave up after {took:?} of {patience:?}: {error}"));
        }
        Ok(())
    }

    fn make_existing(&mut self, number: u64) -> Step {
        let id = self.key(Kind::Kept, number);
        let sealed = self.kept.get(&number).copied();
        let store = self.store();
        let begun = Instant::now();
        match store.create_object(id, 100) {
            Err(error) if error.is_exists() => Ok(()),
            // It may be evicted, or somebody is stopped where it would have been found.
            Err(error) if error.is_store_full() => {
                self.refused(&error, id, begun, self.cast.plan.patience)?;
                match sealed {
                    Some(stamp) if !store.contains(id) && self.may_be_evicted(id, stamp) => self.evicted(id),
                    Some(_) if !store.contains(id) => Err(format!("object {id} is there and not contained")),
                    _ => Ok(()),
                }
            }
            Err(error) => Err(unexpected("create of what exists", id, &error)),
            Ok(buffer) if sealed.is_some_and(|stamp| self.may_be_evicted(id, stamp)) => {
                drop(buffer);
                self.evicted(id)
            }
            Ok(_) => Err(format!("create of {id} worked although it exists")),
        }
    }

    /// Seals, aborts or deletes something unsealed.
    pub(super) fn go_on_with_a_draft(&mut self) -> Step {
        if self.drafts.is_empty() {
            return Ok(());
        }
        if self.drafts.len() > 1 && self.random.one_in(3) {
            return self.seal_all();
        }
        let mut draft = self.drafts.swap_remove(self.random.index(self.drafts.len()));
        match self.random.below(10) {
            0 => self.abort(draft),
            1 | 2 if !draft.deleted => {
                self.refuses_unsealed(draft.id)?;
                self.start(Op::Delete, draft.id, draft.stamp);
                match self.store().delete(draft.id) {
                    Err(error) if error.is_not_sealed() => draft.deleted = true,
                    other => return Err(format!("delete of unsealed {} answered {other:?}", draft.id)),
                }
                self.drafts.push(draft);
                Ok(())
            }
            _ => {
                let number = draft.number;
                if draft.deleted {
                    let id = draft.id;
                    let view = draft.buffer.seal().map_err(|e| unexpected("seal of what is deleted", id, &e))?;
                    self.verified(&view)?;
                    drop(view);
                    self.done(Op::Delete, id, true);
                    return self.is_absent(id);
                }
                let view = self.seal(draft)?;
                self.sealed(number, view)
            }
        }
    }

    /// What is not sealed is not there for readers.
    fn refuses_unsealed(&mut self, id: ObjectId) -> Step {
        let store = self.store();
        match store.get(id, Some(Duration::ZERO)) {
            Err(error) if error.is_timeout() => {}
            other => return Err(format!("get of unsealed {id} answered {other:?}")),
        }
        self.count(Op::Get);
        if store.contains(id) { Err(format!("unsealed {id} is contained")) } else { Ok(()) }
    }

    fn seal(&mut self, draft: Draft) -> Result<ObjectView, String> {
        let view = draft.buffer.seal().map_err(|error| unexpected("seal", draft.id, &error))?;
        self.count(Op::Seal);
        self.done(Op::Create, draft.id, true);
        self.kept.insert(draft.number, draft.stamp);
        Ok(view)
    }

    fn seal_all(&mut self) -> Step {
        let (deleted, drafts): (Vec<_>, Vec<_>) = self.drafts.drain(..).partition(|draft| draft.deleted);
        self.drafts = deleted;
        let mut made = Vec::new();
        let mut buffers = Vec::new();
        for draft in drafts {
            made.push((draft.number, draft.id, draft.stamp));
            buffers.push(draft.buffer);
        }
        let views = self.store().seal_all(buffers).map_err(|error| format!("seal_all answered: {error}"))?;
        self.count(Op::SealAll);
        let ids: Vec<_> = views.iter().map(ObjectView::id).collect();
        if !ids.iter().eq(made.iter().map(|(_, id, _)| id)) {
            return Err(format!("seal_all of {made:?} returned {ids:?}"));
        }
        for ((number, id, stamp), view) in made.into_iter().zip(views) {
            self.done(Op::Create, id, true);
            self.kept.insert(number, stamp);
            self.sealed(number, view)?;
        }
        Ok(())
    }

    fn abort(&mut self, draft: Draft) -> Step {
        let Draft { id, buffer, deleted, .. } = draft;
        if self.random.one_in(2) {
            buffer.abort()
        } else {
            drop(buffer)
        }
        self.count(Op::Abort);
        self.done(if deleted { Op::Delete } else { Op::Create }, id, deleted);
        self.is_absent(id)
    }

    /// Looks at what was just sealed, mostly, and keeps the view sometimes.
    fn sealed(&mut self, number: u64, view: ObjectView) -> Step {
        let stamp = self.kept.get(&number).copied().ok_or("an object was sealed that is not known")?;
        if self.random.one_in(4) {
            self.matches(&view, stamp)?;
        }
        if self.random.one_in(3) {
            self.keep_view(view, stamp);
        }
        Ok(())
    }

    /// Checks a view against what this lane wrote.
    pub(super) fn matches(&mut self, view: &ObjectView, stamp: Stamp) -> Step {
        let seen = self.verified(view)?;
        if seen == stamp { Ok(()) } else { Err(format!("object {} is {seen:?} and should be {stamp:?}", view.id())) }
    }

    /// Reads an object that must be there.
    pub(super) fn read_kept(&mut self) -> Step {
        let Some((id, stamp)) = self.some_kept() else { return Ok(()) };
        let store = self.store();
        if self.random.one_in(4) {
            let hold = match store.hold(id) {
                Ok(hold) => hold,
                Err(error) if error.is_not_found() && self.may_be_evicted(id, stamp) => return self.evicted(id),
                Err(error) => return Err(unexpected("hold", id, &error)),
            };
            self.count(Op::Hold);
            let view = hold.get(Some(Duration::ZERO)).map_err(|error| unexpected("get of held", id, &error))?;
            self.matches(&view, stamp)?;
            self.keep_hold(hold);
        }
        let timeout = match self.random.below(3) {
            _ if self.cast.plan.evicts => Some(Duration::ZERO),
            0 => Some(Duration::ZERO),
            1 => Some(Duration::from_secs(1)),
            _ => None,
        };
        self.count(Op::Get);
        let view = match store.get(id, timeout) {
            Ok(view) => view,
            Err(error) if error.is_timeout() && self.may_be_evicted(id, stamp) => return self.evicted(id),
            Err(error) => return Err(unexpected("get of what is there", id, &error)),
        };
        if !store.contains(id) {
            return Err(format!("object {id} is there and not contained"));
        }
        self.count(Op::Contains);
        self.matches(&view, stamp)?;
        if self.random.one_in(3) {
            self.keep_view(view, stamp);
        }
        Ok(())
    }

    /// Deletes an object that must be there.
    pub(super) fn delete_kept(&mut self) -> Step {
        let Some((id, stamp)) = self.some_kept() else { return Ok(()) };
        let store = self.store();
        self.start(Op::Delete, id, stamp);
        let deleted = match store.delete(id) {
            Ok(deleted) => deleted,
            Err(error) if error.is_not_found() && self.may_be_evicted(id, stamp) => return self.evicted(id),
            Err(error) => return Err(unexpected("delete of what is there", id, &error)),
        };
        self.done(Op::Delete, id, true);
        self.kept.retain(|_, other| *other != stamp);
        if deleted == Deleted::Now && self.views.iter().any(|(view, other)| view.id() == id && *other == stamp) {
            return Err(format!("delete of {id} says that nobody views it, but this lane does"));
        }
        match store.delete(id) {
            Err(error) if error.is_not_found() => self.is_absent(id),
            other => Err(format!("a second delete of {id} answered {other:?}")),
        }
    }

    /// Checks that an object of this lane is not there.
    pub(super) fn is_absent(&mut self, id: ObjectId) -> Step {
        let store = self.store();
        match store.get(id, Some(Duration::ZERO)) {
            Err(error) if error.is_timeout() => {}
            other => return Err(format!("get of {id}, which is gone, answered {other:?}")),
        }
        self.count(Op::Get);
        if store.contains(id) { Err(format!("object {id} is gone and contained")) } else { Ok(()) }
    }

    /// Draws an object of this lane that is sealed.
    pub(super) fn some_kept(&mut self) -> Option<(ObjectId, Stamp)> {
        let nth = self.random.index(self.kept.len());
        let (number, stamp) = self.kept.iter().nth(nth)?;
        Some((self.key(Kind::Kept, *number), *stamp))
    }

    /// Draws an id of this lane that nothing has.
    pub(super) fn some_vacant(&mut self) -> Option<ObjectId> {
        let number = self.random.below(self.cast.plan.kept);
        let taken = self.kept.contains_key(&number) || self.drafts.iter().any(|draft| draft.number == number);
        (!taken).then(|| self.key(Kind::Kept, number))
    }

    /// Returns the ids that are being written.
    pub(super) fn unsealed(&self) -> Vec<ObjectId> {
        self.drafts.iter().filter(|draft| !draft.deleted).map(|draft| draft.id).collect()
    }
}
