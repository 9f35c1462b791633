//! Mapping a store once for many processes: those that are forked from the one that did it.
//!
//! ```text
//!   parent                      each child                          server
//!     look, map ------------------------------------------------->  hands out ctl and arena, no client record
//!     fork ------------------->   join without descriptors ------>  a client record, as for everybody
//!                                 everything is mapped already
//! ```
//!
//! A mapping of shared memory is the same in a forked child, and costs it nothing but the table of its pages.
//! What is left for a child to do is what makes it a client: its record, its connection, its stamp. The
//! parent itself never is one, so nothing in the store names it, and its death leaves nothing to undo.
//!
//! Such a client has no guard (guard.rs): it is for processes that end with the server's, as a runtime's workers
//! do.

use std::sync::{Mutex, PoisonError, TryLockError};

use crate::attach::{self, Mapping, Visit};
use crate::error::Result;
use crate::handshake::Hello;
use crate::sys::fork;

static MAPPED: Mutex<Option<(String, Mapping)>> = Mutex::new(None);

/// Maps the store at an address for the next attach to it, in this process or in each that is forked from it.
pub(crate) fn premap(address: &str) -> Result<()> {
    let mut visit = Visit::begin(address)?;
    visit.check_server()?;
    let (welcome, mut files) = visit.ask(Hello::Look)?;
    let mapping = attach::map(address, &welcome, &mut files, false)?;
    // So that each child finds the page that tells it that it is one.
    fork::stamp();
    *MAPPED.lock().unwrap_or_else(PoisonError::into_inner) = Some((address.to_owned(), mapping));
    Ok(())
}

/// Returns what was mapped for an address, once.
pub(crate) fn take(address: &str) -> Option<Mapping> {
    // A host may have forked while another of its threads was here: then nobody ever unlocks it.
    let mut mapped = match MAPPED.try_lock() {
        Ok(mapped) => mapped,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    mapped.take_if(|(known, _)| known == address).map(|(_, mapping)| mapping)
}
