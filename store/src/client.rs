//! The client table: who is attached.
//!
//! A record's word is `{generation:32 | state:8}`. The server of the attach socket takes a record
//! FREE -> ALIVE before it answers, so that whatever the client does afterwards is watched from
//! the start. The death of the process, or a tidy detach, moves it ALIVE -> REAPING; when nothing
//! of the client is left it becomes FREE with the next generation (reap.rs).
//!
//! Invariants:
//! - ST-2: a [`ClientKey`] names at most one client ever: the generation moves on with every reuse.
//! - ST-3: a record is FREE only if no hold word, lock or slot names it. (A drained ring may name it until its
//!   receiver looks again; the ring names the generation, too.)

use serde::{Deserialize, Serialize};

use crate::bell::Doorbell;
use crate::layout::{C_PID, C_START, C_WORD};
use crate::shared::Shared;
use crate::sync::{Ordering, fence};
use crate::sys;

pub(crate) const FREE: u64 = 0;
pub(crate) const ALIVE: u64 = 1;
pub(crate) const REAPING: u64 = 2;

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

/// Takes a free record for a process; `None` if all are taken.
pub(crate) fn take(shared: &Shared, pid: u32, start: u64) -> Option<ClientKey> {
    for index in 0..shared.layout.clients {
        let at = shared.layout.client(index);
        let record = shared.ctl.u64(at + C_WORD);
        let old = record.load(Ordering::Acquire);
        if state(old) != FREE {
            continue;
        }
        // Only the server takes records, so the fields may be written before the word says so.
        shared.ctl.u32(at + C_PID).store(pid, Ordering::Relaxed);
        shared.ctl.u64(at + C_START).store(start, Ordering::Relaxed);
        Doorbell::of(shared, index as u16).reset();
        let new = word(generation(old), ALIVE);
        // SYNC client: publishes pid and start time; pairs with the Acquire loads of the word.
        if record.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return Some(ClientKey { index: index as u16, generation: generation(old) });
        }
    }
    None
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

/// Asks the kernel whether the process of the client at `index` is gone.
///
/// A client that is just detaching lives. Slow (reads /proc); for those who have waited long already.
pub(crate) fn is_dead(shared: &Shared, index: usize) -> bool {
    let now = load(shared, index);
    if state(now) == FREE {
        return true;
    }
    let at = shared.layout.client(index);
    let start = shared.ctl.u64(at + C_START).load(Ordering::Relaxed);
    let dead = !sys::process::is_alive(pid(shared, index), start);
    // SYNC death: who is gone has made all its stores; the kernel's answer orders them before what follows.
    fence(Ordering::Acquire);
    dead && load(shared, index) == now
}
