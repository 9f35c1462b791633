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

use super::state::State;
use super::tasks::Shape;
use super::workers::{Duty, Purpose, Worker};
use crate::ids::TaskId;
use crate::resources::Grant;

/// How many processes are in the making at once, at least.
const LAUNCHES_AT_ONCE: usize = 8;

impl State {
    /// Places everything that can be placed now.
    pub(super) fn place(&mut self) {
        self.tend_template();
        self.again = true;
        // A start that fails at once frees resources, which others may have waited for.
        while std::mem::take(&mut self.again) {
            self.grant_actors();
            self.seat_actors();
            let wanted = self.place_tasks();
            self.launch_workers(wanted);
        }
        self.recall_leases();
    }

    fn grant_actors(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|&id| {
            let Some(actor) = self.actors.get_mut(&id) else {
                return false;
            };
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
        while !self.seats.is_empty() {
            let fresh = |number: &u64| self.workers.get(number).is_some_and(|worker| !worker.used);
            let Some(position) = self.idle.iter().rposition(fresh) else {
                return;
            };
            let number = self.idle.remove(position);
            if let Some(id) = self.seats.pop_front() {
                self.seat_actor(id, number);
            }
        }
    }

    /// Starts what has a place; returns how many tasks could run if there were more workers.
    fn place_tasks(&mut self) -> usize {
        if self.queue.is_empty() {
            return 0;
        }
        // Per shape: how many tasks are left for workers that are yet to come, or that the shape is stuck.
        let mut skipped: HashMap<Shape, Option<usize>> = HashMap::new();
        let mut reserved: Vec<Grant> = Vec::new();
        let room = self.room_for_tasks();
        let mut no_place = false;
        loop {
            let first = self.queue.first(|shape| {
                if no_place && !shape.dedicated { None } else { skipped.get(shape).copied().unwrap_or(Some(0)) }
            });
            let Some((shape, id)) = first.map(|(shape, id)| (shape.clone(), id)) else {
                break;
            };
            let Some(grant) = self.parts.pool.take(&shape.demand) else {
                skipped.insert(shape, None);
                continue;
            };
            if shape.dedicated {
                self.grant_task(id, grant);
                self.launches.push_back(Purpose::Task(id));
            } else if let Some(number) = self.idle.pop() {
                self.grant_task(id, grant);
                self.run_task(id, number, false);
            } else if reserved.len() < room {
                reserved.push(grant);
                if let Some(count) = skipped.entry(shape).or_insert(Some(0)) {
                    *count += 1;
                }
            } else if let Some(number) = self.blocked_worker(id) {
                self.grant_task(id, grant);
                self.run_task(id, number, true);
            } else {
                self.parts.pool.give_back(grant);
                no_place = true;
            }
        }
        let wanted = reserved.len();
        for grant in reserved {
            self.parts.pool.give_back(grant);
        }
        wanted
    }

    /// How many pool workers are being started for tasks or could be.
    fn room_for_tasks(&self) -> usize {
        let (mut serving, mut starting) = (0_usize, 0_usize);
        for worker in self.workers.values().filter(|worker| worker.is_pool() && !worker.is_doomed()) {
            match worker.duty {
                Duty::Starting => starting += 1,
                Duty::None | Duty::Tasks(_) => serving += 1,
                Duty::Actor(_) => {}
            }
        }
        if self.has_given_up() && serving > 0 {
            // Starts fail, so those that run must do.
            return 0;
        }
        // Those that are being started serve the actors first.
        let coming = starting.saturating_sub(self.seats.len());
        self.parts.process_limit.saturating_sub(serving + coming) + coming
    }

    /// Finds a pool worker all of whose tasks wait: the one that has submitted `task`, or the one with
    /// the fewest tasks.
    fn blocked_worker(&self, task: TaskId) -> Option<u64> {
        let submitter = self.tasks.get(&task)?.submitter;
        let blocked = |worker: &Worker| match &worker.duty {
            Duty::Tasks(running) => running.iter().all(|id| self.tasks.get(id).is_some_and(|task| task.blocked)),
            _ => false,
        };
        let candidates =
            self.workers.iter().filter(|(_, worker)| worker.is_pool() && !worker.is_doomed() && blocked(worker));
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

    fn launch_workers(&mut self, wanted_by_tasks: usize) {
        if self.awaits_template() {
            return;
        }
        let mut starting = self.workers.values().filter(|worker| worker.is_starting()).count();
        let at_once = LAUNCHES_AT_ONCE.max(self.parts.pool.total_cpus().ceil() as usize * 2);
        let at_once = at_once.max(self.orders_at_once());
        while starting < at_once
            && let Some(purpose) = self.launches.pop_front()
        {
            self.launch(Some(purpose));
            starting += 1;
        }
        let mut coming = self.workers.values().filter(|worker| worker.is_starting() && worker.is_pool()).count();
        // Actors that no worker on its way will take are born with their processes.
        while starting < self.orders_at_once()
            && let Some(id) = self.seats.remove(coming)
        {
            self.launch(Some(Purpose::Actor(id)));
            starting += 1;
        }
        let wanted = (self.seats.len() + wanted_by_tasks).max(self.ahead);
        while coming < wanted && starting < at_once {
            let failed = self.failed_starts;
            self.launch(None);
            if self.failed_starts == failed {
                coming += 1;
                starting += 1;
            } else if self.has_given_up() || (self.seats.is_empty() && self.queue.is_empty()) {
                break;
            }
        }
        if starting < at_once {
            // Those ahead have all been started: from now on starts follow the work.
            self.ahead = 0;
        }
    }
}
