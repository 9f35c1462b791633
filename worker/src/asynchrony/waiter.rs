//! Who waits for refs, and who is to be woken because of them.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::panics;

/// A future that waits: for how many things, and whom it wants woken.
pub(crate) struct Waiter {
    missing: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Waiter {
    /// Makes one that waits for `missing` things.
    pub(crate) fn new(missing: usize, waker: &Waker) -> Arc<Self> {
        Arc::new(Waiter { missing: AtomicUsize::new(missing), waker: Mutex::new(Some(waker.clone())) })
    }

    /// One thing is there; returns whom to wake if it was the last one.
    pub(crate) fn arrived(&self) -> Option<Waker> {
        let less = |missing: usize| missing.checked_sub(1);
        match self.missing.fetch_update(Ordering::AcqRel, Ordering::Acquire, less) {
            Ok(1) => self.waker().take(),
            _ => None,
        }
    }

    /// True if nothing is missing any more.
    pub(crate) fn is_done(&self) -> bool {
        self.missing.load(Ordering::Acquire) == 0
    }

    /// Has another waker called. Who looks afterwards misses nothing: what came before has been counted.
    pub(crate) fn wake_by(&self, waker: &Waker) {
        let before = {
            let mut known = self.waker();
            match &mut *known {
                Some(known) if known.will_wake(waker) => None,
                known => known.replace(waker.clone()),
            }
        };
        drop(before);
    }

    /// Wakes nobody any more.
    pub(crate) fn leave(&self) {
        let waker = self.waker().take();
        drop(waker);
    }

    /// True if the future is gone, and only lists know of it.
    pub(crate) fn is_left(waiter: &Arc<Self>) -> bool {
        Arc::strong_count(waiter) == 1
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("missing", &self.missing).finish_non_exhaustive()
    }
}

/// Wakers that are to be called as soon as no lock is held (ASYNC-1).
#[derive(Default)]
pub(crate) struct Wakes {
    list: Mutex<Vec<Waker>>,
    any: AtomicBool,
}

impl Wakes {
    /// Adds wakers; whoever is in charge of the pump looks for them.
    pub(crate) fn add(&self, wakers: Vec<Waker>) {
        if !wakers.is_empty() {
            self.lock().extend(wakers);
            self.any.store(true, Ordering::Release);
        }
    }

    /// True if there are some.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Calls all of them. The caller has no lock.
    pub(crate) fn call(&self) {
        if !self.any() || !self.any.swap(false, Ordering::AcqRel) {
            return;
        }
        let wakers = mem::take(&mut *self.lock());
        for waker in wakers {
            // The hook has told of a panic, and nobody here can do more about it.
            let _ = panics::catch(|| waker.wake());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_last_arrival_wakes_and_only_the_latest_waker() {
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let waiter = Waiter::new(2, &first.clone().into());
        assert!(waiter.arrived().is_none() && !waiter.is_done());
        waiter.wake_by(&second.clone().into());
        let wakes = Wakes::default();
        wakes.add(waiter.arrived().into_iter().collect());
        assert!(waiter.is_done() && wakes.any());
        wakes.call();
        wakes.call();
        assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (0, 1));
        assert!(waiter.arrived().is_none());
        assert_eq!(Arc::strong_count(&second), 1, "a waker that was called is gone");
    }

    #[test]
    fn who_leaves_is_woken_no_more() {
        let count = Arc::new(Count::default());
        let waiter = Waiter::new(1, &count.clone().into());
        let listed = waiter.clone();
        waiter.leave();
        drop(waiter);
        assert!(Waiter::is_left(&listed));
        assert!(listed.arrived().is_none());
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn a_waker_that_panics_keeps_no_other_from_its_turn() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("a waker of a test");
            }
        }
        let count = Arc::new(Count::default());
        let wakes = Wakes::default();
        wakes.add(vec![Arc::new(Panics).into(), count.clone().into()]);
        wakes.call();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
