//! What can go wrong while measuring.

use std::io;

/// The result of a measurement.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused something.
    #[error("cannot {what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store refused something.
    #[error(transparent)]
    Store(#[from] mobula::store::Error),
    /// The runtime refused something.
    #[error(transparent)]
    Runtime(#[from] mobula::Error),
    /// A child process did not do its part.
    #[error("the child process for {role} {what}")]
    Child {
        /// Its part.
        role: &'static str,
        /// What it did instead.
        what: String,
    },
    /// An operation gave another result than it must: its time means nothing.
    #[error("{row} gave {got} where {expected} is right; its figure was thrown away")]
    Wrong {
        /// The row.
        row: &'static str,
        /// What came.
        got: String,
        /// What should have come.
        expected: String,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { what, source }
    }

    /// As [`io`](Self::io), for the error type of rustix.
    pub(crate) fn os(what: &'static str) -> impl FnOnce(rustix::io::Errno) -> Error {
        move |errno| Error::Io { what, source: errno.into() }
    }
}

/// Fails unless an operation gave what it must.
///
/// # Errors
///
/// [`Error::Wrong`] with both.
pub fn check<T: PartialEq + std::fmt::Debug>(row: &'static str, got: T, expected: T) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(Error::Wrong { row, got: format!("{got:?}"), expected: format!("{expected:?}") })
}
