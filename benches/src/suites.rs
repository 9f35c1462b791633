//! The suites: the same operations as the limits, through Mobula.

pub(crate) mod calls;
pub(crate) mod cast;
pub(crate) mod channel;
pub(crate) mod graph;
pub(crate) mod ps;
pub(crate) mod queue;
pub(crate) mod ray;
pub(crate) mod savina;
pub(crate) mod startup;
pub(crate) mod store;
pub(crate) mod tasks;
