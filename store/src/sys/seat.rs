//! A place for every thread of the process, where others can see what it is at.
//!
//! Seats are made when threads need them, used again when their threads are gone, and never freed: who looks
//! at all of them needs no lock. A forked child has those of its parent, too, and only its own thread in them.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr};

use crate::sync::{AtomicU64, Ordering};

/// The newest seat.
static SEATS: AtomicPtr<Seat> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    static MINE: Cell<Option<&'static Seat>> = const { Cell::new(None) };
    static TENANCY: Tenancy = const { Tenancy };
}

/// One thread's place.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Seat {
    /// What the thread is at; 0 = nothing.
    pub(crate) at: AtomicU64,
    /// Its place among all seats.
    pub(crate) number: usize,
    taken: AtomicBool,
    next: Option<&'static Seat>,
}

/// Gives a thread's seat back when the thread ends.
struct Tenancy;

impl Drop for Tenancy {
    fn drop(&mut self) {
        if let Some(seat) = MINE.take() {
            seat.leave();
        }
    }
}

impl Seat {
    /// Makes a seat that is taken.
    pub(crate) fn new(number: usize, next: Option<&'static Seat>) -> Seat {
        Seat { at: AtomicU64::new(0), number, taken: AtomicBool::new(true), next }
    }

    /// Returns this thread's seat if it has one already.
    #[inline]
    pub(crate) fn mine() -> Option<&'static Seat> {
        MINE.get()
    }

    /// Calls `f` with this thread's seat.
    #[inline]
    pub(crate) fn with<R>(f: impl FnOnce(&Seat) -> R) -> R {
        match MINE.get() {
            Some(seat) => f(seat),
            None => Self::with_new(f),
        }
    }

    #[cold]
    fn with_new<R>(f: impl FnOnce(&Seat) -> R) -> R {
        let seat = Self::claim();
        if TENANCY.try_with(|_| ()).is_ok() {
            MINE.set(Some(seat));
            return f(seat);
        }
        // The thread is ending, and has given its seat back.
        let done = f(seat);
        seat.leave();
        done
    }

    /// Lists all seats that were taken before this call.
    pub(crate) fn all() -> impl Iterator<Item = &'static Seat> {
        // SYNC seats: pairs with the exchange in `claim`.
        let first = SEATS.load(Ordering::SeqCst);
        // SAFETY: null, or a seat that was leaked in `claim`: it never moves or goes.
        std::iter::successors(unsafe { first.as_ref() }, |seat| seat.next)
    }

    fn claim() -> &'static Seat {
        // SYNC taken: pairs with the store in `leave`.
        let free = |seat: &&Seat| seat.taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if let Some(seat) = Self::all().find(free) {
            return seat;
        }
        loop {
            let first = Self::all().next();
            // One that another thread is faster with is lost for good: as many as threads that begin at once.
            let seat: &'static Seat = Box::leak(Box::new(Seat::new(first.map_or(0, |seat| seat.number + 1), first)));
            let expected = first.map_or(ptr::null_mut(), |seat| ptr::from_ref(seat).cast_mut());
            // SYNC seats: who looks at all seats after this thread was at something finds it.
            let made = ptr::from_ref(seat).cast_mut();
            if SEATS.compare_exchange(expected, made, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
                return seat;
            }
        }
    }

    fn leave(&self) {
        // SYNC taken: what its thread did with its number is there for the next one.
        self.taken.store(false, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_seat_and_nobody_else_has_it() {
        let seat = || Seat::with(|seat| ptr::from_ref(seat).addr());
        assert_eq!(seat(), seat());
        let others = [std::thread::spawn(seat).join().unwrap(), std::thread::spawn(seat).join().unwrap()];
        assert!(!others.contains(&seat()));
    }
}
