//! What the node knows of one actor.

use std::collections::HashSet;
use std::time::Instant;

use mobula_store::ObjectHold;

use crate::death::DeathCause;
use crate::ids::ProcessId;
use crate::node::crews::CrewId;
use crate::node::outlet::Position;
use crate::node::restarts::Lives;
use crate::protocol::{ActorSpec, RegistryKey};
use crate::resources::{Demand, Grant};

/// Where an actor is.
#[derive(Debug)]
pub(in crate::node) enum Place {
    /// Nowhere: it waits for resources.
    Waiting,
    /// It has its resources and waits before its next process.
    Resting { grant: Grant, until: Instant },
    /// It has its resources; `worker` is the process that was started for it alone, if there is one.
    Granted { grant: Grant, worker: Option<u64> },
    /// In a process.
    Placed { grant: Grant, worker: u64, position: Position },
}

/// An actor that is not dead.
pub(in crate::node) struct Actor {
    /// Given out when it is placed for the last time.
    pub(super) spec: Option<Box<ActorSpec>>,
    /// A copy of it waits for the process that is being made.
    pub(super) ahead: Option<Position>,
    pub(super) class: RegistryKey,
    pub(in crate::node) class_name: String,
    pub(super) demand: Demand,
    pub(super) env: Vec<(String, String)>,
    /// Whose workers it runs in.
    pub(super) crew: CrewId,
    /// Keeps a detached actor when nobody has a handle of it.
    pub(super) life: Option<ObjectHold>,
    pub(in crate::node) owner: ProcessId,
    /// Each process once.
    pub(in crate::node) watchers: Vec<ProcessId>,
    pub(in crate::node) place: Place,
    pub(in crate::node) lives: Lives,
    /// Keeps the arguments' objects until the constructor has run for the last time.
    pub(super) holds: Vec<ObjectHold>,
    /// Who waits for its end.
    pub(super) kills: Vec<(ProcessId, u64)>,
    /// Its constructor has run in this process.
    pub(in crate::node) started: bool,
    /// Its process says that it is about to end.
    pub(in crate::node) leaving: bool,
    /// What its process says that it ends of.
    pub(in crate::node) outcome: Option<DeathCause>,
    pub(in crate::node) end_sent: bool,
}

/// An actor that is known before it is created.
#[derive(Default)]
pub(in crate::node) struct Early {
    /// Who is to create it.
    pub(super) creator: Option<ProcessId>,
    pub(super) owner: Option<ProcessId>,
    pub(super) class_name: String,
    pub(super) watchers: Vec<ProcessId>,
}

impl Actor {
    /// Returns the variables and GPUs that its own process is started with.
    pub(in crate::node) fn needs(&self) -> (Vec<(String, String)>, Vec<u32>) {
        let gpu_ids = match &self.place {
            Place::Granted { grant, .. } => grant.gpu_ids().collect(),
            _ => Vec::new(),
        };
        (self.env.clone(), gpu_ids)
    }

    /// True if it cannot take a pool worker.
    pub(in crate::node) fn is_dedicated(&self) -> bool {
        self.demand.has_gpus() || !self.env.is_empty()
    }

    pub(in crate::node) fn crew(&self) -> CrewId {
        self.crew
    }

    /// True if it lives until the node ends.
    pub(in crate::node) fn is_detached(&self) -> bool {
        self.life.is_some()
    }

    /// Returns who is told when it has died.
    pub(in crate::node) fn hearers(&self) -> HashSet<ProcessId> {
        self.watchers.iter().copied().chain(self.kills.iter().map(|&(process, _)| process)).collect()
    }

    pub(in crate::node) fn launching(&mut self, number: u64) {
        if let Place::Granted { worker, .. } = &mut self.place {
            *worker = Some(number);
            self.ahead = None;
        }
    }

    pub(in crate::node) fn demand(&self) -> &Demand {
        &self.demand
    }

    /// It has its resources and looks for a process.
    pub(in crate::node) fn granted(&mut self, grant: Grant) {
        self.place = Place::Granted { grant, worker: None };
        // What waited for an earlier process went with that.
        self.ahead = None;
    }

    /// Returns the number of its process.
    pub(in crate::node) fn process(&self) -> Option<u64> {
        match self.place {
            Place::Waiting | Place::Resting { .. } => None,
            Place::Granted { worker, .. } => worker,
            Place::Placed { worker, .. } => Some(worker),
        }
    }
}
