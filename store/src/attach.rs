//! Addresses, and how a process creates or joins a store.
//!
//! An address is the path of the attach socket, or `name:<segment>`, which stands for the socket of
//! that name in the user's runtime folder. Both are printable and without white space.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::alloc;
use crate::arena::Arena;
use crate::client::{self, ClientKey};
use crate::ctl::Ctl;
use crate::error::{Error, ErrorKind, Result};
use crate::holds::Looks;
use crate::id::ObjectId;
use crate::inner::Inner;
use crate::layout::{Layout, MAX_CLIENTS};
use crate::options::{Segment, StoreOptions};
use crate::outlet;
use crate::segment;
use crate::server::{self, ANSWER_LEN, HELLO, HELLO_LEN, Host, Server};
use crate::shared::Shared;
use crate::sys::{fork, memory, process, socket};

/// The longest path that a Unix socket can have.
const MAX_PATH: usize = 107;
/// An attach either works or fails within this time.
const ATTACH_TIME: Duration = Duration::from_millis(900);
const NAME_PREFIX: &str = "name:";

/// A place for the attach socket.
struct Place {
    address: String,
    socket: PathBuf,
    /// Made for this socket alone.
    folder: Option<PathBuf>,
}

/// Makes a store and its first client.
pub(crate) fn create(options: &StoreOptions) -> Result<Arc<Inner>> {
    let layout = layout(options)?;
    let place = place(options)?;
    let listener = match bind(&place.socket, &place.address) {
        Ok(listener) => listener,
        Err(error) => {
            if let Some(folder) = &place.folder {
                let _ = fs::remove_dir(folder);
            }
            return Err(error);
        }
    };
    let started = furnish(options, layout, listener, &place);
    if started.is_err() {
        server::remove_socket(&place.socket, place.folder.as_deref());
    }
    started
}

fn furnish(options: &StoreOptions, layout: Layout, listener: UnixListener, place: &Place) -> Result<Arc<Inner>> {
    let name_lock = own_name(&options.segment)?;
    let files = segment::create(&options.segment, layout.len, layout.arena_len())?;
    let map = memory::map(&files.ctl, layout.len)
        .map_err(|e| Error::io(format!("could not map {} bytes of ctl", layout.len), e))?;
    let shared = Arc::new(Shared { ctl: Ctl::mapped(map), layout });
    let arena = Arena::map(files.arena, layout.arena_len())
        .map_err(|e| Error::io(format!("could not map an arena of {} bytes", layout.capacity), e))?;
    let arena = Arc::new(arena);
    let pid = std::process::id();
    let start = process::start_time(pid)
        .ok_or_else(|| Error::io("could not read this process's start time", io::ErrorKind::NotFound.into()))?;
    let me = client::take(&shared, pid, start).ok_or_else(|| Error::from(ErrorKind::ClientsFull(layout.clients)))?;
    alloc::initialise(&shared, me);
    outlet::publish(&shared, options)?;
    layout.publish(&shared.ctl, ObjectId::random().to_words());
    if options.prefault > 0 {
        let bytes = options.prefault.min(layout.capacity);
        arena.commit(&shared, 0, bytes).map_err(|e| Error::io(format!("could not commit {bytes} bytes ahead"), e))?;
        arena.populate(0, bytes);
    }
    let looks = Arc::new(Looks::default());
    outlet::open(&shared, &looks, true)?;
    let host = Host {
        shared: shared.clone(),
        arena: arena.clone(),
        ctl_file: files.ctl,
        names: files.names,
        _name_lock: name_lock,
        create_timeout: options.create_timeout,
        looks: looks.clone(),
        me,
        socket: place.socket.clone(),
        folder: place.folder.clone(),
    };
    let server = Server::start(listener, host)?;
    Ok(Arc::new(Inner {
        shared,
        arena,
        looks,
        me,
        pid,
        stamp: fork::stamp(),
        address: place.address.clone(),
        create_timeout: options.create_timeout,
        opening: Mutex::default(),
        mailbox_taken: AtomicBool::new(false),
        connection: None,
        server: Some(server),
    }))
}

