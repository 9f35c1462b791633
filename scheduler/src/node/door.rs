//! The door: where drivers of other processes, and those who only want to know something, come in.
//!
//! ```text
//!   other process                                    mobula-door                 mobula-node
//!     | -- connect to session_dir/control ----------> |  same user? otherwise closed
//!     | -- [kind], a driver's descriptors ----------> |
//!     | -- [name of a folder] ----------------------> |  boot/<name>: where the peer makes its one-shot server
//!     | -- [PROTOCOL][pid u32][length u16][name] ---> |  -- Knock ------------------> |  drivers.rs
//!     | <-- Welcome, NodeStatus or stacks, through the one-shot server `name` ------ |
//!     | <-------------- [ADMIT] or [REFUSE][text] ----------------------------------- |
//! ```
//!
//! Until a process has said all of this it costs the node a descriptor or a few and nothing else, and its end shows as an
//! end of file. At most [`MOST_KNOCKING`] stand at the door at a time; the one that has stood there for longest goes first.
//!
//! Whatever it has made in the session's folder lies in the one that it has named before it made that, which the node
//! removes when the answer is given, or the peer is gone.
//!
//! - SC-43: who comes in belongs to the node's user, which the kernel says, and not the peer.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};

use crate::bootstrap::{Hello, HelloReader};
use crate::session::SHORT_NAME;
use crate::sys;
use crate::trace::tell;
use crate::watch::{Command, Poller, Poster};

/// The first byte of a driver.
pub(crate) const DRIVE: u8 = 1;

/// The first byte of a process that wants to know how the node does.
pub(crate) const LOOK: u8 = 2;

/// The first byte of a process that wants to know what all workers are doing.
pub(crate) const STACKS: u8 = 3;

/// How many processes may stand at the door.
const MOST_KNOCKING: usize = 64;

/// The key of the listening socket.
const DOOR: u64 = 0;

/// Somebody who has said who it is.
#[derive(Debug)]
pub(crate) struct Knock {
    /// What it wants: [`DRIVE`], [`LOOK`] or [`STACKS`].
    pub(crate) kind: u8,
    pub(crate) hello: Hello,
    /// The descriptors that came with the kind.
    pub(crate) fds: Vec<OwnedFd>,
    pub(crate) stream: UnixStream,
    /// The process behind the socket.
    pub(crate) pid: u32,
    /// Becomes readable when that process ends.
    pub(crate) pidfd: OwnedFd,
    /// Removes what it has made.
    pub(crate) folder: Option<Folder>,
}

/// The folder of a peer's one-shot server; goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // The peer may have removed it itself, or not have made it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the door's thread is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// End the thread.
    Stop,
}

/// Opens the door at `path`; `tell` gets each knock.
pub(crate) fn open(
    path: &Path,
    boot: PathBuf,
    tell: impl Fn(Knock) + Send + 'static,
) -> io::Result<(Poster<Order>, JoinHandle<()>)> {
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    let (poller, poster) = Poller::new()?;
    poller.add(&listener, DOOR)?;
    let thread = thread::Builder::new().name("mobula-door".into()).spawn(move || {
        sys::block_signals();
        Door { poller, listener, boot, knocking: BTreeMap::new(), next: DOOR + 1, tell }.run();
    })?;
    Ok((poster, thread))
}

struct Door<F> {
    poller: Poller<Order>,
    listener: UnixListener,
    boot: PathBuf,
    /// By key, so the oldest comes first.
    knocking: BTreeMap<u64, Knocking>,
    next: u64,
    tell: F,
}

/// Somebody who has not said everything yet.
struct Knocking {
    stream: UnixStream,
    pid: u32,
    kind: Option<u8>,
    fds: Vec<OwnedFd>,
    name: Vec<u8>,
    folder: Option<Folder>,
    hello: HelloReader,
}

impl<F: Fn(Knock)> Door<F> {
    fn run(&mut self) {
        let mut ready = Vec::new();
        loop {
            self.poller.wait(&mut ready);
            if !matches!(self.poller.command(), Command::None) {
                return;
            }
            for &key in &ready {
                match key {
                    DOOR => self.accept(),
                    key => self.listen(key),
                }
            }
        }
    }

