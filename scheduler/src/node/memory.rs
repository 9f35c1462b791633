//! Kills a worker before the system kills something else.
//!
//! ```text
//!   look --> below the threshold: look again, the later the more is free
//!     ^  --> above it: choose a worker, kill it, wait until it is gone and its memory has had time to come back
//!     '----------------------'
//! ```
//!
//! Who is chosen: of the workers that have work, those whose private memory is worth it; of these one whose work is tried
//! again before one whose is not; of these the one that has begun its work last, so that what has run for long goes on.
//! Memory of the store is not private: a worker that only holds objects gives nothing back when it dies, however much of
//! them it has mapped. Worth it is at least [`LEAST`], and a quarter of what the largest one has. If none is, memory is
//! somebody else's and nobody is killed.
//!
//! - SC-54: at most one worker is dying of this at a time, and the next one is chosen by figures that were read at least
//!   [`NEAR`] after it was gone.
//! - SC-55: nothing is read while no worker has work; far below the threshold every [`FAR`].
//! - After a kill tasks that wait are not started for a while, 1 s the first time, twice as long each time that another
//!   one follows within that time again, at most 60 s: what was killed would only grow again.

use std::path::Path;
use std::time::{Duration, Instant};

use super::state::State;
use super::workers::{Duty, Worker};
use crate::death::DeathCause;
use crate::memory::{self, Meter, Use};
use crate::trace::tell;

/// How often the figures are read when memory is nearly short.
const NEAR: Duration = Duration::from_millis(250);

/// How often they are read when there is plenty.
const FAR: Duration = Duration::from_secs(2);

/// How much memory the processes of a machine fill in a second, generously.
const RATE: f64 = 8e9;

/// The least private memory for which it is worth killing a worker.
const LEAST: u64 = 16 << 20;

/// For how long tasks wait after a kill, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What the node knows of the memory.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    meter: Meter,
    threshold: f64,
    /// When the figures are read next, if anybody works.
    next: Option<Instant>,
    /// Who is being killed.
    victim: Option<u64>,
    /// Until when no task is started, and how long that was.
    pause: Option<(Instant, Duration)>,
    /// It was said that nobody is worth killing.
    said: bool,
}

impl MemoryWatch {
    pub(super) fn new(root: &Path, threshold: f64) -> Self {
        MemoryWatch { meter: Meter::new(root), threshold, next: None, victim: None, pause: None, said: false }
    }

    fn paused_until(&self) -> Option<Instant> {
        let (until, _) = self.pause?;
        (until > Instant::now()).then_some(until)
    }

    /// True while tasks that wait are not to be started.
    pub(super) fn pauses_tasks(&self) -> bool {
        self.paused_until().is_some()
    }

    fn begin_pause(&mut self, now: Instant) {
        let (first, longest) = PAUSES;
        let length = match self.pause {
            Some((until, length)) if now < until + length => (length * 2).min(longest),
            _ => first,
        };
        self.pause = Some((now + length, length));
    }

    /// Returns how long to wait for the next look.
    fn interval(&self, used: &Use) -> Duration {
        let room = used.limit as f64 * self.threshold - used.used as f64;
        Duration::from_secs_f64((room / RATE).clamp(NEAR.as_secs_f64(), FAR.as_secs_f64()))
    }
}

