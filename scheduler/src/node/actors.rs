//! The directory of actors: who created them, where they run, who wants to know, what they died of.
//!
//! ```text
//!   CreateActor --> Waiting --resources--> Granted --process--> Placed --process ends--> dead
//!                      |                   |     ^                 ^ |
//!                      |                   |     +---- restart ------|-+ (node/restarts.rs)
//!                      +-- last handle, kill, owner's end -----------+--> dead
//! ```
//!
//! An actor's life is a zero-length object of the same id, and its strong handles are that object's
//! holds: when the object is gone, so is the last handle. A process may know an actor before the node
//! does, since its creator sends `CreateActor` only when the arguments are there; whoever asks in the
//! meantime is remembered in `early`.
//!
//! The dead are remembered for those that ask late, the last [`MOST_DEAD`] of them. An actor beyond
//! that, or one that never was, is answered with a creation failure that says so.

use std::time::{Duration, Instant};

use super::outlet::Position;
use super::restarts::{Lives, ProcessEnd};
use super::state::State;
use super::workers::{Duty, Purpose, Worker};
use crate::death::{ActorDeath, DeathCause};
use crate::ids::{ActorId, ProcessId};
use crate::protocol::{ActorSpec, Answer, ToProcess};

mod actor;

pub(super) use self::actor::{Actor, Early, Place};

/// How many dead actors are remembered.
const MOST_DEAD: usize = 10_000;

fn add(watchers: &mut Vec<ProcessId>, process: ProcessId) {
    if !watchers.contains(&process) {
        watchers.push(process);
    }
}

impl State {
    pub(super) fn expect_actor(&mut self, process: ProcessId, id: ActorId, class_name: String) {
        if !self.actors.contains_key(&id) && !self.dead.contains_key(&id) {
            let early = self.early.entry(id).or_default();
            early.creator = Some(process);
            early.owner.get_or_insert(process);
            early.class_name = class_name;
        }
    }

    pub(super) fn create_actor(&mut self, process: ProcessId, spec: ActorSpec) {
        let id = spec.actor;
        if self.dead.contains_key(&id) || self.actors.contains_key(&id) {
            return self.watch_actor(process, id);
        }
        let Early { owner, mut watchers, .. } = self.early.remove(&id).unwrap_or_default();
        add(&mut watchers, process);
        // Those that are gone already will show when the constructor's arguments are read.
        let holds = spec.args.ids.iter().filter_map(|&object| self.parts.store.hold(object).ok()).collect();
        let lives = Lives::new(spec.max_restarts);
        let infeasible = self.parts.pool.infeasible(&spec.demand);
        let crew = self.crew_of(process);
        let missing = self.missing_in_workers(crew, &spec.class);
        // Whoever creates it has a hold until it is up, so this one comes in time.
        let life = if spec.detached { self.parts.store.hold(id.object()).ok() } else { None };
        // Nobody's end is the end of what nobody owns.
        let owner = if spec.detached { self.parts.own } else { owner.unwrap_or(process) };
        self.actors.insert(
            id,
            Actor {
                class: spec.class.clone(),
                class_name: spec.class_name.clone(),
                demand: spec.demand.clone(),
                env: spec.env.clone(),
                spec: Some(Box::new(spec)),
                ahead: None,
                crew,
                life,
                owner,
                watchers,
                place: Place::Waiting,
                lives,
                holds,
                kills: Vec::new(),
                started: false,
                leaving: false,
                outcome: None,
                end_sent: false,
            },
        );
        if let Some(message) = infeasible.or(missing) {
            self.actor_down(id, DeathCause::CreationFailed(message));
        } else if !self.parts.store.exists(id.object()) {
            self.actor_down(id, DeathCause::OutOfScope);
        } else {
            self.waiting.push_back(id);
        }
    }

