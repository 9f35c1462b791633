//! Giving an actor another process when one has crashed.
//!
//! ```text
//!             its process is reaped                     constructor has run
//!   Placed ------------------------> Resting --> Granted --> Placed --------> callers hear of it
//!     |                                 ^ at once, or later if such ends come often
//!     +-- knell, or reaped: callers hear that it is being restarted
//! ```
//!
//! - SC-60: an actor that is restarted keeps its resources, name, handles, owner and watchers; the node keeps its spec
//!   and the objects of its constructor's arguments as long as it may be restarted. Its next process begins when the
//!   last one has been reaped: what that had (ports, locks of files) is free.
//! - SC-61: restarted is an actor that has crashed, or was killed with that wish, while restarts are left, its life goes
//!   on and its owner lives; not one whose constructor failed, that has said that it leaves, or that was told to end.
//!   Each process after the first uses up one restart.
//! - SC-62: between `ActorRestarting` and `ActorUp`, which comes when the constructor has run, nobody is told the place
//!   of an actor. So no call reaches a later process before its constructor has run there.

use std::time::{Duration, Instant};

use super::actors::{Actor, Place};
use super::state::State;
use super::workers::Purpose;
use crate::death::{ActorDeath, DeathCause};
use crate::ids::{ActorId, ProcessId};
use crate::protocol::{Answer, ToProcess};
use crate::trace::tell;

/// A process that ended within this time of its start has the next one wait.
const SHORT: Duration = Duration::from_secs(10);

/// How long the first restart waits that does not come at once; each further one in a row twice as long.
const FIRST_REST: Duration = Duration::from_millis(100);

/// The longest wait.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// The processes that an actor has had and may have.
#[derive(Debug)]
pub(super) struct Lives {
    /// How many restarts are left; -1: any number.
    left: i32,
    incarnation: u32,
    began: Option<Instant>,
    /// How many restarts in a row had to wait.
    rests: u32,
    /// The process that has ended, until the next one has run the constructor.
    ended: Option<Ended>,
}

/// The end of a process of an actor that is restarted.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    death: ActorDeath,
    incarnation: u32,
    begun: bool,
}

impl Ended {
    pub(super) fn into_message(self) -> ToProcess {
        let Ended { death, incarnation, begun } = self;
        ToProcess::ActorRestarting { death, incarnation, begun }
    }
}

/// How a process has ended.
#[derive(Debug, Default)]
pub(super) struct ProcessEnd {
    pub(super) pid: u32,
    pub(super) status: String,
    /// What the node ended it for.
    pub(super) ending: Option<DeathCause>,
    /// The node ended the process and not the actor.
    pub(super) spares: bool,
}

impl Lives {
    pub(super) fn new(max_restarts: i32) -> Self {
        Lives { left: max_restarts, incarnation: 1, began: None, rests: 0, ended: None }
    }

    /// True if restarts are left.
    pub(super) fn may_restart(&self) -> bool {
        self.left != 0
    }

    /// Returns the number of the process that it has, or will have next.
    pub(super) fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// It has a process.
    pub(super) fn begin(&mut self) {
        self.began = Some(Instant::now());
    }

    /// The constructor has run; true if that ends a restart.
    pub(super) fn resume(&mut self) -> bool {
        self.ended.take().is_some()
    }

    pub(super) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Uses up a restart; returns how long it has to wait.
    fn next(&mut self, now: Instant) -> Duration {
        self.left -= i32::from(self.left > 0);
        let first = self.incarnation == 1;
        self.incarnation = self.incarnation.saturating_add(1);
        // A process that never had its work has ended early, too.
        let short = self.began.take().is_none_or(|began| now.saturating_duration_since(began) < SHORT);
        if first || !short {
            self.rests = 0;
            return Duration::ZERO;
        }
        let rest = FIRST_REST.saturating_mul(1 << self.rests.min(16)).min(LONGEST_REST);
        self.rests += 1;
        rest
    }
}

impl Actor {
    /// Says what an actor whose process has ended so died of, if it is not restarted.
    pub(super) fn cause(&self, end: &ProcessEnd) -> DeathCause {
        let said = || self.outcome.clone().or(self.leaving.then_some(DeathCause::Exited));
        let crashed = || DeathCause::Crashed { status: end.status.clone() };
        end.ending.clone().or_else(said).unwrap_or_else(crashed)
    }
}

impl State {
    /// True if an actor whose process ends so gets another one.
    pub(super) fn will_restart(&self, id: ActorId, end: &ProcessEnd) -> bool {
        self.actors.get(&id).is_some_and(|actor| {
            let crashed = end.ending.is_none() || end.spares;
            let goes_on = actor.outcome.is_none() && !actor.leaving && !actor.end_sent;
            crashed
                && goes_on
                && actor.lives.may_restart()
                && self.owner_lives(actor.owner)
                && self.parts.store.exists(id.object())
        })
    }

    /// True if an actor whose process is about to end gets another one.
    pub(super) fn comes_back(&self, id: ActorId) -> bool {
        let worker = self.actors.get(&id).and_then(Actor::process).and_then(|number| self.workers.get(&number));
        worker.is_some_and(|worker| {
            let (ending, spares) = (worker.ending.clone(), worker.spares);
            self.will_restart(id, &ProcessEnd { ending, spares, ..ProcessEnd::default() })
        })
    }

