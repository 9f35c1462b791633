//! What the subcommands do.

pub(crate) mod bench;
pub(crate) mod fsck;
pub(crate) mod stack;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod store;
