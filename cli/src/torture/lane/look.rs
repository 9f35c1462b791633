//! Calls that have to do with many objects: what this lane knows to be there must be among them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mobula_store::{Array, ObjectId, ObjectInfo, ObjectState};

use super::{Lane, Step, unexpected};
use crate::torture::content::{Key, Kind, Stamp};
use crate::torture::journal::Op;

impl Lane<'_> {
    /// Draws different ids: own ones that are there, own ones that are not, others'.
    fn some_ids(&mut self, most: u64) -> Vec<(ObjectId, Option<Stamp>, bool)> {
        let mut ids: Vec<(ObjectId, Option<Stamp>, bool)> = Vec::new();
        for _ in 0..self.random.within(1, most) {
            let drawn = match self.random.below(3) {
                // What may be evicted is known to be there no more than others' objects.
                0 => self.some_kept().map(|(id, stamp)| match self.may_be_evicted(id, stamp) {
                    true => (id, None, false),
                    false => (id, Some(stamp), true),
                }),
                1 => self.some_vacant().map(|id| (id, None, true)),
                _ => Some((self.some_shared(), None, false)),
            };
            ids.extend(drawn);
        }
        ids.sort_by_key(|(id, ..)| *id);
        ids.dedup_by_key(|(id, ..)| *id);
        ids
    }

    /// Waits for some of several objects.
    pub(super) fn wait_for_some(&mut self) -> Step {
        let drawn = self.some_ids(10);
        if drawn.is_empty() {
            return Ok(());
        }
        let ids: Vec<ObjectId> = drawn.iter().map(|(id, ..)| *id).collect();
        let n = self.random.index(ids.len()) + 1;
        let timeout = Duration::from_millis(self.random.below(30));
        let store = self.store();
        let begun = Instant::now();
        let (ready, pending) =
            store.wait(&ids, n, Some(timeout)).map_err(|error| format!("wait for {n} of {ids:?} answered: {error}"))?;
        let took = begun.elapsed();
        self.count(Op::Wait);
        let place = |id: &ObjectId| ids.iter().position(|other| other == id);
        let ordered = |list: &[ObjectId]| list.is_sorted_by_key(place);
        let own = |there: bool| drawn.iter().filter(move |(_, stamp, own)| *own && stamp.is_some() == there);
        let wrong = if ready.len() + pending.len() != ids.len() || ready.len() > n {
            "not all, or too many, are in the answer"
        } else if !ordered(&ready) || !ordered(&pending) || ready.iter().any(|id| pending.contains(id)) {
            "the answer is not in the order of the arguments"
        } else if ready.len() < n && took < timeout {
            "it gave up early"
        } else if ready.len() < n && own(true).any(|(id, ..)| !ready.contains(id)) {
            "something that is there is not ready"
        } else if own(false).any(|(id, ..)| ready.contains(id)) {
            "something that is not there is ready"
        } else {
            return Ok(());
        };
        Err(format!("wait for {n} of {ids:?}, {timeout:?}, answered {ready:?} and {pending:?} after {took:?}: {wrong}"))
    }

    /// Gets several objects, some of them twice.
    pub(super) fn get_several(&mut self) -> Step {
        let mut drawn = self.some_ids(8);
        if let Some(&twice) = drawn.first() {
            drawn.push(twice);
        }
        let ids: Vec<ObjectId> = drawn.iter().map(|(id, ..)| *id).collect();
        let timeout = Duration::from_millis(if self.random.one_in(4) { self.random.below(20) } else { 0 });
        let store = self.store();
        let views = store.get_many(&ids, Some(timeout)).map_err(|error| format!("get_many answered: {error}"))?;
        self.count(Op::GetMany);
        if views.len() != ids.len() {
            return Err(format!("get_many of {} objects returned {}", ids.len(), views.len()));
        }
        for ((id, stamp, own), view) in drawn.into_iter().zip(views) {
            match (view, stamp) {
                (Some(view), _) if view.id() != id => {
                    return Err(format!("get_many returned {} in place of {id}", view.id()));
                }
                (Some(view), Some(stamp)) => self.matches(&view, stamp)?,
                (Some(_), None) if own => return Err(format!("get_many returned {id}, which is gone")),
                (Some(view), None) => self.verified(&view).map(drop)?,
                (None, Some(_)) => return Err(format!("get_many has not found {id}, which is there")),
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Asks for an object of this lane.
    pub(super) fn look_at_own(&mut self) -> Step {
        let Some((id, stamp)) = self.some_kept() else { return Ok(()) };
        let store = self.store();
        self.count(Op::Info);
        let info = match store.info(id) {
            Some(info) => info,
            None if self.may_be_evicted(id, stamp) => return self.evicted(id),
            None => return Err(format!("object {id} is there, but there is no info about it")),
        };
        is_whole(&info, stamp)?;
        if !self.views.iter().any(|(view, other)| view.id() == id && *other == stamp) {
            return Ok(());
        }
        let pid = std::process::id();
        let mine: u32 = info.holders.iter().filter(|holder| holder.pid == pid).map(|holder| holder.views).sum();
        if mine == 0 { Err(format!("this lane views {id}, but is no holder: {info:?}")) } else { Ok(()) }
    }

    /// Lists everything: what this lane has shows exactly once.
    pub(super) fn list_all(&mut self) -> Step {
        let store = self.store();
        let mut listed: HashMap<ObjectId, Vec<ObjectInfo>> = HashMap::new();
        for info in store.list().into_iter().filter(|info| info.state != ObjectState::Deleted) {
            listed.entry(info.id).or_default().push(info);
        }
        self.count(Op::List);
        let once = |id: ObjectId| match listed.get(&id).map(Vec::as_slice) {
            Some([info]) => Ok(info),
            other => Err(format!("object {id} is there and listed as {other:?}")),
        };
        for (&number, &stamp) in &self.kept {
            let id = self.key(Kind::Kept, number);
            if !self.may_be_evicted(id, stamp) {
                is_whole(once(id)?, stamp)?;
            }
        }
        for id in self.unsealed() {
            let info = once(id)?;
            if info.state != ObjectState::Created {
                return Err(format!("object {id} is being written and listed as {info:?}"));
            }
        }
        Ok(())
    }

    /// Looks at something that is listed, whoever thinks to be alone with it.
    pub(super) fn lurk(&mut self) -> Step {
        let store = self.store();
        let listed = store.list();
        let Some(id) = self.random.pick(&listed).map(|info| info.id) else { return Ok(()) };
        self.count(Op::Lurk);
        let view = match store.get(id, Some(Duration::ZERO)) {
            Ok(view) => view,
            Err(error) if error.is_timeout() => return Ok(()),
            Err(error) => return Err(unexpected("get of what is listed", id, &error)),
        };
        if Key::of(id).is_some() {
            return self.verified(&view).map(drop);
        }
        let array = Array::<u64>::from_view(view).map_err(|error| unexpected("array", id, &error))?;
        super::private::verify_array(&array)
    }

    pub(super) fn read_stats(&mut self) -> Step {
        let stats = self.store().stats();
        self.count(Op::Stats);
        let (used, free, capacity) = (stats.used_bytes, stats.free_bytes, stats.capacity_bytes);
        let sums =
            used + free == capacity && stats.largest_free_bytes <= free && capacity >= self.cast.plan.capacity as u64;
        // What moves to a file or back is in neither place for a moment.
        let moves = self.cast.plan.spill_dir.is_some() || self.cast.plan.fallback;
        let kept: Vec<Stamp> = if self.cast.plan.evicts { Vec::new() } else { self.kept.values().copied().collect() };
        let own: u64 = if moves { 0 } else { kept.iter().map(|stamp| stamp.len as u64).sum() };
        let objects = (kept.len() + self.drafts.len()) as u64;
        let enough = used >= own && stats.objects >= objects && stats.unsealed_objects >= self.drafts.len() as u64;
        if sums && enough {
            return Ok(());
        }
        Err(format!("this lane has {objects} objects of {own} bytes, and the store's figures are {stats:?}"))
    }

    /// Frees memory, as far as the store may.
    pub(super) fn evict(&mut self) -> Step {
        let bytes = self.random.below(self.cast.plan.capacity as u64 / 4);
        let store = self.store();
        let freed = store.evict(bytes).map_err(|error| format!("evict({bytes}) answered: {error}"))?;
        self.count(Op::Evict);
        let may = self.cast.plan.evicts || self.cast.plan.spill_dir.is_some();
        if freed > 0 && !may { Err(format!("evict({bytes}) freed {freed} bytes, which it may not")) } else { Ok(()) }
    }

    pub(super) fn check_all(&mut self) -> Step {
        let store = self.store();
        self.count(Op::Check);
        store.check().map(drop).map_err(|error| format!("check answered: {error}"))
    }
}

fn is_whole(info: &ObjectInfo, stamp: Stamp) -> Step {
    let there = matches!(info.state, ObjectState::Sealed | ObjectState::Spilled);
    if there && info.len == stamp.len as u64 {
        return Ok(());
    }
    Err(format!("object {} is there with {} bytes and shows as {info:?}", info.id, stamp.len))
}
