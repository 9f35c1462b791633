//! Who gets which process, and when another one is started.
//!
//! Runs after each batch of events, in this order:
//!
//! 1. Actors that wait for resources take them, oldest first; one that does not fit holds up none of
//!    those behind it.
//! 2. Actors with resources take fresh idle pool workers.
//! 3. Tasks, by the order of their queue: each takes its resources and then an idle pool worker. If
//!    there is none, one is started, up to `max_processes`. At that limit a task goes *nested* to a
//!    worker whose tasks all wait for something, preferably the one that submitted it: so a chain of
//!    tasks that wait for each other ends, however long it is.
//! 4. Processes are started, a few at a time. If they are forked, each actor beyond those that the pool
//!    workers on their way can take gets one of its own, and its work waits there when the process begins.
//!
//! - SC-17: a task that waits in the queue holds no resources; one whose process is being started does.
//! - SC-18: pool workers that tasks occupy, could occupy, or are being started for tasks are at most
//!   `max_processes`. Actors' processes come on top.

use std::collections::HashMap;

use super::actors::Actor;
use super::crews::CrewId;
use super::state::State;
use super::tasks::Shape;
use super::workers::{Duty, Purpose, Worker};
use crate::ids::{ActorId, TaskId};
use crate::resources::Grant;

/// How many processes are in the making at once, at least.
const LAUNCHES_AT_ONCE: usize = 8;

impl State {
    /// Places everything that can be placed now.
    pub(super) fn place(&mut self) {
        self.tend_crews();
        self.again = true;
        // A start that fails at once frees resources, which others may have waited for.
        while std::mem::take(&mut self.again) {
            self.grant_actors();
            self.seat_actors();
            let wanted = self.place_tasks();
            let crews: Vec<_> = self.crews.keys().copied().filter(|&crew| !self.is_closing(crew)).collect();
            for crew in crews {
                self.launch_workers(crew, wanted.get(&crew).map_or(0, |room| room.reserved));
            }
        }
        self.recall_leases();
    }