    fn accept(&mut self) {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => {
                tell!(Warn, warn, %error, "a process could not come in");
                // Out of descriptors the next look would say the same at once.
                if self.knocking.pop_first().is_none() {
                    thread::sleep(std::time::Duration::from_millis(10));
                }
                return;
            }
        };
        let pid = match socket_peercred(&stream) {
            Ok(peer) if peer.uid == geteuid() => peer.pid.as_raw_pid().unsigned_abs(),
            _ => return,
        };
        let key = self.next;
        let added = stream.set_nonblocking(true).and_then(|()| self.poller.add(&stream, key));
        if added.is_err() {
            return;
        }
        self.next += 1;
        let knocking = Knocking {
            stream,
            pid,
            kind: None,
            fds: Vec::new(),
            name: Vec::new(),
            folder: None,
            hello: HelloReader::default(),
        };
        self.knocking.insert(key, knocking);
        if self.knocking.len() > MOST_KNOCKING {
            self.knocking.pop_first();
        }
    }

    fn listen(&mut self, key: u64) {
        let Some(knocking) = self.knocking.get_mut(&key) else {
            return;
        };
        match knocking.listen(&self.boot) {
            Ok(None) => {}
            Ok(Some(hello)) => {
                if let Some(knocking) = self.knocking.remove(&key) {
                    self.poller.remove(&knocking.stream);
                    if let Some(knock) = knocking.knock(hello) {
                        (self.tell)(knock);
                    }
                }
            }
            Err(_) => drop(self.knocking.remove(&key)),
        }
    }
}

impl Knocking {
    /// Takes what has come; an error means that nothing will come of it.
    fn listen(&mut self, boot: &Path) -> io::Result<Option<Hello>> {
        loop {
            let heard = match self.kind {
                None => self.take_kind(),
                Some(_) if self.folder.is_none() => self.take_name(boot),
                Some(_) => self.take_hello(),
            };
            match heard {
                Ok(None) => {}
                Ok(Some(hello)) => return Ok(Some(hello)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take_kind(&mut self) -> io::Result<Option<Hello>> {
        let mut kind = [0];
        let (count, fds) = sys::recv_with_fds(&self.stream, &mut kind)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (self.kind, self.fds) = (Some(kind[0]), fds);
        Ok(None)
    }

    fn take_name(&mut self, boot: &Path) -> io::Result<Option<Hello>> {
        let mut bytes = [0; SHORT_NAME];
        let left = SHORT_NAME - self.name.len();
        match self.stream.read(&mut bytes[..left])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => self.name.extend(&bytes[..count]),
        }
        if self.name.len() == SHORT_NAME {
            let name = std::str::from_utf8(&self.name).ok();
            let name = name.filter(|name| name.bytes().all(|byte| byte.is_ascii_hexdigit()));
            self.folder = Some(Folder(boot.join(name.ok_or(io::ErrorKind::InvalidData)?)));
        }
        Ok(None)
    }

    fn take_hello(&mut self) -> io::Result<Option<Hello>> {
        let mut bytes = [0; 512];
        let (count, fds) = sys::recv_with_fds(&self.stream, &mut bytes)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match self.hello.push(&bytes[..count], fds) {
            Ok(hello) => Ok(hello),
            Err(reason) => {
                refuse(&mut self.stream, &reason);
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    /// Finds the process behind the socket; `None` if it has ended.
    fn knock(self, hello: Hello) -> Option<Knock> {
        let Knocking { mut stream, pid, kind, fds, folder, .. } = self;
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(raw) = raw else {
            refuse(&mut stream, "it is in another pid namespace than the node, which could not watch it");
            return None;
        };
        let pidfd = pidfd_open(raw, PidfdFlags::empty()).ok()?;
        // If the process that the kernel has named were gone, and its pid another one's, its socket would be closed.
        if !is_there(&mut stream) {
            return None;
        }
        Some(Knock { kind: kind?, hello, fds, stream, pid, pidfd, folder })
    }
}

/// True if somebody waits for an answer and has not ended. Its socket is closed before the other descriptors that it has
/// opened since.
fn is_there(stream: &mut UnixStream) -> bool {
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Sends somebody away with a reason; a socket that nobody has written to takes it whole.
pub(crate) fn refuse(stream: &mut UnixStream, reason: &str) {
    use std::io::Write;
    let mut bytes = vec![crate::bootstrap::REFUSE];
    bytes.extend(reason.bytes().take(16 * 1024));
    let _ = stream.write_all(&bytes);
}
