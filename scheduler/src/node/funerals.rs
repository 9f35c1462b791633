//! The end of a worker process: what is done before anybody hears of it, and who hears what.
//!
//! ```text
//!   exited: kill the group, wait --> barrier behind all it sent --> reap its client --> tell everybody
//! ```
//!
//! The order is SC-13. What can be said of an actor while its process still ends is in `node/dying.rs`.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use mobula_store::ClientKey;

use super::actors::Actor;
use super::crews::CrewId;
use super::launch;
use super::restarts::ProcessEnd;
use super::state::{Event, State};
use super::workers::{Duty, HINT, Purpose, Worker};
use crate::death::{DeathCause, LostTask};
use crate::ids::{ActorId, ProcessId};
use crate::logs;
use crate::protocol::{Answer, ToProcess};
use crate::trace::tell;
use crate::watch::Sighting;

/// After so many failed starts in a row everything that waits for a worker fails.
const MOST_FAILED_STARTS: u32 = 3;

/// So many starts in a row may be ended by a SIGKILL before they count as failed.
const MOST_KILLED_STARTS: u32 = 20;

/// How long the node's end waits for killed processes: only the kernel can hold one up longer.
const LAST_WAIT: Duration = Duration::from_secs(10);

impl State {
    /// The process has ended: kill what it has started and wait for it. Behind this comes the barrier that tells that
    /// its last messages have passed.
    pub(super) fn exited(&mut self, number: u64) {
        if let Some(crew) = self.crew_of_template(number) {
            return self.template_gone(crew);
        }
        let Some(worker) = self.workers.get_mut(&number) else {
            return;
        };
        let Some(child) = worker.child else {
            return;
        };
        launch::kill_group(child);
        if worker.is_starting() {
            self.parts.clear_boot(child.as_raw_pid().unsigned_abs());
        }
        let status = launch::reap(child);
        worker.was_killed = launch::was_killed(&status);
        worker.status = Some(launch::describe(status));
        worker.deadline = None;
        self.idle.retain(|&idle| idle != number);
        self.parts.logs.post(logs::Order::Finish { worker: number });
    }

