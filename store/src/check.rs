//! Holding the shared words against the invariants, while others work.
//!
//! A word that another process is just changing may look wrong for an instant, so everything that
//! is found is looked at again; only what stays wrong is reported. Work in progress, stopped
//! processes and the unreaped dead are no violations.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::alloc::{self, Alloc};
use crate::client;
use crate::disk::Record;
use crate::error::{ErrorKind, Result};
use crate::holds::Actor;
use crate::index;
use crate::layout::Layout;
use crate::lock::{self, Lock};
use crate::moves;
use crate::place::Place;
use crate::queue;
use crate::slot::{self, Slot, State};

/// What a check counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckReport {
    /// Objects in any state.
    pub objects: u64,
    /// Clients that are attached.
    pub clients: u64,
    /// Bytes that objects take.
    pub used_bytes: u64,
}

/// How often what looks wrong is looked at again.
const LOOKS: usize = 4;
/// How long a check waits for a lock.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

pub(crate) fn check(actor: Actor<'_>) -> Result<CheckReport> {
    let mut broken = pass(actor, true);
    for _ in 1..LOOKS {
        if broken.is_empty() {
            break;
        }
        std::thread::yield_now();
        let again = pass(actor, true);
        broken.retain(|what| again.contains(what));
    }
    report(actor, broken)
}

/// Looks once at words that nobody changes; `nested` says whether lists of contained objects can be read.
pub(crate) fn check_still(actor: Actor<'_>, nested: bool) -> Result<CheckReport> {
    report(actor, pass(actor, nested))
}

fn report(actor: Actor<'_>, broken: Vec<String>) -> Result<CheckReport> {
    if !broken.is_empty() {
        return Err(ErrorKind::Corrupt(broken).into());
    }
    let live = |index: &u32| Slot::of(actor.shared, *index).state().is_object();
    let clients = 0..actor.shared.layout.clients;
    Ok(CheckReport {
        objects: (0..alloc::slots_ever(actor.shared)).filter(live).count() as u64,
        clients: clients.filter(|&c| client::state(client::load(actor.shared, c)) == client::ALIVE).count() as u64,
        used_bytes: alloc::Survey::of(actor.shared).used_bytes(),
    })
}

fn pass(actor: Actor<'_>, nested: bool) -> Vec<String> {
    let mut broken = Vec::new();
    if let Err(what) = Layout::read(&actor.shared.ctl) {
        broken.push(what);
        return broken;
    }
    let may_lock = actor.shared.reader.is_none();
    // Whoever is stopped inside of it is no violation; what it guards cannot be judged meanwhile, and never by a
    // client that only reads.
    if may_lock && let Some(alloc) = Alloc::lock_until(actor.shared, actor.me, Instant::now() + PATIENCE) {
        broken.extend(alloc::verify(&alloc));
    }
    if nested && may_lock {
        broken.extend(actor.verify_nested());
    }
    check_index(actor, &mut broken);
    check_slots(actor, &mut broken);
    check_locks(actor, &mut broken);
    broken.extend(queue::verify(actor.shared));
    broken
}

/// ST-10 and ST-11: entries and slots agree one to one.
fn check_index(actor: Actor<'_>, broken: &mut Vec<String>) {
    let shared = actor.shared;
    let mut entries: HashMap<u32, u32> = HashMap::new();
    index::for_each(shared, |bucket, at, generation| {
        let slot = Slot::of(shared, at);
        let state = slot.state();
        if state.generation() as u16 != generation
            || matches!(state.state(), slot::FREE | slot::RESERVED | slot::RECLAIMING | slot::CACHED)
        {
            return;
        }
        if !index::belongs(shared, slot.id(), bucket) {
            broken.push(format!(
                "ST-10: object {} of slot {at} is indexed in bucket {bucket}, which is not its",
                slot.id()
            ));
        }
        *entries.entry(at).or_default() += 1;
    });
    let mut ids = HashMap::new();
    for at in 0..alloc::slots_ever(shared) {
        let slot = Slot::of(shared, at);
        let state = slot.state();
        let indexed = entries.get(&at).copied().unwrap_or(0);
        let live = state.state() == slot::CREATING || state.is_sealed();
        // A creator that is between the state and the entry, or that died there, is work in progress.
        let allowed = if state.state() == slot::SEALED { indexed == 1 } else { indexed <= 1 };
        if live && !allowed {
            broken.push(format!("ST-11: object {} of slot {at} is indexed {indexed} times", slot.id()));
        }
        if live && let Some(other) = ids.insert(slot.id(), at) {
            broken.push(format!("ST-11: slots {other} and {at} both are object {}", slot.id()));
        }
    }
}

fn check_slots(actor: Actor<'_>, broken: &mut Vec<String>) {
    let shared = actor.shared;
    for at in 0..alloc::slots_ever(shared) {
        let slot = Slot::of(shared, at);
        let state = slot.state();
        if state.state() > slot::CACHED {
            broken.push(format!("slot {at} has the unknown state {}", state.state()));
            continue;
        }
        if let Some(actor) = state.actor()
            && client::state(client::load(shared, actor.into())) == client::FREE
            && matches!(state.state(), slot::RESERVED | slot::CREATING | slot::RECLAIMING | slot::MOVING)
        {
            broken.push(format!("ST-3: slot {at} is worked on by client {actor}, which is free"));
        }
        if matches!(state.state(), slot::SEALED | slot::CREATING) {
            check_place(at, slot, state, broken);
            check_record(actor, at, slot, state, broken);
        }
        if !matches!(state.state(), slot::FREE | slot::CACHED) {
            check_holders(actor, at, state, broken);
        }
    }
}

/// ST-13: what the slot says about its bytes lies inside its block.
fn check_place(at: u32, slot: Slot<'_>, state: State, broken: &mut Vec<String>) {
    let Some(place) = slot.place(state) else { return };
    let need = moves::payload(slot);
    if place.offset().is_some() && need > place.bytes() {
        let generation = state.generation();
        broken.push(format!("ST-13: slot {at} generation {generation} claims {need} bytes, its place is {place:?}"));
    }
}

/// ST-D1: what is on disk is counted there.
fn check_record(actor: Actor<'_>, at: u32, slot: Slot<'_>, state: State, broken: &mut Vec<String>) {
    let Some(Place::Record(word)) = slot.place(state) else { return };
    let counted = Record::from_word(word).is_some_and(|record| actor.looks.table(actor.shared).counts(record));
    if !counted && slot.state() == state {
        broken.push(format!("ST-D1: slot {at} names record {word:#x}, which is in no file that is counted"));
    }
}

/// ST-3: a place in the client table that is free holds nothing.
fn check_holders(actor: Actor<'_>, at: u32, state: State, broken: &mut Vec<String>) {
    for (holder, views, holds) in actor.holders(at) {
        if client::state(client::load(actor.shared, holder)) == client::FREE {
            let generation = state.generation();
            broken.push(format!("ST-3: slot {at} generation {generation} is held by client {holder} ({views} views, {holds} holds), which is free"));
        }
    }
}

/// ST-3: nobody who is gone holds a lock.
fn check_locks(actor: Actor<'_>, broken: &mut Vec<String>) {
    // Who detaches frees its own record before it gives the reaper's lock back; the next reaper takes that over.
    for lock in lock::all().filter(|&lock| lock != Lock::Reap) {
        if let Some((client, generation)) = lock::orphan(actor.shared, lock) {
            broken
                .push(format!("ST-3: lock {lock:?} is held by client {client} generation {generation}, which is gone"));
        }
    }
}
