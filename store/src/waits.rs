//! Waiting for objects: futex words that ids are hashed on.
//!
//! ```text
//!   word: | sequence:31 | waiting:1 |
//!
//!   waiter                                  sealer
//!     W1 word |= waiting                      S1 state = SEALED
//!     W2 fence(SeqCst)                        S2 fence(SeqCst)
//!     W3 look at the object again             S3 word & waiting ? word = (sequence + 1, 0), wake all
//!     W4 sleep while the word is W1's
//! ```
//!
//! One of W3 and S3 sees the other (both fences are SeqCst). A waiter that dies leaves the flag and
//! so at most one idle wake. A sealer that dies between S1 and its wake is covered by the reaper,
//! which wakes everybody on every death, and by the slices in which waiters sleep (ST-12: no wait
//! depends on a process that died).
//!
//! Who waits for several ids at once sleeps on one more word of the same form, *any-seal*, which
//! every seal looks at too. Read-only clients wait at words of their own, which everybody who wakes
//! looks at while there are such clients (readers.rs).

use std::time::{Duration, Instant};

use crate::id::ObjectId;
use crate::layout::{H_ANY_SEAL, WAIT_WORDS};
use crate::readers;
use crate::shared::Shared;
use crate::sync::{AtomicU32, Ordering, fence};
use crate::sys::{clock, futex};

const WAITING: u32 = 1;
/// The longest sleep without a look at the object: the second line behind the reaper's wake.
const SLICE: Duration = Duration::from_secs(1);

/// What a waiter sleeps on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum On {
    /// One object.
    Object(ObjectId),
    /// Any seal anywhere.
    Any,
    /// Memory that is given back.
    Space,
}

fn word(shared: &Shared, on: On) -> &AtomicU32 {
    match on {
        On::Object(id) => shared.ctl.u32(shared.layout.wait(place(id))),
        On::Any => shared.ctl.u32(H_ANY_SEAL),
        On::Space => shared.ctl.u32(crate::layout::H_SPACE),
    }
}

fn place(id: ObjectId) -> usize {
    id.hash() as usize >> 16
}

/// Returns the word of a read-only client, which never waits for space.
fn word_of(shared: &Shared, reader: usize, on: On) -> &AtomicU32 {
    let n = if let On::Object(id) = on { Some(place(id)) } else { None };
    readers::wait_word(shared, reader, n)
}

/// Sleeps until `ready` gives a value or the deadline passes (`None` waits for ever).
///
/// `ready` is always called once more after the deadline.
pub(crate) fn wait<R>(
    shared: &Shared,
    on: On,
    deadline: Option<Instant>,
    mut ready: impl FnMut() -> Option<R>,
) -> Option<R> {
    let word = match &shared.reader {
        Some(me) => word_of(shared, me.index.into(), on),
        None => word(shared, on),
    };
    loop {
        let now = word.load(Ordering::Acquire);
        if let Some(found) = ready() {
            return Some(found);
        }
        let left = match deadline {
            None => SLICE,
            Some(deadline) => match deadline.checked_duration_since(clock::now()) {
                None => return None,
                Some(left) if left.is_zero() => return None,
                Some(left) => left.min(SLICE),
            },
        };
        let marked = now | WAITING;
        if now != marked && word.compare_exchange(now, marked, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            continue;
        }
        fence(Ordering::SeqCst);
        if let Some(found) = ready() {
            return Some(found);
        }
        futex::wait(word, marked, Some(left), u32::MAX);
    }
}

/// Wakes those who wait on a word, if there are any. The caller has made the change before.
#[inline]
pub(crate) fn wake(shared: &Shared, on: On) {
    fence(Ordering::SeqCst);
    wake_fenced(shared, on);
}

/// Wakes those who wait for an object or for any: the end of every seal.
#[inline]
pub(crate) fn sealed(shared: &Shared, ids: impl IntoIterator<Item = ObjectId>) {
    fence(Ordering::SeqCst);
    for id in ids {
        wake_fenced(shared, On::Object(id));
    }
    wake_fenced(shared, On::Any);
}

#[inline]
fn wake_fenced(shared: &Shared, on: On) {
    wake_word(word(shared, on));
    if !matches!(on, On::Space) {
        for reader in readers::all(shared) {
            wake_word(word_of(shared, reader, on));
        }
    }
}

#[inline]
fn wake_word(word: &AtomicU32) {
    if word.load(Ordering::Relaxed) & WAITING != 0 {
        wake_slow(word);
    }
}

#[cold]
fn wake_slow(word: &AtomicU32) {
    let mut now = word.load(Ordering::Relaxed);
    while now & WAITING != 0 {
        match word.compare_exchange(now, now.wrapping_add(2) & !WAITING, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => {
                futex::wake(word, u32::MAX, u32::MAX);
                return;
            }
            Err(other) => now = other,
        }
    }
}

/// Wakes every waiter there is, whatever the flags say: after a death.
pub(crate) fn wake_everybody(shared: &Shared) {
    for i in 0..WAIT_WORDS {
        bump(shared.ctl.u32(shared.layout.wait(i)));
    }
    bump(word(shared, On::Any));
    bump(word(shared, On::Space));
    for reader in readers::all(shared) {
        readers::wait_words(shared, reader).for_each(bump);
    }
}

fn bump(word: &AtomicU32) {
    // A word that was never waited on is zero and needs no wake; any other may have lost its flag
    // to a process that died before it woke the sleepers. The sequence moves on so that a waiter
    // between its re-check and its sleep does not sleep.
    if word.load(Ordering::SeqCst) != 0 {
        word.fetch_add(2, Ordering::AcqRel);
        futex::wake(word, u32::MAX, u32::MAX);
    }
}
