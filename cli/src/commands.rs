//! What the subcommands do.

pub(crate) mod bench;
pub(crate) mod fsck;
pub(crate) mod store;
