//! How a process joins a store.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::address;
use crate::arena::Arena;
use crate::body::{Body, Inner};
use crate::client::{self, ClientKey};
use crate::ctl::Ctl;
use crate::error::{Error, ErrorKind, Result};
use crate::evict;
use crate::guard;
use crate::handshake::{self, Answer, Hello};
use crate::holds::{Actor, Looks, Row};
use crate::layout::Layout;
use crate::life::Life;
use crate::link::Link;
use crate::origin;
use crate::outlet;
use crate::premap;
use crate::readers::{self, Reader};
use crate::reap;
use crate::segment;
use crate::shared::Shared;
use crate::sys::aligned::AlignedMap;
use crate::sys::{fork, memory, process, socket};

/// An attach either works or fails within this time.
const ATTACH_TIME: Duration = Duration::from_millis(800);

/// Joins the store at an address as a new client.
pub(crate) fn attach(address: &str) -> Result<Arc<Inner>> {
    match premap::take(address) {
        Some(mapping) => attach_mapped(address, mapping),
        None => join(address, Hello::Join),
    }
}

/// Joins the store at an address as a new client that only reads (readers.rs).
pub(crate) fn attach_read_only(address: &str) -> Result<Arc<Inner>> {
    join(address, Hello::Read)
}

/// What of a store is in memory, whoever is its client.
pub(crate) struct Mapping {
    pub(crate) shared: Shared,
    pub(crate) arena: Arena,
}

/// A connection to a store's server, which is the same user's.
pub(crate) struct Visit<'a> {
    address: &'a str,
    socket: PathBuf,
    stream: UnixStream,
    server: u32,
}

impl<'a> Visit<'a> {
    /// Connects; whatever is said then works or fails within [`ATTACH_TIME`].
    pub(crate) fn begin(address: &'a str) -> Result<Visit<'a>> {
        let deadline = Instant::now() + ATTACH_TIME;
        let socket = address::socket_of(address)?;
        let gone = |what: &str, e: io::Error| gone(address, what, e);
        let stream = socket::connect(&socket, ATTACH_TIME).map_err(|e| gone("could not connect", e))?;
        let server = socket::peer(&stream).map_err(|e| gone("could not identify the server", e))?;
        if server.uid != process::uid() {
            let (owner, uid) = (server.uid, process::uid());
            return Err(ErrorKind::PermissionDenied { address: address.to_owned(), owner, uid }.into());
        }
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream
            .set_read_timeout(Some(left))
            .and_then(|()| stream.set_write_timeout(Some(left)))
            .map_err(|e| gone("no time limit", e))?;
        Ok(Visit { address, socket, stream, server: server.pid })
    }

    /// Fails if the server's process is gone: a forked child may have inherited its listener, and nobody would answer.
    pub(crate) fn check_server(&self) -> Result<()> {
        if process::start_time(self.server).is_none() {
            let (address, server) = (self.address, self.server);
            let what = format!("no store answers at {address}: its server, process {server}, is gone");
            return Err(ErrorKind::Disconnected(what).into());
        }
        Ok(())
    }

    /// Says what this process wants; returns the answer to a client, and the descriptors that came along.
    pub(crate) fn ask(&mut self, hello: Hello) -> Result<(Welcome, std::vec::IntoIter<OwnedFd>)> {
        let address = self.address;
        let gone = |what: &str, e: io::Error| gone(address, what, e);
        self.stream.write_all(&hello.to_bytes()).map_err(|e| gone("could not say hello", e))?;
        let mut bytes = [0; handshake::LEN];
        let (n, fds) = socket::recv_with_fds(&self.stream, &mut bytes).map_err(|e| gone("no answer", e))?;
        let answer = if n == bytes.len() { Answer::from_bytes(&bytes) } else { None };
        match answer {
            Some(Answer::Welcome { client, ctl_len, capacity, patience }) => {
                let (ctl_len, capacity) = (ctl_len as usize, capacity as usize);
                Ok((Welcome { client, ctl_len, capacity, patience }, fds.into_iter()))
            }
            Some(Answer::Full(limit)) => Err(ErrorKind::ClientsFull(limit as usize).into()),
            Some(Answer::NoMemory) => {
                let what = format!("the store at {address} has no memory for the tables of one more client");
                Err(ErrorKind::NoMemory(what).into())
            }
            None => Err(no_store(address, n)),
        }
    }
}

/// What the server answers to a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Welcome {
    client: ClientKey,
    ctl_len: usize,
    capacity: usize,
    patience: Duration,
}

fn gone(address: &str, what: &str, error: io::Error) -> Error {
    ErrorKind::Disconnected(format!("no store answers at {address}: {what}: {error}")).into()
}

fn no_store(address: &str, bytes: usize) -> Error {
    let what = format!("{address} is no store: it answered {bytes} bytes without segments");
    ErrorKind::Disconnected(what).into()
}

fn corrupt(address: &str, what: &str) -> Error {
    ErrorKind::Corrupt(vec![format!("{address}: {what}")]).into()
}

