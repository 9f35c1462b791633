//! The memory that all clones of a ref share: counted, written once, used again.
//!
//! ```text
//!   word: | refs:56 | ... ARRIVED | BORROWED | WATCHED | SET |
//!
//!   Unanswered (one, the pending entry's)        RefInner (any number, the program's)
//!     settle: outcome, then SET and one ref less   is SET? then outcome
//!             in one exchange (REF-READY)          clone: one ref more, drop: one less
//!                        \                        /
//!                         last of both: outcome dropped, memory to this thread's spare ones
//! ```
//!
//! An `Arc` with a `OnceLock` inside does the same with seven locked instructions in a ref's life
//! and an allocation; this takes one of the former, and none of the latter while as many refs come as go.
//!
//! - **CELL-1** The outcome is written by the one [`Unanswered`] of a cell, which that uses up, or
//!   before anybody else knows the cell; it is read by who has seen SET, which comes after (REF-READY).
//! - **CELL-2** Nobody touches the memory without a count of their own; who gives the last one back
//!   has it alone. A count of one is its owner's, who need not exchange it for zero.

use std::cell::RefCell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use mobula_store::ObjectId;

use crate::refs::{Outcome, Rare};
use crate::sync::{self, AtomicU64, Mutex, MutexGuard, UnsafeCell, fence};
use crate::unread;

/// The outcome is there.
pub(crate) const SET: u64 = 1;
/// Somebody is to be told of it: see [`Rare`].
pub(crate) const WATCHED: u64 = 2;
/// Read from a message; the outcome is an object that may still be promised.
pub(crate) const BORROWED: u64 = 4;
/// The same, and the object is there, or is known to be lost.
pub(crate) const ARRIVED: u64 = 8;
const FLAGS: u64 = 0xff;
/// One ref more.
const ONE: u64 = FLAGS + 1;

/// How many cells a thread keeps for its next refs.
const SPARE: usize = if cfg!(loom) { 0 } else { 1024 };

/// What all clones of a ref share. A ref that is held costs this, a word for the allocator and itself.
struct Memory {
    word: AtomicU64,
    /// The runtime that the ref belongs to; 0 for one that failed because there is none.
    runtime: u32,
    rare: Mutex<Option<Box<Rare>>>,
    id: ObjectId,
    outcome: UnsafeCell<MaybeUninit<Outcome>>,
    #[cfg(loom)]
    _ending: sync::Ending,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Memory>() <= 72);

thread_local! {
    /// Cells without a content.
    #[expect(clippy::vec_box, reason = "it is the boxes that are kept")]
    static SPARES: RefCell<Vec<Box<Memory>>> = const { RefCell::new(Vec::new()) };
}

/// One ref's inside; a clone shares it.
pub(crate) struct RefInner(NonNull<Memory>);

// SAFETY: the memory is shared through atomics and a mutex, the outcome as CELL-1 says; what can be
// reached through a shared reference or dropped by the last owner is `Send + Sync` (`check` below).
unsafe impl Send for RefInner {}
// SAFETY: as for Send.
unsafe impl Sync for RefInner {}

const fn check<T: Send + Sync>() {}
const _: () = check::<(Outcome, Mutex<Option<Box<Rare>>>, ObjectId)>();

/// The right, and duty, to settle a ref.
pub(crate) struct Unanswered(RefInner);

/// Makes a ref that waits, and what settles it.
#[inline]
pub(crate) fn unanswered(runtime: u32, id: ObjectId) -> (RefInner, Unanswered) {
    let cell = make(runtime, id, 2 * ONE, None);
    let second = RefInner(cell.0);
    (cell, Unanswered(second))
}

/// Makes a ref that has its outcome from the beginning.
pub(crate) fn settled(runtime: u32, id: ObjectId, outcome: Outcome, flags: u64) -> RefInner {
    make(runtime, id, ONE | SET | flags, Some(outcome))
}

#[inline]
fn make(runtime: u32, id: ObjectId, word: u64, outcome: Option<Outcome>) -> RefInner {
    let spare = SPARES.try_with(|spares| spares.try_borrow_mut().ok()?.pop()).ok().flatten();
    let mut memory = spare.unwrap_or_else(|| {
        let (word, outcome) = (AtomicU64::new(0), UnsafeCell::new(MaybeUninit::uninit()));
        Box::new(Memory {
            word,
            runtime,
            rare: Mutex::default(),
            id,
            outcome,
            #[cfg(loom)]
            _ending: sync::Ending::new(()),
        })
    });
    memory.word = AtomicU64::new(word);
    memory.runtime = runtime;
    memory.id = id;
    if let Some(outcome) = outcome {
        memory.outcome = UnsafeCell::new(MaybeUninit::new(outcome));
    }
    RefInner(NonNull::from(Box::leak(memory)))
}

