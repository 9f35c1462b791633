//! What can go wrong on disk.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

/// An error of the disk side.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    /// The file system, a quota or a limit on file sizes has no room.
    #[error(
        "no room on disk for {needed} bytes at {}, {}; make room there or choose another spill_dir",
        .path.display(),
        .free.map_or_else(|| "what is free is not known".to_owned(), |free| format!("{free} bytes are free"))
    )]
    Full {
        needed: u64,
        path: PathBuf,
        free: Option<u64>,
        #[source]
        source: io::Error,
    },
    /// Every place in the table of files is taken.
    #[error("all {0} spill files hold live objects; delete objects or give the store more memory")]
    Files(usize),
    /// What is on disk is not what was written.
    #[error("{} is damaged at byte {offset}: {what}", .path.display())]
    Damaged { path: PathBuf, offset: u64, what: String },
    /// Anything else.
    #[error("could not {what} {}", .path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl DiskError {
    /// Wraps an error of reading or of looking after files.
    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> DiskError {
        DiskError::Io { what, path: path.into(), source: source.into() }
    }

    /// Says whether the disk has no room.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, DiskError::Full { .. } | DiskError::Files(_))
    }

    /// Says whether what is on disk is not what was written.
    pub(crate) fn is_damaged(&self) -> bool {
        matches!(self, DiskError::Damaged { .. })
    }
}

/// Says whether an error means that there is no room.
pub(super) fn means_full(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG))
}
