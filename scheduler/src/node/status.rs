//! What a node says when it is asked how it does.

use super::crews::CrewId;
use super::state::State;
use crate::protocol::{ActorStatus, DriverStatus, NodeStatus};

impl State {
    /// Describes the node as it is now.
    pub(super) fn status(&self) -> NodeStatus {
        let info = &self.parts.info;
        let mut actors: Vec<_> = self
            .actors
            .iter()
            .map(|(&id, actor)| ActorStatus {
                actor: id,
                class: actor.class_name.clone(),
                name: self.names.name_of(id).cloned(),
                pid: actor.process().and_then(|number| Some(self.workers.get(&number)?.pid)).filter(|&pid| pid != 0),
                detached: actor.is_detached(),
            })
            .collect();
        actors.sort_by(|a, b| (&a.class, a.actor).cmp(&(&b.class, b.actor)));
        let drivers = self.crews.iter().map(|(&id, crew)| DriverStatus {
            pid: self.driver_pid(id),
            namespace: crew.namespace.clone(),
            workers: self.workers.values().filter(|worker| worker.crew == id).count(),
        });
        let mut workers: Vec<_> = self.workers.values().map(|worker| worker.pid).filter(|&pid| pid != 0).collect();
        workers.sort_unstable();
        NodeStatus {
            node_id: info.node_id.clone(),
            pid: info.pid,
            embedded: self.crews.contains_key(&CrewId::OWN),
            session_dir: info.session_dir.clone(),
            store_address: info.store_address.clone(),
            drivers: drivers.collect(),
            resources: self.parts.pool.report(),
            actors,
            workers,
            tasks: self.count_tasks(),
        }
    }

    /// Returns the pid of a crew's driver, if it is there.
    fn driver_pid(&self, id: CrewId) -> Option<u32> {
        if id == CrewId::OWN {
            return Some(self.parts.info.pid);
        }
        let leads = |process| self.processes.get(process).is_some_and(|entry| entry.crew == id);
        self.guests.values().find(|guest| leads(&guest.process)).map(|guest| guest.pid)
    }
}
