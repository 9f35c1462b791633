//! Addresses: where the attach socket of a store lies.
//!
//! An address is the path of the socket, or `name:<segment>`, which stands for the socket of that
//! name in the user's runtime folder. Both are printable and without white space. The folder belongs
//! to the user alone (0700), so nobody else can put a socket in its place.
//!
//! Whoever creates or adopts a store locks the folder of the socket, and the runtime folder if the
//! segment has a name, until the store is served: of several that find the same leftover one gets it.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::adopt;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ObjectId;
use crate::options::{Segment, StoreOptions};
use crate::segment;
use crate::sys::{memory, process, socket};

/// The longest path that a Unix socket can have.
const MAX_PATH: usize = 107;
/// How long a client that leaves waits for a creator that works in the same folder.
const LOCK_TIME: Duration = Duration::from_millis(500);
const NAME_PREFIX: &str = "name:";

/// Where a store is, or will be, served.
#[derive(Debug)]
pub(crate) struct Address {
    /// As others are told it.
    pub(crate) text: String,
    pub(crate) socket: PathBuf,
    /// Made for this socket alone.
    pub(crate) folder: Option<PathBuf>,
}

impl Address {
    /// Chooses what the options ask for; a fresh address gets a folder of its own.
    pub(crate) fn choose(options: &StoreOptions) -> Result<Address> {
        match (&options.address, &options.segment) {
            (Some(address), _) => {
                let socket = socket_of(address)?;
                check_folder(parent(&socket))?;
                Ok(Address { text: address.clone(), socket, folder: None })
            }
            (None, Segment::Named(name)) => {
                let address = format!("{NAME_PREFIX}{name}");
                let socket = socket_of(&address)?;
                Ok(Address { text: address, socket, folder: None })
            }
            (None, Segment::Anonymous) => {
                let folder = runtime_folder()?;
                remove_leftovers(&folder);
                let start = process::start_time(std::process::id()).unwrap_or(0);
                let id = ObjectId::random().to_string();
                let folder = folder.join(format!("store-{}-{start}-{}", std::process::id(), &id[..8]));
                make_folder(&folder)?;
                let socket = folder.join("socket");
                Ok(Address { text: socket.to_string_lossy().into_owned(), socket, folder: Some(folder) })
            }
        }
    }

    /// Says whether nobody can have had it before.
    pub(crate) fn is_fresh(&self) -> bool {
        self.folder.is_some()
    }

    /// Returns the hash that stands for it in a store's header.
    pub(crate) fn hash(&self) -> u64 {
        hash(&self.socket)
    }

    /// Keeps other creators away from it, and from the segment's name, while the result lives.
    ///
    /// Another one that is at work when the deadline passes has the address.
    pub(crate) fn lock(&self, segment: &Segment, deadline: Instant) -> Result<Vec<File>> {
        let mut folders = vec![parent(&self.socket).to_owned()];
        if matches!(segment, Segment::Named(_)) {
            folders.push(runtime_folder()?);
        }
        let mut folders: Vec<PathBuf> =
            folders.into_iter().map(|folder| fs::canonicalize(&folder).unwrap_or(folder)).collect();
        // Everybody in the same order, and none twice.
        folders.sort_unstable();
        folders.dedup();
        let lock = |folder: &PathBuf| match lock_folder(folder, deadline) {
            Ok(Some(locked)) => Ok(locked),
            Ok(None) => Err(ErrorKind::AddressInUse(self.text.clone()).into()),
            Err(e) => Err(Error::io(format!("could not lock the folder {}", folder.display()), e)),
        };
        folders.iter().map(lock).collect()
    }

    /// Says whether a living process listens at it; one that is about to end has until the deadline.
    pub(crate) fn is_served(&self, deadline: Instant) -> bool {
        let server = match socket::connect(&self.socket, Duration::ZERO) {
            Ok(stream) => socket::peer(&stream).map_or(0, |peer| peer.pid),
            // So many wait to be let in that there is no room for one more.
            Err(e) => return e.kind() == io::ErrorKind::WouldBlock,
        };
        // A killed process gives its memory back first, which may take a while, and then its listener.
        // A forked child may have inherited the listener, and keep it open for longer.
        if process::is_ending(server)
            && let Ok(pidfd) = process::watch(server)
        {
            process::wait_end(pidfd, deadline.saturating_duration_since(Instant::now()));
        }
        process::start_time(server).is_some()
    }

