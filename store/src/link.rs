//! What ties a client to the other processes of its store, and how it leaves.

use std::fmt;
use std::io::Read;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::address;
use crate::arena::Arena;
use crate::client;
use crate::guard::{self, Membership};
use crate::origin::Origin;
use crate::reap;
use crate::segment;
use crate::server::Server;
use crate::shared::Shared;

/// How long a reader that leaves waits for the server to take note of it.
const NOTICE: Duration = Duration::from_millis(50);

/// A client's tie to its store.
#[derive(Debug)]
pub(crate) struct Link {
    tie: Tie,
    adopted: bool,
    socket: PathBuf,
}

enum Tie {
    /// It serves the store itself.
    Server(Server),
    /// It was let in, and is under guard in case the server dies.
    Member(Membership),
    /// It was let in, and ends with the server's process.
    Bound(UnixStream),
    /// It detaches; the connection ends behind it.
    Leaving(Option<UnixStream>),
}

impl fmt::Debug for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tie::Server(_) => "Server",
            Tie::Member(_) => "Member",
            Tie::Bound(_) => "Bound",
            Tie::Leaving(_) => "Leaving",
        })
    }
}

impl Link {
    /// Ties the client that serves the store at `socket`; `adopted` says that the store was there before.
    pub(crate) fn serving(server: Server, adopted: bool, socket: PathBuf) -> Link {
        Link { tie: Tie::Server(server), adopted, socket }
    }

    /// Ties a client that was let in.
    pub(crate) fn joined(membership: Membership) -> Link {
        let socket = membership.socket().to_owned();
        Link { tie: Tie::Member(membership), adopted: false, socket }
    }

    /// Ties a client that was let in and needs no guard.
    pub(crate) fn bound(stream: UnixStream, socket: PathBuf) -> Link {
        Link { tie: Tie::Bound(stream), adopted: false, socket }
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
            Tie::Bound(stream) => Some(stream),
            Tie::Leaving(stream) => stream,
        });
    }

    /// Leaves, when the client's record is free; the last client of a dead server takes the names along.
    pub(crate) fn leave(&mut self, shared: &Shared, arena: &Arena) {
        if let Tie::Leaving(Some(stream)) = std::mem::replace(&mut self.tie, Tie::Leaving(None)) {
            match &shared.reader {
                Some(_) => wait_for_end(&stream),
                // Not only closed: a forked child may have a copy.
                None => drop(stream.shutdown(Shutdown::Both)),
            }
        }
        let me = shared.reader.as_ref().map(|reader| reader.index);
        // A server that lives has heard of it by the end of the connection.
        if me.is_some_and(|me| client::at(shared, me.into(), client::ALIVE).is_some()) || reap::is_left(shared) {
            guard::knock(&self.socket);
        }
        let last = || client::living(shared).all(|client| Some(client.index) == me);
        if let Some(name) = Origin::read(&shared.ctl).name
            && last()
            && let Some(_lock) = address::lock_names()
            && last()
            && let Some(ctl) = shared.ctl.file()
        {
            segment::remove_names(&name, ctl, arena.file());
        }
    }
}

/// Ends a reader's connection, and waits for the server to do the same when the reader's record is free.
fn wait_for_end(mut stream: &UnixStream) {
    let _ = stream.shutdown(Shutdown::Write);
    if stream.set_read_timeout(Some(NOTICE)).is_ok() {
        let _ = stream.read(&mut [0]);
    }
}
