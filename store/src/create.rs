//! How a process creates a store, or adopts the one that a dead server left.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::adopt::{self, Adopted};
use crate::alloc;
use crate::arena::Arena;
use crate::body::{Body, Inner};
use crate::client;
use crate::ctl::Ctl;
use crate::error::{Error, ErrorKind, Result};
use crate::evict;
use crate::holds::{Actor, Looks, Row};
use crate::id::ObjectId;
use crate::layout::{Layout, MAX_CLIENTS};
use crate::life::Life;
use crate::link::Link;
use crate::options::{Segment, StoreOptions};
use crate::origin::Origin;
use crate::outlet;
use crate::reap;
use crate::segment;
use crate::server::{Host, Server};
use crate::shared::Shared;
use crate::sys::aligned::AlignedMap;
use crate::sys::{fork, process};

/// How long a creation waits for another one at its address, and for a killed server to be gone.
const PATIENCE: Duration = Duration::from_millis(900);
/// The fewest and the most objects of a store that is not asked for a number.
const OBJECTS: (usize, usize) = (65_536, 4 << 20);
/// The most objects of any store.
const MAX_OBJECTS: usize = 16 << 20;

/// Makes a store and its first client, or adopts one and becomes its server.
pub(crate) fn create(options: &StoreOptions) -> Result<Arc<Inner>> {
    let layout = layout(options)?;
    let address = Address::choose(options)?;
    let inner = open(options, layout, address)?;
    // Last: it may take long, and others need not wait for it.
    if options.prefault > 0 && !inner.link.adopted() {
        let bytes = options.prefault.min(layout.capacity);
        let failed = |e| Error::io(format!("could not commit {bytes} bytes ahead"), e);
        inner.arena.prefault(&inner.shared, bytes).map_err(failed)?;
    }
    Ok(inner)
}