/// Maps what the server has handed out.
pub(crate) fn map(
    address: &str,
    welcome: &Welcome,
    files: &mut impl Iterator<Item = OwnedFd>,
    reads: bool,
) -> Result<Mapping> {
    let gone = |what: &str, e: io::Error| gone(address, what, e);
    let mut files = files.map(File::from);
    let (Some(ctl), Some(arena)) = (files.next(), files.next()) else {
        return Err(no_store(address, handshake::LEN));
    };
    for (file, len, what) in [(&ctl, welcome.ctl_len, "ctl"), (&arena, welcome.capacity, "the arena")] {
        let size = file.metadata().map_or(0, |m| m.len());
        if len == 0 || size < len as u64 {
            return Err(corrupt(address, &format!("{what} should have {len} bytes and has {size}")));
        }
        // Who could shorten it later would take the memory from under this process's feet.
        if !memory::has_fixed_length(file) && !segment::may_be_named(file) {
            return Err(corrupt(address, &format!("{what} is a file whose length can change")));
        }
    }
    let map = AlignedMap::new(&ctl, welcome.ctl_len, !reads).map_err(|e| gone("could not map ctl", e))?;
    let ctl = Ctl::mapped(map, ctl);
    let unusable =
        |what| Error::from(ErrorKind::Disconnected(format!("the store at {address} cannot be used: {what}")));
    let layout = Layout::read(&ctl).map_err(unusable)?;
    if layout.capacity != welcome.capacity {
        return Err(corrupt(address, "the server's answer contradicts the header"));
    }
    let arena =
        if reads { Arena::map_to_read(arena, layout.arena_len()) } else { Arena::map(arena, layout.arena_len()) };
    let arena = arena.map_err(|e| gone("could not map the arena", e))?;
    Ok(Mapping { shared: Shared::new(ctl, layout), arena })
}

fn join(address: &str, hello: Hello) -> Result<Arc<Inner>> {
    let mut visit = Visit::begin(address)?;
    visit.check_server()?;
    let (welcome, mut files) = visit.ask(hello)?;
    let reads = hello == Hello::Read;
    let Mapping { mut shared, arena } = map(address, &welcome, &mut files, reads)?;
    let key = welcome.client;
    if usize::from(key.index) >= shared.layout.clients {
        return Err(corrupt(address, "the server's answer contradicts the header"));
    }
    if reads {
        let area = files.next().map(File::from);
        let area = area.ok_or_else(|| corrupt(address, "the server gave no area to a read-only client"))?;
        // Another file may be shorter, or become so.
        if shared.ctl.file().is_none_or(|ctl| !memory::is_same(ctl, &area)) {
            return Err(corrupt(address, "the area of a read-only client is not a part of ctl"));
        }
        let opened = shared.ctl.open_area(&area, shared.layout.reader(key.index.into()), readers::AREA);
        opened.map_err(|e| gone(address, "could not map the area of a read-only client", e))?;
        shared.reader = Some(Reader::new(key.index, &visit.socket));
    }
    become_client(visit, &welcome, Mapping { shared, arena }, true)
}

/// Joins a store that this process has mapped already, as a client that ends with the server's process.
pub(crate) fn attach_mapped(address: &str, mapping: Mapping) -> Result<Arc<Inner>> {
    let mut visit = Visit::begin(address)?;
    let (welcome, _) = visit.ask(Hello::JoinMapped { uuid: mapping.shared.uuid() })?;
    if usize::from(welcome.client.index) >= mapping.shared.layout.clients {
        return Err(corrupt(address, "the server's answer contradicts the header"));
    }
    become_client(visit, &welcome, mapping, false)
}

/// Confirms the client record that the server has given.
fn become_client(visit: Visit<'_>, welcome: &Welcome, mapping: Mapping, guarded: bool) -> Result<Arc<Inner>> {
    let Visit { address, socket, stream, .. } = visit;
    let gone = |what: &str, e: io::Error| gone(address, what, e);
    let key = welcome.client;
    let reads = mapping.shared.reader.is_some();
    let (shared, arena) = (Arc::new(mapping.shared), Arc::new(mapping.arena));
    let connection = stream.try_clone().map_err(|e| gone("could not share the connection", e))?;
    shared.poke.through_connection(connection.into());
    let looks = Arc::new(Looks::default());
    outlet::open(&shared, &looks, false)?;
    let stamp = fork::Stamp::draw();
    // As long as this client is joining nobody else becomes the server: a later one has given it up before (adopt.rs).
    let server = origin::server(&shared);
    // From here on the guard may reap in this client's name, so it must be a client.
    let confirmed = if reads { readers::confirm(&shared, key.index.into()) } else { client::confirm(&shared, key) };
    if !confirmed {
        let what = format!("the server of {address} died before it had let this process in");
        return Err(ErrorKind::Disconnected(what).into());
    }
    let link = if guarded {
        match guard::watch(&shared, &arena, &looks, key, server, socket, stream) {
            Ok(membership) => Link::joined(membership),
            Err(error) => {
                match reads {
                    true => readers::leave(&shared, key.index.into()),
                    false => reap::detach(&Actor { shared: &shared, arena: &arena, looks: &looks, me: key }, key),
                }
                return Err(gone("could not watch its server", error));
            }
        }
    } else {
        Link::bound(stream, socket)
    };
    let evicts = evict::counts(&shared);
    let row = Row::of(&shared, key);
    Ok(Inner::first(Body {
        shared,
        arena,
        looks,
        me: key,
        row,
        evicts,
        pid: std::process::id(),
        stamp,
        address: address.to_owned(),
        create_timeout: welcome.patience,
        opening: Mutex::default(),
        mailbox_taken: AtomicBool::new(false),
        link,
        life: Life::new(),
    }))
}
