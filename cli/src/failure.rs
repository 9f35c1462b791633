//! How a command fails.

use std::error::Error as _;
use std::io;

use mobula_scheduler::attach::AttachError;
use mobula_scheduler::node::NodeError;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The store refused or is not there.
    #[error(transparent)]
    Store(#[from] mobula_store::Error),
    /// The node is not there, or refused.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The node could not be started.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Reading or writing failed.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something else, said whole.
    #[error("{0}")]
    Other(String),
    /// The command has printed what is wrong.
    #[error("see above")]
    Reported,
}

impl Failure {
    /// Names what was tried when the system refused.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
        let what = what.into();
        move |source| Failure::Io { what, source }
    }

    /// Says whether whoever reads the output has gone away.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Failure::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Returns the message with its causes.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}
