//! How long a client lives: until its last handle and its last unit in this process are gone.
//!
//! *Handles* (stores, buffers, promises, rings, bells) are few and live long: they are counted together, in one
//! word. *Units* (views and holds) come and go with every get, and a locked instruction each for counting them
//! would cost as much as all else. So every thread counts them for itself, in a line of its own that only it
//! writes, and somebody adds the lines up only when the last handle is gone.
//!
//! ```text
//!   drops a unit (or takes one by another)        drops the last handle
//!     U1 seat = this client                         H1 handles: 1 -> 0             under the lock
//!     U2 the hold word, by a locked instruction     H2 wait until nobody's seat is this client
//!     U3 handles > 0 ?  own line -= 1               H3 settled; all lines + rest = 0 ?  end       under the lock
//!                       seat = none
//!        otherwise      seat = none
//!                       rest -= 1; settled and all lines + rest = 0 ?  end           under the lock
//! ```
//!
//! U1 before U3 and H1 before H2, with a full fence between either two (U2 is the one that a drop needs anyway):
//! either U3 sees that there is no handle, or H2 sees the seat and waits for the line. So after H2 no line
//! changes any more and the sum is right: a unit that was counted on one thread and dropped on another takes one
//! away there that was never added, and only all lines together tell. Who takes a unit through a handle needs no
//! seat: the handle stays meanwhile.
//!
//! A unit can bring a client back that has no handle (a view knows its store): that is done under the lock, too,
//! and starts the whole anew. Whoever waits in H2 counts as a unit, so that nobody ends the client under its feet.
//!
//! None of this is shared memory: what other processes write can make an object go too early or too late, but
//! never the memory that a handle or a view of this process stands on.
//!
//! Invariants:
//! - ST-31: handles > 0, or the sum of all lines and the rest is the number of units and of those who wait in H2.
//! - ST-32: a client ends once, by the one who finds the sum zero under the lock; nobody touches it afterwards.

use std::ptr;
use std::sync::PoisonError;

use crate::sync::{AtomicU64, Mutex, Ordering, spin_loop};
use crate::sys::fork::PerProcess;
use crate::sys::seat::Seat;

/// How many threads have a line of their own in every client; all others share one more.
const LINES: usize = if cfg!(loom) { 2 } else { 32 };
/// How often who waits for a seat looks again before it lets others run.
const SPINS: usize = 100;

/// The one lock of all clients' ends: none of them can go while somebody still unlocks it.
static ENDS: PerProcess<Mutex<()>> = PerProcess::new();

/// A count that one thread writes.
#[derive(Debug)]
#[repr(align(64))]
struct Line(AtomicU64);

/// What keeps a client.
#[derive(Debug)]
pub(crate) struct Life {
    handles: AtomicU64,
    /// The last one is for all threads without a line of their own.
    lines: [Line; LINES + 1],
    /// Units counted while there was no handle; under the lock.
    rest: AtomicU64,
    /// How often the client was brought back; under the lock.
    back: AtomicU64,
    /// Whether no line changes any more; under the lock.
    settled: AtomicU64,
}

impl Life {
    /// Begins with one handle and no unit.
    pub(crate) fn new() -> Life {
        Life {
            handles: AtomicU64::new(1),
            lines: std::array::from_fn(|_| Line(AtomicU64::new(0))),
            rest: AtomicU64::new(0),
            back: AtomicU64::new(0),
            settled: AtomicU64::new(0),
        }
    }

    /// What a seat calls this client.
    #[inline]
    fn name(&self) -> u64 {
        ptr::from_ref(self).addr() as u64
    }

    /// Counts a unit that is taken while there is a handle.
    #[inline]
    pub(crate) fn take(&self, seat: &Seat) {
        self.add(seat, 1);
    }

    /// Begins to drop a unit, or to take one by means of another (U1); the caller does that now, by a sequentially
    /// consistent change of a word (U2), and then [`stand`](Self::stand)s up.
    #[inline]
    pub(crate) fn sit(&self, seat: &Seat) {
        // On x86-64 the locked instruction of U2 is the fence that others need here.
        let order = if cfg!(all(target_arch = "x86_64", not(loom))) { Ordering::Relaxed } else { Ordering::SeqCst };
        seat.at.store(self.name(), order);
    }

    /// Counts the unit `by` 1 or [`MINUS_ONE`] if there is a handle (U3). If not, the caller has it
    /// [counted late](Self::count_late); its unit still counts until then.
    #[inline]
    #[must_use]
    pub(crate) fn stand(&self, seat: &Seat, by: u64) -> bool {
        // SYNC seat: pairs with the exchange in `let_go`.
        let counts = self.handles.load(Ordering::SeqCst) != 0;
        if counts {
            self.add(seat, by);
        }
        // SYNC line: what the line says is there when the seat is empty; pairs with the load in `wait`.
        seat.at.store(0, Ordering::Release);
        counts
    }

