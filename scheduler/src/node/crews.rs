//! Crews: a driver with the workers that run for it.
//!
//! ```text
//!   node --+-- crew of the driver in its own process      made with the node
//!          |     template, idle workers, actors' processes
//!          '-- crew of each driver that has attached      made by its `Lead`
//!                template, idle workers, actors' processes
//! ```
//!
//! What a worker runs, with which variables and where, is a matter of its driver; so workers, the template that they are
//! copied from, the bound on their number and the registry that theirs is compared with belong to a crew. CPUs, GPUs and
//! custom resources belong to the node: crews compete for them in the order of asking.
//!
//! - SC-46: a worker runs work of its own crew only, and what it creates or submits belongs to that crew.
//! - SC-47: a crew whose driver is gone ends when the last of its detached actors has ended, at once if there is none: then
//!   all of its processes are killed. Until then it goes on as before, but that its lines go to the files alone.
//! - SC-48: bounds on processes hold for each crew (SC-18), so no driver takes another one's places.

use std::collections::HashSet;
use std::fmt;

use crossbeam::channel::Sender;

use super::NodeError;
use super::launch::Recipe;
use super::outlet::Outlet;
use super::state::{DriverRegistry, State};
use super::template::Template;
use super::workers::{Purpose, Worker};
use crate::death::DeathCause;
use crate::ids::ProcessId;
use crate::logs;
use crate::protocol::{Answer, RegistryKey, ToProcess};

/// Names a crew within its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CrewId(u32);

impl CrewId {
    /// The crew of the driver in the node's own process.
    pub(super) const OWN: CrewId = CrewId(logs::OWN);

    /// Returns the number by which its driver's lines are told from others'.
    pub(super) fn number(self) -> u32 {
        self.0
    }

    pub(super) fn next(self) -> CrewId {
        CrewId(self.0.wrapping_add(1))
    }
}

impl fmt::Display for CrewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who asks what the workers of another executable know.
pub(super) type RegistryWaiter = Sender<Result<Option<Vec<RegistryKey>>, NodeError>>;

/// A driver and what its workers have in common.
pub(super) struct Crew {
    pub(super) recipe: Recipe,
    pub(super) namespace: String,
    /// The most processes that its tasks may occupy.
    pub(super) limit: usize,
    pub(super) template: Template,
    /// Pool workers that are still to be started ahead.
    pub(super) ahead: usize,
    /// Pool workers that did not join, since the last one that did.
    pub(super) failed_starts: u32,
    /// Starts in a row that were killed before they joined.
    pub(super) killed_starts: u32,
    pub(super) last_failure: String,
    /// The registry of its driver.
    pub(super) registry: Option<DriverRegistry>,
    /// The registry of workers that run another executable.
    pub(super) worker_registry: Option<HashSet<RegistryKey>>,
    pub(super) registry_waiters: Vec<RegistryWaiter>,
    driver: Seat,
}

/// Where the driver of a crew is.
enum Seat {
    Here,
    Gone,
    /// It waits for its processes to be gone.
    Leaving {
        outlet: Outlet,
        request: u64,
    },
}

impl Crew {
    pub(super) fn new(recipe: Recipe, namespace: String, limit: usize, ahead: usize) -> Self {
        Crew {
            recipe,
            namespace,
            limit,
            template: Template::default(),
            ahead,
            failed_starts: 0,
            killed_starts: 0,
            last_failure: String::new(),
            registry: None,
            worker_registry: None,
            registry_waiters: Vec::new(),
            driver: Seat::Here,
        }
    }
}

impl State {
    pub(super) fn crew(&self, id: CrewId) -> Option<&Crew> {
        self.crews.get(&id)
    }

    /// Returns the crew that a process belongs to.
    pub(super) fn crew_of(&self, process: ProcessId) -> CrewId {
        self.processes.get(&process).map_or(CrewId::OWN, |entry| entry.crew)
    }

    /// Returns the crew that the work of a process belongs to; `None` if the work is gone.
    pub(super) fn crew_of_purpose(&self, purpose: Purpose) -> Option<CrewId> {
        match purpose {
            Purpose::Actor(id) => self.actors.get(&id).map(|actor| actor.crew()),
            Purpose::Task(id) => self.tasks.get(&id).map(|task| task.shape.crew),
        }
    }

    /// True if a crew takes no work any more, or is no more.
    pub(super) fn is_closing(&self, id: CrewId) -> bool {
        self.closing.contains(&id) || !self.crews.contains_key(&id)
    }

    /// Keeps each crew as it is to be: those without a driver end, the others have a template.
    pub(super) fn tend_crews(&mut self) {
        let ids: Vec<_> = self.crews.keys().copied().collect();
        for id in ids {
            if !matches!(self.crews.get(&id).map(|crew| &crew.driver), Some(Seat::Here)) {
                self.tend_orphan(id);
            }
            self.tend_template(id);
        }
    }

    /// The driver of a crew is gone, or about to go: then it is told by `farewell` when its processes are.
    pub(super) fn orphan(&mut self, id: CrewId, farewell: Option<(Outlet, u64)>) {
        if let Some(crew) = self.crews.get_mut(&id) {
            crew.ahead = 0;
            crew.driver = match farewell {
                Some((outlet, request)) => Seat::Leaving { outlet, request },
                None => {
                    self.parts.logs.post(logs::Order::Hide { driver: id.number() });
                    Seat::Gone
                }
            };
        } else if let Some((mut outlet, request)) = farewell {
            outlet.send(ToProcess::Reply { request, answer: Answer::Done });
        }
    }

    /// Ends a crew without a driver if nothing of it is to go on (SC-47).
    fn tend_orphan(&mut self, id: CrewId) {
        let detached = self.actors.values().any(|actor| actor.crew() == id && actor.is_detached());
        if !detached && self.closing.insert(id) {
            if let Some(crew) = self.crews.get_mut(&id) {
                crew.template.kill();
            }
            let lives = |worker: &Worker| worker.crew == id && !worker.is_doomed();
            let numbers: Vec<_> =
                self.workers.iter().filter(|(_, worker)| lives(worker)).map(|(&number, _)| number).collect();
            for number in numbers {
                self.idle.retain(|&idle| idle != number);
                self.end_worker(number, DeathCause::OwnerDied);
            }
        }
        let busy = self.workers.values().any(|worker| worker.crew == id && (!detached || worker.is_doomed()));
        let Some(crew) = self.crews.get_mut(&id) else {
            return;
        };
        if busy || !detached && crew.template.is_running() {
            return;
        }
        if let Seat::Leaving { outlet, request } = &mut crew.driver {
            // Behind the last lines of those that are gone: the end of its pipe says that it has them.
            self.parts.logs.post(logs::Order::Hide { driver: id.number() });
            outlet.send(ToProcess::Reply { request: *request, answer: Answer::Done });
            crew.driver = Seat::Gone;
        }
        if !detached {
            self.forget_crew(id);
        }
    }

    /// Takes a crew without processes out of everything.
    fn forget_crew(&mut self, id: CrewId) {
        let actors: Vec<_> =
            self.actors.iter().filter(|(_, actor)| actor.crew() == id).map(|(&actor, _)| actor).collect();
        for actor in actors {
            self.actor_down(actor, DeathCause::OwnerDied);
        }
        let tasks: Vec<_> = self.tasks.iter().filter(|(_, task)| task.shape.crew == id).map(|(&id, _)| id).collect();
        for task in tasks {
            self.forget_task(task);
        }
        self.crews.remove(&id);
        self.closing.remove(&id);
    }
}