    pub(super) fn all_heard(&mut self, number: u64) {
        if self.guest_gone(number) {
            return;
        }
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.all_heard = true;
        }
        self.bury_if_due(number);
    }

    pub(super) fn all_read(&mut self, number: u64, tail: String) {
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.tail = Some(tail);
        }
        self.bury_if_due(number);
    }

    fn bury_if_due(&mut self, number: u64) {
        let Some(worker) = self.workers.get(&number) else {
            return;
        };
        // Only for one that never joined do its last words matter, and they are worth waiting for.
        if worker.all_heard && (worker.tail.is_some() || !worker.is_starting()) {
            self.bury(number);
        }
    }

    /// SC-13, from the reaping on.
    fn bury(&mut self, number: u64) {
        let Some(mut worker) = self.workers.remove(&number) else {
            return;
        };
        let process = worker.process;
        let client = self.processes.remove(&process).and_then(|entry| entry.client);
        let mut concerned = self.concerned(&worker.duty);
        concerned.extend(worker.kills.iter().map(|&(process, _)| process));
        if let Some(client) = client {
            self.parts.store.reap(client);
            self.tell_gone(client, |process| concerned.contains(&process));
        }
        if let Some(grant) = worker.held.take() {
            self.parts.pool.give_back(grant);
        }
        let status = worker.status.take().unwrap_or_default();
        let (pid, ending, spares) = (worker.pid, worker.ending.clone(), worker.spares);
        let end = |status: String| ProcessEnd { pid, status, ending, spares };
        tell!(Debug, debug, pid = worker.pid, status, "a worker process has ended");
        match std::mem::replace(&mut worker.duty, Duty::None) {
            Duty::Starting => match (worker.purpose, worker.ending.clone()) {
                // Its work is gone, so nobody waits for it.
                (Some(Purpose::Actor(id)), Some(_)) => self.actor_gone(id, number, end(status)),
                // A later process of an actor that ends before it joins, though earlier ones did, has crashed.
                (Some(Purpose::Actor(id)), None)
                    if (worker.unreached || worker.trouble.is_none()) && self.is_restarting(id) =>
                {
                    self.actor_gone(id, number, end(status));
                }
                (Some(Purpose::Task(id)), Some(_)) => self.forget_task(id),
                (purpose, _) => {
                    let killed = worker.unreached || worker.was_killed && worker.trouble.is_none();
                    if !(killed && self.start_again(worker.crew, purpose)) {
                        let message = start_message(&worker, &status);
                        self.start_failed(worker.crew, purpose, message);
                    }
                }
            },
            Duty::None => {}
            Duty::Actor(id) => self.actor_gone(id, number, end(status)),
            Duty::Tasks(ids) => {
                for id in ids {
                    let reason = match &worker.short_of_memory {
                        _ if worker.ends_by_force => LostTask::EndedByForce { pid: worker.pid },
                        Some(message) => LostTask::OutOfMemory(message.clone()),
                        None => LostTask::WorkerCrashed { pid: worker.pid, status: status.clone() },
                    };
                    self.lose_task(id, reason);
                }
            }
        }
        for (process, request) in std::mem::take(&mut worker.kills) {
            self.send(process, ToProcess::Reply { request, answer: Answer::Done });
        }
        // Nobody of these waits for it, and waking them holds up the loop.
        if let Some(client) = client {
            self.tell_gone(client, |process| !concerned.contains(&process));
        }
        self.owner_died(process);
    }

    /// Returns who hears more of a worker's end than that it is gone.
    fn concerned(&self, duty: &Duty) -> HashSet<ProcessId> {
        match duty {
            Duty::Actor(id) => self.actors.get(id).map(Actor::hearers).unwrap_or_default(),
            Duty::Tasks(ids) => ids.iter().filter_map(|id| self.tasks.get(id)).map(|task| task.submitter).collect(),
            Duty::Starting | Duty::None => self.processes.keys().copied().collect(),
        }
    }

    pub(super) fn tell_gone(&mut self, client: ClientKey, whom: impl Fn(ProcessId) -> bool) {
        for (_, entry) in self.processes.iter_mut().filter(|(process, _)| whom(**process)) {
            entry.outlet.send(ToProcess::ProcessGone(client));
        }
    }

    /// Somebody has killed a process before it joined: nothing of its work has begun, so that another one is started for
    /// it. False if that has happened too often in a row: then somebody means it.
    fn start_again(&mut self, id: CrewId, purpose: Option<Purpose>) -> bool {
        let Some(crew) = self.crews.get_mut(&id) else {
            return false;
        };
        crew.killed_starts += 1;
        if crew.killed_starts > MOST_KILLED_STARTS {
            return false;
        }
        match purpose {
            Some(Purpose::Actor(id)) => self.launch_actor_again(id),
            Some(Purpose::Task(id)) => self.launch_task_again(id),
            // Whatever waits for one has it started anew.
            None => {}
        }
        self.again = true;
        true
    }

    /// A process could not be started or has not joined.
    pub(super) fn start_failed(&mut self, id: CrewId, purpose: Option<Purpose>, message: String) {
        tell!(Warn, warn, "{message}");
        self.again = true;
        match purpose {
            Some(Purpose::Actor(id)) => self.actor_down(id, DeathCause::CreationFailed(message)),
            Some(Purpose::Task(id)) => self.lose_task(id, LostTask::NoWorker(message)),
            None => {
                let Some(crew) = self.crews.get_mut(&id) else {
                    return;
                };
                crew.failed_starts += 1;
                crew.last_failure = message;
                // Started ahead or not: more of the same would only fail in the same way.
                crew.ahead = 0;
                if self.has_given_up(id) {
                    self.fail_all_that_wait(id);
                }
                self.answer_registry_waiters(id);
            }
        }
    }

    /// True while starts fail in a row: then work that comes gets one more try, not three.
    pub(super) fn has_given_up(&self, id: CrewId) -> bool {
        self.crews.get(&id).is_some_and(|crew| crew.failed_starts >= MOST_FAILED_STARTS)
    }

    fn fail_all_that_wait(&mut self, crew: CrewId) {
        let message = self.crews.get(&crew).map(|crew| crew.last_failure.clone()).unwrap_or_default();
        let is_ours = |id: &ActorId| self.actors.get(id).is_none_or(|actor| actor.crew() == crew);
        let (ours, others) = std::mem::take(&mut self.seats).into_iter().partition(is_ours);
        self.seats = others;
        let ours: VecDeque<ActorId> = ours;
        for id in ours {
            self.actor_down(id, DeathCause::CreationFailed(message.clone()));
        }
        let serving = |worker: &Worker| {
            worker.crew == crew && worker.is_pool() && !matches!(worker.duty, Duty::Starting | Duty::Actor(_))
        };
        if !self.workers.values().any(serving) {
            for id in self.queue.take_pooled(crew) {
                self.lose_task(id, LostTask::NoWorker(message.clone()));
            }
        }
    }

    /// Kills everything and waits until it is gone.
    pub(super) fn stop(mut self) {
        for process in self.processes.values_mut().filter(|process| process.worker.is_none()) {
            process.outlet.send(ToProcess::Shutdown);
        }
        let deadline = Instant::now() + LAST_WAIT;
        self.workers.retain(|_, worker| worker.status.is_none());
        self.crews.values_mut().for_each(|crew| crew.template.kill());
        for worker in self.workers.values_mut() {
            worker.ending.get_or_insert(DeathCause::NodeDied);
            worker.child.into_iter().for_each(launch::kill_group);
        }
        while !self.workers.is_empty() || self.crews.values().any(|crew| crew.template.is_running()) {
            match self.parts.inbox.recv_deadline(deadline) {
                Ok(Event::Sighting { worker, sighting: Sighting::Exited }) => {
                    if let Some(crew) = self.crew_of_template(worker) {
                        // What it has forked is known now, and killed; nothing else will come.
                        self.template_gone(crew);
                    } else if let Some(child) = self.workers.remove(&worker).and_then(|worker| worker.child) {
                        launch::kill_group(child);
                        // Waited for here, so that no zombie stays; how it ended interests nobody now.
                        let _ = launch::reap(child);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    let left = self.workers.len();
                    tell!(Error, error, %error, left, "killed worker processes do not end");
                    return;
                }
            }
        }
    }
}

/// Explains a failed start to whoever wrote the program.
fn start_message(worker: &Worker, status: &str) -> String {
    let pid = worker.pid;
    let mut message = match &worker.trouble {
        Some(trouble) => format!("worker process {pid} could not join: {trouble}"),
        None => format!("worker process {pid} ended with {status} before it joined{HINT}"),
    };
    match worker.tail.as_deref() {
        Some(tail) if !tail.is_empty() => {
            message.push_str(" Its last words on stderr: ");
            message.push_str(tail);
        }
        _ => {}
    }
    message
}