fn open(options: &StoreOptions, layout: Layout, address: Address) -> Result<Arc<Inner>> {
    // A fresh folder must not stay behind, whatever fails.
    let undo = |address: &Address| {
        if address.is_fresh() {
            address.remove();
        }
    };
    let deadline = Instant::now() + PATIENCE;
    let found =
        address.lock(&options.segment, deadline).and_then(|lock| Ok((lock, survivor(options, &address, deadline)?)));
    let (_lock, survivor) = found.inspect_err(|_| undo(&address))?;
    let listener = address.bind().inspect_err(|_| undo(&address))?;
    let was_there = survivor.is_some();
    let made = match survivor {
        Some(survivor) => survivor.take_over(deadline),
        None => furnish(options, layout, &address),
    };
    let Adopted { shared, arena, looks, me, origin } = made.inspect_err(|_| address.remove())?;
    let (text, socket) = (address.text.clone(), address.socket.clone());
    let create_timeout = origin.patience;
    let host = Host { shared: shared.clone(), arena: arena.clone(), looks: looks.clone(), me, origin, address };
    // A new store has nobody to take in.
    let time = if was_there { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
    let server = match Server::start(listener, host, time) {
        Ok(server) => server,
        Err(error) => {
            reap::detach(&Actor { shared: &shared, arena: &arena, looks: &looks, me }, me);
            return Err(error);
        }
    };
    let evicts = evict::counts(&shared);
    let row = Row::of(&shared, me);
    Ok(Inner::first(Body {
        shared,
        arena,
        looks,
        me,
        row,
        evicts,
        pid: std::process::id(),
        stamp: fork::Stamp::draw(),
        address: text,
        create_timeout,
        opening: Mutex::default(),
        mailbox_taken: AtomicBool::new(false),
        link: Link::serving(server, was_there, socket),
        life: Life::new(),
    }))
}

/// Looks for a store to adopt; the address is locked.
fn survivor(options: &StoreOptions, address: &Address, deadline: Instant) -> Result<Option<adopt::Survivor>> {
    if address.is_fresh() {
        return Ok(None);
    }
    if address.is_served(deadline) {
        return Err(ErrorKind::AddressInUse(address.text.clone()).into());
    }
    let name = match &options.segment {
        Segment::Anonymous if options.address_is_new => return Ok(None),
        Segment::Anonymous => None,
        Segment::Named(name) => Some(&**name),
    };
    adopt::find(address, name, deadline)
}

/// Makes the segments of a new store, with this process as the first client.
fn furnish(options: &StoreOptions, layout: Layout, address: &Address) -> Result<Adopted> {
    let uuid = ObjectId::random();
    let files = segment::create(&options.segment, &layout, address.hash(), uuid)?;
    let name = match &options.segment {
        Segment::Anonymous => None,
        Segment::Named(name) => Some(name.clone()),
    };
    let remains = (files.ctl.try_clone(), files.arena.try_clone());
    let made = fill(options, layout, address, files, uuid, name.clone());
    if made.is_err()
        && let (Some(name), (Ok(ctl), Ok(arena))) = (&name, remains)
    {
        segment::remove_names(name, &ctl, &arena);
    }
    made
}

fn fill(
    options: &StoreOptions,
    layout: Layout,
    address: &Address,
    files: segment::Files,
    uuid: ObjectId,
    name: Option<String>,
) -> Result<Adopted> {
    let map = AlignedMap::new(&files.ctl, layout.len, true)
        .map_err(|e| Error::io(format!("could not map {} bytes of ctl", layout.len), e))?;
    let shared = Shared::new(Ctl::mapped(map, files.ctl), layout);
    let arena_file = files.arena.metadata().map_err(|e| Error::io("could not look at the arena", e))?;
    let origin = Origin {
        address: address.hash(),
        patience: options.create_timeout,
        arena: arena_file.ino(),
        clients: options.max_clients,
        name,
    };
    origin.write(&shared.ctl);
    let arena = Arena::map(files.arena, layout.arena_len())
        .map_err(|e| Error::io(format!("could not map an arena of {} bytes", layout.arena_len()), e))?;
    let pid = std::process::id();
    let start = process::start_time(pid)
        .ok_or_else(|| Error::io("could not read this process's start time", io::ErrorKind::NotFound.into()))?;
    let me = client::take(&shared, pid, start, origin.clients)
        .ok_or_else(|| Error::from(ErrorKind::ClientsFull(origin.clients)))?;
    segment::commit_holds(&shared, me.index)
        .map_err(|e| Error::io("no memory for the tables of the first client", e))?;
    client::confirm(&shared, me);
    alloc::initialise(&shared, me);
    outlet::publish(&shared, options)?;
    layout.publish(&shared.ctl, uuid.to_words());
    let looks = Looks::default();
    outlet::open(&shared, &looks, true)?;
    Ok(Adopted { shared: Arc::new(shared), arena: Arc::new(arena), looks: Arc::new(looks), me, origin })
}

fn layout(options: &StoreOptions) -> Result<Layout> {
    let capacity = options.capacity;
    let clients = options.max_clients;
    if capacity == 0 {
        return Err(Error::invalid("a store needs a capacity of at least one byte"));
    }
    if clients == 0 || clients > MAX_CLIENTS {
        return Err(Error::invalid(format!("max_clients is 1 to {MAX_CLIENTS}, got {clients}")));
    }
    let objects = options.max_objects.unwrap_or_else(|| default_objects(options));
    if objects == 0 || objects > MAX_OBJECTS {
        return Err(Error::invalid(format!("max_objects is 1 to {MAX_OBJECTS}, got {objects}")));
    }
    Layout::new(capacity, objects, clients)
        .filter(|layout| layout.pages < 1 << 31)
        .ok_or_else(|| Error::invalid(format!("a capacity of {capacity} bytes is beyond what a process can map")))
}

/// Returns a number of objects for which there is room: 4 KiB each.
fn default_objects(options: &StoreOptions) -> usize {
    let limit = match options.segment {
        Segment::Anonymous => None,
        // Table and objects share what the file system has.
        Segment::Named(_) => segment::named_limit().and_then(|bytes| usize::try_from(bytes).ok()),
    };
    (options.capacity.min(limit.unwrap_or(usize::MAX)) / 4096).clamp(OBJECTS.0, OBJECTS.1)
}
