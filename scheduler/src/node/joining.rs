//! How a worker joins: its hello is answered with a Welcome, its registry is compared with its driver's.
//!
//! ```text
//!   worker                                  node
//!     | -- hello (socket pair) -------------> |   waits until a driver's registry is known
//!     | <- Welcome (its one-shot server) ---- |
//!     | <- ADMIT or REFUSE (socket pair) ---- |
//!     | -- Ready{client, registry} ---------> |   the registries must agree (WK-18)
//! ```

use std::time::Instant;

use mobula_store::ClientKey;
use serde::{Deserialize, Serialize};

use super::NodeError;
use super::crews::CrewId;
use super::state::{DriverRegistry, State};
use super::workers::{Duty, Purpose};
use crate::bootstrap::Hello;
use crate::ids::ProcessId;
use crate::protocol::{Envelope, RegistryKey, ToProcess};
use crate::trace::tell;
use crate::watch::Order;

impl State {
    /// Step 1 of the bootstrap has come. The Welcome waits until a driver's registry is known.
    pub(super) fn hello(&mut self, number: u64, hello: Hello) {
        if let Some(crew) = self.crew_of_template(number) {
            return self.template_hello(crew, hello);
        }
        let Some(worker) = self.workers.get_mut(&number) else {
            return;
        };
        if worker.is_doomed() {
            return;
        }
        worker.pid = hello.pid;
        let crew = worker.crew;
        if self.crews.get(&crew).is_none_or(|crew| crew.registry.is_none()) {
            worker.hello = Some(hello);
            worker.deadline = None;
            return;
        }
        let (process, pid) = (worker.process, worker.pid);
        let admitted = self.welcome(process, crew, Some(number)).and_then(|welcome| admit(hello, welcome));
        self.parts.clear_boot(pid);
        match admitted {
            Ok(()) => self.parts.watch.post(Order::Admit { worker: number }),
            Err(error) => {
                if let Some(worker) = self.workers.get_mut(&number) {
                    worker.unreached = true;
                }
                self.refuse(number, &format!("its welcome could not be sent: {error}"));
            }
        }
    }

    pub(super) fn welcome_waiting_workers(&mut self, crew: CrewId) {
        let deadline = Instant::now() + self.parts.start_timeout;
        let waiting: Vec<_> = self
            .workers
            .iter_mut()
            .filter(|(_, worker)| worker.crew == crew)
            .filter_map(|(&number, worker)| {
                let hello = worker.hello.take()?;
                worker.deadline = Some(deadline);
                Some((number, hello))
            })
            .collect();
        for (number, hello) in waiting {
            self.hello(number, hello);
        }
    }

    /// Sends a process that may not join away.
    pub(super) fn refuse(&mut self, number: u64, reason: &str) {
        let Some(worker) = self.workers.get_mut(&number) else {
            return;
        };
        worker.trouble.get_or_insert_with(|| reason.to_owned());
        let process = worker.process;
        self.parts.watch.post(Order::Refuse { worker: number, text: reason.to_owned() });
        self.send(process, ToProcess::Refused(reason.to_owned()));
        self.kill_worker(number);
    }