    /// True if an actor is between two processes.
    pub(super) fn is_restarting(&self, id: ActorId) -> bool {
        self.actors.get(&id).is_some_and(|actor| actor.lives.ended().is_some())
    }

    /// True if what a process owns goes on; detached actors are the node's own.
    fn owner_lives(&self, owner: ProcessId) -> bool {
        owner == self.parts.own || self.processes.contains_key(&owner)
    }

    /// Tells that an actor is being restarted whose process has ended, or does nothing any more; once for each process.
    pub(super) fn tell_restart(&mut self, id: ActorId, end: ProcessEnd) {
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        let incarnation = actor.lives.incarnation;
        if actor.lives.ended.as_ref().is_some_and(|ended| ended.incarnation == incarnation) {
            return;
        }
        let cause = actor.cause(&end);
        let death = ActorDeath { actor: id, class: actor.class_name.clone(), pid: end.pid, cause };
        let ended = Ended { death, incarnation, begun: actor.started };
        actor.lives.ended = Some(ended.clone());
        for watcher in actor.watchers.clone() {
            self.send(watcher, ended.clone().into_message());
        }
    }

    /// Gives an actor whose process is gone another one.
    pub(super) fn restart(&mut self, id: ActorId, end: ProcessEnd) {
        let pid = end.pid;
        self.tell_restart(id, end);
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        let now = Instant::now();
        let rest = actor.lives.next(now);
        actor.started = false;
        let place = std::mem::replace(&mut actor.place, Place::Waiting);
        let (Place::Placed { grant, .. } | Place::Granted { grant, .. } | Place::Resting { grant, .. }) = place else {
            // Without resources it had no process.
            self.waiting.push_back(id);
            return;
        };
        let incarnation = actor.lives.incarnation;
        let class = actor.class_name.as_str();
        tell!(Warn, warn, actor = %id, class, pid, incarnation, ?rest, "an actor is restarted");
        let until = now + rest;
        actor.place = Place::Resting { grant, until };
        self.rests.insert((until, id));
        self.end_rests(now);
    }

    /// Returns when the next actor has rested.
    pub(super) fn next_restart(&self) -> Option<Instant> {
        self.rests.first().map(|&(until, _)| until)
    }

    /// Has those that have rested look for a process.
    pub(super) fn end_rests(&mut self, now: Instant) {
        while let Some(&(until, id)) = self.rests.first()
            && until <= now
        {
            self.rests.pop_first();
            let Some(actor) = self.actors.get_mut(&id) else {
                continue;
            };
            match std::mem::replace(&mut actor.place, Place::Waiting) {
                Place::Resting { grant, .. } => actor.granted(grant),
                other => {
                    actor.place = other;
                    continue;
                }
            }
            self.find_process(id);
        }
    }

    /// Has an actor that has its resources look for a process.
    fn find_process(&mut self, id: ActorId) {
        if self.actors.get(&id).is_some_and(Actor::is_dedicated) {
            self.launches.push_back(Purpose::Actor(id));
        } else {
            self.seats.push_back(id);
        }
        self.again = true;
    }

    /// The process that was started for an actor is gone before it joined: another one is started.
    pub(super) fn launch_actor_again(&mut self, id: ActorId) {
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
        };
        match std::mem::replace(&mut actor.place, Place::Waiting) {
            Place::Granted { grant, .. } => actor.granted(grant),
            other => {
                actor.place = other;
                return;
            }
        }
        self.find_process(id);
    }

    /// Kills the process of an actor that may be restarted; false if there is no such actor.
    pub(super) fn kill_process(&mut self, process: ProcessId, id: ActorId, request: u64) -> bool {
        let Some(actor) = self.actors.get(&id) else {
            // One that nobody has created yet has no process either.
            let early = self.early.contains_key(&id);
            if early {
                self.send(process, ToProcess::Reply { request, answer: Answer::Done });
            }
            return early;
        };
        let number = actor.process();
        match number.and_then(|number| self.workers.get_mut(&number)) {
            Some(worker) => {
                worker.kills.push((process, request));
                number.into_iter().for_each(|number| self.end_worker_only(number, DeathCause::Killed));
            }
            None => {
                self.send(process, ToProcess::Reply { request, answer: Answer::Done });
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the waits of restarts after processes of these lengths, in seconds.
    fn rests(lengths: &[u64]) -> Vec<u64> {
        let start = Instant::now();
        let mut lives = Lives::new(-1);
        let rest = |&length: &u64| {
            lives.began = Some(start);
            lives.next(start + Duration::from_secs(length)).as_millis() as u64
        };
        lengths.iter().map(rest).collect()
    }

    #[test]
    fn restarts_wait_longer_and_longer() {
        assert_eq!(rests(&[0; 9]), [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn one_that_lived_long_is_restarted_at_once() {
        assert_eq!(rests(&[0, 0, 0, 11, 9, 0]), [0, 100, 200, 0, 100, 200]);
        assert_eq!(rests(&[11, 0]), [0, 100]);
    }

    #[test]
    fn restarts_are_counted() {
        let mut lives = Lives::new(2);
        assert!(lives.may_restart());
        lives.next(Instant::now());
        assert!(lives.may_restart());
        lives.next(Instant::now());
        assert!(!lives.may_restart());
        assert_eq!(lives.incarnation(), 3);
    }
}