    /// Has an actor's work wait for worker `number`, which is being made for it alone and joins for certain unless it
    /// dies: then nobody has to wake it for its work.
    pub(super) fn send_ahead(&mut self, id: ActorId, number: u64) {
        let (Some(actor), Some(worker)) = (self.actors.get(&id), self.workers.get(&number)) else {
            return;
        };
        if let (Place::Granted { grant, .. }, Some(spec)) = (&actor.place, &actor.spec) {
            let (granted, incarnation) = (grant.describe(), actor.lives.incarnation());
            let message = ToProcess::StartActor { spec: (**spec).clone(), granted, incarnation };
            worker.label.set(&actor.class_name);
            let process = worker.process;
            let position = self.send(process, message);
            if let Some(actor) = self.actors.get_mut(&id) {
                actor.ahead = Some(position);
            }
        }
    }

    /// Makes worker `number` the process of an actor that has its resources.
    pub(super) fn seat_actor(&mut self, id: ActorId, number: u64) {
        let Some(worker) = self.workers.get_mut(&number) else {
            return;
        };
        let process = worker.process;
        let client = self.processes.get(&process).and_then(|entry| entry.client);
        let Some((actor, client)) = self.actors.get_mut(&id).zip(client) else {
            // Its work is gone, and nothing else may run in it.
            return self.end_worker(number, DeathCause::OutOfScope);
        };
        let pid = worker.pid;
        let place = std::mem::replace(&mut actor.place, Place::Waiting);
        let (Place::Granted { grant, .. }, Some(spec)) = (place, actor.spec.take()) else {
            return self.end_worker(number, DeathCause::OutOfScope);
        };
        if actor.lives.may_restart() {
            actor.spec = Some(spec.clone());
        }
        actor.lives.begin();
        let (ahead, incarnation) = (actor.ahead.take(), actor.lives.incarnation());
        worker.duty = Duty::Actor(id);
        worker.begun = Some(Instant::now());
        worker.label.set(&actor.class_name);
        let granted = grant.describe();
        let class = actor.class.clone();
        let crew = actor.crew;
        let watchers = actor.watchers.clone();
        actor.place = Place::Placed { grant, worker: number, position: Position::default() };
        let missing = self.missing_in_workers(crew, &class);
        if let Some(message) = missing {
            if let Some(actor) = self.actors.get_mut(&id) {
                actor.outcome = Some(DeathCause::CreationFailed(message));
            }
            return self.kill_worker(number);
        }
        let sent = match ahead {
            Some(position) => position,
            None => self.send(process, ToProcess::StartActor { spec: *spec, granted, incarnation }),
        };
        if let Some(Actor { place: Place::Placed { position, .. }, .. }) = self.actors.get_mut(&id) {
            *position = sent;
        }
        // Who calls a later one hears of it when its constructor has run.
        if incarnation == 1 {
            for watcher in watchers {
                self.send(watcher, ToProcess::ActorUp { actor: id, class: class.clone(), client, pid, incarnation });
            }
        }
    }

    pub(super) fn watch_actor(&mut self, process: ProcessId, id: ActorId) {
        if let Some(death) = self.dead.get(&id) {
            let death = death.clone();
            self.send(process, ToProcess::ActorDown(death));
        } else if let Some(actor) = self.actors.get_mut(&id) {
            add(&mut actor.watchers, process);
            if let Some(ended) = actor.lives.ended() {
                let message = ended.clone().into_message();
                self.send(process, message);
            } else {
                self.tell_place(id, &[process]);
            }
        } else if self.early.contains_key(&id) || self.parts.store.exists(id.object()) {
            add(&mut self.early.entry(id).or_default().watchers, process);
        } else {
            let cause =
                DeathCause::CreationFailed("the node does not know it: it never was, or died long ago".to_owned());
            let death = ActorDeath { actor: id, class: String::new(), pid: 0, cause };
            self.send(process, ToProcess::ActorDown(death));
        }
    }

    /// Tells where an actor is, if it is anywhere.
    pub(super) fn tell_place(&mut self, id: ActorId, whom: &[ProcessId]) {
        let Some(actor) = self.actors.get(&id) else {
            return;
        };
        let Place::Placed { worker, .. } = actor.place else {
            return;
        };
        let place = self
            .workers
            .get(&worker)
            .and_then(|worker| Some((self.processes.get(&worker.process)?.client?, worker.pid)));
        let (class, incarnation) = (actor.class.clone(), actor.lives.incarnation());
        if let Some((client, pid)) = place {
            for &process in whom {
                self.send(process, ToProcess::ActorUp { actor: id, class: class.clone(), client, pid, incarnation });
            }
        }
    }

