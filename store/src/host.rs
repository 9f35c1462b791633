//! What the handles of rings and bells need of the client that they belong to.

#[cfg(loom)]
pub mod modelled;

use std::sync::Arc;

use crate::client::ClientKey;
use crate::shared::Shared;

/// A client of a store, as its [`RingSender`](crate::RingSender)s, its [`Mailbox`](crate::Mailbox)
/// and its [`Bell`](crate::Bell) see it.
///
/// They keep it alive, so that no client detaches while a handle of it may still touch a ring.
pub(crate) trait Host: Send + Sync {
    /// Returns the control segment.
    fn shared(&self) -> &Arc<Shared>;

    /// Returns the client's name.
    fn key(&self) -> ClientKey;

    /// Hears that the mailbox was dropped, so that the next one may be handed out.
    fn mailbox_dropped(&self);

    /// Says whether this process is a forked child that inherited the client's handles.
    fn is_foreign(&self) -> bool;

    /// Hears that nothing of the dead client `sender` waits in a ring towards this client any more:
    /// its reaping, put off because of that, may go on.
    fn drained(&self, sender: ClientKey);
}
