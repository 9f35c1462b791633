//! The control segment as words.
//!
//! Everything that processes share besides payload lives in `ctl` and is touched only through the
//! atomic words that [`Ctl`] hands out: there is no reference to plain shared memory anywhere, so
//! a hostile or half-dead peer can make a word wrong but never make reading it undefined.
//!
//! Offsets come from [`crate::layout`]; indices are masked by their owners, and [`Ctl`] checks
//! every access against the mapping once more: an offset beyond it reads and writes the *sink*, a
//! private word that belongs to nobody (ST-1: no word of `ctl` leads outside of `ctl`).
//!
//! | backing | where | for |
//! |---|---|---|
//! | shared mapping | `ctl/memory.rs` | stores |
//! | the heap | `ctl/memory.rs` | tests of protocols, also under valgrind |
//! | loom's words | `ctl/model.rs` | models of protocols |

#[cfg(not(loom))]
mod memory;
#[cfg(loom)]
mod model;

#[cfg(not(loom))]
pub(crate) use memory::{Block, Ctl};
#[cfg(loom)]
pub(crate) use model::{Block, Ctl};
