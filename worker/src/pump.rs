//! The pump: who in this process takes frames out of the rings, and who waits for that.
//!
//! ```text
//!              try_lock(mailbox)
//!   user thread in get ---- yes --> leader: poll_begin, drain, spin, park(User) ... poll_end, unlock
//!   idle executor             \
//!                              no -> follower: waits until `progress` moves
//!   service thread: park(Service); rung -> leads for one turn
//! ```
//!
//! A bell that rings for the service thread costs the sender a system call and this process a
//! thread switch. So while leaders come and go quickly the pump is *hot*: a leader that leaves does
//! not give the bell back, senders do not ring, and the next leader finds what has come. Meanwhile
//! the service thread ticks: after a tick in which nobody led it drains itself, and after some of
//! these in a row the pump is cold. What arrives after the last leader has left waits for a tick.
//!
//! One thread at a time leads: it holds the mailbox. A user thread that waits leads if it can, so
//! that an answer wakes nobody but the one who wants it; while user code runs and nobody waits, the
//! bell rings for the service thread, so no progress depends on user code returning.
//!
//! *Handing over.* Who wakes a sleeper to wait for its answer (`Call::call`) sleeps at once instead of looking for it, and
//! so does the sleeper after it has answered: on one processor the two take turns, where the wake-up of another one,
//! which costs several times as much, would only let one look while the other works. If the two meet again soon,
//! both looking is worth a wake-up: then the sleeper is woken as ever.
//!
//! - **WK-10** Only the holder of the mailbox drains it, and only it handles what the node reported
//!   (an [`Event`]), always after draining: an answer that lies in a ring counts before the news of
//!   its sender's death.
//! - **WK-11** A leader gives the bell to the service thread before it unlocks, unless the service thread ticks, and looks
//!   afterwards whether it came in vain meanwhile (PUMP-WANTED, charge.rs).
//!   An acknowledged answer is work, too: its holds are dropped by whoever is in charge.
//! - **WK-12** Nobody sleeps past a change of what they wait for (progress.rs).

mod charge;
mod progress;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use mobula_scheduler::config::Waiting;
use mobula_scheduler::death::{ActorDeath, LostTask};
use mobula_scheduler::ids::{ActorId, TaskId};
use mobula_store::{Bell, ClientKey, Role};

use self::charge::Charge;
use self::progress::Progress;
use crate::core::Core;
use crate::deferred::Work;
use crate::executor::Arrived;
use crate::spin::Spin;
use crate::sync::MutexGuard;
use crate::transport::{Mailbox, Transport};

/// How many frames one ring may give before the next one's turn.
const BUDGET: usize = 64;

/// How often things are looked at that ring no bell: borrowed refs, rings that were full.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// After how long a caller that has handed over to a sleeper hands over to it again.
const AGAIN: Duration = Duration::from_micros(100);

/// What the node reported, to be handled by the leader after a drain; the driver hears some of it on the node's loop.
#[derive(Debug)]
pub(crate) enum Event {
    ActorDown(ActorDeath),
    ActorRestarting {
        death: ActorDeath,
        incarnation: u32,
        begun: bool,
    },
    /// A later process of an actor that was restarted.
    ActorUp {
        actor: ActorId,
        client: ClientKey,
        incarnation: u32,
    },
    TaskLost {
        call: u64,
        reason: LostTask,
    },
    LeaseLost {
        lease: TaskId,
        reason: LostTask,
    },
    ProcessGone(ClientKey),
    EndActor(ActorId),
    NodeGone,
}