    #[inline]
    fn add(&self, seat: &Seat, by: u64) {
        let line = &self.lines[seat.number.min(LINES)].0;
        if seat.number < LINES {
            line.store(line.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        } else {
            line.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Counts a unit while there is no handle. Says whether the client has to end: then the caller is the last that
    /// knows it.
    #[cold]
    pub(crate) fn count_late(&self, ends: impl Ends, by: u64) -> bool {
        let _lock = ends.get().lock().unwrap_or_else(PoisonError::into_inner);
        self.rest.fetch_add(by, Ordering::Relaxed);
        self.is_over()
    }

    /// Says whether nothing is left; under the lock.
    fn is_over(&self) -> bool {
        let sum = self
            .lines
            .iter()
            .fold(self.rest.load(Ordering::Relaxed), |sum, line| sum.wrapping_add(line.0.load(Ordering::Relaxed)));
        self.settled.load(Ordering::Relaxed) == 1 && sum == 0
    }

    /// Drops a handle; says whether the client has to end: then the caller is the last that knows it.
    #[must_use]
    pub(crate) fn let_go<'a, S: Iterator<Item = &'a Seat>>(&self, ends: impl Ends, seats: impl FnOnce() -> S) -> bool {
        let ends = ends.get();
        let lock = ends.lock().unwrap_or_else(PoisonError::into_inner);
        let back = self.back.load(Ordering::Relaxed);
        // SYNC seat: a drop that looks later sees this; for one that looked before there is the seat.
        if self.handles.fetch_sub(1, Ordering::SeqCst) != 1 {
            return false;
        }
        self.rest.fetch_add(1, Ordering::Relaxed);
        std::mem::drop(lock);
        seats().for_each(|seat| self.wait(seat));
        let _lock = ends.lock().unwrap_or_else(PoisonError::into_inner);
        self.rest.fetch_add(MINUS_ONE, Ordering::Relaxed);
        if self.back.load(Ordering::Relaxed) == back {
            self.settled.store(1, Ordering::Relaxed);
        }
        self.is_over()
    }

    /// H2 for one seat: its thread is between two instructions of a drop, which waits for nobody.
    fn wait(&self, seat: &Seat) {
        let mut looks = 0;
        // SYNC line: pairs with the store in `stand`.
        while seat.at.load(Ordering::SeqCst) == self.name() {
            looks += 1;
            if looks < SPINS {
                spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// Makes a handle out of a unit of the caller's.
    pub(crate) fn bring_back(&self, ends: impl Ends) {
        let _lock = ends.get().lock().unwrap_or_else(PoisonError::into_inner);
        self.handles.fetch_add(1, Ordering::SeqCst);
        self.back.fetch_add(1, Ordering::Relaxed);
        self.settled.store(0, Ordering::Relaxed);
    }
}

/// One less.
pub(crate) const MINUS_ONE: u64 = u64::MAX;

/// The lock under which clients end: the same one for all clients that know a unit's thread.
pub(crate) trait Ends {
    /// Returns the lock.
    fn get(&self) -> &Mutex<()>;
}

/// The lock of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfProcess;

impl Ends for OfProcess {
    fn get(&self) -> &Mutex<()> {
        ENDS.get()
    }
}

#[cfg(test)]
impl Ends for &Mutex<()> {
    fn get(&self) -> &Mutex<()> {
        self
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Drops a unit; says whether the client has to end.
    fn drop_one(life: &Life, seat: &Seat, ends: &Mutex<()>) -> bool {
        life.sit(seat);
        !life.stand(seat, MINUS_ONE) && life.count_late(ends, MINUS_ONE)
    }

    #[test]
    fn units_that_travel_between_threads_are_counted() {
        let (ends, life) = (Mutex::new(()), Life::new());
        let seats = [Seat::new(0, None), Seat::new(LINES + 7, None)];
        life.take(&seats[0]);
        life.take(&seats[0]);
        life.take(&seats[1]);
        assert!(!drop_one(&life, &seats[1], &ends));
        assert!(!drop_one(&life, &seats[1], &ends));
        assert!(!life.let_go(&ends, || seats.iter()));
        life.bring_back(&ends);
        life.take(&seats[1]);
        assert!(!drop_one(&life, &seats[0], &ends));
        assert!(!life.let_go(&ends, || seats.iter()));
        life.sit(&seats[0]);
        assert!(!life.stand(&seats[0], 1) && !life.count_late(&ends, 1));
        assert!(!drop_one(&life, &seats[1], &ends));
        assert!(drop_one(&life, &seats[0], &ends));
    }
}
