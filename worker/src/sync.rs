//! The seam under the words that threads of this process share by protocols: std's, or loom's in a model.
//!
//! What models explore (`proof`) takes its words from here. In any build but one with `--cfg loom` they are std's and
//! cost nothing.
//!
//! In a model a `SeqCst` access gets a `SeqCst` fence in front of it, as in the store's seam: loom knows the single
//! order of fences, but takes such an access for acquire and release.

#[cfg(loom)]
mod model;

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

#[cfg(loom)]
pub(crate) use self::model::{AtomicBool, AtomicU32, AtomicU64, Condvar, Mutex, MutexGuard, UnsafeCell, fence};

/// A place whose accesses a model sees.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// Lends the place to who reads it.
    #[inline(always)]
    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// Lends the place to the one who writes it.
    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

/// Returns a word's value to who has it alone.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) fn alone(word: &mut AtomicU64) -> u64 {
    *word.get_mut()
}

/// The same; others who touch the word at the same time fail the model.
#[cfg(loom)]
pub(crate) fn alone(word: &mut AtomicU64) -> u64 {
    word.alone()
}

/// Something that must end once in a model: it fails if that is left out.
#[cfg(loom)]
pub(crate) type Ending = loom::alloc::Track<()>;
