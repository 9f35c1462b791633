//! Words of a model: loom's, with the single order of sequentially consistent accesses.
//!
//! Time stands still: a wait with a timeout ends by a wake only, so that a lost wake-up is a deadlock, which loom reports.

use std::sync::atomic::Ordering;

use loom::sync::atomic;

pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::sync::atomic::fence;
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};

/// Puts the fence in front that stands for an access's place in the single order.
fn ordered(order: Ordering) -> Ordering {
    if order == Ordering::SeqCst {
        fence(Ordering::SeqCst);
    }
    order
}

macro_rules! word {
    ($name:ident, $int:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name(atomic::$name);

        #[allow(dead_code, reason = "the same set for all words")]
        impl $name {
            pub(crate) fn new(value: $int) -> Self {
                $name(atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $int {
                self.0.load(ordered(order))
            }

            pub(crate) fn store(&self, value: $int, order: Ordering) {
                self.0.store(value, ordered(order));
            }

            pub(crate) fn swap(&self, value: $int, order: Ordering) -> $int {
                self.0.swap(value, ordered(order))
            }

            pub(crate) fn compare_exchange_weak(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                self.0.compare_exchange(current, new, ordered(success), failure)
            }
        }
    };
}

word!(AtomicBool, bool);
word!(AtomicU32, u32);
word!(AtomicU64, u64);

macro_rules! number {
    ($name:ident, $int:ty) => {
        #[allow(dead_code, reason = "the same set for all words")]
        impl $name {
            pub(crate) fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                self.0.fetch_add(value, ordered(order))
            }

            pub(crate) fn fetch_sub(&self, value: $int, order: Ordering) -> $int {
                self.0.fetch_sub(value, ordered(order))
            }

            pub(crate) fn fetch_or(&self, value: $int, order: Ordering) -> $int {
                self.0.fetch_or(value, ordered(order))
            }
        }
    };
}

number!(AtomicU32, u32);
number!(AtomicU64, u64);

impl AtomicU64 {
    /// Returns the value to who has the word alone.
    pub(crate) fn alone(&mut self) -> u64 {
        self.0.with_mut(|value| *value)
    }
}
