//! How a node does, as it tells whoever asks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ActorName;
use crate::ids::ActorId;

/// How a node does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node's id in hex.
    pub node_id: String,
    /// The pid of the process that holds it.
    pub pid: u32,
    /// True if that is a driver's own process.
    pub embedded: bool,
    /// The folder of its session.
    pub session_dir: PathBuf,
    /// Where its store is attached.
    pub store_address: String,
    /// Its drivers.
    pub drivers: Vec<DriverStatus>,
    /// Every resource with its total and available amount.
    pub resources: Vec<(String, f64, f64)>,
    /// Its actors that are not dead.
    pub actors: Vec<ActorStatus>,
    /// The pids of its workers.
    pub workers: Vec<u32>,
    /// The tasks and leases that wait, and those that run.
    pub tasks: (usize, usize),
}

/// A driver and what is its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverStatus {
    /// Its pid; `None` if it is gone and detached actors of it live.
    pub pid: Option<u32>,
    /// Its namespace.
    pub namespace: String,
    /// How many workers it has.
    pub workers: usize,
}

/// An actor that is not dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorStatus {
    /// Its id.
    pub actor: ActorId,
    /// Its class as people call it.
    pub class: String,
    /// Its name, if it has one.
    pub name: Option<ActorName>,
    /// The pid of its process; `None`: it waits for resources or for a process.
    pub pid: Option<u32>,
    /// True if it lives until the node ends.
    pub detached: bool,
}
