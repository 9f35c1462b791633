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
//! *Whether it pays.* It does if what is waited for comes within [`LONGEST`], sleep and wake-up included; the waits
//! themselves tell. Where a wake-up takes longer than that, two processes that have begun to sleep on each other would
//! do so for ever: so of the sleeps that were hardly longer than a wake-up every [`PROBE_EVERY`]th is put off by
//! [`PROBE`], and if what is waited for comes meanwhile, looking pays again. Who waits for long never probes.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nanoseconds, as all of these.
const SHORTEST: u64 = 2_000;
const LONGEST: u64 = 50_000;
/// Longer than a wake-up across processors takes.
const PROBE: u64 = 150_000;
const PROBE_EVERY: u32 = 4;
/// Two processes that sleep on each other sleep no longer than this if there is nothing else to do.
const HARDLY: u64 = 300_000;

const QUICK_LOOKS: u32 = 200;
/// How many looks there are between two looks at the clock and at who is awake.
const LOOKS: u32 = 32;

/// What this process has learned about looking.
pub(crate) struct Spin {
    cpus: usize,
    nanos: AtomicU64,
    /// Counts the sleeps that were hardly longer than a wake-up.
    short_sleeps: AtomicU32,
}

impl Spin {
    pub(crate) fn new(cpus: usize) -> Self {
        Spin { cpus, nanos: AtomicU64::new(if cpus > 1 { LONGEST } else { 0 }), short_sleeps: AtomicU32::new(0) }
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
        awake: impl Fn() -> usize,
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
        let mut end = start + Duration::from_nanos(budget);
        if let Some(deadline) = deadline {
            end = end.min(deadline);
        }
        while Instant::now() < end && awake() <= self.cpus {
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
    use super::*;

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
        let found = spin.run(
            None,
            || 2,
            || {
                looks += 1;
                looks > QUICK_LOOKS
            },
        );
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
        let found = spin.run(
            None,
            || 3,
            || {
                looks += 1;
                false
            },
        );
        assert!(found.is_err());
        assert_eq!(looks, QUICK_LOOKS);
    }

    #[test]
    fn who_has_one_processor_never_looks_for_long() {
        let spin = Spin::new(1);
        assert_eq!((0..40).map(|_| asleep(&spin, LONGEST + 1)).max(), Some(0));
    }
}
