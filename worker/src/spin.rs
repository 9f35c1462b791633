//! How long a thread that waits for frames looks for them before it sleeps.
//!
//! ```text
//!   200 looks    always; an answer of somebody who is awake comes within these
//!   long look    while no more clients are awake than there are processors; as long as it has paid lately
//!   sleep        in the bell
//! ```
//!
//! *Whether there is a processor for it.* Who looks keeps a processor from somebody. So nobody looks for long while
//! more clients are awake than there are processors: one of those may be the one that is waited for. It is asked
//! again and again, since waking somebody makes them one more.
//!
//! *Whether it keeps off whom it waits for.* The kernel may wake the callee on the caller's own processor though another
//! one is idle, and leaves both there. Who sees that the first time sleeps at once: for one answer that is the quickest.
//! If it happens again soon, looking is worth moving to another processor for.
//!
//! *Whether it pays.* It does if what is waited for comes within [`LONGEST`], sleep and wake-up included; the waits
//! themselves tell. Where a wake-up takes longer than that, two processes that have begun to sleep on each other would
//! do so for ever: so of the sleeps that were hardly longer than a wake-up every [`PROBE_EVERY`]th is put off by
//! [`PROBE`], and if what is waited for comes meanwhile, looking pays again. Who waits for long never probes.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mobula_store::Bell;

/// Nanoseconds, as all of these.
const SHORTEST: u64 = 2_000;
const LONGEST: u64 = 50_000;
/// Longer than a wake-up across processors takes.
const PROBE: u64 = 150_000;
const PROBE_EVERY: u32 = 4;
/// Two processes that sleep on each other sleep no longer than this if there is nothing else to do.
const HARDLY: u64 = 300_000;

/// Two looks in vain on a crowded processor that are no farther apart than this are of one loop.
const AGAIN: u64 = 300_000;

const QUICK_LOOKS: u32 = 200;
/// How many looks there are between two looks at the clock and at who is awake.
const LOOKS: u32 = 32;

/// What else is awake on this machine.
pub(crate) trait Company {
    /// Counts the clients that are awake, this one among them.
    fn awake(&self) -> usize;

    /// Says whether another one is on this thread's processor.
    fn is_crowded(&self) -> bool;

    /// Moves this thread to another processor.
    fn step_aside(&self);
}

impl Company for Bell {
    fn awake(&self) -> usize {
        Bell::awake(self)
    }

    fn is_crowded(&self) -> bool {
        Bell::is_crowded(self)
    }

    fn step_aside(&self) {
        Bell::step_aside(self);
    }
}

/// What this process has learned about looking.
pub(crate) struct Spin {
    cpus: usize,
    nanos: AtomicU64,
    /// Counts the sleeps that were hardly longer than a wake-up.
    short_sleeps: AtomicU32,
    born: Instant,
    /// When the processor was crowded last, in nanoseconds since `born`.
    crowded: AtomicU64,
}

impl Spin {
    pub(crate) fn new(cpus: usize) -> Self {
        Spin {
            cpus,
            nanos: AtomicU64::new(if cpus > 1 { LONGEST } else { 0 }),
            short_sleeps: AtomicU32::new(0),
            born: Instant::now(),
            crowded: AtomicU64::new(0),
        }
    }

    /// Begins with short looks: who has just started waits for work that may be long in coming, and those who make it
    /// need the processor.
    pub(crate) fn begin_short(&self) {
        self.nanos.fetch_min(SHORTEST, Ordering::Relaxed);
    }

    /// Returns how long to look this time.
    fn budget(&self) -> u64 {
        let probes = self.short_sleeps.load(Ordering::Relaxed) % PROBE_EVERY == PROBE_EVERY - 1;
        if probes { PROBE } else { self.nanos.load(Ordering::Relaxed) }
    }

