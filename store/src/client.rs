//! The client table: who is attached.
//!
//! A record's word is `{generation:32 | state:8}`. The server of the attach socket takes a record
//! FREE -> JOINING before it answers, so that whatever the client does afterwards is watched from
//! the start; the client moves it to ALIVE when it has mapped everything. Until then nothing can name
//! the record, so a joiner that gives up, or whose server died before it was through, is undone by
//! one exchange: JOINING -> FREE by the server or whoever adopts the store. The death of the process,
//! or a tidy detach, moves it ALIVE -> REAPING; when nothing of the client is left it becomes FREE
//! with the next generation (reap.rs).
//!
//! Invariants:
//! - ST-2: a [`ClientKey`] names at most one client ever: the generation moves on with every reuse.
//! - ST-3: a record is FREE only if no hold word, lock or slot names it. (A drained ring may name it until its
//!   receiver looks again; the ring names the generation, too.)

use serde::{Deserialize, Serialize};

use crate::bell::Doorbell;
use crate::handover::Handover;
use crate::layout::{C_PID, C_START, C_TOLLER, C_WORD};
use crate::lock;
use crate::readers;
use crate::shared::Shared;
use crate::sync::{Ordering, fence};
use crate::sys;

pub(crate) const FREE: u64 = 0;
pub(crate) const ALIVE: u64 = 1;
pub(crate) const REAPING: u64 = 2;
pub(crate) const JOINING: u64 = 3;

/// Names a client of the store: its place in the client table and that place's generation.
///
/// # Examples
///
/// ```
/// # use mobula_store::{Store, StoreOptions};
/// # fn main() -> mobula_store::Result<()> {
/// let store = Store::create(StoreOptions::new(1 << 20))?;
/// let other = Store::attach(store.address())?;
/// assert_ne!(store.client(), other.client());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ClientKey {
    /// The place in the table.
    pub index: u16,
    /// How often the place was used before.
    pub generation: u32,
}

/// Packs a record's word.
pub(crate) const fn word(generation: u32, state: u64) -> u64 {
    (generation as u64) << 32 | state
}

/// Returns the state in a record's word.
pub(crate) const fn state(word: u64) -> u64 {
    word & 0xff
}

/// Returns the generation in a record's word.
pub(crate) const fn generation(word: u64) -> u32 {
    (word >> 32) as u32
}

/// Takes one of the first `most` records for a process that is joining; `None` if none of them is free.
///
/// Only the server of a store may, or who is about to become it.
pub(crate) fn take(shared: &Shared, pid: u32, start: u64, most: usize) -> Option<ClientKey> {
    for index in 0..shared.layout.clients.min(most) {
        let at = shared.layout.client(index);
        let record = shared.ctl.u64(at + C_WORD);
        let old = record.load(Ordering::Acquire);
        if state(old) != FREE {
            continue;
        }
        // Only the server takes records, so the fields may be written before the word says so.
        shared.ctl.u32(at + C_PID).store(pid, Ordering::Relaxed);
        shared.ctl.u64(at + C_START).store(start, Ordering::Relaxed);
        shared.ctl.u32(at + C_TOLLER).store(0, Ordering::Relaxed);
        Doorbell::of(shared, index as u16).reset();
        Handover::of(shared, index as u16).reset();
        readers::resign(shared, index);
        let new = word(generation(old), JOINING);
        // SYNC client: publishes pid and start time; pairs with the Acquire loads of the word.
        if record.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return Some(ClientKey { index: index as u16, generation: generation(old) });
        }
    }
    None
}

/// Makes a client of a joiner; false if it was given up meanwhile.
pub(crate) fn confirm(shared: &Shared, joiner: ClientKey) -> bool {
    shift(shared, joiner, JOINING, word(joiner.generation, ALIVE))
}

/// Gives a joiner up; false if it is a client, or gone, already.
pub(crate) fn cancel(shared: &Shared, joiner: ClientKey) -> bool {
    shift(shared, joiner, JOINING, word(joiner.generation.wrapping_add(1), FREE))
}

