//! What the callers of an actor, and its worker, have to know of its options.
//!
//! [`ActorTraits`] travel wherever the actor is named: inside handles, in the answer to a search by name, and in the
//! [`ActorSpec`](mobula_scheduler::protocol::ActorSpec), where the node keeps them without reading them. Behind them
//! the spec has the [`WorkerTraits`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a destructor may take, unless options say otherwise.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// The options of an actor that others act upon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActorTraits {
    /// How many calls of one caller may be unanswered; 0: any number.
    pub(crate) max_pending_calls: u32,
    /// It may be restarted.
    pub(crate) restarts: bool,
    /// How often its calls are made again that do not say; -1: any number.
    pub(crate) max_task_retries: i32,
    /// It runs several calls at once.
    pub(crate) concurrent: bool,
}

impl ActorTraits {
    /// Encodes them for `ActorSpec::options`, with what only the worker has to know.
    pub(crate) fn to_options(self, worker: &WorkerTraits) -> Vec<u8> {
        // Plain data in a growing vector: nothing can fail.
        postcard::to_allocvec(&(self, worker)).unwrap_or_default()
    }

    /// Decodes `ActorSpec::options`; what makes no sense sets nothing.
    pub(crate) fn from_options(options: &[u8]) -> Self {
        postcard::take_from_bytes(options).map(|(traits, _)| traits).unwrap_or_default()
    }
}

/// The options of an actor that only its worker acts upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkerTraits {
    /// How many calls of no group run at once.
    pub(crate) max_concurrency: u32,
    /// The groups and how many calls of each run at once.
    pub(crate) groups: Vec<(String, u32)>,
    /// How long the value's destructor may take.
    pub(crate) shutdown_timeout: Duration,
    /// The class has `async` methods.
    pub(crate) is_async: bool,
}

impl Default for WorkerTraits {
    fn default() -> Self {
        WorkerTraits { max_concurrency: 1, groups: Vec::new(), shutdown_timeout: SHUTDOWN_TIMEOUT, is_async: false }
    }
}

impl WorkerTraits {
    /// Decodes what [`ActorTraits::to_options`] has encoded; what makes no sense sets nothing.
    pub(crate) fn from_options(options: &[u8]) -> Self {
        postcard::from_bytes(options).map(|(_, worker): (ActorTraits, _)| worker).unwrap_or_default()
    }

    /// True if calls may run beside each other.
    pub(crate) fn is_concurrent(&self) -> bool {
        self.is_async || self.max_concurrency > 1 || !self.groups.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_arrive_as_they_were_sent() {
        let traits = ActorTraits { max_pending_calls: 7, restarts: true, max_task_retries: -1, concurrent: true };
        let worker = WorkerTraits {
            max_concurrency: 3,
            groups: vec![("io".to_owned(), 2)],
            shutdown_timeout: Duration::from_millis(7),
            is_async: true,
        };
        let options = traits.to_options(&worker);
        assert_eq!(ActorTraits::from_options(&options), traits);
        assert_eq!(WorkerTraits::from_options(&options), worker);
        assert_eq!(ActorTraits::from_options(b""), ActorTraits::default());
        assert_eq!(WorkerTraits::from_options(b""), WorkerTraits::default());
    }
}
