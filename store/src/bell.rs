//! Doorbells: how a process is woken when a frame waits for it, and left alone while it is awake.
//!
//! Every client has one word, its bell. Who publishes a frame looks at the receiver's bell and makes
//! a system call only if somebody sleeps there. Two threads of a process may sleep on the word: the
//! *service* thread, which receives while nobody else does, and one *user* thread at a time, which
//! receives in its place while it waits for an answer (the worker crate's pump decides who).
//!
//! ```text
//!   word: | sequence:29 | kicked:1 | state:2 |
//!
//!              poll_begin (from any state)
//!         +------------------------------------------+
//!         v                                          |
//!     +--------+   park(User): U1    +------+        |
//!     | POLLED | ------------------> | USER |        |
//!     |   0    | <------------------ |  2   |        |
//!     +--------+   ring, or U5       +------+        |
//!         | poll_end: E1                             |
//!         v                                          |
//!     +---------+  ring              +------+        |
//!     | SERVICE | -----------------> | RUNG | -------+
//!     |   1     | <----------------- |  3   |
//!     +---------+  park(Service): S2 +------+
//!
//!   POLLED   a thread polls, and comes to U1 or E1 afterwards: do not ring
//!   SERVICE  the service thread is in charge; it sleeps or is about to: ring for it
//!   USER     a user thread sleeps or is about to: ring for it
//!   RUNG     the service thread has been called and will come: do not ring again
//! ```
//!
//! # Steps
//!
//! ```text
//!   sender                          user thread                       service thread: park(Service)
//!   P1 publish (Release)            U1 any -> USER                    S1 load the word
//!   P2 fence(SeqCst)                U2 fence(SeqCst)                  S2 RUNG -> SERVICE, S3, return
//!   P3 load the bell                U3 has_work? -> U5                S3 fence(SeqCst)
//!   P4 USER -> POLLED or            U4 sleep(word, bit USER)          S4 in SERVICE: has_work? return
//!      SERVICE -> RUNG, else done   U5 USER -> POLLED                 S5 sleep(word, bit SERVICE)
//!   P5 wake all with that bit                                         S6 RUNG or kicked: return
//!                                   leaving: poll_end
//!   kick_service                    E1 any but RUNG -> SERVICE
//!   K1 set kicked                   E2 fence(SeqCst)
//!   K2 wake all with bit SERVICE    E3 has_work? -> P4, P5
//! ```
//!
//! Every transition is a compare-and-swap and adds one to the sequence, so that a sleeper whose word
//! moved between its load and its sleep does not fall asleep. Nothing rests on the sequence alone:
//! see case 6.
//!
//! # Invariants
//!
//! - **BELL-1** A thread enters POLLED only to poll, and goes on to U1 or E1, each of which is
//!   followed by a fence and a look (U3, E3) before the thread stops looking.
//! - **BELL-2** USER is entered by the thread that is about to sleep, one at a time.
//! - **BELL-3** RUNG is a token for the service thread. It is taken by S2, which makes the service
//!   thread poll, or by a thread that enters POLLED or USER and so falls under BELL-1.
//! - **BELL-4** `kicked` is a second token for the service thread, which only park(Service) takes.
//! - **BELL-5** Wakes find sleepers by the address and the bit, never by the value: a sleeper need
//!   not sleep on the word's present value to be found.
//!
//! # Why no wake-up is lost
//!
//! Let P be a sender of a frame and T the thread that should see it. Of two SeqCst fences one comes
//! first in the single order. If T's fence comes after P2, what T looks at afterwards contains P1.
//! If P2 comes after T's fence, P3 reads the word as T left it before that fence, or a later value.
//!
//! 1. *T is a user at U1..U4.* P2 before U2: U3 sees the frame. U2 before P2: P3 sees T's USER, and
//!    P4 takes it away: if T is before U4 the word differs and T does not sleep; if T sleeps, P5
//!    wakes it. Or P3 sees a later value: then somebody took T's USER away before, and what is said
//!    here of P5 holds for their wake; T looks at everything once it is awake.
//! 2. *T polls.* P3 reads POLLED and does nothing. The frame is found by T's next look, at the latest
//!    by U3 (case 1) or E3: P3 read a value before E1's, so P2 comes before E2.
//! 3. *T left with E1.* E2 before P2: P3 reads SERVICE or a later value. SERVICE: P4 leaves a token
//!    and P5 wakes the service thread, asleep though it may be on an old value (BELL-5). A later
//!    value is RUNG (case 4), or somebody polls or parks (cases 1 and 2). P2 before E2: E3 sees the
//!    frame and T rings as a sender does.
//! 4. *RUNG.* P3 reads RUNG and does nothing. The token is taken later by S2: P3 read a value before
//!    S2's, so P2 comes before S3, and the poll that follows sees the frame. Or it is taken by
//!    a polling thread: cases 1 and 2. A service thread between S1 and S5 does not sleep, as the
//!    word differs; an awake one meets the token at its next S1.
//! 5. *The service thread sleeps in POLLED or USER*, because a user thread is in charge, without
//!    a look. All frames are that thread's (cases 1 and 2) until its E1, and then case 3 holds.
//!    If E1 falls between S1 and S5 the word differs and the service thread starts anew.
//! 6. *The word comes round to the value that a sleeper expects* (2^29 transitions between its load
//!    and its sleep). A user's USER is entered by that user alone. The service thread then sleeps in
//!    a state in which it may sleep: in SERVICE no token is out, and the last E1 had its E3.
//!
//! `has_work` of a service thread may therefore say false while another thread holds the right to
//! poll (from before its poll_begin until after its poll_end): S4 is a short cut for the frames and
//! needed only for whatever else `has_work` reports. `has_work` given to U3 and E3 must be exact.
//!
//! # Death
//!
//! A sleeper that is killed leaves a state in which others ring in vain, until the record is reset
//! for its next client. A sender killed before P3 leaves a frame that nobody announced; killed
//! between P4 and P5 it leaves a word that says somebody was called who was not. For both, the
//! reaper of the sender wakes every sleeper on every client's bell ([`wake_everybody`]): those whose
//! word has moved return, the others look once more and sleep on. On the bell of a free record nobody
//! sleeps, and whoever gets the record after the reaper has looked was never called by the dead.
//!
//! # What it does not do
//!
//! It does not say who rang nor how often, it does not poll, and it does not keep two user threads
//! from parking at once: the caller holds a lock of its own over poll_begin .. poll_end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client;
use crate::handover::Handover;
use crate::host::Host;
use crate::layout::C_BELL;
use crate::readers;
use crate::shared::Shared;
use crate::sync::{AtomicU32, Ordering, fence};
use crate::sys::futex;