/// Returns how many processors this process may use; asked of the system once, which takes a while.
pub(crate) fn cpus() -> usize {
    static CPUS: OnceLock<usize> = OnceLock::new();
    *CPUS.get_or_init(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
}

/// What only the leader touches.
struct Inbox {
    mailbox: Mailbox,
    /// Calls and tasks on their way to the executor.
    arrived: Arrived,
}

/// The parts of the pump that threads share.
pub(crate) struct Pump {
    bell: Bell,
    transport: Transport,
    charge: Charge<Inbox>,
    events: Mutex<Vec<Event>>,
    has_events: AtomicBool,
    progress: Progress,
    spin: Spin,
    /// Who waits next sleeps without looking first.
    sleepy: AtomicBool,
    /// To whom this process has handed over last, and when.
    handed: Mutex<Option<(ClientKey, Instant)>>,
}

impl Pump {
    pub(crate) fn new(bell: Bell, transport: Transport, mailbox: Mailbox, waiting: Waiting) -> Self {
        let cpus = match waiting {
            Waiting::Thrift => 1,
            _ => cpus(),
        };
        Pump {
            bell,
            transport,
            charge: Charge::new(Inbox { mailbox, arrived: Arrived::default() }),
            events: Mutex::new(Vec::new()),
            has_events: AtomicBool::new(false),
            progress: Progress::new(),
            spin: Spin::new(cpus),
            sleepy: AtomicBool::new(false),
            handed: Mutex::new(None),
        }
    }

    /// Has this process, a worker that starts, look for frames shortly until that pays.
    pub(crate) fn begin_short(&self) {
        self.spin.begin_short();
    }

    /// What frames of this process travel through.
    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Hands the leader something that the node reported, once the mailbox has what came before it (WK-32).
    pub(crate) fn report(&self, event: Event) {
        if let Some(event) = self.transport.hold_back(event) {
            self.deliver(event);
        }
    }

    /// Hands the leader something that the node reported before what lies in the mailbox now.
    pub(crate) fn deliver(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        self.has_events.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Tells all waiting threads that a condition may have changed outside of a drain.
    pub(crate) fn wake(&self) {
        self.progress.bump();
        self.bell.kick();
    }

    /// Wakes whoever is in charge: something lies in the mailbox.
    pub(crate) fn ring(&self) {
        self.bell.kick();
    }

    /// Wakes the service thread.
    pub(crate) fn kick_service(&self) {
        self.bell.kick_service();
    }

    /// Tells followers that a condition may have changed; for the leader itself.
    pub(crate) fn bump(&self) {
        self.progress.bump();
    }

    /// Says whether a caller that waits for an answer of a sleeper hands the processor over to it.
    pub(crate) fn hands_over(&self, to: ClientKey) -> bool {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        if handed.is_some_and(|(last, when)| last == to && when.elapsed() < AGAIN) {
            return false;
        }
        *handed = Some((to, Instant::now()));
        true
    }

    /// Has who waits next sleep without looking first.
    pub(crate) fn look_no_longer(&self) {
        self.sleepy.store(true, Ordering::Relaxed);
    }

    fn take_sleepy(&self) -> bool {
        let sleepy = self.sleepy.load(Ordering::Relaxed);
        if sleepy {
            self.sleepy.store(false, Ordering::Relaxed);
        }
        sleepy
    }

    fn take_events(&self) -> Vec<Event> {
        // There is hardly ever one, and a look is cheaper than a swap.
        if !self.has_events.load(Ordering::SeqCst) || !self.has_events.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The right to drain; dropping it puts the service thread in charge again.
struct Lead<'a> {
    core: &'a Core,
    inbox: Option<MutexGuard<'a, Inbox>>,
    /// The leader is the service thread.
    serving: bool,
}

impl<'a> Lead<'a> {
    fn take(core: &'a Core, serving: bool) -> Option<Self> {
        let pump = core.pump();
        let inbox = pump.charge.take(&pump.bell)?;
        Some(Lead { core, inbox: Some(inbox), serving })
    }

    /// Takes everything out of the rings and handles it, then what the node reported.
    fn drain(&mut self) {
        while self.take_some() {}
    }

    /// Takes out of the rings what lies there and handles it, then what the node had reported before; false if there
    /// was nothing.
    fn take_some(&mut self) -> bool {
        let core = self.core;
        let pump = core.pump();
        let Some(Inbox { mailbox, arrived }) = self.inbox.as_deref_mut() else {
            return false;
        };
        core.collect_acks();
        // An event is handled after the rings were found empty (WK-10).
        let events = pump.take_events();
        let mut work = Work::default();
        let mut taken = 0;
        loop {
            let mut answers = core.pending().answers();
            let count =
                mailbox.poll(BUDGET, &mut |from, frame| core.dispatch(from, frame, &mut answers, &mut work, arrived));
            drop(answers);
            core.executor().take(core, arrived);
            taken += count;
            if count == 0 || (count < BUDGET && events.is_empty()) {
                break;
            }
        }
        if taken == 0 && events.is_empty() {
            return false;
        }
        for event in events {
            core.handle_event(event, &mut work);
        }
        work.run(core);
        core.flush_stalled();
        pump.bump();
        true
    }

    fn has_work(&self) -> bool {
        self.inbox.as_ref().is_some_and(|inbox| has_work(self.core, inbox))
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let (core, pump) = (self.core, self.core.pump());
        if let Some(inbox) = self.inbox.take() {
            pump.charge.leave(&pump.bell, inbox, self.serving, |inbox| has_work(core, inbox));
        }
        pump.progress.stir();
    }
}

/// Says whether there is something for a leader to do.
fn has_work(core: &Core, inbox: &Inbox) -> bool {
    inbox.mailbox.has_work() || core.pump().has_events.load(Ordering::SeqCst) || core.has_acks()
}

/// How a thread waits.
pub(crate) struct Wait<'a> {
    /// When to give up.
    pub(crate) deadline: Option<Instant>,
    /// Look again at least every [`TICK`]: the condition has a part that rings no bell.
    pub(crate) ticking: bool,
    /// Called once before the thread sleeps.
    pub(crate) before_sleep: &'a mut dyn FnMut(),
}

/// Waits until `done` is true; false if the deadline passed first.
pub(crate) fn wait_until(core: &Core, wait: Wait<'_>, mut done: impl FnMut() -> bool) -> bool {
    let pump = core.pump();
    let mut before_sleep = Some(wait.before_sleep);
    let mut sleepy = || {
        if let Some(call) = before_sleep.take() {
            call();
        }
    };
    let timeout = || {
        let left = wait.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if wait.ticking { Some(left.map_or(TICK, |left| left.min(TICK))) } else { left }
    };
    let expired = || wait.deadline.is_some_and(|deadline| Instant::now() >= deadline);
    loop {
        let seen = pump.progress.now();
        if let Some(mut lead) = Lead::take(core, false) {
            loop {
                let some = lead.take_some();
                if core.has_wakes() {
                    break;
                }
                let seen = pump.progress.now();
                if done() {
                    return true;
                }
                if expired() {
                    return false;
                }
                if some {
                    continue;
                }
                let changed = |lead: &Lead<'_>| lead.has_work() || pump.progress.now() != seen;
                let looked = match pump.take_sleepy() {
                    true => Err(Instant::now()),
                    false => pump.spin.run(wait.deadline, &pump.bell, || changed(&lead)),
                };
                if let Err(start) = looked {
                    sleepy();
                    pump.bell.park(Role::User, &|| changed(&lead), timeout());
                    pump.spin.learn(start.elapsed());
                    if pump.bell.take_hint() {
                        pump.look_no_longer();
                    }
                }
            }
            // Wakers are called by who has no lock; then it goes on leading.
            drop(lead);
            core.wake_futures();
            if done() {
                return true;
            }
            if expired() {
                return false;
            }
            continue;
        }
        if done() {
            return true;
        }
        if expired() {
            return false;
        }
        sleepy();
        pump.progress.wait(seen, timeout());
    }
}

/// Drains once if nobody else does.
pub(crate) fn turn(core: &Core) {
    if let Some(mut lead) = Lead::take(core, false) {
        lead.drain();
    }
    core.wake_futures();
}

/// The service thread: drains while nobody waits, and does what must be done from time to time.
pub(crate) fn serve(core: &Core) {
    let pump = core.pump();
    let mut rounds = pump.charge.rounds();
    while !core.is_closed() {
        let timeout = (pump.charge.is_ticking() || core.needs_ticks()).then_some(TICK);
        let has_work = || {
            core.is_closed()
                || pump.has_events.load(Ordering::SeqCst)
                || core.has_acks()
                || pump.charge.peek(|inbox| inbox.mailbox.has_work())
        };
        let called = pump.bell.park(Role::Service, &has_work, timeout);
        if let Some(mut lead) = pump.charge.turn(&mut rounds, called, || Lead::take(core, true)) {
            lead.drain();
        }
        core.flush_stalled();
        core.leases().tick(core);
        core.look_for_wanted();
        core.look_at_borrowed();
        core.collect_acks();
        core.unread().tell(core, false);
        core.wake_futures();
    }
}