    fn grant_actors(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|&id| {
            let Some(actor) = self.actors.get_mut(&id) else {
                return false;
            };
            if self.closing.contains(&actor.crew()) {
                return true;
            }
            let Some(grant) = self.parts.pool.take(actor.demand()) else {
                return true;
            };
            actor.granted(grant);
            if actor.is_dedicated() {
                self.launches.push_back(Purpose::Actor(id));
            } else {
                self.seats.push_back(id);
            }
            false
        });
        self.waiting = waiting;
    }

    fn seat_actors(&mut self) {
        let mut position = 0;
        // Crews without a fresh worker.
        let mut empty = Vec::new();
        while empty.len() < self.crews.len()
            && let Some(&id) = self.seats.get(position)
        {
            let Some(crew) = self.actors.get(&id).map(Actor::crew) else {
                self.seats.remove(position);
                continue;
            };
            let fresh =
                |number: &u64| self.workers.get(number).is_some_and(|worker| !worker.used && worker.crew == crew);
            match self.idle.iter().rposition(fresh) {
                Some(place) => {
                    let number = self.idle.remove(place);
                    self.seats.remove(position);
                    self.seat_actor(id, number);
                }
                None => {
                    if !empty.contains(&crew) {
                        empty.push(crew);
                    }
                    position += 1;
                }
            }
        }
    }

    /// Takes the idle worker of a crew that was busy last.
    fn take_idle(&mut self, crew: CrewId) -> Option<u64> {
        let ours = |number: &u64| self.workers.get(number).is_some_and(|worker| worker.crew == crew);
        let place = self.idle.iter().rposition(ours)?;
        Some(self.idle.remove(place))
    }

    /// Starts what has a place; returns how many tasks could run if their crews had more workers.
    fn place_tasks(&mut self) -> HashMap<CrewId, Room> {
        let mut rooms: HashMap<CrewId, Room> = HashMap::new();
        if self.queue.is_empty() || self.parts.memory.pauses_tasks() {
            return rooms;
        }
        // Per shape: how many tasks are left for workers that are yet to come, or that the shape is stuck.
        let mut skipped: HashMap<Shape, Option<usize>> = HashMap::new();
        let mut reserved: Vec<Grant> = Vec::new();
        loop {
            let first = self.queue.first(|shape| {
                let full = !shape.dedicated && rooms.get(&shape.crew).is_some_and(|room| room.full);
                if full { None } else { skipped.get(shape).copied().unwrap_or(Some(0)) }
            });
            let Some((shape, id)) = first.map(|(shape, id)| (shape.clone(), id)) else {
                break;
            };
            let crew = shape.crew;
            if self.is_closing(crew) {
                skipped.insert(shape, None);
                continue;
            }
            let Some(grant) = self.parts.pool.take(&shape.demand) else {
                skipped.insert(shape, None);
                continue;
            };
            let unseen = || Room { limit: self.room_for_tasks(crew), reserved: 0, full: false };
            rooms.entry(crew).or_insert_with(unseen);
            let has_room = rooms.get(&crew).is_some_and(|room| room.reserved < room.limit);
            if shape.dedicated {
                self.grant_task(id, grant);
                self.launches.push_back(Purpose::Task(id));
            } else if let Some(number) = self.take_idle(crew) {
                self.grant_task(id, grant);
                self.run_task(id, number, false);
            } else if has_room {
                reserved.push(grant);
                if let Some(room) = rooms.get_mut(&crew) {
                    room.reserved += 1;
                }
                if let Some(count) = skipped.entry(shape).or_insert(Some(0)) {
                    *count += 1;
                }
            } else if let Some(number) = self.blocked_worker(id) {
                self.grant_task(id, grant);
                self.run_task(id, number, true);
            } else {
                self.parts.pool.give_back(grant);
                if let Some(room) = rooms.get_mut(&crew) {
                    room.full = true;
                }
            }
        }
        for grant in reserved {
            self.parts.pool.give_back(grant);
        }
        rooms
    }

    /// How many pool workers are being started for tasks or could be.
    fn room_for_tasks(&self, crew: CrewId) -> usize {
        let (mut serving, mut starting) = (0_usize, 0_usize);
        // Those that have worn out take nothing, but what sleeps in them may wait for what is placed now.
        let counts =
            |worker: &&Worker| worker.crew == crew && worker.is_pool() && !worker.is_doomed() && !worker.worn_out;
        for worker in self.workers.values().filter(counts) {
            match worker.duty {
                Duty::Starting => starting += 1,
                Duty::None | Duty::Tasks(_) => serving += 1,
                Duty::Actor(_) => {}
            }
        }
        if self.has_given_up(crew) && serving > 0 {
            // Starts fail, so those that run must do.
            return 0;
        }
        // Those that are being started serve the actors first.
        let coming = starting.saturating_sub(self.seats_of(crew));
        let limit = self.crew(crew).map_or(0, |crew| crew.limit);
        limit.saturating_sub(serving + coming) + coming
    }

    /// Finds a pool worker all of whose tasks wait: the one that has submitted `task`, or the one with
    /// the fewest tasks.
    fn blocked_worker(&self, task: TaskId) -> Option<u64> {
        let task = self.tasks.get(&task)?;
        let (submitter, crew) = (task.submitter, task.shape.crew);
        let blocked = |worker: &Worker| match &worker.duty {
            Duty::Tasks(running) if !worker.worn_out => {
                running.iter().all(|id| self.tasks.get(id).is_some_and(|task| task.blocked))
            }
            _ => false,
        };
        let ours = |worker: &Worker| worker.crew == crew && worker.is_pool() && !worker.is_doomed();
        let candidates = self.workers.iter().filter(|(_, worker)| ours(worker) && blocked(worker));
        candidates
            .min_by_key(|(number, worker)| {
                let load = match &worker.duty {
                    Duty::Tasks(running) => running.len(),
                    _ => 0,
                };
                (worker.process != submitter, load, **number)
            })
            .map(|(&number, _)| number)
    }

    /// How many actors of a crew have their resources and want a pool worker.
    fn seats_of(&self, crew: CrewId) -> usize {
        if self.crews.len() == 1 {
            return self.seats.len();
        }
        self.seats.iter().filter(|id| self.actors.get(id).is_some_and(|actor| actor.crew() == crew)).count()
    }

    /// Takes the actor of a crew that has `before` others of it before it from those that want a pool worker.
    fn take_seat(&mut self, crew: CrewId, before: usize) -> Option<ActorId> {
        let ours = |id: &ActorId| self.actors.get(id).is_some_and(|actor| actor.crew() == crew);
        let (place, _) = self.seats.iter().enumerate().filter(|(_, id)| ours(id)).nth(before)?;
        self.seats.remove(place)
    }

    /// Takes the oldest piece of work of a crew that wants a fresh process.
    fn take_launch(&mut self, crew: CrewId) -> Option<Purpose> {
        let ours = |purpose: &Purpose| self.crew_of_purpose(*purpose).is_none_or(|of| of == crew);
        let place = self.launches.iter().position(ours)?;
        self.launches.remove(place)
    }

    fn launch_workers(&mut self, crew: CrewId, wanted_by_tasks: usize) {
        if self.awaits_template(crew) {
            return;
        }
        let ours = |worker: &&Worker| worker.crew == crew && worker.is_starting();
        let mut starting = self.workers.values().filter(ours).count();
        let at_once = LAUNCHES_AT_ONCE.max(self.parts.pool.total_cpus().ceil() as usize * 2);
        let at_once = at_once.max(self.orders_at_once(crew));
        while starting < at_once
            && let Some(purpose) = self.take_launch(crew)
        {
            self.launch(crew, Some(purpose));
            starting += 1;
        }
        let mut coming = self.workers.values().filter(ours).filter(|worker| worker.is_pool()).count();
        // Actors that no worker on its way will take are born with their processes.
        while starting < self.orders_at_once(crew)
            && let Some(id) = self.take_seat(crew, coming)
        {
            self.launch(crew, Some(Purpose::Actor(id)));
            starting += 1;
        }
        let ahead = self.crew(crew).map_or(0, |crew| crew.ahead);
        let wanted = (self.seats_of(crew) + wanted_by_tasks).max(ahead);
        let failures = |state: &State| state.crew(crew).map_or(0, |crew| crew.failed_starts);
        while coming < wanted && starting < at_once {
            let failed = failures(self);
            self.launch(crew, None);
            if failures(self) == failed {
                coming += 1;
                starting += 1;
            } else if self.has_given_up(crew) || (self.seats.is_empty() && self.queue.is_empty()) {
                break;
            }
        }
        if starting < at_once
            && let Some(crew) = self.crews.get_mut(&crew)
        {
            // Those ahead have all been started: from now on starts follow the work.
            crew.ahead = 0;
        }
    }
}

/// What a crew's tasks find.
struct Room {
    /// How many workers are being started for them or could be.
    limit: usize,
    /// How many of these are spoken for.
    reserved: usize,
    /// Nothing without a process of its own finds a place any more.
    full: bool,
}
