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
