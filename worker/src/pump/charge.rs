//! Who is in charge of a process's mailbox: a leader, or the service thread.
//!
//! ```text
//!   leader                                   service thread, turn by turn
//!   T1 try_lock, poll_begin                  V1 park(Service), for a tick at most if it ticks
//!      drains, waits, drains ...             V2 so many have led since: ticking = whether these are enough
//!   L1 ticking? leave the bell as it is      V3 called, or does not tick (any more):
//!      else poll_end: the bell is                  T1, or wanted = true, fence, T1 again
//!      the service thread's                  V4 ticks, and nobody has led: T1
//!   L2 unlock, fence                         V5 T1 came off: drains, then L1 to L4
//!   L3 wanted? take it, kick_service
//!   L4 the n-th leader: kick_service
//! ```
//!
//! A bell that is given back at each L1 costs every sender that comes between two leaders a system call. So while
//! leaders come and go quickly the service thread *ticks* and the bell stays as it is (L1). What comes after the last of
//! them waits for a tick.
//!
//! Invariants:
//!
//! - **CHARGE-1** Only who has the lock touches the inbox, and the bell says POLLED while somebody has it by T1.
//! - **CHARGE-2** A frame that lies in the inbox has been seen by somebody's last look, or a leader will come: who has the
//!   lock now, who is rung for, or a service thread that ticks.
//!
//! # Why no frame is left lying
//!
//! Let L be the last leader, and the frame one that it did not see.
//!
//! 1. *L1 read that nobody ticks.* The bell is the service thread's before the lock is free; from there on `bell.rs`
//!    shows that it is rung.
//! 2. *L1 read that the service thread ticks, and it does.* Its next V4 that nobody else's turn makes needless drains.
//! 3. *L1 read that it ticks, and it has said at V2 that it does not any more.* Then V3 comes after V2. If its T1 came
//!    off before L's, L would have read V2's word (the lock is between them). So it comes off after L2, and V5 sees the
//!    frame; or it fails because L is not at L2 yet, or because somebody leads who is not the last leader.
//! 4. *T1 failed twice.* PUMP-WANTED: `wanted` is stored before a fence and the second T1, the lock is freed before a
//!    fence and the look at `wanted`. So whoever had the lock then sees it at L3, unless another leader has taken it
//!    away, and the service thread is called and comes to V3 again.
//!
//! What it does not do: it does not say when a leader looks or sleeps (pump.rs), nor who is woken for what (`progress.rs`).

use std::sync::TryLockError;
use std::sync::atomic::Ordering;

use mobula_store::Bell;

use crate::sync::{AtomicBool, AtomicU32, Mutex, MutexGuard, fence};

/// After how many leaders without a pause the service thread is asked to tick.
const WARM_UP: u32 = if cfg!(loom) { 2 } else { 16 };

/// After how many ticks without a leader it stops. A program may well work for some milliseconds between two gets, and
/// until the pump is warm again each answer calls the service thread.
const COOL_DOWN: u32 = if cfg!(loom) { 1 } else { 8 };

/// The inbox and the right to drain it.
#[derive(Debug)]
pub(crate) struct Charge<T> {
    inbox: Mutex<T>,
    /// The service thread came in vain.
    wanted: AtomicBool,
    /// The service thread ticks: a leader need not give the bell back. Only that thread writes it.
    ticking: AtomicBool,
    /// Counts the leaders other than the service thread; moved by who has the lock only.
    leads: AtomicU32,
}

/// What the service thread keeps from one turn to the next.
#[derive(Debug)]
pub(crate) struct Rounds {
    leads: u32,
    idle: u32,
}

impl<T> Charge<T> {
    pub(crate) fn new(inbox: T) -> Self {
        Charge {
            inbox: Mutex::new(inbox),
            wanted: AtomicBool::new(false),
            ticking: AtomicBool::new(false),
            leads: AtomicU32::new(0),
        }
    }

    #[inline]
    fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.inbox.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Step T1: the right to drain, if nobody has it; to be given to [`Charge::leave`].
    #[inline]
    pub(crate) fn take(&self, bell: &Bell) -> Option<MutexGuard<'_, T>> {
        let inbox = self.try_lock()?;
        bell.poll_begin();
        Some(inbox)
    }

    /// Steps L1 to L4; `has_work` sees everything that this process is rung for.
    #[inline]
    pub(crate) fn leave(&self, bell: &Bell, inbox: MutexGuard<'_, T>, serving: bool, has_work: impl Fn(&T) -> bool) {
        let leads = self.leads.load(Ordering::Relaxed).wrapping_add(u32::from(!serving));
        self.leads.store(leads, Ordering::Relaxed);
        // Who reads a word that is older than V3's lock has had the lock before (case 3).
        let hot = self.ticking.load(Ordering::Relaxed);
        if !hot {
            bell.poll_end(&|| has_work(&inbox));
        }
        drop(inbox); // L2
        // SYNC PUMP-WANTED: unlock, fence, look; the service thread stores, fences, tries the lock.
        fence(Ordering::SeqCst);
        let wanted = self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::Relaxed); // L3
        let warm = !hot && !serving && leads.is_multiple_of(WARM_UP); // L4
        if wanted || warm {
            bell.kick_service();
        }
    }

    /// Looks into the inbox if nobody else has it; false if somebody has.
    pub(crate) fn peek(&self, look: impl FnOnce(&T) -> bool) -> bool {
        self.try_lock().is_some_and(|inbox| look(&inbox))
    }

    /// Begins the rounds of the service thread.
    pub(crate) fn rounds(&self) -> Rounds {
        Rounds { leads: self.leads.load(Ordering::Relaxed), idle: 0 }
    }

    /// Says whether the service thread ticks.
    pub(crate) fn is_ticking(&self) -> bool {
        self.ticking.load(Ordering::Relaxed)
    }

    /// Steps V2 to V4, by the service thread after a sleep that `called` ended: whether it leads now.
    ///
    /// `take` is step T1.
    pub(crate) fn turn<L>(&self, rounds: &mut Rounds, called: bool, take: impl Fn() -> Option<L>) -> Option<L> {
        let led = self.leads.load(Ordering::Relaxed).wrapping_sub(rounds.leads);
        rounds.leads = rounds.leads.wrapping_add(led);
        rounds.idle = if led == 0 { rounds.idle.saturating_add(1) } else { 0 };
        let busy = if self.is_ticking() { rounds.idle < COOL_DOWN } else { led >= WARM_UP };
        self.ticking.store(busy, Ordering::Relaxed); // V2
        if called || !busy {
            take().or_else(|| {
                // SYNC PUMP-WANTED: store, fence, try again; the leader unlocks, fences, looks.
                self.wanted.store(true, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                take()
            })
        } else if led == 0 {
            // Whoever leads instead need not be asked for another turn: the service thread goes on ticking.
            take()
        } else {
            None
        }
    }
}

#[cfg(all(test, loom))]
mod proof;
