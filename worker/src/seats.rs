//! Seats: the leases that this worker serves, and the tasks of each that have not begun.
//!
//! ```text
//!   RunLease (control link) --\                       /--> main:   the executor thread
//!                              +--> seat: jobs --next-+
//!   Task (caller's ring) -----/                       \--> nested: a thread mobula-task of its own
//! ```
//!
//! Tasks may come before the news of their lease; then they wait here for it. The seat of the executor
//! thread is *main*; it has at most one, the others are nested beside tasks that sleep.
//!
//! - **WK-29** While the task of a seat sleeps in `get`, its jobs are with their caller: those that were
//!   here went back when it fell asleep, and what arrives goes back at once.
//! - **WK-53** Once closed no seat begins a job, and its caller hears so before it has the job back.
//! - **WK-30** A seat that is over begins no job. If a task of it ran when the node asked, the node hears when that has
//!   ended.

use std::collections::{HashMap, VecDeque};

use mobula_scheduler::ids::TaskId;
use mobula_scheduler::protocol::Granted;
use mobula_store::ClientKey;

use crate::error::Result;
use crate::frames::Nonce;
use crate::leases;
use crate::payload::Received;

/// By which a lease is known in its worker: its caller's runtime, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SeatKey {
    pub(crate) nonce: Nonce,
    pub(crate) number: u64,
}

impl SeatKey {
    pub(crate) fn of(lease: TaskId) -> Self {
        let (nonce, number) = leases::lease_of(lease);
        SeatKey { nonce, number }
    }

    pub(crate) fn lease(self) -> TaskId {
        leases::lease_id(self.nonce, self.number)
    }
}

/// A task of a lease that has arrived.
pub(crate) struct LeasedJob {
    pub(crate) seat: SeatKey,
    pub(crate) from: ClientKey,
    pub(crate) call: u64,
    pub(crate) function: u64,
    pub(crate) depth: u32,
    pub(crate) args: Result<Received>,
}

/// What arrives in the rings for seats, in this order.
pub(crate) enum Delivery {
    Job(LeasedJob),
    /// The caller wants back what has not begun.
    Recall(SeatKey),
}

/// One lease.
#[derive(Default)]
struct Seat {
    jobs: VecDeque<LeasedJob>,
    /// What its tasks hold; `None` until the node has told.
    granted: Option<Granted>,
    running: bool,
    asleep: bool,
    /// Jobs went back since the last one began.
    gave_back: bool,
    /// It ends with the task that runs.
    over: bool,
}

impl Seat {
    /// Begins the next job; also says whether others went back since the last one.
    #[inline]
    fn next(&mut self) -> Option<(LeasedJob, bool)> {
        let job = if self.over { None } else { self.jobs.pop_front() };
        self.running = job.is_some();
        job.map(|job| (job, std::mem::take(&mut self.gave_back)))
    }

    fn give_back(&mut self) -> VecDeque<LeasedJob> {
        self.gave_back |= !self.jobs.is_empty();
        std::mem::take(&mut self.jobs)
    }
}

/// The leases of this worker.
#[derive(Default)]
pub(crate) struct Seats {
    main: Option<(SeatKey, Seat)>,
    others: HashMap<SeatKey, Seat>,
    /// No further job begins in this process.
    closed: bool,
}

/// What a thread finds at its seat.
pub(crate) enum Next {
    /// The next job, and whether others went back before it.
    Job(LeasedJob, bool),
    Nothing,
    /// The lease ended with the task that ran here: that is to be told.
    Ended(SeatKey),
    /// The lease is over, and the node knows.
    Over,
}

impl Seats {
    /// Takes a job in; gives it back if its seat's task sleeps.
    #[inline]
    pub(crate) fn push(&mut self, job: LeasedJob) -> Option<LeasedJob> {
        let seat = match &mut self.main {
            Some((key, seat)) if *key == job.seat => seat,
            _ => self.others.entry(job.seat).or_default(),
        };
        if seat.asleep || self.closed {
            seat.gave_back = true;
            return Some(job);
        }
        seat.jobs.push_back(job);
        None
    }

    /// Has no further job begin; returns what waits.
    pub(crate) fn close(&mut self) -> Vec<LeasedJob> {
        self.closed = true;
        let seats = self.main.iter_mut().map(|(_, seat)| seat).chain(self.others.values_mut());
        seats.flat_map(Seat::give_back).collect()
    }

    /// True if no further job begins.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The node has told of a lease.
    pub(crate) fn begin(&mut self, key: SeatKey, granted: Granted, nested: bool) {
        let mut seat = self.others.remove(&key).unwrap_or_default();
        seat.granted = Some(granted);
        if nested {
            self.others.insert(key, seat);
        } else {
            self.main = Some((key, seat));
        }
    }

    /// Gives a nested seat to the executor thread.
    pub(crate) fn make_main(&mut self, key: SeatKey) {
        if let Some(seat) = self.others.remove(&key) {
            self.main = Some((key, seat));
        }
    }

    /// Ends a lease; true if it is over, false if it will be with the task that runs. Returns its jobs,
    /// too: nobody wants them.
    pub(crate) fn end(&mut self, key: SeatKey) -> (bool, VecDeque<LeasedJob>) {
        if let Some(seat) = self.get(key).filter(|seat| seat.running) {
            seat.over = true;
            return (false, std::mem::take(&mut seat.jobs));
        }
        let seat = match &self.main {
            Some((main, _)) if *main == key => self.main.take().map(|(_, seat)| seat),
            _ => self.others.remove(&key),
        };
        (true, seat.map(|seat| seat.jobs).unwrap_or_default())
    }

    /// Gives the executor thread its next job.
    #[inline]
    pub(crate) fn next_main(&mut self) -> Next {
        let Some((key, seat)) = self.main.as_mut() else {
            return Next::Nothing;
        };
        match seat.next() {
            Some((job, gave_back)) => Next::Job(job, gave_back),
            None if seat.over => {
                let key = *key;
                self.main = None;
                Next::Ended(key)
            }
            None => Next::Nothing,
        }
    }

    /// Gives the thread of a nested seat its next job.
    pub(crate) fn next(&mut self, key: SeatKey) -> Next {
        let Some(seat) = self.others.get_mut(&key) else {
            return Next::Over;
        };
        match seat.next() {
            Some((job, gave_back)) => Next::Job(job, gave_back),
            None if seat.over => {
                self.others.remove(&key);
                Next::Ended(key)
            }
            None => Next::Nothing,
        }
    }

    /// Returns what the tasks of a lease hold.
    pub(crate) fn granted(&mut self, key: SeatKey) -> Granted {
        self.get(key).and_then(|seat| seat.granted.clone()).unwrap_or_default()
    }

    /// Takes everything that has not begun.
    pub(crate) fn recall(&mut self, key: SeatKey) -> VecDeque<LeasedJob> {
        self.get(key).map(Seat::give_back).unwrap_or_default()
    }

    /// The task of a seat falls asleep, or wakes up; returns what has not begun.
    pub(crate) fn sleeps(&mut self, key: SeatKey, asleep: bool) -> VecDeque<LeasedJob> {
        let Some(seat) = self.get(key) else {
            return VecDeque::new();
        };
        seat.asleep = asleep;
        if asleep { seat.give_back() } else { VecDeque::new() }
    }

    fn get(&mut self, key: SeatKey) -> Option<&mut Seat> {
        match &mut self.main {
            Some((main, seat)) if *main == key => Some(seat),
            _ => self.others.get_mut(&key),
        }
    }
}
