//! The queue of creations that found no room.
//!
//! A request is a cell of 64 bytes in `ctl` that its own process writes. There is no list: tickets
//! order the requests, and each of them decides by a look at the others whether it may take memory
//! now. So nobody passes memory on to somebody who may be dead or stopped.
//!
//! ```text
//!   cell: word {generation:32 | client + 1:24 | state:8}, ticket, bytes, blocked since, deadline, what is short
//!
//!   join                                      leave
//!     Q1 word: 0 -> CLAIMED by me               Q5 word: QUEUED -> 0
//!     Q2 fields, ticket = next + 1              Q6 H_QUEUED is counted anew
//!     Q3 word: CLAIMED -> QUEUED                Q7 everybody who waits for space looks again
//!     Q4 H_QUEUED is counted anew
//! ```
//!
//! *Who is first.* An elder is a request with a smaller ticket whose deadline has not passed; to a
//! creation that is not in the queue all requests are elders. An elder *bars* whoever needs what it is
//! short of, unless it has been blocked for less than [`GRACE`] and asks for more memory than the
//! other one. So smaller requests overtake a young elder, and what is freed afterwards is kept for it.
//! The question is asked again under the allocator's lock by whoever takes memory. A stopped process
//! bars others only until its own deadline.
//!
//! *How many.* `H_QUEUED` is `{version:48 | requests:16}`. It is never added to: whoever has changed a
//! cell counts all cells and exchanges the word for the count and the next version, until nobody else
//! did so since it began to count. The last exchange thus counted after every change that was followed
//! by one; a process that dies between a change and its count is counted by its reaper. While the
//! number is not zero, drops give memory back where the queue looks, and creations do not pass by it.
//!
//! Invariants:
//! - ST-23: only the owner changes a cell that is not free, or whoever found the owner dead: that one to free.
//! - ST-24: when nobody joins or leaves, `H_QUEUED` counts exactly the cells that are not free.
//! - ST-25: a request that is barred has a living elder, or one that is reaped or late by then: in each case it is woken
//!   or wakes by itself.
//!
//! What it does not do: it neither allocates nor makes room (inner.rs, evict.rs).

use std::time::Duration;

use crate::alloc::Shortage;
use crate::client::{self, ClientKey};
use crate::layout::{H_QUEUED, H_TICKET, QUEUE_CELLS};
use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering, fence};
use crate::sys::clock;
use crate::waits::{self, On};

/// While a request has been blocked for less than this, smaller ones may overtake it.
pub(crate) const GRACE: Duration = Duration::from_millis(50);

/// How many cells were ever used; the line of the tickets is written by the same processes at the same time.
const H_EVER: usize = H_TICKET + 8;

const Q_WORD: usize = 0;
const Q_TICKET: usize = 8;
const Q_BYTES: usize = 16;
const Q_SINCE: usize = 24;
const Q_DEADLINE: usize = 32;
const Q_SHORT: usize = 40;

const CLAIMED: u64 = 1;
const QUEUED: u64 = 2;

const SHORT_OF_MEMORY: u64 = 0;
const SHORT_OF_SLOTS: u64 = 1;

/// The part of `H_QUEUED` that counts.
const COUNT: u64 = 0xffff;
/// How often a cell that changes while it is read is read again.
const READS: usize = 8;

/// What two processes must agree on about the queue.
pub(crate) const LAYOUT: &[usize] =
    &[H_EVER, Q_WORD, Q_TICKET, Q_BYTES, Q_SINCE, Q_DEADLINE, Q_SHORT, CLAIMED as usize, QUEUED as usize];

/// What a creation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wants {
    /// Bytes of the arena.
    pub(crate) bytes: usize,
    /// A slot, too.
    pub(crate) slot: bool,
}

/// Why a request may not take memory now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Barred {
    /// When one of the elders gives up by itself, on the clock of [`clock::monotonic_ns`].
    pub(crate) until: u64,
    /// The client of that elder.
    pub(crate) by: ClientKey,
}

/// One creation that needs memory, in the queue or not (yet).
#[derive(Debug)]
pub(crate) struct Request<'a> {
    shared: &'a Shared,
    me: ClientKey,
    wants: Wants,
    /// Its cell and ticket.
    place: Option<(usize, u64)>,
}

/// A cell, as read.
#[derive(Debug, Clone, Copy)]
struct Entry {
    owner: ClientKey,
    ticket: u64,
    bytes: u64,
    since: u64,
    deadline: u64,
    short: u64,
}

