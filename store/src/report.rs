//! What people ask a store: lists, descriptions, figures.

use std::time::Duration;

use crate::alloc::{self, Survey};
use crate::client;
use crate::id::ObjectId;
use crate::index;
use crate::inner::Inner;
use crate::moves;
use crate::place::Place;
use crate::queue;
use crate::slot::{self, Slot};
use crate::sys::{clock, memory};

/// Where an object is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectState {
    /// It is being written, or promised.
    Created,
    /// It can be read.
    Sealed,
    /// It is on disk.
    Spilled,
    /// It is in use and goes at the last release.
    Deleted,
}

/// One client that holds an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The client's process.
    pub pid: u32,
    /// How many views it has; clones add none.
    pub views: u32,
    /// How many holds it has; clones add none.
    pub holds: u32,
}

/// Describes an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its id.
    pub id: ObjectId,
    /// Bytes of data.
    pub len: u64,
    /// Bytes of metadata.
    pub metadata_len: u64,
    /// Where it is in its life.
    pub state: ObjectState,
    /// The process that created it.
    pub creator_pid: u32,
    /// A row for each client that holds it.
    pub holders: Vec<Holder>,
    /// Time since it was created.
    pub age: Duration,
}

/// The figures of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreStats {
    /// What objects can take together.
    pub capacity_bytes: u64,
    /// What objects in any state take, as rounded; with `free_bytes` it makes the capacity.
    pub used_bytes: u64,
    /// What is left.
    pub free_bytes: u64,
    /// The longest run that is free.
    pub largest_free_bytes: u64,
    /// What the system has given the arena.
    pub committed_bytes: u64,
    /// What is on disk.
    pub spilled_bytes: u64,
    /// What is in fallback files.
    pub fallback_bytes: u64,
    /// Objects in any state.
    pub objects: u64,
    /// Objects that are being written.
    pub unsealed_objects: u64,
    /// Objects on disk.
    pub spilled_objects: u64,
    /// Clients that are attached.
    pub clients: u64,
    /// Creations that wait for memory.
    pub queued_creates: u64,
}

/// Describes the object in a slot, if there is one.
fn describe(inner: &Inner, index: u32) -> Option<ObjectInfo> {
    let slot = Slot::of(&inner.shared, index);
    let before = slot.state();
    let state = match before.state() {
        slot::CREATING => ObjectState::Created,
        slot::CONDEMNED if before.has(slot::DELETED) => ObjectState::Deleted,
        _ if before.is_sealed() && matches!(slot.place(before), Some(Place::Record(_))) => ObjectState::Spilled,
        _ if before.is_sealed() => ObjectState::Sealed,
        _ => return None,
    };
    let holders = inner.actor().holders(index).into_iter();
    let info = ObjectInfo {
        id: slot.id(),
        len: slot.len() as u64,
        metadata_len: slot.meta_len() as u64,
        state,
        creator_pid: slot.pid(),
        holders: holders
            .map(|(at, views, holds)| Holder { pid: client::pid(&inner.shared, at), views, holds })
            .collect(),
        age: Duration::from_nanos(clock::monotonic_ns().saturating_sub(slot.made())),
    };
    (slot.state().generation() == before.generation()).then_some(info)
}

pub(crate) fn list(inner: &Inner) -> Vec<ObjectInfo> {
    if inner.is_foreign() {
        return Vec::new();
    }
    (0..alloc::slots_ever(&inner.shared)).filter_map(|index| describe(inner, index)).collect()
}

pub(crate) fn info(inner: &Inner, id: ObjectId) -> Option<ObjectInfo> {
    if inner.is_foreign() {
        return None;
    }
    let (at, _) = index::find(&inner.shared, id)?;
    describe(inner, at.index).filter(|info| info.id == id)
}

pub(crate) fn stats(inner: &Inner) -> StoreStats {
    let shared = &inner.shared;
    if inner.is_foreign() {
        return StoreStats::default();
    }
    let attached = (0..shared.layout.clients).filter(|&c| client::state(client::load(shared, c)) == client::ALIVE);
    let mut stats = StoreStats::default();
    let mut survey = Survey::new(shared);
    for index in 0..alloc::slots_ever(shared) {
        let slot = Slot::of(shared, index);
        let state = slot.state();
        let place = slot.place(state);
        survey.add(state, place);
        stats.objects += u64::from(state.is_object());
        stats.unsealed_objects += u64::from(state.state() == slot::CREATING);
        match place.filter(|_| state.is_object()) {
            Some(Place::Record(_)) => {
                stats.spilled_objects += 1;
                stats.spilled_bytes = stats.spilled_bytes.saturating_add(moves::payload(slot) as u64);
            }
            Some(Place::File(_)) => {
                stats.fallback_bytes = stats.fallback_bytes.saturating_add(moves::payload(slot) as u64)
            }
            _ => {}
        }
    }
    StoreStats {
        capacity_bytes: shared.layout.capacity as u64,
        used_bytes: survey.used_bytes(),
        free_bytes: survey.free_bytes(),
        largest_free_bytes: survey.longest_gap().min(survey.free_bytes()),
        committed_bytes: memory::committed(inner.arena.file()),
        clients: attached.count() as u64,
        queued_creates: queue::len(shared),
        ..stats
    }
}
