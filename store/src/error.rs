//! What can go wrong, one predicate each.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::DiskError;
use crate::id::ObjectId;

/// The result of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the store; the predicates say which, at most one of them is true.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct Error(Arc<ErrorKind>);

/// The figures of a store that had no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) id: ObjectId,
    pub(crate) asked: usize,
    pub(crate) capacity: u64,
    pub(crate) free: u64,
    pub(crate) largest: u64,
    pub(crate) holders: Vec<(u32, u64)>,
    pub(crate) why: FullWhy,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FullWhy {
    Never,
    Waited(Duration),
    Locked,
    Table(usize),
    System(String),
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no room for object {} of {} bytes: ", self.id, self.asked)?;
        match &self.why {
            FullWhy::Never => write!(f, "it can never fit; ")?,
            FullWhy::Waited(time) => write!(f, "none came free within {time:?}; ")?,
            FullWhy::Locked => write!(f, "a process that is stopped or busy has the allocator; ")?,
            FullWhy::Table(slots) => write!(f, "the object table is full at {slots} objects (raise max_objects); ")?,
            FullWhy::System(message) => write!(f, "the system has no memory to commit ({message}); ")?,
        }
        let Full { capacity, free, largest, .. } = self;
        write!(f, "capacity {capacity} bytes, free {free}, largest free run {largest}")?;
        for (i, (pid, bytes)) in self.holders.iter().enumerate() {
            write!(f, "{}pid {pid} holds {bytes}", if i == 0 { "; " } else { ", " })?;
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ErrorKind {
    #[error("object {id} was not sealed within {after:?}")]
    Timeout { id: ObjectId, after: Duration },
    #[error("object {0} exists already")]
    Exists(ObjectId),
    #[error("object {0} does not exist")]
    NotFound(ObjectId),
    #[error("object {0} is not sealed yet; it goes once it is sealed and no view is left")]
    NotSealed(ObjectId),
    #[error("{0}")]
    StoreFull(Full),
    #[error("all {0} places for clients are taken; raise max_clients or end a client")]
    ClientsFull(usize),
    #[error("{0}")]
    NoMemory(String),
    #[error("this client of {0} can only read; attach without read-only to change the store")]
    ReadOnly(String),
    #[error("{address} belongs to user {owner}, this process runs as user {uid}")]
    PermissionDenied { address: String, owner: u32, uid: u32 },
    #[error("address {0} is in use by a living store")]
    AddressInUse(String),
    #[error("object {id} found no room on disk: {why}")]
    OutOfDisk { id: ObjectId, why: String },
    #[error("{0}")]
    SpillFailed(String),
    #[error("{0}")]
    Disconnected(String),
    #[error("{0}")]
    InvalidArgument(String),
    #[error("no {what} within {after:?}")]
    Late { what: String, after: Duration },
    #[error("{0}")]
    Closed(String),
    #[error("{0}")]
    PeerDied(String),
    #[error("{0}")]
    Full(String),
    #[error("{0}")]
    Empty(String),
    #[error("{0}")]
    Unfilled(String),
    #[error("this process was forked; the handle belongs to its parent, attach anew")]
    Forked,
    #[error("the store is corrupt: {}", .0.join("; "))]
    Corrupt(Vec<String>),
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Error(Arc::new(kind))
    }
}

macro_rules! predicates {
    ($($(#[$doc:meta])* $name:ident => $($pattern:pat_param)|+,)*) => {
        impl Error {
            $($(#[$doc])* pub fn $name(&self) -> bool {
                matches!(*self.0, $($pattern)|+)
            })*
        }
    };
}

predicates! {
    /// Says whether the time ran out before an object was sealed, or before a channel or queue was ready.
    is_timeout => ErrorKind::Timeout { .. } | ErrorKind::Late { .. },
    /// Says whether an object of that id exists already.
    is_exists => ErrorKind::Exists(_),
    /// Says whether there is no such object.
    is_not_found => ErrorKind::NotFound(_),
    /// Says whether the object is still being written.
    is_not_sealed => ErrorKind::NotSealed(_),
    /// Says whether memory, the object table or the client table was full.
    is_store_full => ErrorKind::StoreFull(_) | ErrorKind::ClientsFull(_) | ErrorKind::NoMemory(_),
    /// Says whether the disk was full when an object had to go there.
    is_out_of_disk => ErrorKind::OutOfDisk { .. } | ErrorKind::SpillFailed(_),
    /// Says whether a read-only client tried to change the store.
    is_read_only => ErrorKind::ReadOnly(_),
    /// Says whether the store belongs to another user.
    is_permission_denied => ErrorKind::PermissionDenied { .. },
    /// Says whether a living store has the address.
    is_address_in_use => ErrorKind::AddressInUse(_),
    /// Says whether there is no store to talk to.
    is_disconnected => ErrorKind::Disconnected(_),
    /// Says whether an argument made no sense.
    is_invalid_argument => ErrorKind::InvalidArgument(_),
    /// Says whether a channel or queue was closed: nothing more comes, or is taken.
    is_closed => ErrorKind::Closed(_),
    /// Says whether the other side of a channel is gone without having closed it.
    is_peer_died => ErrorKind::PeerDied(_),
    /// Says whether a channel or queue has no room for what was not to wait.
    is_full => ErrorKind::Full(_),
    /// Says whether a channel or queue has nothing for who was not to wait.
    is_empty => ErrorKind::Empty(_),
    /// Says whether parts of an array that is filled together are not filled.
    is_unfilled => ErrorKind::Unfilled(_),
    /// Says whether the handle was made by the parent of this forked process.
    is_forked => ErrorKind::Forked,
    /// Says whether shared words contradict each other.
    is_corrupt => ErrorKind::Corrupt(_),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Error {
        ErrorKind::Io { what: what.into(), source }.into()
    }

    /// Says why the folder for objects on disk cannot be used.
    pub(crate) fn folder(base: &Path, error: DiskError) -> Error {
        match error {
            DiskError::Io { what, path, source } => Error::io(format!("could not {what} {}", path.display()), source),
            other => Error::io(format!("the folder {} cannot be used", base.display()), io::Error::other(other)),
        }
    }

    /// Says why objects could not be moved to disk.
    pub(crate) fn spill(error: DiskError) -> Error {
        match error {
            DiskError::Io { what, path, source } => Error::io(format!("could not {what} {}", path.display()), source),
            other => ErrorKind::SpillFailed(other.to_string()).into(),
        }
    }

    /// Says what the disk did to an object.
    pub(crate) fn disk(id: ObjectId, error: DiskError) -> Error {
        match error {
            full if full.is_full() => ErrorKind::OutOfDisk { id, why: full.to_string() }.into(),
            damaged if damaged.is_damaged() => ErrorKind::Corrupt(vec![format!("object {id}: {damaged}")]).into(),
            DiskError::Io { what, path, source } => {
                Error::io(format!("could not {what} {} for object {id}", path.display()), source)
            }
            other => ErrorKind::Corrupt(vec![format!("object {id}: {other}")]).into(),
        }
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Error {
        ErrorKind::InvalidArgument(what.into()).into()
    }
}