/// Says whether nobody queues for memory.
///
/// SYNC queue: SeqCst on both sides. Who frees something makes it CACHED first and looks here then; who joins is
/// counted here first and looks for what is CACHED then: one of them sees the other.
#[inline]
pub(crate) fn is_empty(shared: &Shared) -> bool {
    shared.ctl.u64(H_QUEUED).load(Ordering::SeqCst) & COUNT == 0
}

/// Returns how many creations queue.
pub(crate) fn len(shared: &Shared) -> u64 {
    (0..ever(shared)).filter(|&cell| read(shared, cell).is_some()).count() as u64
}

/// Removes all requests of a dead client.
pub(crate) fn forget(shared: &Shared, dead: ClientKey) {
    for cell in 0..ever(shared) {
        let word = field(shared, cell, Q_WORD);
        let now = word.load(Ordering::Acquire);
        if now != 0 && owner(now) == dead {
            // If it fails, another one forgets the same client (ST-23).
            let _ = word.compare_exchange(now, 0, Ordering::SeqCst, Ordering::Relaxed);
        }
    }
    recount(shared);
}

/// Removes all requests of a client if its process is gone: for those who have waited for it long already.
pub(crate) fn forget_if_dead(shared: &Shared, client: ClientKey) {
    let index = usize::from(client.index);
    if client::generation(client::load(shared, index)) == client.generation && client::is_dead(shared, index) {
        forget(shared, client);
        waits::wake(shared, On::Space);
    }
}

/// Lists what contradicts the invariants; work in progress is none.
pub(crate) fn verify(shared: &Shared) -> Vec<String> {
    let of_the_gone = |cell: usize| {
        let word = field(shared, cell, Q_WORD).load(Ordering::Acquire);
        let owner = owner(word);
        let record = client::load(shared, owner.index.into());
        let gone = client::generation(record) != owner.generation || client::state(record) == client::FREE;
        let still = field(shared, cell, Q_WORD).load(Ordering::Acquire) == word;
        (word != 0 && gone && still).then(|| format!("ST-3: request {cell} is client {owner:?}'s, who is gone"))
    };
    (0..ever(shared)).filter_map(of_the_gone).collect()
}

impl<'a> Request<'a> {
    /// Moves the request's deadline.
    pub(crate) fn postpone(&self, deadline: u64) {
        if let Some((cell, _)) = self.place {
            field(self.shared, cell, Q_DEADLINE).store(deadline, Ordering::Relaxed);
        }
    }

