//! What is said of actors, tasks and leases: what is to be made, under which name, and what it is given.

use mobula_store::{ClientKey, ObjectId};
use serde::{Deserialize, Serialize};

use crate::ids::{ActorId, TaskId};
use crate::resources::Demand;

/// Names a function or class of the registry and fixes its signature.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RegistryKey {
    /// Package, version and type name: `package version::path::Type`.
    pub name: String,
    /// The hash of its remote signatures.
    pub signature: u64,
}

/// Encoded arguments and the ids of the objects that they hold.
///
/// Opaque to the node. The sender keeps its holds of `ids` until the call is answered.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Payload {
    /// The encoded arguments.
    #[serde(with = "serde_bytes_vec")]
    pub bytes: Vec<u8>,
    /// Every object that the arguments refer to.
    pub ids: Vec<ObjectId>,
}

/// Describes an actor that is to be created.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActorSpec {
    /// The new actor's id; also the id of the zero-length counted object that is its life.
    pub actor: ActorId,
    /// The class in the registry.
    pub class: RegistryKey,
    /// The class as people call it.
    pub class_name: String,
    /// The constructor's arguments.
    pub args: Payload,
    /// What it holds for life.
    pub demand: Demand,
    /// Environment variables for its process; a non-empty list needs a fresh process.
    pub env: Vec<(String, String)>,
    /// How many more processes it may have after ones that crashed; -1: any number.
    pub max_restarts: i32,
    /// True if it lives until the node ends, whoever created it and whoever has handles of it.
    pub detached: bool,
    /// The options as given, encoded by the worker crate for its own use on the other side.
    pub options: Vec<u8>,
}

/// The name of an actor, which in its namespace nobody else has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActorName {
    /// Where the name counts.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// The actor that has a name, as its handles need it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Holder {
    /// The actor's id.
    pub actor: ActorId,
    /// The class in the registry.
    pub class: RegistryKey,
    /// The class as people call it.
    pub class_name: String,
    /// What [`ActorSpec::options`] says.
    pub options: Vec<u8>,
}

/// Asks for a name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NameClaim {
    /// The name.
    pub name: ActorName,
    /// Who is to have it.
    pub holder: Holder,
    /// True if an actor that has it already serves as well, unless it is about to end.
    pub or_get: bool,
}

/// Describes a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The task's id.
    pub task: TaskId,
    /// The caller's store client: results go to it through a ring.
    pub caller: ClientKey,
    /// The caller's number of this call.
    pub call: u64,
    /// The function in the registry.
    pub function: RegistryKey,
    /// The function as people call it.
    pub function_name: String,
    /// The arguments.
    pub args: Payload,
    /// What it holds while it runs.
    pub demand: Demand,
    /// How many tasks deep it was submitted: 0 by a driver or an actor that no task called.
    pub depth: u32,
    /// How many results the caller expects.
    pub num_returns: u8,
    /// Environment variables; a non-empty list needs a fresh process.
    pub env: Vec<(String, String)>,
}

/// Describes a lease: a pool worker for one caller's tasks of one demand, until the caller gives it back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeaseSpec {
    /// The id by which node, caller and worker name it: to placement a lease is one long task.
    pub lease: TaskId,
    /// What it holds, each of its tasks in turn.
    pub demand: Demand,
    /// How many tasks deep its first task was submitted.
    pub depth: u32,
    /// The function of its first task in the registry.
    pub function: RegistryKey,
    /// That function as people call it.
    pub function_name: String,
}

/// What was given to a task or actor out of the node's resources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Granted {
    /// The ids of the GPUs, ascending.
    pub gpu_ids: Vec<u32>,
    /// Every resource with its amount, as `assigned_resources` reports it.
    pub amounts: Vec<(String, f64)>,
    /// How many threads it has CPUs for.
    pub threads: u32,
    /// The processors that are its alone; none: it runs on all.
    pub processors: Vec<u32>,
}

mod serde_bytes_vec {
    //! Encodes a byte vector as bytes and not as a sequence of integers.

    use serde::de::{self, Deserializer, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}