impl RefInner {
    #[inline]
    fn memory(&self) -> &Memory {
        // SAFETY: it was leaked in `make` and lives as long as this count (CELL-2); shared references
        // only are made of it until the last count is gone.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn id(&self) -> ObjectId {
        self.memory().id
    }

    /// Returns the number of the runtime that the ref belongs to.
    #[inline]
    pub(crate) fn runtime(&self) -> u32 {
        self.memory().runtime
    }

    /// Returns what is known of the ref.
    #[inline]
    pub(crate) fn flags(&self) -> u64 {
        // SYNC REF-READY: pairs with the exchange in `settle`.
        self.memory().word.load(Ordering::Acquire) & FLAGS
    }

    /// Returns what the ref has become; the object of a borrowed one may still be promised.
    #[inline]
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        if self.flags() & SET == 0 {
            return None;
        }
        // SAFETY: SET was seen, so the outcome is written and nobody writes again (CELL-1).
        let outcome = self.memory().outcome.with(|place| unsafe { &*place });
        // SAFETY: as above.
        Some(unsafe { outcome.assume_init_ref() })
    }

    /// Notes that the object of a borrowed ref is there.
    pub(crate) fn arrive(&self) {
        self.memory().word.fetch_or(ARRIVED, Ordering::Release);
    }

    /// Has `settle` look into `rare`, whose lock the caller holds; false if it is over.
    pub(crate) fn watch(&self) -> bool {
        let word = &self.memory().word;
        let mut now = word.load(Ordering::Acquire);
        while now & (SET | WATCHED) == 0 {
            match word.compare_exchange_weak(now, now | WATCHED, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
        now & SET == 0
    }

    /// Locks what few refs have.
    pub(crate) fn rare(&self) -> MutexGuard<'_, Option<Box<Rare>>> {
        self.memory().rare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the cell, whose last count the caller has given back or is about to.
    fn end(at: NonNull<Memory>) {
        // SAFETY: it was leaked in `make`, and nobody else has a count (CELL-2).
        let mut memory = unsafe { Box::from_raw(at.as_ptr()) };
        if sync::alone(&mut memory.word) & SET != 0 {
            memory.word = AtomicU64::new(0);
            let outcome = memory.outcome.with_mut(|place| {
                // SAFETY: the memory is this one's alone.
                let outcome = unsafe { &mut *place };
                // SAFETY: SET says that it is written; the word says from here on that it is not.
                unsafe { outcome.assume_init_read() }
            });
            match outcome {
                Outcome::Failed(error) => unread::note(memory.runtime, error),
                other => drop(other),
            }
        }
        let rare = memory.rare.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        drop(rare);
        // While a thread ends there is nowhere to keep it; inside an allocation of the list neither.
        let _ = SPARES.try_with(|spares| {
            if let Ok(mut spares) = spares.try_borrow_mut()
                && spares.len() < SPARE
            {
                spares.push(memory);
            }
        });
    }
}

impl Clone for RefInner {
    #[inline]
    fn clone(&self) -> Self {
        // 2^56 refs have no room in memory.
        self.memory().word.fetch_add(ONE, Ordering::Relaxed);
        RefInner(self.0)
    }
}

impl Drop for RefInner {
    #[inline]
    fn drop(&mut self) {
        let word = &self.memory().word;
        // SYNC REF-DROP: who has the last count sees what those did who gave theirs back before.
        if word.load(Ordering::Acquire) >= 2 * ONE {
            if word.fetch_sub(ONE, Ordering::Release) >= 2 * ONE {
                return;
            }
            // SYNC REF-DROP: as above.
            fence(Ordering::Acquire);
        }
        RefInner::end(self.0);
    }
}

impl Unanswered {
    /// Returns the ref.
    pub(crate) fn inner(&self) -> &RefInner {
        &self.0
    }

    /// Settles the ref; returns it if somebody is to be told.
    #[inline]
    #[must_use]
    pub(crate) fn settle(self, outcome: Outcome) -> Option<RefInner> {
        let inner = ManuallyDrop::new(self.0);
        let memory = inner.memory();
        memory.outcome.with_mut(|place| {
            // SAFETY: nobody reads before SET, and this is the only one who writes (CELL-1).
            let place = unsafe { &mut *place };
            place.write(outcome);
        });
        let mut word = memory.word.load(Ordering::Acquire);
        loop {
            if word < 2 * ONE {
                // The program has dropped it: nobody else knows the cell any more.
                memory.word.store(word | SET, Ordering::Relaxed);
                return if word & WATCHED != 0 { Some(ManuallyDrop::into_inner(inner)) } else { finish(inner) };
            }
            let (new, tell) = if word & WATCHED != 0 { (word | SET, true) } else { ((word | SET) - ONE, false) };
            // SYNC REF-READY: who sees SET sees the outcome; REF-DROP.
            match memory.word.compare_exchange_weak(word, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return tell.then(|| ManuallyDrop::into_inner(inner)),
                Err(now) => word = now,
            }
        }
    }
}

#[cold]
fn finish(inner: ManuallyDrop<RefInner>) -> Option<RefInner> {
    drop(ManuallyDrop::into_inner(inner));
    None
}

#[cfg(all(test, loom))]
mod proof;

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::value::Bytes;

    fn id() -> ObjectId {
        ObjectId::from_bytes([7; 16])
    }

    /// An outcome whose end can be seen.
    fn seen() -> (Arc<[u8]>, Outcome) {
        let bytes: Arc<[u8]> = vec![1; 100].into();
        (bytes.clone(), Outcome::Value(Bytes::Shared(bytes)))
    }

    #[test]
    fn an_outcome_is_dropped_once_whoever_is_last() {
        for order in 0..4 {
            let (bytes, outcome) = seen();
            let (inner, unanswered) = unanswered(1, id());
            let clone = inner.clone();
            assert!(inner.outcome().is_none());
            match order {
                0 => {
                    assert!(unanswered.settle(outcome).is_none());
                    assert!(matches!(clone.outcome(), Some(Outcome::Value(_))));
                    drop((inner, clone));
                }
                1 => {
                    drop((inner, clone));
                    assert!(unanswered.settle(outcome).is_none());
                }
                2 => {
                    drop(clone);
                    assert!(inner.watch());
                    let told = unanswered.settle(outcome).expect("somebody is to be told");
                    assert!(!inner.watch());
                    drop((told, inner));
                }
                _ => {
                    assert!(inner.watch());
                    drop((inner, clone));
                    let told = unanswered.settle(outcome).expect("somebody is to be told");
                    assert!(told.outcome().is_some());
                }
            }
            assert_eq!(Arc::strong_count(&bytes), 1, "order {order}");
        }
    }

    #[test]
    fn a_cell_that_is_used_again_knows_nothing_of_its_past() {
        let (_, outcome) = seen();
        let first = settled(1, id(), outcome, BORROWED | ARRIVED);
        first.rare().get_or_insert_default();
        let place = first.0;
        drop(first);
        let (inner, unanswered) = unanswered(2, ObjectId::from_bytes([8; 16]));
        assert_eq!(inner.0, place);
        assert_eq!((inner.runtime(), inner.flags(), inner.id()), (2, 0, ObjectId::from_bytes([8; 16])));
        assert!(inner.rare().is_none() && inner.outcome().is_none());
        drop(unanswered);
        assert!(inner.outcome().is_none());
    }

    #[test]
    fn threads_that_settle_read_and_drop_at_once_agree() {
        for round in 0..2_000_u32 {
            let (bytes, outcome) = seen();
            let (inner, unanswered) = unanswered(round, id());
            let others = [inner.clone(), inner.clone()];
            std::thread::scope(|scope| {
                scope.spawn(move || drop(unanswered.settle(outcome)));
                for other in others {
                    scope.spawn(move || {
                        if let Some(Outcome::Value(bytes)) = other.outcome() {
                            assert_eq!(bytes[..], [1; 100]);
                        }
                    });
                }
                if round % 2 == 0 {
                    while inner.outcome().is_none() {
                        std::hint::spin_loop();
                    }
                }
                drop(inner);
            });
            assert_eq!(Arc::strong_count(&bytes), 1);
        }
    }
}
