//! Shared words in a model: loom's atomics, and futexes made of loom's parts.
//!
//! Three things differ from the words of a store.
//!
//! - A `SeqCst` access gets a `SeqCst` fence in front of it. Loom knows the single order of fences
//!   but takes a `SeqCst` access for acquire and release, which would report failures that neither
//!   the language nor a processor allows; a leading fence is how such accesses are translated for
//!   processors with weak order.
//! - A 32-bit word carries the queue of those who sleep on it. Looking at the word and going to sleep
//!   is one step, as it is in the kernel. So a lost wake-up is a deadlock, which loom reports.
//! - Time stands still: a sleep with a timeout ends by a wake only, so that a slice cannot hide a lost
//!   wake-up. A model of a death turns that round with [`timeouts`]: every such sleep is over at once, and
//!   the clock has moved on by its length (clock.rs).
//! - A word may be *guarded*: changed and read only by the owner of a lock, as the allocator's are. Then it is
//!   plain memory with which loom finds a data race (payload.rs), and no place to switch to another thread.
//!
//! A thread can be made [`mortal`]: it ends after a number of shared stores, as a process does that is
//! killed there. What would run while it unwinds changes nothing.

pub(crate) mod clock;
pub(crate) mod payload;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use std::time::Duration;

use loom::sync::{Condvar, atomic};
use loom::thread::{self, ThreadId};

use super::Ordering;

pub(crate) use loom::sync::Mutex;
pub(crate) use loom::sync::atomic::fence;

thread_local!(static TIMEOUTS: Cell<bool> = const { Cell::new(false) });

thread_local!(static HASTY: Cell<bool> = const { Cell::new(false) });

/// Says whether who tries a lock some times may give up before its owner makes another step: in most models that
/// owner comes to its end first, unless it is the one that is switched away from.
pub(crate) fn hasty(hasty: bool) {
    HASTY.set(hasty);
}

/// Looks again, after others or at once.
pub(crate) fn spin_loop() {
    if !HASTY.get() {
        loom::hint::spin_loop();
    }
}

/// Says whether sleeps with a timeout end at once; all threads of a model run on the model's own.
pub(crate) fn timeouts(end: bool) {
    TIMEOUTS.set(end);
}

thread_local!(static READERS: Cell<bool> = const { Cell::new(false) });

/// Says whether the stores of a model have read-only clients.
pub(crate) fn readers(any: bool) {
    READERS.set(any);
}

/// Returns what [`readers`] was told.
pub(crate) fn has_readers() -> bool {
    READERS.get()
}

/// What a word is made of.
#[derive(Debug)]
enum Kept<A, P> {
    Shared(A),
    /// Only the owner of a lock touches it.
    Guarded(P),
}

impl<A, P> Kept<A, P> {
    /// The word as others see it change.
    fn shared(&self) -> &A {
        match self {
            Kept::Shared(word) => word,
            Kept::Guarded(..) => panic!("a guarded word is only loaded and stored"),
        }
    }
}

/// A thread that is killed after some stores.
#[derive(Debug)]
struct Mortal {
    thread: ThreadId,
    /// How many stores are left to it; 0 = it is dead.
    left: usize,
}

thread_local!(static MORTAL: RefCell<Option<Mortal>> = const { RefCell::new(None) });

/// What a killed thread unwinds with.
struct Killed;

/// Runs `life` on this thread until its end or its `stores`-th shared store; says whether it came to its end.
///
/// There is one mortal thread at a time in a model.
pub(crate) fn mortal(stores: usize, life: impl FnOnce()) -> bool {
    MORTAL.set(Some(Mortal { thread: thread::current().id(), left: stores }));
    let end: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(life));
    MORTAL.set(None);
    match end {
        Ok(()) => true,
        Err(killed) if killed.is::<Killed>() => false,
        Err(other) => resume_unwind(other),
    }
}

/// Says whether the running thread was killed and is only unwinding.
fn is_killed() -> bool {
    MORTAL.with_borrow(|mortal| mortal.as_ref().is_some_and(|m| m.left == 0 && m.thread == thread::current().id()))
}

/// Counts a store of a mortal thread, and kills it if it was the last.
fn stored() {
    let killed = MORTAL.with_borrow_mut(|mortal| {
        let Some(mortal) = mortal.as_mut().filter(|m| m.left > 0 && m.thread == thread::current().id()) else {
            return false;
        };
        mortal.left -= 1;
        mortal.left == 0
    });
    if killed {
        resume_unwind(Box::new(Killed));
    }
}

/// Puts the fence in front that stands for an access's place in the single order.
fn ordered(order: Ordering) -> Ordering {
    if order == Ordering::SeqCst {
        fence(Ordering::SeqCst);
    }
    order
}