    pub(super) fn kill_actor(&mut self, process: ProcessId, id: ActorId, restart: bool, request: u64) {
        if restart && self.kill_process(process, id, request) {
            return;
        }
        let answer = if let Some(actor) = self.actors.get_mut(&id) {
            actor.kills.push((process, request));
            match actor.process() {
                Some(worker) => self.end_worker(worker, DeathCause::Killed),
                None => self.actor_down(id, DeathCause::Killed),
            }
            return;
        } else if let Some(early) = self.early.remove(&id) {
            self.mourn(id, early.class_name, 0, DeathCause::Killed, &early.watchers);
            Answer::Done
        } else if self.dead.contains_key(&id) {
            let dying = |worker: &&mut Worker| matches!(worker.duty, Duty::Actor(other) if other == id);
            if let Some(worker) = self.workers.values_mut().find(dying) {
                worker.kills.push((process, request));
                return;
            }
            Answer::Done
        } else {
            Answer::NotFound
        };
        self.send(process, ToProcess::Reply { request, answer });
    }

    /// Returns an actor if `process` is the one that it runs in.
    fn actor_in(&mut self, process: ProcessId, id: ActorId) -> Option<&mut Actor> {
        let actor = self.actors.get_mut(&id)?;
        let Place::Placed { worker, .. } = actor.place else {
            return None;
        };
        (self.workers.get(&worker)?.process == process).then_some(actor)
    }

    pub(super) fn actor_started(&mut self, process: ProcessId, id: ActorId) {
        let Some(actor) = self.actor_in(process, id) else {
            return;
        };
        if !actor.lives.may_restart() {
            actor.holds.clear();
        }
        actor.started = true;
        let watchers = if actor.lives.resume() { actor.watchers.clone() } else { Vec::new() };
        if let Place::Placed { position, .. } = actor.place
            && let Some(entry) = self.processes.get_mut(&process)
        {
            entry.outlet.proved(position);
        }
        self.tell_place(id, &watchers);
    }

    pub(super) fn actor_failed(&mut self, process: ProcessId, id: ActorId, message: String) {
        if let Some(actor) = self.actor_in(process, id) {
            actor.outcome.get_or_insert(DeathCause::CreationFailed(message));
        } else if self.early.get(&id).is_some_and(|early| early.creator == Some(process))
            && let Some(early) = self.early.remove(&id)
        {
            // Its creator gave it up before it asked for it: an argument of the constructor failed.
            self.mourn(id, early.class_name, 0, DeathCause::CreationFailed(message), &early.watchers);
        }
    }

    pub(super) fn actor_leaving(&mut self, process: ProcessId, id: ActorId) {
        if let Some(actor) = self.actor_in(process, id) {
            actor.leaving = true;
        }
    }

    pub(super) fn actor_ended(&mut self, process: ProcessId, id: ActorId, exited: bool) {
        if let Some(actor) = self.actor_in(process, id) {
            let cause = if exited { DeathCause::Exited } else { DeathCause::OutOfScope };
            actor.outcome.get_or_insert(cause);
        }
    }

    /// The actor's process ends it, and has so much time until more is heard of that.
    pub(super) fn actor_ending(&mut self, process: ProcessId, id: ActorId, exited: bool, within: Duration) {
        self.actor_ended(process, id, exited);
        if let Some(Place::Placed { worker, .. }) = self.actor_in(process, id).map(|actor| &actor.place) {
            let number = *worker;
            self.limit_end(number, within);
        }
    }

    /// The actor's process, worker `number`, is gone and reaped.
    pub(super) fn actor_gone(&mut self, id: ActorId, number: u64, end: ProcessEnd) {
        let Some(actor) = self.actors.get(&id).filter(|actor| actor.process() == Some(number)) else {
            return;
        };
        let cause = actor.cause(&end);
        if self.will_restart(id, &end) {
            self.restart(id, end);
        } else {
            self.bury_actor(id, end.pid, cause);
        }
    }

