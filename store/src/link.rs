//! What ties a client to the other processes of its store, and how it leaves.

use std::fmt;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use crate::address;
use crate::arena::Arena;
use crate::client;
use crate::guard::Membership;
use crate::origin::Origin;
use crate::segment;
use crate::server::Server;
use crate::shared::Shared;

/// A client's tie to its store.
#[derive(Debug)]
pub(crate) struct Link {
    tie: Tie,
    adopted: bool,
}

enum Tie {
    /// It serves the store itself.
    Server(Server),
    /// It was let in, and is under guard in case the server dies.
    Member(Membership),
    /// It detaches; the connection ends behind it.
    Leaving(Option<UnixStream>),
}

impl fmt::Debug for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tie::Server(_) => "Server",
            Tie::Member(_) => "Member",
            Tie::Leaving(_) => "Leaving",
        })
    }
}

impl Link {
    /// Ties the client that serves the store; `adopted` says that the store was there before.
    pub(crate) fn serving(server: Server, adopted: bool) -> Link {
        Link { tie: Tie::Server(server), adopted }
    }

    /// Ties a client that was let in.
    pub(crate) fn joined(membership: Membership) -> Link {
        Link { tie: Tie::Member(membership), adopted: false }
    }

    /// Says whether this client took its store over from a dead server.
    pub(crate) fn adopted(&self) -> bool {
        self.adopted
    }

    /// Ends what else works in the client's name in this process, before the client detaches.
    pub(crate) fn stop(&mut self) {
        self.tie = Tie::Leaving(match std::mem::replace(&mut self.tie, Tie::Leaving(None)) {
            Tie::Server(server) => {
                server.stop();
                None
            }
            Tie::Member(membership) => membership.end(),
            Tie::Leaving(stream) => stream,
        });
    }

    /// Leaves, when the client's record is free; the last client of a dead server takes the names along.
    pub(crate) fn leave(&mut self, shared: &Shared, arena: &Arena) {
        if let Tie::Leaving(Some(stream)) = std::mem::replace(&mut self.tie, Tie::Leaving(None)) {
            // Not only closed: a forked child may have a copy.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let last = || client::living(shared).next().is_none();
        if let Some(name) = Origin::read(&shared.ctl).name
            && last()
            && let Some(_lock) = address::lock_names()
            && last()
            && let Some(ctl) = shared.ctl.file()
        {
            segment::remove_names(&name, ctl, arena.file());
        }
    }

    /// Forgets everything: in a forked child it is the parent's.
    pub(crate) fn abandon(&mut self) {
        std::mem::forget(std::mem::replace(&mut self.tie, Tie::Leaving(None)));
    }
}