macro_rules! word {
    ($name:ident, $inner:ty, $plain:ty, $int:ty) => {
        #[allow(dead_code, reason = "the same set as outside of models")]
        impl $name {
            /// Reads and writes in one step.
            fn change(&self, change: impl FnOnce(&$inner) -> $int) -> $int {
                if is_killed() {
                    return 0;
                }
                let old = change(self.word.shared());
                stored();
                old
            }

            pub(crate) fn load(&self, order: Ordering) -> $int {
                if is_killed() {
                    return 0;
                }
                match &self.word {
                    Kept::Shared(word) => word.load(ordered(order)),
                    Kept::Guarded(value) => {
                        payload::guarded_read();
                        value.load(Ordering::Relaxed)
                    }
                }
            }

            pub(crate) fn store(&self, value: $int, order: Ordering) {
                if is_killed() {
                    return;
                }
                match &self.word {
                    Kept::Shared(word) => word.store(value, ordered(order)),
                    Kept::Guarded(place) => {
                        payload::guarded_written();
                        place.store(value, Ordering::Relaxed);
                    }
                }
                stored();
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                if is_killed() {
                    return Ok(current);
                }
                let old = self.word.shared().compare_exchange(current, new, ordered(success), failure)?;
                stored();
                Ok(old)
            }

            pub(crate) fn compare_exchange_weak(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                self.compare_exchange(current, new, success, failure)
            }

            pub(crate) fn swap(&self, value: $int, order: Ordering) -> $int {
                self.change(|word| word.swap(value, ordered(order)))
            }

            pub(crate) fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                self.change(|word| word.fetch_add(value, ordered(order)))
            }

            pub(crate) fn fetch_sub(&self, value: $int, order: Ordering) -> $int {
                self.change(|word| word.fetch_sub(value, ordered(order)))
            }

            pub(crate) fn fetch_and(&self, value: $int, order: Ordering) -> $int {
                self.change(|word| word.fetch_and(value, ordered(order)))
            }

            pub(crate) fn fetch_or(&self, value: $int, order: Ordering) -> $int {
                self.change(|word| word.fetch_or(value, ordered(order)))
            }

            pub(crate) fn fetch_xor(&self, value: $int, order: Ordering) -> $int {
                self.change(|word| word.fetch_xor(value, ordered(order)))
            }

            pub(crate) fn fetch_max(&self, value: $int, order: Ordering) -> $int {
                self.change(|word| word.fetch_max(value, ordered(order)))
            }

            pub(crate) fn fetch_min(&self, value: $int, order: Ordering) -> $int {
                self.change(|word| word.fetch_min(value, ordered(order)))
            }
        }
    };
}

/// A modelled word of 64 bits.
#[derive(Debug)]
pub(crate) struct AtomicU64 {
    word: Kept<atomic::AtomicU64, std::sync::atomic::AtomicU64>,
}

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> AtomicU64 {
        AtomicU64 { word: Kept::Shared(atomic::AtomicU64::new(value)) }
    }

    /// Makes a word that is 0 and guarded by a lock.
    pub(crate) fn guarded() -> AtomicU64 {
        AtomicU64 { word: Kept::Guarded(0.into()) }
    }
}

word!(AtomicU64, atomic::AtomicU64, std::sync::atomic::AtomicU64, u64);

/// A modelled word of 32 bits with those who sleep on it.
#[derive(Debug)]
pub(crate) struct AtomicU32 {
    word: Kept<atomic::AtomicU32, std::sync::atomic::AtomicU32>,
    bed: Option<Bed>,
}

/// Where those sleep who wait for a word.
#[derive(Debug)]
struct Bed {
    asleep: Mutex<Asleep>,
    woken: Condvar,
}

/// The kernel's queue of a word.
#[derive(Debug, Default)]
struct Asleep {
    next: usize,
    /// Who sleeps: ticket and bits.
    queue: Vec<(usize, u32)>,
}

impl AtomicU32 {
    pub(crate) fn new(value: u32) -> AtomicU32 {
        let bed = Bed { asleep: Mutex::new(Asleep::default()), woken: Condvar::new() };
        AtomicU32 { word: Kept::Shared(atomic::AtomicU32::new(value)), bed: Some(bed) }
    }

    /// Makes a word that is 0 and guarded by a lock.
    pub(crate) fn guarded() -> AtomicU32 {
        AtomicU32 { word: Kept::Guarded(0.into()), bed: None }
    }

    fn bed(&self) -> &Bed {
        self.bed.as_ref().expect("nobody sleeps on a guarded word")
    }

    fn sleep(&self, expected: u32, timeout: Option<Duration>, bits: u32) -> bool {
        if is_killed() {
            return true;
        }
        if let Some(timeout) = timeout
            && TIMEOUTS.get()
        {
            clock::nap(timeout);
            return false;
        }
        let mut asleep = self.bed().asleep.lock().unwrap_or_else(PoisonError::into_inner);
        // A read-modify-write reads the newest value, as the kernel does under the lock of its queue.
        if self.word.shared().fetch_or(0, Ordering::AcqRel) != expected {
            return true;
        }
        let ticket = asleep.next;
        asleep.next += 1;
        asleep.queue.push((ticket, bits));
        while asleep.queue.iter().any(|&(waiting, _)| waiting == ticket) {
            asleep = self.bed().woken.wait(asleep).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    fn wake(&self, count: u32, bits: u32) {
        if is_killed() {
            return;
        }
        let mut asleep = self.bed().asleep.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = count;
        let before = asleep.queue.len();
        asleep.queue.retain(|&(_, theirs)| {
            let wake = left > 0 && theirs & bits != 0;
            left -= u32::from(wake);
            !wake
        });
        if asleep.queue.len() < before {
            self.bed().woken.notify_all();
        }
    }
}

word!(AtomicU32, atomic::AtomicU32, std::sync::atomic::AtomicU32, u32);

/// The calls of `sys/futex.rs`, without a kernel.
pub(crate) mod futex {
    use std::time::Duration;

    use super::AtomicU32;

    /// Sleeps until a wake with one of `bitset`, unless the word differs from `expected`.
    pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>, bitset: u32) -> bool {
        word.sleep(expected, timeout, bitset)
    }

    /// Wakes at most `count` sleepers that have one of `bitset`, the longest asleep first.
    pub(crate) fn wake(word: &AtomicU32, count: u32, bitset: u32) {
        word.wake(count, bitset);
    }
}

/// The calls of `sys/processor.rs` where there is one processor.
pub(crate) mod processor {
    pub(crate) fn tid() -> u32 {
        1
    }

    pub(crate) fn current() -> u32 {
        0
    }

    pub(crate) fn allowed(_tid: u32) -> u64 {
        1
    }

    pub(crate) fn allow(_tid: u32, _mask: u64) {}
}