const STATE: u32 = 0b11;
const POLLED: u32 = 0;
const SERVICE: u32 = 1;
const USER: u32 = 2;
const RUNG: u32 = 3;
const KICKED: u32 = 0b100;
/// One step of the sequence.
const STEP: u32 = 0b1000;

const SERVICE_BIT: u32 = 1;
const USER_BIT: u32 = 2;
const ALL: u32 = u32::MAX;

/// Who parks on a bell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The thread that receives while no user thread does.
    Service,
    /// The user thread that receives in the service thread's place.
    User,
}

/// A client's doorbell.
///
/// Clones are handles of the same bell. They keep the client attached.
#[derive(Clone)]
pub struct Bell {
    shared: Arc<Shared>,
    host: Arc<dyn Host>,
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").field("client", &self.host.key()).finish_non_exhaustive()
    }
}

impl Bell {
    pub(crate) fn new(host: Arc<dyn Host>) -> Bell {
        Bell { shared: Arc::clone(host.shared()), host }
    }

    /// Lends tests the control segment of a real store.
    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn door(&self) -> Doorbell<'_> {
        Doorbell::of(&self.shared, self.host.key().index)
    }

    /// Takes over from the service thread: the caller polls from now on, and senders need not ring.
    ///
    /// To be followed by [`Bell::poll_end`]; between the two, no other user thread may poll.
    #[inline]
    pub fn poll_begin(&self) {
        self.door().poll_begin();
    }

    /// Puts the service thread in charge again, and wakes it if `has_work()` says so afterwards.
    ///
    /// `has_work` must be exact: it sees every frame that was published before it is called.
    #[inline]
    pub fn poll_end(&self, has_work: &dyn Fn() -> bool) {
        self.door().poll_end(has_work);
    }

    /// Sleeps until the bell rings for `role`; false if the timeout ended first.
    ///
    /// Once the word says that the caller sleeps, and before it does, `has_work()` is asked once
    /// more. May return true for no reason.
    ///
    /// - [`Role::User`]: afterwards the caller polls again, whatever the result.
    /// - [`Role::Service`]: while a user thread polls or sleeps in its place, the service thread
    ///   sleeps on and `has_work` is not asked.
    pub fn park(&self, role: Role, has_work: &dyn Fn() -> bool, timeout: Option<Duration>) -> bool {
        match role {
            Role::User => {
                let handover = self.handover();
                handover.inspect(|handover| handover.lie_down());
                let rung = self.door().park_user(has_work, timeout);
                handover.inspect(|handover| handover.stand_up());
                rung
            }
            Role::Service => self.door().park_service(has_work, timeout),
        }
    }

    /// Says whether a sender that waits for the answer has woken this process since this was last asked.
    #[inline]
    pub fn take_hint(&self) -> bool {
        self.handover().is_some_and(Handover::take_hint)
    }

    /// Who can only read has nobody who sends to it, and no such words.
    fn handover(&self) -> Option<Handover<'_>> {
        self.shared.reader.is_none().then(|| Handover::of(&self.shared, self.host.key().index))
    }

    /// Wakes the thread that is in charge in this process, if it sleeps.
    ///
    /// What it is woken for must show in its `has_work`: a thread that is about to sleep is not
    /// told in another way.
    pub fn kick(&self) {
        self.door().ring();
    }

    /// Says whether another client of which a user thread polls seems to be on the calling thread's processor, so that
    /// looking for its answer would keep it from giving one.
    #[cold]
    pub fn is_crowded(&self) -> bool {
        let me = self.host.key().index;
        let others = self.polled().filter(|index| *index != me).map(|index| Handover::of(&self.shared, index));
        self.handover().is_some_and(|handover| handover.is_crowded(others))
    }

    /// Moves the calling thread, which polls, to another processor, if it may use one.
    pub fn step_aside(&self) {
        if let Some(handover) = self.handover() {
            handover.step_aside();
        }
    }

    /// Counts the clients of the store of which a user thread polls: who looks for frames, or works between two looks.
    ///
    /// Who works without looking puts the service thread in charge ([`Bell::poll_end`]) and is not counted.
    pub fn awake(&self) -> usize {
        self.polled().count()
    }

    fn polled(&self) -> impl Iterator<Item = u16> + '_ {
        let alive = (0..self.shared.layout.clients).filter_map(|index| client::at(&self.shared, index, client::ALIVE));
        alive.map(|client| client.index).filter(|index| Doorbell::of(&self.shared, *index).is_polled())
    }

    /// Makes the service thread's present or next [`Bell::park`] return true, whoever is in charge.
    pub fn kick_service(&self) {
        self.door().kick_service();
    }
}

