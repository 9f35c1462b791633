//! The one room that talks to the kernel.
//!
//! Everything else in the crate is protocol over words and knows no system call. What is safe in
//! rustix is used from there; what it lacks is here, one call a function.

#[cfg_attr(loom, allow(dead_code, reason = "no model maps anything"))]
pub(crate) mod aligned;
pub(crate) mod cgroup;
#[cfg(not(loom))]
pub(crate) mod clock;
pub(crate) mod fork;
#[cfg(not(loom))]
pub(crate) mod futex;
pub(crate) mod memory;
pub(crate) mod process;
#[cfg(not(loom))]
pub(crate) mod processor;
pub(crate) mod random;
pub(crate) mod robust;
pub(crate) mod seat;
pub(crate) mod socket;

#[cfg(loom)]
pub(crate) use crate::sync::{clock, futex, processor};