/// Joins the store at an address as a new client.
pub(crate) fn attach(address: &str) -> Result<Arc<Inner>> {
    let socket = socket_of(address)?;
    let gone = |what: &str, e: io::Error| {
        Error::from(ErrorKind::Disconnected(format!("no store answers at {address}: {what}: {e}")))
    };
    let mut stream = socket::connect(&socket).map_err(|e| gone("could not connect", e))?;
    let owner = socket::peer(&stream).map_err(|e| gone("could not identify the server", e))?.uid;
    if owner != process::uid() {
        return Err(ErrorKind::PermissionDenied { address: address.to_owned(), owner, uid: process::uid() }.into());
    }
    stream
        .set_read_timeout(Some(ATTACH_TIME))
        .and_then(|()| stream.set_write_timeout(Some(ATTACH_TIME)))
        .map_err(|e| gone("no time limit", e))?;
    let mut hello = [0; HELLO_LEN];
    hello[..HELLO.len()].copy_from_slice(&HELLO);
    stream.write_all(&hello).map_err(|e| gone("could not say hello", e))?;
    let mut answer = [0; ANSWER_LEN];
    let (n, fds) = socket::recv_with_fds(&stream, &mut answer).map_err(|e| gone("no answer", e))?;
    let number = |at: usize| u64::from_le_bytes(answer[at..at + 8].try_into().unwrap_or_default());
    if n == ANSWER_LEN && answer[0] == server::FULL {
        return Err(ErrorKind::ClientsFull(number(8) as usize).into());
    }
    let mut files = fds.into_iter().map(File::from);
    let (Some(ctl), Some(arena)) = (files.next(), files.next()) else {
        return Err(
            ErrorKind::Disconnected(format!("{address} is no store: it answered {n} bytes without segments")).into()
        );
    };
    let key = ClientKey {
        index: u16::from_le_bytes([answer[2], answer[3]]),
        generation: u32::from_le_bytes([answer[4], answer[5], answer[6], answer[7]]),
    };
    let (ctl_len, capacity) = (number(8) as usize, number(16) as usize);
    let corrupt = |what: String| Error::from(ErrorKind::Corrupt(vec![format!("{address}: {what}")]));
    for (file, len, what) in [(&ctl, ctl_len, "ctl"), (&arena, capacity, "the arena")] {
        let size = file.metadata().map_or(0, |m| m.len());
        if len == 0 || size < len as u64 {
            return Err(corrupt(format!("{what} should have {len} bytes and has {size}")));
        }
    }
    let map = memory::map(&ctl, ctl_len).map_err(|e| gone("could not map ctl", e))?;
    let ctl = Ctl::mapped(map);
    let unusable =
        |what| Error::from(ErrorKind::Disconnected(format!("the store at {address} cannot be used: {what}")));
    let layout = Layout::read(&ctl).map_err(unusable)?;
    if layout.capacity != capacity || usize::from(key.index) >= layout.clients {
        return Err(corrupt("the server's answer contradicts the header".to_owned()));
    }
    let arena = Arena::map(arena, layout.arena_len()).map_err(|e| gone("could not map the arena", e))?;
    let shared = Arc::new(Shared { ctl, layout });
    let looks = Arc::new(Looks::default());
    outlet::open(&shared, &looks, false)?;
    Ok(Arc::new(Inner {
        shared,
        arena: Arc::new(arena),
        looks,
        me: key,
        pid: std::process::id(),
        stamp: fork::stamp(),
        address: address.to_owned(),
        create_timeout: Duration::from_nanos(number(24)),
        opening: Mutex::default(),
        mailbox_taken: AtomicBool::new(false),
        connection: Some(stream),
        server: None,
    }))
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
    let objects = options.max_objects.unwrap_or_else(|| (capacity / 4096).clamp(65_536, 4 << 20));
    if objects == 0 || objects > 16 << 20 {
        return Err(Error::invalid(format!("max_objects is 1 to {}, got {objects}", 16 << 20)));
    }
    Layout::new(capacity, objects, clients)
        .filter(|layout| layout.pages < 1 << 31)
        .ok_or_else(|| Error::invalid(format!("a capacity of {capacity} bytes is beyond what a process can map")))
}

fn place(options: &StoreOptions) -> Result<Place> {
    match (&options.address, &options.segment) {
        (Some(address), _) => {
            let socket = socket_of(address)?;
            let parent = socket.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            check_folder(parent)?;
            Ok(Place { address: address.clone(), socket, folder: None })
        }
        (None, Segment::Named(name)) => {
            segment::check_name(name)?;
            let folder = runtime_folder()?;
            Ok(Place {
                address: format!("{NAME_PREFIX}{name}"),
                socket: folder.join(format!("{name}.sock")),
                folder: None,
            })
        }
        (None, Segment::Anonymous) => {
            let folder = runtime_folder()?;
            remove_leftovers(&folder);
            let start = process::start_time(std::process::id()).unwrap_or(0);
            let id = ObjectId::random().to_string();
            let folder = folder.join(format!("store-{}-{start}-{}", std::process::id(), &id[..8]));
            make_folder(&folder)?;
            let socket = folder.join("socket");
            Ok(Place { address: socket.to_string_lossy().into_owned(), socket, folder: Some(folder) })
        }
    }
}