impl State {
    /// Returns when the loop must look at the memory, or may start tasks again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let watch = &self.parts.memory;
        // Work may just have been given out.
        let begin = || self.watches_memory().then(|| Instant::now() + NEAR);
        watch.next.or_else(begin).into_iter().chain(watch.paused_until()).min()
    }

    /// True while some worker has work, unless nobody wants the memory watched.
    fn watches_memory(&self) -> bool {
        let has_work = |worker: &Worker| matches!(worker.duty, Duty::Actor(_) | Duty::Tasks(_)) && !worker.is_gone();
        self.parts.memory.threshold < 1.0 && self.workers.values().any(has_work)
    }

    /// Looks at the memory if it is time, and kills a worker if that is needed.
    pub(super) fn watch_memory(&mut self, now: Instant) {
        if !self.watches_memory() {
            self.parts.memory.next = None;
            return;
        }
        let watch = &mut self.parts.memory;
        if let Some(victim) = watch.victim
            && !self.workers.contains_key(&victim)
        {
            watch.victim = None;
            watch.next = Some(now + NEAR);
        }
        match watch.next {
            Some(next) if next <= now => {}
            Some(_) => return,
            None => {
                watch.next = Some(now + NEAR);
                return;
            }
        }
        let Some(used) = watch.meter.read() else {
            watch.next = Some(now + FAR);
            return;
        };
        watch.next = Some(now + watch.interval(&used));
        if used.share() <= watch.threshold {
            watch.said = false;
        } else if watch.victim.is_none() {
            self.free_memory(now, &used);
        }
    }

    fn free_memory(&mut self, now: Instant, used: &Use) {
        let candidates: Vec<Candidate> = self
            .workers
            .iter()
            .filter(|(_, worker)| !worker.is_doomed() && matches!(worker.duty, Duty::Actor(_) | Duty::Tasks(_)))
            .map(|(&number, worker)| Candidate {
                number,
                private: memory::private_bytes(worker.pid),
                retried: self.is_retried(worker),
                begun: worker.begun,
            })
            .collect();
        let threshold = self.parts.memory.threshold * 100.0;
        let Some(Candidate { number, private, .. }) = choose(&candidates) else {
            if !std::mem::replace(&mut self.parts.memory.said, true) {
                tell!(Warn, warn, %used, threshold, "memory is short, and no worker has much of it");
            }
            return;
        };
        let Some(worker) = self.workers.get_mut(&number) else {
            return;
        };
        let message = format!(
            "the worker process {} was killed because memory was short: it had {} MiB of its own, and {used}, more than \
             the threshold of {threshold} %",
            worker.pid,
            private >> 20
        );
        tell!(Warn, warn, "{message}");
        worker.short_of_memory = Some(message.clone());
        self.parts.memory.victim = Some(number);
        self.parts.memory.begin_pause(now);
        if matches!(worker.duty, Duty::Actor(_)) {
            self.end_worker_only(number, DeathCause::OutOfMemory(message));
        } else {
            self.kill_worker(number);
        }
    }

    /// True if all that a worker runs is tried again when it dies.
    fn is_retried(&self, worker: &Worker) -> bool {
        match &worker.duty {
            // What a caller sends through a lease it tries again.
            Duty::Tasks(ids) => ids.iter().all(|id| self.tasks.get(id).is_none_or(super::tasks::Task::is_lease)),
            Duty::Actor(id) => self.actors.get(id).is_some_and(|actor| actor.lives.may_restart()),
            Duty::Starting | Duty::None => false,
        }
    }
}

/// A worker that may be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    number: u64,
    private: u64,
    retried: bool,
    begun: Option<Instant>,
}

fn choose(candidates: &[Candidate]) -> Option<Candidate> {
    let largest = candidates.iter().map(|candidate| candidate.private).max()?;
    let worth = |candidate: &&Candidate| candidate.private >= LEAST.max(largest / 4);
    candidates
        .iter()
        .filter(worth)
        .max_by_key(|candidate| (candidate.retried, candidate.begun, candidate.number))
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(number: u64, mebibytes: u64, retried: bool, at: u64) -> Candidate {
        static BEGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let begun = Some(*BEGIN.get_or_init(Instant::now) + Duration::from_secs(at));
        Candidate { number, private: mebibytes << 20, retried, begun }
    }

    fn chosen(candidates: &[Candidate]) -> Option<u64> {
        choose(candidates).map(|candidate| candidate.number)
    }

    #[test]
    fn the_newest_that_is_tried_again_goes_first() {
        let all = [candidate(1, 100, true, 5), candidate(2, 100, true, 7), candidate(3, 100, false, 9)];
        assert_eq!(chosen(&all), Some(2));
        assert_eq!(chosen(&all[2..]), Some(3));
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn nobody_dies_for_nothing() {
        assert_eq!(chosen(&[candidate(1, 1000, false, 1), candidate(2, 100, true, 2)]), Some(1));
        assert_eq!(chosen(&[candidate(1, 1000, false, 1), candidate(2, 300, true, 2)]), Some(2));
        assert_eq!(chosen(&[candidate(1, 15, true, 1)]), None);
    }

    #[test]
    fn looks_are_rare_while_there_is_plenty() {
        let watch = MemoryWatch::new(Path::new("/nonexistent"), 0.95);
        let used = |used| Use { place: String::new(), used, limit: 100_000_000_000 };
        assert_eq!(watch.interval(&used(0)), FAR);
        assert_eq!(watch.interval(&used(94_000_000_000)), NEAR);
        assert_eq!(watch.interval(&used(99_000_000_000)), NEAR);
        let between = watch.interval(&used(87_000_000_000));
        assert!(between > NEAR && between < FAR);
    }

    #[test]
    fn pauses_grow_while_kills_follow_each_other() {
        let mut watch = MemoryWatch::new(Path::new("/nonexistent"), 0.95);
        let mut now = Instant::now();
        let mut lengths = Vec::new();
        for _ in 0..8 {
            watch.begin_pause(now);
            let (until, length) = watch.pause.unwrap();
            lengths.push(length.as_secs());
            now = until;
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60]);
        watch.begin_pause(now + Duration::from_secs(61));
        assert_eq!(watch.pause.unwrap().1, Duration::from_secs(1));
    }
}
