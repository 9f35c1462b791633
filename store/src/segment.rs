//! The backings of the two segments.

use std::fs::File;
use std::io;

use shared_memory::{Shmem, ShmemConf, ShmemError};

use crate::error::{Error, Result};
use crate::options::Segment;
use crate::sys::memory;

/// The files behind a store, and what keeps their names.
pub(crate) struct Files {
    pub(crate) ctl: File,
    pub(crate) arena: File,
    /// Owners of the names; dropping them removes the names.
    pub(crate) names: Vec<Name>,
}

/// Owns the name of a named segment.
pub(crate) struct Name(#[allow(dead_code, reason = "removes the name when dropped")] Shmem);

// SAFETY: the mapping inside is never read or written through this handle; only its drop, which
// unmaps and unlinks, runs, on whichever thread drops it.
unsafe impl Send for Name {}
// SAFETY: there is no access through a shared reference.
unsafe impl Sync for Name {}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Name").field(&self.0.get_os_id()).finish()
    }
}

/// Makes both segments, zeroed.
pub(crate) fn create(segment: &Segment, ctl_len: usize, arena_len: usize) -> Result<Files> {
    match segment {
        Segment::Anonymous => {
            let make = |name: &str, len: usize| {
                memory::anonymous(name, len)
                    .map_err(|e| Error::io(format!("could not make a {name} segment of {len} bytes"), e))
            };
            Ok(Files { ctl: make("mobula-ctl", ctl_len)?, arena: make("mobula-arena", arena_len)?, names: Vec::new() })
        }
        Segment::Named(name) => {
            check_name(name)?;
            let (ctl_name, ctl) = create_named(&format!("{name}.ctl"), ctl_len)?;
            let (arena_name, arena) = create_named(name, arena_len)?;
            Ok(Files { ctl, arena, names: vec![ctl_name, arena_name] })
        }
    }
}

/// Refuses names that are no plain file name.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(plain) {
        return Err(Error::invalid(format!(
            "a segment's name has 1 to 64 letters, digits, '-', '_' or '.', got {name:?}"
        )));
    }
    Ok(())
}

fn create_named(name: &str, len: usize) -> Result<(Name, File)> {
    let conf = || ShmemConf::new().size(len).os_id(name);
    let failed = |e: ShmemError| {
        Error::io(format!("could not make the named segment {name} of {len} bytes"), io::Error::other(e))
    };
    let shmem = match conf().create() {
        // The living store of a name holds its address, which the caller has taken: this one is left over.
        Err(ShmemError::MappingIdExists) => {
            let mut old = ShmemConf::new().os_id(name).open().map_err(failed)?;
            old.set_owner(true);
            drop(old);
            conf().create().map_err(failed)?
        }
        other => other.map_err(failed)?,
    };
    let file =
        memory::open_named(name).map_err(|e| Error::io(format!("could not open the named segment {name}"), e))?;
    Ok((Name(shmem), file))
}