    /// Describes a creation that is not in the queue.
    pub(crate) fn new(shared: &'a Shared, me: ClientKey, wants: Wants) -> Request<'a> {
        Request { shared, me, wants, place: None }
    }

    /// Returns what the creation takes.
    pub(crate) fn wants(&self) -> Wants {
        self.wants
    }

    /// Enters the queue, if there is a free cell; without one the request comes behind all others and may try again.
    pub(crate) fn join(&mut self, short: Shortage, since: u64, deadline: u64) {
        if self.place.is_some() {
            return;
        }
        let Some(cell) = self.claim() else { return };
        let set = |at: usize, value: u64| field(self.shared, cell, at).store(value, Ordering::Relaxed);
        // SYNC request: a reader that saw one of the fields below sees CLAIMED afterwards.
        fence(Ordering::Release);
        let ticket = self.shared.ctl.u64(H_TICKET).fetch_add(1, Ordering::Relaxed) + 1;
        set(Q_TICKET, ticket);
        set(Q_BYTES, self.wants.bytes as u64);
        set(Q_SINCE, since);
        set(Q_DEADLINE, deadline);
        set(Q_SHORT, code(short));
        // SYNC request: publishes the fields; pairs with the Acquire load in `read`.
        field(self.shared, cell, Q_WORD).store(word(self.me, QUEUED), Ordering::SeqCst);
        self.place = Some((cell, ticket));
        recount(self.shared);
    }

    /// Says what the request found short when it tried last.
    pub(crate) fn lacks(&self, short: Shortage) {
        let Some((cell, _)) = self.place else { return };
        let word = field(self.shared, cell, Q_SHORT);
        if word.load(Ordering::Relaxed) != code(short) {
            word.store(code(short), Ordering::Relaxed);
            // Those who need the other only are barred no longer.
            waits::wake(self.shared, On::Space);
        }
    }

    /// Says whether elders keep the request from taking memory now.
    pub(crate) fn barred(&self) -> Option<Barred> {
        if is_empty(self.shared) {
            return None;
        }
        let now = clock::monotonic_ns();
        let ticket = self.place.map_or(u64::MAX, |(_, ticket)| ticket);
        let elders = (0..ever(self.shared)).filter_map(|cell| read(self.shared, cell));
        // Any of them will do: until it leaves, which wakes this one, or gives up, the others do not matter.
        elders
            .filter(|elder| elder.ticket < ticket && elder.deadline > now && elder.bars(self.wants, now))
            .map(|elder| Barred { until: elder.deadline, by: elder.owner })
            .next()
    }

    /// Q1.
    fn claim(&self) -> Option<usize> {
        for cell in 0..QUEUE_CELLS {
            let at = field(self.shared, cell, Q_WORD);
            if at.load(Ordering::Relaxed) != 0 {
                continue;
            }
            // Before the cell is anybody's: whoever looks for cells finds this one.
            if ever(self.shared) <= cell {
                self.shared.ctl.u64(H_EVER).fetch_max(cell as u64 + 1, Ordering::SeqCst);
            }
            if at.compare_exchange(0, word(self.me, CLAIMED), Ordering::SeqCst, Ordering::Relaxed).is_ok() {
                return Some(cell);
            }
        }
        None
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if let Some((cell, _)) = self.place.take() {
            field(self.shared, cell, Q_WORD).store(0, Ordering::SeqCst);
            recount(self.shared);
            waits::wake(self.shared, On::Space);
        }
    }
}

impl Entry {
    /// Says whether this elder keeps a younger request from what it needs.
    fn bars(&self, younger: Wants, now: u64) -> bool {
        if self.short == SHORT_OF_SLOTS {
            return younger.slot;
        }
        let is_young = u128::from(now.saturating_sub(self.since)) < GRACE.as_nanos();
        younger.bytes > 0 && !(is_young && (younger.bytes as u64) < self.bytes)
    }
}

fn field(shared: &Shared, cell: usize, at: usize) -> &AtomicU64 {
    shared.ctl.u64(shared.layout.request(cell) + at)
}

fn ever(shared: &Shared) -> usize {
    shared.ctl.u64(H_EVER).load(Ordering::SeqCst).min(QUEUE_CELLS as u64) as usize
}

fn word(owner: ClientKey, state: u64) -> u64 {
    u64::from(owner.generation) << 32 | (u64::from(owner.index) + 1) << 8 | state
}

fn owner(word: u64) -> ClientKey {
    ClientKey { index: (word >> 8 & 0xff_ffff).wrapping_sub(1) as u16, generation: (word >> 32) as u32 }
}

fn code(short: Shortage) -> u64 {
    match short {
        Shortage::Memory => SHORT_OF_MEMORY,
        Shortage::Slots => SHORT_OF_SLOTS,
    }
}

/// Reads a cell whole; `None` if nobody queues there.
fn read(shared: &Shared, cell: usize) -> Option<Entry> {
    for _ in 0..READS {
        // SYNC request: pairs with the store of QUEUED in `join`.
        let before = field(shared, cell, Q_WORD).load(Ordering::Acquire);
        if before & 0xff != QUEUED {
            return None;
        }
        let get = |at: usize| field(shared, cell, at).load(Ordering::Relaxed);
        let entry = Entry {
            owner: owner(before),
            ticket: get(Q_TICKET),
            bytes: get(Q_BYTES),
            since: get(Q_SINCE),
            deadline: get(Q_DEADLINE),
            short: get(Q_SHORT),
        };
        // SYNC request: pairs with the fence in `join`. The ticket tells two requests of one owner apart.
        fence(Ordering::Acquire);
        if get(Q_WORD) == before && get(Q_TICKET) == entry.ticket {
            return Some(entry);
        }
    }
    None
}

/// Counts the cells and says so in `H_QUEUED` (Q4, Q6).
fn recount(shared: &Shared) {
    let queued = shared.ctl.u64(H_QUEUED);
    loop {
        let before = queued.load(Ordering::SeqCst);
        let taken = |&cell: &usize| field(shared, cell, Q_WORD).load(Ordering::SeqCst) != 0;
        let count = (0..ever(shared)).filter(taken).count() as u64;
        let after = (before | COUNT).wrapping_add(1) | count;
        if queued.compare_exchange(before, after, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
            return;
        }
    }
}
