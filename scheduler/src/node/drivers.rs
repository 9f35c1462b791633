//! Drivers: how they come, and what becomes of what is theirs when they go.
//!
//! ```text
//!   in this process:  connect_driver ------------------> Ready, work ... Stop
//!   in another one:   knock --> Welcome --> Lead --> Ready, work ... Leave          its process lives on
//!                                                                    '-- its end, at any moment
//! ```
//!
//! The end of a driver of another process is heard of as that of a worker: by its pidfd, and behind all that it had sent.
//! From there on the two ways of going are one: its client of the store is reaped if it is dead, everybody hears that it is
//! gone, what it owns ends, its names are free, and its crew is an orphan ([`super::crews`]).
//!
//! - SC-44: a driver is watched before it is told that it may come in, so there is no moment at which its end goes unnoticed.
//! - SC-45: what a driver has brought is held by the node, so its workers start when it is gone, and run the file that it ran.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;

use serde::{Deserialize, Serialize};

use super::NodeError;
use super::crews::{Crew, CrewId};
use super::door::{self, Folder, Knock};
use super::joining::admit;
use super::launch::{Home, Recipe};
use super::stacks::Asker;
use super::state::{DriverRegistry, State};
use crate::bootstrap::{ADMIT, Hello};
use crate::ids::ProcessId;
use crate::logs;
use crate::protocol::{Answer, Envelope, Leader, RegistryKey, ToProcess, Welcome};
use crate::screen::Pipe;
use crate::sys;
use crate::trace::tell;
use crate::watch::{Order, Words};

/// A driver of another process.
pub(super) struct Guest {
    pub(super) process: ProcessId,
    pub(super) pid: u32,
    /// What it has brought, until it says what for: its executable, its folder, the way to its stderr.
    fds: Vec<OwnedFd>,
}

/// Somebody who has asked something at the door and waits for the answer.
#[derive(Debug)]
pub(super) struct Visitor {
    hello: Hello,
    stream: UnixStream,
    folder: Option<Folder>,
}

impl Visitor {
    /// Gives the answer. A long one leaves as it is read, which the loop does not wait for (SC-16).
    pub(super) fn answer<T>(self, answer: T)
    where
        T: Serialize + for<'de> Deserialize<'de> + Send + 'static,
    {
        let Visitor { hello, mut stream, folder } = self;
        let connected = hello.connect();
        drop(folder);
        let sent = connected.and_then(|sender| {
            // From here on it takes what comes; nothing comes if this fails.
            stream.write_all(&[ADMIT])?;
            thread::Builder::new().name("mobula-answer".into()).spawn(move || {
                sys::block_signals();
                // Whoever has gone needs no answer.
                let _ = sender.send(Envelope::new(answer));
            })
        });
        if let Err(error) = sent {
            door::refuse(&mut stream, &format!("the answer could not be sent: {error}"));
        }
    }
}

impl State {
    /// The driver of this process comes in.
    pub(super) fn connect_driver(&mut self, hash: u64, entries: Vec<RegistryKey>) -> Result<Welcome, NodeError> {
        let Some(crew) = self.crews.get_mut(&CrewId::OWN) else {
            return Err(NodeError::Worker("this node has no workers of its own; attach to it".into()));
        };
        crew.registry.get_or_insert(DriverRegistry { hash, entries });
        let process = ProcessId::random();
        let welcome = self
            .welcome(process, CrewId::OWN, None)
            .map_err(|source| NodeError::Io { step: "make a channel for its driver", source })?;
        self.welcome_waiting_workers(CrewId::OWN);
        Ok(welcome)
    }

    /// Somebody is at the door.
    pub(super) fn knock(&mut self, knock: Knock) {
        let Knock { kind, hello, fds, mut stream, pid, pidfd, folder } = knock;
        match kind {
            door::DRIVE => {}
            door::LOOK => return Visitor { hello, stream, folder }.answer(self.status()),
            door::STACKS => return self.ask_stacks(Asker::Visitor(Visitor { hello, stream, folder })),
            _ => return door::refuse(&mut stream, "the node does not know what it wants"),
        }
        let number = self.next_number();
        let process = ProcessId::random();
        self.last_crew = self.last_crew.next();
        self.parts.watch.post(Order::Add { worker: number, pidfd, words: Words::None });
        self.guests.insert(number, Guest { process, pid, fds });
        let welcome = self.welcome(process, self.last_crew, None);
        if let Some(entry) = self.processes.get_mut(&process) {
            entry.guest = Some(number);
        }
        tell!(Debug, debug, pid, "a driver attaches");
        let done = welcome.and_then(|welcome| admit(hello, welcome));
        // The connection is made, or never will be.
        drop(folder);
        match done {
            Ok(()) => drop(stream.write_all(&[ADMIT])),
            Err(error) => door::refuse(&mut stream, &format!("its welcome could not be sent: {error}")),
        }
    }

    /// A driver of another process says what its workers are started with.
    pub(super) fn lead(&mut self, process: ProcessId, leader: Leader) {
        let Some((id, number)) = self.processes.get(&process).and_then(|entry| Some((entry.crew, entry.guest?))) else {
            return;
        };
        let fds = self.guests.get_mut(&number).map(|guest| std::mem::take(&mut guest.fds)).unwrap_or_default();
        let Ok([exe, dir, lines]) = <[OwnedFd; 3]>::try_from(fds) else {
            self.send(process, ToProcess::Refused("it has brought no executable, folder and pipe".into()));
            return;
        };
        if let Ok(pipe) = Pipe::new(lines)
            && leader.log_to_driver
        {
            self.parts.logs.post(logs::Order::Show { driver: id.number(), pipe });
        }
        let Leader { namespace, args, vars, env, wrapper, foreign, forks, max_processes, .. } = leader;
        let recipe = Recipe {
            exe: None,
            wrapper,
            env,
            session_dir: self.parts.info.session_dir.clone(),
            has_gpus: self.parts.pool.total_gpus() > 0.0,
            forks,
            home: Some(Home { exe, dir, args, vars, foreign }),
        };
        let limit = max_processes.unwrap_or(self.parts.process_limit).max(1);
        let ahead = self.parts.prestart.min(limit);
        self.crews.insert(id, Crew::new(recipe, namespace, limit, ahead));
    }

    /// A driver goes, and its process lives on.
    pub(super) fn leave(&mut self, process: ProcessId, request: u64) {
        let Some(number) = self.processes.get(&process).and_then(|entry| entry.guest) else {
            self.send(process, ToProcess::Reply { request, answer: Answer::NotFound });
            return;
        };
        self.guests.remove(&number);
        self.parts.watch.post(Order::Forget { worker: number });
        self.see_off(process, Some(request));
    }

    /// The process of a driver has ended, and all that it had sent was heard; false if `number` is no driver's.
    pub(super) fn guest_gone(&mut self, number: u64) -> bool {
        let Some(Guest { process, pid, .. }) = self.guests.remove(&number) else {
            return false;
        };
        tell!(Debug, debug, pid, "an attached driver has ended");
        if let Some(client) = self.processes.get(&process).and_then(|entry| entry.client) {
            self.parts.store.reap(client);
        }
        self.see_off(process, None);
        true
    }

    fn see_off(&mut self, process: ProcessId, farewell: Option<u64>) {
        let Some(entry) = self.processes.remove(&process) else {
            return;
        };
        if let Some(client) = entry.client {
            self.tell_gone(client, |_| true);
        }
        self.owner_died(process);
        self.orphan(entry.crew, farewell.map(|request| (entry.outlet, request)));
    }
}