/// Turns an address into the path of its socket.
fn socket_of(address: &str) -> Result<PathBuf> {
    let path = match address.strip_prefix(NAME_PREFIX) {
        Some(name) => {
            segment::check_name(name)?;
            runtime_folder()?.join(format!("{name}.sock"))
        }
        None => PathBuf::from(address),
    };
    let len = path.as_os_str().len();
    if address.is_empty() || address.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Error::invalid(format!(
            "an address is a path without white space or name:<segment>, got {address:?}"
        )));
    }
    if len > MAX_PATH {
        return Err(Error::invalid(format!(
            "the socket path of a store has at most {MAX_PATH} bytes, this one has {len}: {}",
            path.display()
        )));
    }
    Ok(path)
}

/// Returns the user's folder for sockets, made if need be: mode 0700 and nobody else's.
fn runtime_folder() -> Result<PathBuf> {
    let base =
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute() && path.is_dir());
    let folder = match base {
        Some(base) => base.join("mobula"),
        None => std::env::temp_dir().join(format!("mobula-{}", process::uid())),
    };
    make_folder(&folder)?;
    check_folder(&folder)?;
    Ok(folder)
}

fn make_folder(folder: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::io(format!("could not make the folder {}", folder.display()), e))
        }
        _ => Ok(()),
    }
}

/// Refuses a folder in which another user could replace the socket.
fn check_folder(folder: &Path) -> Result<()> {
    let meta = fs::metadata(folder)
        .map_err(|e| Error::io(format!("the socket's folder {} cannot be used", folder.display()), e))?;
    if !meta.is_dir() || meta.uid() != process::uid() || meta.mode() & 0o077 != 0 {
        let mode = meta.mode() & 0o777;
        return Err(Error::invalid(format!(
            "the socket of a store lies in a folder of mode 0700 of its own user; {} has mode {mode:o} and user {}",
            folder.display(),
            meta.uid()
        )));
    }
    Ok(())
}

/// Binds the socket; a file that no living server has is replaced.
///
/// The folder is locked meanwhile: of two creators that find the same leftover, one replaces it and
/// the other finds the address in use.
fn bind(socket: &Path, address: &str) -> Result<UnixListener> {
    let failed = |e: io::Error| Error::io(format!("could not bind {}", socket.display()), e);
    let folder = File::open(socket.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    memory::lock(&folder).map_err(failed)?;
    match UnixListener::bind(socket) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            if socket::connect(socket).is_ok() {
                return Err(ErrorKind::AddressInUse(address.to_owned()).into());
            }
            memory::remove(socket);
            UnixListener::bind(socket).map_err(failed)
        }
        other => other.map_err(failed),
    }
}

/// Owns a segment's name for as long as the store lives; the kernel lets go of it when this process ends.
fn own_name(segment: &Segment) -> Result<Option<File>> {
    let Segment::Named(name) = segment else { return Ok(None) };
    segment::check_name(name)?;
    let path = runtime_folder()?.join(format!("{name}.lock"));
    let failed = |e: io::Error| Error::io(format!("could not lock the name of segment {name}"), e);
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    match memory::try_lock(&file).map_err(failed)? {
        true => Ok(Some(file)),
        false => Err(ErrorKind::AddressInUse(format!("{NAME_PREFIX}{name}")).into()),
    }
}

/// Removes the folders of stores whose process is gone: it was killed and could not do it itself.
fn remove_leftovers(runtime: &Path) {
    let Ok(entries) = fs::read_dir(runtime) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let mut parts = name.to_str().unwrap_or("").split('-');
        let (Some("store"), Some(Ok(pid)), Some(Ok(start))) =
            (parts.next(), parts.next().map(str::parse::<u32>), parts.next().map(str::parse::<u64>))
        else {
            continue;
        };
        if !process::is_alive(pid, start) {
            server::remove_socket(&entry.path().join("socket"), Some(&entry.path()));
        }
    }
}
