//! The mapped control segment with its layout: what every protocol module works on.

use crate::ctl::Ctl;
use crate::layout::{H_UUID, Layout};
use crate::readers::Reader;
use crate::sync::Ordering;
use crate::trim::Poke;

/// A control segment and where things lie in it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ctl: Ctl,
    pub(crate) layout: Layout,
    /// How this process tells the server that there may be memory to give back.
    pub(crate) poke: Poke,
    /// What makes this process's client one that only reads (readers.rs).
    pub(crate) reader: Option<Reader>,
}

impl Shared {
    pub(crate) fn new(ctl: Ctl, layout: Layout) -> Shared {
        Shared { ctl, layout, poke: Poke::default(), reader: None }
    }

    /// Returns the store's own name, which no other store has.
    pub(crate) fn uuid(&self) -> [u64; 2] {
        [H_UUID, H_UUID + 8].map(|at| self.ctl.u64(at).load(Ordering::Relaxed))
    }
}