    /// Looks until `look` is true, the time is over or processors are short; then returns when it began.
    pub(crate) fn run(
        &self,
        deadline: Option<Instant>,
        company: &impl Company,
        mut look: impl FnMut() -> bool,
    ) -> Result<(), Instant> {
        for _ in 0..QUICK_LOOKS {
            if look() {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        let start = Instant::now();
        let budget = self.budget();
        // While processors are short there is nowhere to move, and nobody looks for long.
        if self.cpus > 1 && company.awake() <= self.cpus && company.is_crowded() {
            if !self.is_crowded_again(start) {
                return Err(start);
            }
            company.step_aside();
        }
        let mut end = start + Duration::from_nanos(budget);
        if let Some(deadline) = deadline {
            end = end.min(deadline);
        }
        while Instant::now() < end && company.awake() <= self.cpus {
            for _ in 0..LOOKS {
                if look() {
                    if budget == PROBE {
                        self.pays();
                    }
                    return Ok(());
                }
                std::hint::spin_loop();
            }
        }
        Err(start)
    }

    /// Notes that the processor is crowded; true if it was a moment ago.
    fn is_crowded_again(&self, now: Instant) -> bool {
        let now = u64::try_from(now.saturating_duration_since(self.born).as_nanos()).unwrap_or(u64::MAX);
        let before = self.crowded.swap(now, Ordering::Relaxed);
        before != 0 && now.saturating_sub(before) < AGAIN
    }

    /// Learns from a wait that ended in sleep.
    pub(crate) fn learn(&self, waited: Duration) {
        if self.cpus <= 1 {
            return;
        }
        let waited = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        if waited < LONGEST {
            self.pays();
            return;
        }
        let nanos = (self.nanos.load(Ordering::Relaxed) / 2).max(SHORTEST);
        self.nanos.store(nanos, Ordering::Relaxed);
        if waited < HARDLY {
            self.short_sleeps.fetch_add(1, Ordering::Relaxed);
        } else {
            self.short_sleeps.store(0, Ordering::Relaxed);
        }
    }

    #[cold]
    fn pays(&self) {
        self.nanos.store(LONGEST, Ordering::Relaxed);
        self.short_sleeps.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How many are awake, and how often the processor is still crowded.
    struct Crowd {
        awake: usize,
        crowded: Cell<u32>,
        moved: Cell<u32>,
    }

    impl Crowd {
        fn of(awake: usize) -> Crowd {
            Crowd { awake, crowded: Cell::new(0), moved: Cell::new(0) }
        }
    }

    impl Company for Crowd {
        fn awake(&self) -> usize {
            self.awake
        }

        fn is_crowded(&self) -> bool {
            self.crowded.get() > 0
        }

        fn step_aside(&self) {
            self.crowded.set(0);
            self.moved.set(self.moved.get() + 1);
        }
    }

    fn asleep(spin: &Spin, nanos: u64) -> u64 {
        spin.learn(Duration::from_nanos(nanos));
        spin.budget()
    }

    #[test]
    fn who_sleeps_for_hardly_longer_than_a_wake_up_looks_for_long_now_and_then() {
        let spin = Spin::new(2);
        assert_eq!(spin.budget(), LONGEST);
        let budgets: Vec<_> = (0..PROBE_EVERY * 4).map(|_| asleep(&spin, LONGEST + 1)).collect();
        assert_eq!(budgets.iter().filter(|budget| **budget == PROBE).count(), 4, "{budgets:?}");
        while spin.budget() != PROBE {
            asleep(&spin, LONGEST + 1);
        }
        let mut looks = 0;
        let found = spin.run(None, &Crowd::of(2), || {
            looks += 1;
            looks > QUICK_LOOKS
        });
        assert!(found.is_ok());
        assert_eq!(spin.budget(), LONGEST, "what was looked for came: looking pays");
    }

    #[test]
    fn who_waits_for_long_looks_shortly() {
        let spin = Spin::new(2);
        let budgets: Vec<_> = (0..40).map(|_| asleep(&spin, HARDLY)).collect();
        assert_eq!(budgets.last(), Some(&SHORTEST));
        assert!(!budgets.contains(&PROBE), "{budgets:?}");
    }

    #[test]
    fn nobody_looks_for_long_while_processors_are_short() {
        let spin = Spin::new(2);
        let mut looks = 0;
        let found = spin.run(None, &Crowd::of(3), || {
            looks += 1;
            false
        });
        assert!(found.is_err());
        assert_eq!(looks, QUICK_LOOKS);
    }

    #[test]
    fn who_keeps_another_one_off_sleeps_at_first_and_then_moves() {
        let spin = Spin::new(2);
        let crowd = Crowd::of(2);
        let in_vain = || {
            let mut looks = 0;
            let look = || {
                looks += 1;
                false
            };
            assert!(spin.run(None, &crowd, look).is_err());
            looks
        };
        crowd.crowded.set(1);
        assert_eq!((in_vain(), crowd.moved.get()), (QUICK_LOOKS, 0));
        assert!(in_vain() > QUICK_LOOKS, "moved, and looked");
        assert_eq!(crowd.moved.get(), 1);
        // Long afterwards it is another matter.
        spin.crowded.store(0, Ordering::Relaxed);
        crowd.crowded.set(1);
        assert_eq!((in_vain(), crowd.moved.get()), (QUICK_LOOKS, 1));
    }

    #[test]
    fn nobody_moves_while_processors_are_short() {
        let (spin, crowd) = (Spin::new(2), Crowd::of(3));
        crowd.crowded.set(1);
        for _ in 0..3 {
            assert!(spin.run(None, &crowd, || false).is_err());
        }
        assert_eq!(crowd.moved.get(), 0);
    }

    #[test]
    fn who_has_one_processor_never_looks_for_long() {
        let spin = Spin::new(1);
        assert_eq!((0..40).map(|_| asleep(&spin, LONGEST + 1)).max(), Some(0));
    }
}