    /// Binds the socket, in the place of one that a dead server left.
    pub(crate) fn bind(&self) -> Result<UnixListener> {
        let failed = |e: io::Error| Error::io(format!("could not bind {}", self.socket.display()), e);
        match UnixListener::bind(&self.socket) {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                // Nothing but a socket can be left over by a store.
                if !fs::symlink_metadata(&self.socket).is_ok_and(|meta| meta.file_type().is_socket()) {
                    return Err(failed(e));
                }
                memory::remove(&self.socket);
                UnixListener::bind(&self.socket).map_err(failed)
            }
            other => other.map_err(failed),
        }
    }

    /// Tells everybody who watches the folder that the store can be joined (guard.rs).
    pub(crate) fn announce(&self) {
        // The folder is the user's alone already; what counts is that the kernel reports the change.
        if let Err(error) = fs::set_permissions(&self.socket, std::os::unix::fs::PermissionsExt::from_mode(0o600)) {
            tracing::debug!(%error, socket = %self.socket.display(), "could not announce the store");
        }
    }

    /// Removes the socket and the folder that was made for it.
    pub(crate) fn remove(&self) {
        memory::remove(&self.socket);
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Returns the hash of a socket's path, the same however the way to its folder is written.
fn hash(socket: &Path) -> u64 {
    let folder = fs::canonicalize(parent(socket)).unwrap_or_else(|_| parent(socket).to_owned());
    let path = folder.join(socket.file_name().unwrap_or_default());
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    path.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fold)
}

fn parent(socket: &Path) -> &Path {
    socket.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Turns an address into the path of its socket.
pub(crate) fn socket_of(address: &str) -> Result<PathBuf> {
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

/// Locks the runtime folder, in which the names of segments are given and taken away.
pub(crate) fn lock_names() -> Option<File> {
    lock_folder(&runtime_folder().ok()?, Instant::now() + LOCK_TIME).ok().flatten()
}

/// Locks a folder until the result is dropped; `None` if somebody else has it until the deadline.
fn lock_folder(folder: &Path, deadline: Instant) -> io::Result<Option<File>> {
    let file = File::open(folder)?;
    loop {
        if memory::try_lock(&file)? {
            return Ok(Some(file));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        // The kernel has no wait for this lock that ends by itself; a creator holds it for milliseconds.
        std::thread::sleep(Duration::from_millis(2));
    }
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

/// Removes the folders of stores whose process was killed and could not do it itself.
///
/// A folder stays while anybody has segments of its store: it may be adopted, or was.
fn remove_leftovers(runtime: &Path) {
    let is_leftover = |folder: &PathBuf| {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or("");
        let mut parts = name.split('-');
        let (Some("store"), Some(Ok(pid)), Some(Ok(start))) =
            (parts.next(), parts.next().map(str::parse::<u32>), parts.next().map(str::parse::<u64>))
        else {
            return false;
        };
        !process::is_alive(pid, start)
    };
    let entries = fs::read_dir(runtime).into_iter().flatten().flatten().map(|entry| entry.path());
    let leftovers: Vec<PathBuf> = entries.filter(is_leftover).collect();
    // Who creates or adopts in a folder right now has it locked, and segments before it unlocks.
    let locked = leftovers.into_iter().filter_map(|folder| {
        let lock = lock_folder(&folder, Instant::now()).ok().flatten()?;
        Some((folder, lock))
    });
    let locked: Vec<(PathBuf, File)> = locked.collect();
    if locked.is_empty() {
        return;
    }
    let in_use = adopt::addresses_in_use();
    for (folder, _lock) in locked {
        let socket = folder.join("socket");
        if !in_use.contains(&hash(&socket)) {
            Address { text: String::new(), socket, folder: Some(folder) }.remove();
        }
    }
}
