//! How a process joins a store.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::address;
use crate::arena::Arena;
use crate::body::{Body, Inner};
use crate::client;
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
    join(address, Hello::Join)
}

/// Joins the store at an address as a new client that only reads (readers.rs).
pub(crate) fn attach_read_only(address: &str) -> Result<Arc<Inner>> {
    join(address, Hello::Read)
}

fn join(address: &str, hello: Hello) -> Result<Arc<Inner>> {
    let deadline = Instant::now() + ATTACH_TIME;
    let socket = address::socket_of(address)?;
    let gone = |what: &str, e: io::Error| {
        Error::from(ErrorKind::Disconnected(format!("no store answers at {address}: {what}: {e}")))
    };
    let mut stream = socket::connect(&socket, ATTACH_TIME).map_err(|e| gone("could not connect", e))?;
    let server = socket::peer(&stream).map_err(|e| gone("could not identify the server", e))?;
    if server.uid != process::uid() {
        let (owner, uid) = (server.uid, process::uid());
        return Err(ErrorKind::PermissionDenied { address: address.to_owned(), owner, uid }.into());
    }
    // A forked child may have inherited the listener of a server that is gone: nobody would answer.
    if process::start_time(server.pid).is_none() {
        let what = format!("no store answers at {address}: its server, process {}, is gone", server.pid);
        return Err(ErrorKind::Disconnected(what).into());
    }
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    stream
        .set_read_timeout(Some(left))
        .and_then(|()| stream.set_write_timeout(Some(left)))
        .map_err(|e| gone("no time limit", e))?;
    stream.write_all(&hello.to_bytes()).map_err(|e| gone("could not say hello", e))?;
    let mut bytes = [0; handshake::LEN];
    let (n, fds) = socket::recv_with_fds(&stream, &mut bytes).map_err(|e| gone("no answer", e))?;
    let answer = if n == bytes.len() { Answer::from_bytes(&bytes) } else { None };
    let mut files = fds.into_iter().map(File::from);
    let (key, ctl_len, capacity, patience, ctl, arena) = match (answer, files.next(), files.next()) {
        (Some(Answer::Welcome { client, ctl_len, capacity, patience }), Some(ctl), Some(arena)) => {
            (client, ctl_len as usize, capacity as usize, patience, ctl, arena)
        }
        (Some(Answer::Full(limit)), ..) => return Err(ErrorKind::ClientsFull(limit as usize).into()),
        (Some(Answer::NoMemory), ..) => {
            let what = format!("the store at {address} has no memory for the tables of one more client");
            return Err(ErrorKind::NoMemory(what).into());
        }
        _ => {
            let what = format!("{address} is no store: it answered {n} bytes without segments");
            return Err(ErrorKind::Disconnected(what).into());
        }
    };
    let corrupt = |what: String| Error::from(ErrorKind::Corrupt(vec![format!("{address}: {what}")]));
    for (file, len, what) in [(&ctl, ctl_len, "ctl"), (&arena, capacity, "the arena")] {
        let size = file.metadata().map_or(0, |m| m.len());
        if len == 0 || size < len as u64 {
            return Err(corrupt(format!("{what} should have {len} bytes and has {size}")));
        }
        // Who could shorten it later would take the memory from under this process's feet.
        if !memory::has_fixed_length(file) && !segment::may_be_named(file) {
            return Err(corrupt(format!("{what} is a file whose length can change")));
        }
    }
    let reads = hello == Hello::Read;
    let map = AlignedMap::new(&ctl, ctl_len, !reads).map_err(|e| gone("could not map ctl", e))?;
    let ctl = Ctl::mapped(map, ctl);
    let unusable =
        |what| Error::from(ErrorKind::Disconnected(format!("the store at {address} cannot be used: {what}")));
    let layout = Layout::read(&ctl).map_err(unusable)?;
    if layout.capacity != capacity || usize::from(key.index) >= layout.clients {
        return Err(corrupt("the server's answer contradicts the header".to_owned()));
    }
    let arena =
        if reads { Arena::map_to_read(arena, layout.arena_len()) } else { Arena::map(arena, layout.arena_len()) };
    let arena = Arc::new(arena.map_err(|e| gone("could not map the arena", e))?);
    let mut shared = Shared::new(ctl, layout);
    if reads {
        let area = files.next().ok_or_else(|| corrupt("the server gave no area to a read-only client".to_owned()))?;
        // Another file may be shorter, or become so.
        if shared.ctl.file().is_none_or(|ctl| !memory::is_same(ctl, &area)) {
            return Err(corrupt("the area of a read-only client is not a part of ctl".to_owned()));
        }
        let opened = shared.ctl.open_area(&area, layout.reader(key.index.into()), readers::AREA);
        opened.map_err(|e| gone("could not map the area of a read-only client", e))?;
        shared.reader = Some(Reader::new(key.index, &socket));
    }
    let shared = Arc::new(shared);
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
    let membership = match guard::watch(&shared, &arena, &looks, key, server, socket, stream) {
        Ok(membership) => membership,
        Err(error) => {
            match reads {
                true => readers::leave(&shared, key.index.into()),
                false => reap::detach(&Actor { shared: &shared, arena: &arena, looks: &looks, me: key }, key),
            }
            return Err(gone("could not watch its server", error));
        }
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
        create_timeout: patience,
        opening: Mutex::default(),
        mailbox_taken: AtomicBool::new(false),
        link: Link::joined(membership),
        life: Life::new(),
    }))
}
