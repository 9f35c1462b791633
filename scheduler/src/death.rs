//! How actors and tasks end, in words that cross processes and reach the user.

use serde::{Deserialize, Serialize};

use crate::ids::ActorId;

/// Why an actor is dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DeathCause {
    /// `mobula::kill` ended it.
    Killed,
    /// Its process ended by itself or by a signal.
    Crashed {
        /// The exit status in words: `exit status 3`, `signal 11 (SIGSEGV)`.
        status: String,
    },
    /// It called `exit_actor`.
    Exited,
    /// Its last strong handle was dropped.
    OutOfScope,
    /// The actor, task or driver that created it ended.
    OwnerDied,
    /// Its constructor failed, or its process could not be started: the message says how.
    CreationFailed(String),
    /// The node ended.
    NodeDied,
    /// It was killed because memory was short: the message says how short.
    OutOfMemory(String),
}

impl std::fmt::Display for DeathCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DeathCause::Killed => f.write_str("it was killed by mobula::kill"),
            DeathCause::Crashed { status } => write!(f, "its process crashed: {status}"),
            DeathCause::Exited => f.write_str("it called exit_actor"),
            DeathCause::OutOfScope => f.write_str("its last handle was dropped"),
            DeathCause::OwnerDied => f.write_str("its owner ended"),
            DeathCause::CreationFailed(message) => write!(f, "its creation failed: {message}"),
            DeathCause::OutOfMemory(message) => f.write_str(message),
            DeathCause::NodeDied => f.write_str("its node ended"),
        }
    }
}

/// The end of an actor: who and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorDeath {
    /// The actor's id.
    pub actor: ActorId,
    /// Its class as people call it.
    pub class: String,
    /// The pid of its last process, 0 if it never had one.
    pub pid: u32,
    /// Why it died.
    pub cause: DeathCause,
}

impl std::fmt::Display for ActorDeath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "actor {} {} died: {}", self.class, self.actor, self.cause)
    }
}

/// Why a task will never answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LostTask {
    /// Its worker's process ended while it ran.
    WorkerCrashed {
        /// The worker's pid.
        pid: u32,
        /// The exit status in words.
        status: String,
    },
    /// Its worker's process was ended because another task in it was cancelled by force.
    EndedByForce {
        /// The worker's pid.
        pid: u32,
    },
    /// It was cancelled.
    Cancelled,
    /// No worker could be started for it: the message says why.
    NoWorker(String),
    /// Its worker was killed because memory was short: the message says how short.
    OutOfMemory(String),
    /// The node's totals can never satisfy it: the message names what is short.
    Infeasible(String),
}