    /// Tells the death of an actor whose process, worker `number`, is ending and does nothing any more. What it has and who
    /// waits for its end are left to the process's funeral.
    pub(super) fn actor_dying(&mut self, id: ActorId, number: u64, status: String) {
        // Until its constructor has run its process may have said what came of that, which is not heard yet.
        if !self.actors.get(&id).is_some_and(|actor| actor.started) {
            return;
        }
        let Some(Worker { pid, ending, spares, .. }) = self.workers.get(&number) else {
            return;
        };
        let (pid, spares) = (*pid, *spares);
        let end = ProcessEnd { pid, status, ending: ending.clone(), spares };
        if self.will_restart(id, &end) {
            return self.tell_restart(id, end);
        }
        let (Some(actor), Some(worker)) = (self.actors.remove(&id), self.workers.get_mut(&number)) else {
            return;
        };
        let cause = actor.cause(&end);
        let Actor { place, kills, class_name, watchers, .. } = actor;
        if let Place::Placed { grant, .. } = place {
            worker.held = Some(grant);
        }
        worker.kills.extend(kills);
        self.mourn(id, class_name, pid, cause, &watchers);
    }

    /// Ends an actor that has no process.
    pub(super) fn actor_down(&mut self, id: ActorId, cause: DeathCause) {
        self.bury_actor(id, 0, cause);
    }

    fn bury_actor(&mut self, id: ActorId, pid: u32, cause: DeathCause) {
        let Some(actor) = self.actors.remove(&id) else {
            return;
        };
        match actor.place {
            Place::Waiting => self.waiting.retain(|&other| other != id),
            Place::Resting { grant, until } => {
                self.rests.remove(&(until, id));
                self.parts.pool.give_back(grant);
            }
            Place::Granted { grant, .. } => {
                self.seats.retain(|&other| other != id);
                self.launches.retain(|&other| other != Purpose::Actor(id));
                self.parts.pool.give_back(grant);
            }
            Place::Placed { grant, .. } => self.parts.pool.give_back(grant),
        }
        self.mourn(id, actor.class_name, pid, cause, &actor.watchers);
        for (process, request) in actor.kills {
            self.send(process, ToProcess::Reply { request, answer: Answer::Done });
        }
    }

    /// Tells an actor's death and remembers it.
    fn mourn(&mut self, id: ActorId, class: String, pid: u32, cause: DeathCause, watchers: &[ProcessId]) {
        let death = ActorDeath { actor: id, class, pid, cause };
        for &watcher in watchers {
            self.send(watcher, ToProcess::ActorDown(death.clone()));
        }
        self.dead.insert(id, death);
        self.dead_order.push_back(id);
        if self.dead_order.len() > MOST_DEAD
            && let Some(oldest) = self.dead_order.pop_front()
        {
            self.dead.remove(&oldest);
        }
        self.free_name(id);
    }

    /// True if an actor that is not dead is about to end, by itself or with its owner, whoever calls it.
    pub(super) fn is_ending(&self, mut id: ActorId) -> bool {
        if !self.parts.store.exists(id.object()) {
            return true;
        }
        // Owners are followed no further than there can be different ones.
        for _ in 0..=self.actors.len() {
            let owner = match (self.actors.get(&id), self.early.get(&id)) {
                (Some(actor), _) => {
                    let said = actor.leaving || actor.outcome.is_some() || !actor.kills.is_empty();
                    let doomed = actor.process().is_some_and(|number| self.is_doomed(number));
                    if said || doomed && !self.comes_back(id) {
                        return true;
                    }
                    Some(actor.owner)
                }
                (None, Some(early)) => early.owner,
                // It has been declared dead, and its process still ends.
                (None, None) => return true,
            };
            let owner = owner.and_then(|owner| self.processes.get(&owner)).and_then(|entry| entry.worker);
            match owner.and_then(|number| self.workers.get(&number)) {
                Some(worker) if worker.is_doomed() => return true,
                Some(Worker { duty: Duty::Actor(parent), .. }) => id = *parent,
                _ => return false,
            }
        }
        false
    }

