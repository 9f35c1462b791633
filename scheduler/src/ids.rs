//! The ids of actors, tasks and processes.

use std::fmt;

use mobula_store::ObjectId;
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(ObjectId);

        impl $name {
            /// Draws a fresh id.
            pub fn random() -> Self {
                $name(ObjectId::random())
            }

            /// Makes an id of an object's id.
            pub const fn from_object(id: ObjectId) -> Self {
                $name(id)
            }

            /// Returns the same sixteen bytes as an object's id.
            pub const fn object(self) -> ObjectId {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id! {
    /// Identifies an actor; the same bytes name the zero-length counted object that is its life.
    ActorId
}
id! {
    /// Identifies a task.
    TaskId
}
id! {
    /// Identifies a process of a runtime: a driver or a worker.
    ProcessId
}

impl ProcessId {
    /// Returns what the ids of the process's objects and tasks begin with, as a little-endian number.
    pub fn tag(self) -> u64 {
        ProcessId::tag_of(self.0)
    }

    /// Returns the tag of the process that made an object's id.
    pub fn tag_of(id: ObjectId) -> u64 {
        let mut half = [0; 8];
        half.copy_from_slice(&id.as_bytes()[..8]);
        u64::from_le_bytes(half)
    }
}