/// The protocol over one bell's word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doorbell<'a> {
    word: &'a AtomicU32,
}

impl<'a> Doorbell<'a> {
    /// Finds the bell of the client at `index`; any index is brought inside.
    #[inline]
    pub(crate) fn of(shared: &'a Shared, index: u16) -> Doorbell<'a> {
        let at = match &shared.reader {
            // It cannot write its record, and nobody rings it.
            Some(me) if me.index == index => shared.layout.reader(index.into()) + readers::BELL,
            _ => shared.layout.client(index.into()) + C_BELL,
        };
        Doorbell { word: shared.ctl.u32(at) }
    }

    /// Makes the bell that of a new client, its service thread in charge.
    ///
    /// To be called before the client's record says that it is attached.
    pub(crate) fn reset(self) {
        self.shift(|word| next(word, SERVICE) & !KICKED);
    }

    /// Says whether the word is as it was.
    pub(crate) fn is(self, word: u32) -> bool {
        self.word.load(Ordering::SeqCst) == word
    }

    /// Says whether a user thread polls.
    fn is_polled(self) -> bool {
        self.word.load(Ordering::Relaxed) & STATE == POLLED
    }

    /// Wakes whoever is in charge, if asleep. The caller has published before (P1).
    #[inline]
    pub(crate) fn ring(self) {
        fence(Ordering::SeqCst); // P2
        let word = self.word.load(Ordering::Relaxed); // P3
        if matches!(word & STATE, SERVICE | USER) {
            self.call(word);
        }
    }

    /// Steps P4 and P5, from a word that was read after a fence.
    #[cold]
    fn call(self, mut word: u32) {
        loop {
            let (state, bit) = match word & STATE {
                SERVICE => (RUNG, SERVICE_BIT),
                USER => (POLLED, USER_BIT),
                _ => return,
            };
            match self.swap(word, next(word, state)) {
                Ok(_) => return futex::wake(self.word, ALL, bit),
                Err(now) => word = now,
            }
        }
    }

    #[inline]
    pub(crate) fn poll_begin(self) {
        if self.word.load(Ordering::Relaxed) & STATE != POLLED {
            self.shift(|word| next(word, POLLED));
        }
    }

    pub(crate) fn poll_end(self, has_work: &dyn Fn() -> bool) {
        // E1. A token that is out already stays out.
        let word = self.shift(|word| if word & STATE == RUNG { word } else { next(word, SERVICE) });
        fence(Ordering::SeqCst); // E2
        if has_work() {
            self.call(word); // E3
        }
    }

    pub(crate) fn park_user(self, has_work: &dyn Fn() -> bool, timeout: Option<Duration>) -> bool {
        let deadline = Deadline::after(timeout);
        let mut word = self.shift(|word| next(word, USER)); // U1
        loop {
            fence(Ordering::SeqCst); // U2
            if has_work() {
                self.stand_up();
                return true; // U3
            }
            let in_time = futex::wait(self.word, word, deadline.left(), USER_BIT); // U4
            word = self.word.load(Ordering::Acquire);
            if word & STATE != USER {
                return true;
            }
            if !in_time {
                return !self.stand_up();
            }
        }
    }

    /// Step U5; false if the bell rang before.
    fn stand_up(self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & STATE == USER {
            match self.swap(word, next(word, POLLED)) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    pub(crate) fn park_service(self, has_work: &dyn Fn() -> bool, timeout: Option<Duration>) -> bool {
        let deadline = Deadline::after(timeout);
        loop {
            let word = self.word.load(Ordering::Acquire); // S1
            if self.take_kick(word) {
                return true;
            }
            match word & STATE {
                RUNG => {
                    // S2. If it fails, somebody else has taken the token and polls: look again.
                    if self.swap(word, next(word, SERVICE)).is_err() {
                        continue;
                    }
                    fence(Ordering::SeqCst); // S3
                    return true;
                }
                SERVICE => {
                    fence(Ordering::SeqCst); // S3
                    if has_work() {
                        return true; // S4
                    }
                }
                _ => {}
            }
            let in_time = futex::wait(self.word, word, deadline.left(), SERVICE_BIT); // S5
            let now = self.word.load(Ordering::Acquire);
            if self.take_kick(now) {
                return true;
            }
            if now & STATE == RUNG {
                // The token stays, so that nobody rings while the service thread is awake.
                fence(Ordering::SeqCst);
                return true; // S6
            }
            if !in_time {
                return false;
            }
        }
    }

    fn take_kick(self, mut word: u32) -> bool {
        while word & KICKED != 0 {
            match self.swap(word, word.wrapping_add(STEP) & !KICKED) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    pub(crate) fn kick_service(self) {
        self.shift(|word| word.wrapping_add(STEP) | KICKED); // K1
        futex::wake(self.word, ALL, SERVICE_BIT); // K2
    }

    fn shift(self, to: impl Fn(u32) -> u32) -> u32 {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let new = to(word);
            match self.swap(word, new) {
                Ok(_) => return new,
                Err(now) => word = now,
            }
        }
    }

    /// SYNC bell: every change acquires the one before and releases what its author did.
    #[inline]
    fn swap(self, old: u32, new: u32) -> Result<u32, u32> {
        self.word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
    }
}

/// Rings as [`Doorbell::ring`] does; if a user thread sleeps there and `wish` says so, the processor is handed over to it.
/// True if it was.
#[inline]
pub(crate) fn ring_to_wait(shared: &Shared, index: u16, wish: &mut dyn FnMut() -> bool) -> bool {
    fence(Ordering::SeqCst); // P2
    let bell = Doorbell::of(shared, index);
    let word = bell.word.load(Ordering::Relaxed); // P3
    if !matches!(word & STATE, SERVICE | USER) {
        return false;
    }
    let handed = word & STATE == USER && wish() && Handover::of(shared, index).prepare(bell, word);
    bell.call(word);
    handed
}

/// Wakes every sleeper on every client's bell, whatever the words say: after a death.
pub(crate) fn wake_everybody(shared: &Shared) {
    fence(Ordering::SeqCst);
    let is_somebodys = |index: &usize| client::state(client::load(shared, *index)) != client::FREE;
    for index in (0..shared.layout.clients).filter(is_somebodys) {
        futex::wake(Doorbell::of(shared, index as u16).word, ALL, SERVICE_BIT | USER_BIT);
    }
}

/// Returns the word with another state and the next sequence; `kicked` stays.
const fn next(word: u32, state: u32) -> u32 {
    word.wrapping_add(STEP) & !STATE | state
}

/// When a sleep ends; reads no clock if it never does.
struct Deadline(Option<Instant>);

impl Deadline {
    fn after(timeout: Option<Duration>) -> Deadline {
        Deadline(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    fn left(&self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests;