    /// The process has attached the store.
    pub(super) fn ready(
        &mut self,
        process: ProcessId,
        pid: u32,
        client: ClientKey,
        hash: u64,
        registry: Vec<RegistryKey>,
    ) {
        let Some(entry) = self.processes.get_mut(&process) else {
            return;
        };
        entry.client = Some(client);
        let id = entry.crew;
        let Some(number) = entry.worker else {
            if let Some(crew) = self.crews.get_mut(&id) {
                crew.registry.get_or_insert(DriverRegistry { hash, entries: registry });
                self.welcome_waiting_workers(id);
            }
            return;
        };
        if self.workers.get(&number).is_some_and(|worker| worker.child.is_none()) {
            // It is faster than its template's answer.
            self.look_at_forks(id);
        }
        if let Err(reason) = self.compare_registries(id, hash, registry) {
            return self.refuse(number, &reason);
        }
        let Some(worker) = self.workers.get_mut(&number) else {
            return;
        };
        // One that was born with its work may have done it and ended: what it has said of it counts.
        let ended = worker.status.is_some() && !matches!(worker.purpose, Some(Purpose::Actor(_)));
        if ended || worker.ending.is_some() || worker.trouble.is_some() || !worker.is_starting() {
            return;
        }
        worker.pid = pid;
        worker.deadline = None;
        worker.duty = Duty::None;
        let purpose = worker.purpose;
        tell!(Debug, debug, pid, "a worker process has joined");
        if let Some(crew) = self.crews.get_mut(&id) {
            crew.failed_starts = 0;
            crew.killed_starts = 0;
        }
        self.answer_registry_waiters(id);
        match purpose {
            None => self.idle.push(number),
            Some(Purpose::Actor(id)) => self.seat_actor(id, number),
            Some(Purpose::Task(id)) => self.run_task(id, number, false),
        }
    }

    /// Compares a worker's registry with the driver's: all of it if they run the same executable,
    /// otherwise what both have.
    fn compare_registries(&mut self, id: CrewId, hash: u64, registry: Vec<RegistryKey>) -> Result<(), String> {
        let Some(crew) = self.crews.get_mut(&id) else {
            return Ok(());
        };
        let Some(driver) = &crew.registry else {
            return Ok(());
        };
        let same_executable = crew.recipe.foreign().is_none();
        let registry = if hash == driver.hash { driver.entries.clone() } else { registry };
        let theirs = |name: &str| registry.iter().find(|entry| entry.name == name);
        for ours in &driver.entries {
            match theirs(&ours.name) {
                Some(entry) if entry.signature != ours.signature => {
                    return Err(format!(
                        "worker and driver disagree about the signature of {}; build both from the same sources",
                        ours.name
                    ));
                }
                None if same_executable => {
                    return Err(format!("the worker does not know {}, which the driver does", ours.name));
                }
                _ => {}
            }
        }
        if same_executable {
            let known = |entry: &&RegistryKey| !driver.entries.contains(entry);
            if let Some(entry) = registry.iter().find(known) {
                return Err(format!("the driver does not know {}, which the worker does", entry.name));
            }
            if hash != driver.hash {
                return Err("the registries of worker and driver differ as a whole".to_owned());
            }
        } else if crew.worker_registry.is_none() {
            crew.worker_registry = Some(registry.into_iter().collect());
        }
        Ok(())
    }

    /// Says what is wrong with `key` if workers that run another executable do not have it.
    pub(super) fn missing_in_workers(&self, crew: CrewId, key: &RegistryKey) -> Option<String> {
        let crew = self.crews.get(&crew)?;
        let registry = crew.worker_registry.as_ref()?;
        let program = crew.recipe.foreign()?;
        (!registry.contains(key)).then(|| format!("the worker executable {program} does not contain {}", key.name))
    }

    /// Answers those who wait for the workers' registry, if it is known or will not be.
    pub(super) fn answer_registry_waiters(&mut self, id: CrewId) {
        let is_empty = !self.workers.values().any(|worker| worker.crew == id);
        let Some(crew) = self.crews.get_mut(&id) else {
            return;
        };
        let answer = if crew.recipe.foreign().is_none() {
            Ok(None)
        } else if let Some(registry) = &crew.worker_registry {
            Ok(Some(registry.iter().cloned().collect::<Vec<_>>()))
        } else if crew.failed_starts > 0 && is_empty && crew.ahead == 0 {
            Err(crew.last_failure.clone())
        } else {
            return;
        };
        for waiter in crew.registry_waiters.drain(..) {
            let _ = waiter.send(answer.clone().map_err(NodeError::Worker));
        }
    }
}

/// Sends step 2 of the bootstrap.
pub(super) fn admit<T: Serialize + for<'de> Deserialize<'de>>(hello: Hello, welcome: T) -> std::io::Result<()> {
    hello.connect()?.send(Envelope::new(welcome)).map_err(std::io::Error::other)
}