fn shift(shared: &Shared, client: ClientKey, from: u64, to: u64) -> bool {
    let record = shared.ctl.u64(shared.layout.client(client.index.into()) + C_WORD);
    record.compare_exchange(word(client.generation, from), to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

/// Returns the client at `index` if its state is `wanted`.
pub(crate) fn at(shared: &Shared, index: usize, wanted: u64) -> Option<ClientKey> {
    let now = load(shared, index);
    (state(now) == wanted).then(|| ClientKey { index: index as u16, generation: generation(now) })
}

/// Returns the process of the client at `index`: pid and start time.
pub(crate) fn process(shared: &Shared, index: usize) -> (u32, u64) {
    (pid(shared, index), shared.ctl.u64(shared.layout.client(index) + C_START).load(Ordering::Relaxed))
}

/// Lists the clients of living processes.
pub(crate) fn living(shared: &Shared) -> impl Iterator<Item = ClientKey> + '_ {
    let alive = (0..shared.layout.clients).filter_map(|index| at(shared, index, ALIVE));
    alive.filter(|client| !is_dead(shared, client.index.into()))
}

/// Makes a dead client's record the calling process's own, so that it can be reaped in its own name; or that of a
/// reader that has left, which has done all it can.
///
/// For who is alone in taking records and finds none free. Whoever reaps the client beside this does
/// the same work under the same lock; at worst the record is free afterwards, with a pid that says nothing. The record
/// of who died inside a lock is left to them: with a living pid in it nobody would take that lock over.
pub(crate) fn seize(shared: &Shared, pid: u32, start: u64) -> Option<ClientKey> {
    let dead = (0..shared.layout.clients)
        .filter_map(|index| at(shared, index, ALIVE).or_else(|| at(shared, index, REAPING)))
        .filter(|client| is_dead(shared, client.index.into()) || readers::has_left(shared, client.index.into()))
        .find(|client| !lock::is_owner(shared, *client))?;
    let record = shared.layout.client(dead.index.into());
    shared.ctl.u64(record + C_START).store(start, Ordering::Relaxed);
    shared.ctl.u32(record + C_PID).store(pid, Ordering::Relaxed);
    Some(dead)
}

/// Returns the word of a client's record.
pub(crate) fn load(shared: &Shared, index: usize) -> u64 {
    // SYNC client: pairs with the exchange in `take`.
    shared.ctl.u64(shared.layout.client(index) + C_WORD).load(Ordering::Acquire)
}

/// Returns the pid of the client at `index`.
pub(crate) fn pid(shared: &Shared, index: usize) -> u32 {
    shared.ctl.u32(shared.layout.client(index) + C_PID).load(Ordering::Relaxed)
}

/// Says whether `client` is attached and its death has not been noticed.
pub(crate) fn is_attached(shared: &Shared, client: ClientKey) -> bool {
    load(shared, client.index.into()) == word(client.generation, ALIVE)
}

/// Says whether the record is `client`'s still: attached, or on its way out.
pub(crate) fn is_recorded(shared: &Shared, client: ClientKey) -> bool {
    let now = load(shared, client.index.into());
    generation(now) == client.generation && state(now) != FREE
}

/// Says whether there is a client at `index`, dead or alive.
pub(crate) fn is_taken(shared: &Shared, index: usize) -> bool {
    index < shared.layout.clients && matches!(state(load(shared, index)), ALIVE | REAPING)
}

/// Asks the kernel whether the process of the client at `index` is gone.
///
/// A client that is just detaching lives. Slow (reads /proc); for those who have waited long already.
pub(crate) fn is_dead(shared: &Shared, index: usize) -> bool {
    let mut now = load(shared, index);
    while state(now) != FREE {
        let (pid, start) = process(shared, index);
        let dead = !sys::process::is_alive(pid, start);
        // SYNC death: who is gone has made all its stores; the kernel's answer orders them before what follows.
        fence(Ordering::Acquire);
        let later = load(shared, index);
        if later == now {
            return dead;
        }
        // Somebody reaps it: the answer may be of another process.
        now = later;
    }
    true
}
