//! The seam under every shared word: atomics, fences, and the locks beside them, in one place.
//!
//! ```text
//!   lock, slot, holds, waits, ring, bell ...      protocols, written once
//!        |  AtomicU32, AtomicU64, fence, Mutex
//!        v
//!   +-------------------+---------------------------+--------------------------+
//!   | words.rs          | + crash.rs (crash-points) | model.rs (cfg loom)      |
//!   | std's atomics     | each store may be the     | loom explores the        |
//!   | and nothing else  | last of this process      | interleavings            |
//!   +-------------------+---------------------------+--------------------------+
//! ```
//!
//! A word in the control segment changes only through the types of this module, so that one place
//! sees every shared store. In a build with the feature `crash-points` the process can be told to
//! die after the n-th of them ([`crash`]); under `--cfg loom` the same protocols run over modelled
//! words (the `proof` module). In any other build the types are std's and cost nothing.
//!
//! What it does not do: it does not see bytes of the arena (a model does, `model/payload.rs`), nor what
//! other processes store.

#[cfg(feature = "crash-points")]
pub mod crash;
#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod words;

pub(crate) use std::sync::atomic::Ordering;

#[allow(unused_imports, reason = "what protocols may use")]
#[cfg(loom)]
pub(crate) use model::{
    AtomicU32, AtomicU64, Mutex, clock, fence, futex, has_readers, hasty, mortal, payload, processor, readers,
    spin_loop, timeouts,
};
#[allow(unused_imports, reason = "what protocols may use")]
#[cfg(not(loom))]
pub(crate) use {
    std::hint::spin_loop,
    std::sync::{Mutex, atomic::fence},
    words::{AtomicU32, AtomicU64},
};