    /// True if the actor lives in `process`.
    pub(super) fn lives_in(&self, process: ProcessId, id: ActorId) -> bool {
        let number = self.actors.get(&id).and_then(Actor::process);
        number.and_then(|number| self.workers.get(&number)).is_some_and(|worker| worker.process == process)
    }

    fn is_doomed(&self, number: u64) -> bool {
        self.workers.get(&number).is_some_and(Worker::is_doomed)
    }

    /// Looks for actors whose last strong handle is gone.
    pub(super) fn check_lives(&mut self) {
        let store = &self.parts.store;
        let gone: Vec<_> = self.actors.keys().copied().filter(|id| !store.exists(id.object())).collect();
        let early: Vec<_> = self.early.keys().copied().filter(|id| !store.exists(id.object())).collect();
        for id in gone {
            let Some(actor) = self.actors.get_mut(&id) else {
                continue;
            };
            match actor.place {
                Place::Placed { worker, .. } => {
                    if !std::mem::replace(&mut actor.end_sent, true)
                        && let Some(worker) = self.workers.get(&worker)
                    {
                        let process = worker.process;
                        self.send(process, ToProcess::EndActor(id));
                    }
                }
                Place::Granted { worker: Some(worker), .. } => self.end_worker(worker, DeathCause::OutOfScope),
                Place::Waiting | Place::Resting { .. } | Place::Granted { worker: None, .. } => {
                    self.actor_down(id, DeathCause::OutOfScope);
                }
            }
        }
        for id in early {
            if let Some(early) = self.early.remove(&id) {
                self.mourn(id, early.class_name, 0, DeathCause::OutOfScope, &early.watchers);
            }
        }
    }

    /// A process is gone: what it owned ends, and it watches nothing and waits for no name any more.
    pub(super) fn owner_died(&mut self, process: ProcessId) {
        self.forget_claims(process);
        for actor in self.actors.values_mut() {
            actor.watchers.retain(|&watcher| watcher != process);
        }
        for early in self.early.values_mut() {
            early.watchers.retain(|&watcher| watcher != process);
        }
        let lost = |early: &Early| early.owner == Some(process) || early.creator == Some(process);
        let expected: Vec<_> = self.early.iter().filter(|(_, early)| lost(early)).map(|(&id, _)| id).collect();
        for id in expected {
            if let Some(early) = self.early.remove(&id) {
                self.mourn(id, early.class_name, 0, DeathCause::OwnerDied, &early.watchers);
            }
        }
        self.end_owned(process);
    }

    /// Ends everything that a process owns.
    pub(super) fn end_owned(&mut self, process: ProcessId) {
        let owned: Vec<_> = self.actors.iter().filter(|(_, actor)| actor.owner == process).map(|(&id, _)| id).collect();
        for id in owned {
            match self.actors.get(&id).and_then(Actor::process) {
                Some(worker) => self.end_worker_if_alive(worker, DeathCause::OwnerDied),
                None => self.actor_down(id, DeathCause::OwnerDied),
            }
        }
        self.end_owned_tasks(process);
    }

    /// Ends a worker for a reason that must not cover up a stronger one.
    fn end_worker_if_alive(&mut self, number: u64, cause: DeathCause) {
        if self.workers.get(&number).is_some_and(|worker| !worker.is_doomed()) {
            self.end_worker(number, cause);
        }
    }

    /// Gives everything that `from` owns to `to`.
    pub(super) fn inherit(&mut self, from: ProcessId, to: ProcessId) {
        if !self.processes.contains_key(&to) {
            return self.end_owned(from);
        }
        for actor in self.actors.values_mut().filter(|actor| actor.owner == from) {
            actor.owner = to;
        }
        for early in self.early.values_mut().filter(|early| early.owner == Some(from)) {
            early.owner = Some(to);
        }
        self.inherit_tasks(from, to);
    }
}
