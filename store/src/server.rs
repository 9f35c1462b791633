//! The thread that lets others in and notices when they die.
//!
//! ```text
//!   joiner                                   server (thread `mobula-store`)
//!     connect                                  accept, ask the kernel for uid and pid
//!     {magic, zero} -------------------------> another user: refused, nothing mapped
//!                                              take a client record, watch the process
//!     <--- {status, client, lengths} + fds ---
//!     ... the connection stays open ...        process ends (pidfd): reap
//!                                              connection ends: the client detached itself
//! ```
//!
//! One epoll, no polling: an idle store burns nothing. A joiner that says nothing within a second
//! is dropped; connections are non-blocking, so that no joiner delays another.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

use crate::arena::Arena;
use crate::client::{self, ClientKey};
use crate::error::{Error, Result};
use crate::holds::{Actor, Looks};
use crate::reap;
use crate::segment::Name;
use crate::shared::Shared;
use crate::sys::{memory, process, socket};

/// How long a connection may stay silent before it has said what it wants.
const HELLO_TIME: Duration = Duration::from_secs(1);
/// Connections that have not said hello; more are refused until some have.
const MAX_STRANGERS: usize = 256;

/// What a joiner says first.
pub(crate) const HELLO: [u8; 7] = *b"mobula1";
/// Length of a hello: the magic and a byte that is zero for now.
pub(crate) const HELLO_LEN: usize = 8;
/// Status byte of the answer.
pub(crate) const WELCOME: u8 = 0;
pub(crate) const FULL: u8 = 1;
/// Length of the answer: status, client index (u16), generation (u32), ctl and arena lengths (u64), timeout in ns (u64).
pub(crate) const ANSWER_LEN: usize = 32;

/// The running server of the process that created the store.
pub(crate) struct Server {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// What the server needs of the store.
pub(crate) struct Host {
    pub(crate) shared: Arc<Shared>,
    pub(crate) arena: Arc<Arena>,
    pub(crate) ctl_file: File,
    pub(crate) names: Vec<Name>,
    /// Keeps the name of a named segment ours.
    pub(crate) _name_lock: Option<File>,
    pub(crate) create_timeout: Duration,
    /// Shared with the creator's handle: both work in the name of one client (holds.rs).
    pub(crate) looks: Arc<Looks>,
    /// The creator's own client: the server works in its name.
    pub(crate) me: ClientKey,
    pub(crate) socket: PathBuf,
    /// A folder that was made for the socket alone and goes with it.
    pub(crate) folder: Option<PathBuf>,
}

impl Server {
    /// Starts serving on a bound socket.
    pub(crate) fn start(listener: UnixListener, host: Host) -> Result<Server> {
        let failed = |e: io::Error| Error::io("could not start the store's server thread", e);
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|e| failed(e.into()))?);
        let mut guests = Guests::new(listener, host, stop.clone()).map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("mobula-store".to_owned())
            .stack_size(256 << 10)
            .spawn(move || guests.serve())
            .map_err(failed)?;
        Ok(Server { stop, thread: Some(thread) })
    }

    /// Ends the thread; the socket and its folder go.
    pub(crate) fn stop(mut self) {
        let _ = rustix::io::write(&*self.stop, &[1; 8]);
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// A connection and what is known about it.
enum Guest {
    /// Has not said what it wants.
    Stranger { stream: UnixStream, since: Instant, said: Vec<u8> },
    /// A client; watched until its process ends or it detaches.
    Client { _stream: UnixStream, key: ClientKey },
    /// The process of a client.
    Process { _pidfd: OwnedFd, key: ClientKey },
}

struct Guests {
    host: Host,
    listener: UnixListener,
    stop: Arc<OwnedFd>,
    epoll: OwnedFd,
    guests: HashMap<RawFd, Guest>,
    strangers: usize,
}

impl Guests {
    fn new(listener: UnixListener, host: Host, stop: Arc<OwnedFd>) -> io::Result<Guests> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let guests = Guests { host, listener, stop, epoll, guests: HashMap::new(), strangers: 0 };
        guests.watch(guests.listener.as_fd())?;
        guests.watch(guests.stop.as_fd())?;
        Ok(guests)
    }

    fn watch(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let data = epoll::EventData::new_u64(u64::try_from(fd.as_raw_fd()).unwrap_or(u64::MAX));
        Ok(epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN | epoll::EventFlags::RDHUP)?)
    }

    fn serve(&mut self) {
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            let timeout = (self.strangers > 0).then_some(Timespec { tv_sec: 0, tv_nsec: 100_000_000 });
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the store's server stops: no more clients can attach");
                    return;
                }
            }
            for event in &events {
                let fd = RawFd::try_from(event.data.u64()).unwrap_or(-1);
                if fd == self.stop.as_raw_fd() {
                    return;
                }
                if fd == self.listener.as_raw_fd() {
                    self.accept();
                } else {
                    self.hear(fd);
                }
            }
            self.drop_silent();
        }
    }

    fn accept(&mut self) {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // Out of descriptors, mostly: the backlog waits, and this thread must not spin on it.
                    tracing::warn!(%error, "the store cannot let anybody in at the moment");
                    std::thread::sleep(Duration::from_millis(10));
                    return;
                }
            };
            if self.strangers >= MAX_STRANGERS || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let allowed = socket::peer(&stream).is_ok_and(|peer| peer.uid == process::uid());
            if !allowed || self.watch(stream.as_fd()).is_err() {
                continue;
            }
            let fd = stream.as_raw_fd();
            self.guests.insert(fd, Guest::Stranger { stream, since: Instant::now(), said: Vec::new() });
            self.strangers += 1;
            self.hear(fd);
        }
    }

    fn hear(&mut self, fd: RawFd) {
        match self.guests.remove(&fd) {
            None => {}
            Some(Guest::Stranger { mut stream, since, mut said }) => {
                self.strangers -= 1;
                let mut bytes = [0; HELLO_LEN];
                match stream.read(&mut bytes[..HELLO_LEN - said.len()]) {
                    Ok(0) => {}
                    Ok(n) => {
                        said.extend_from_slice(&bytes[..n]);
                        if said.len() == HELLO_LEN {
                            self.admit(stream, &said);
                        } else {
                            self.keep(fd, Guest::Stranger { stream, since, said });
                        }
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        self.keep(fd, Guest::Stranger { stream, since, said })
                    }
                    Err(_) => {}
                }
            }
            // Whoever detaches has given its record up before; a connection that just breaks says nothing about the
            // process, which may have died while it was detaching.
            Some(Guest::Client { key, .. }) if client::is_recorded(&self.host.shared, key) => {}
            Some(Guest::Client { key, .. }) => {
                self.guests.retain(|_, guest| !matches!(guest, Guest::Process { key: other, .. } if *other == key));
            }
            Some(Guest::Process { key, .. }) => self.reap(key),
        }
    }

    fn keep(&mut self, fd: RawFd, guest: Guest) {
        self.strangers += 1;
        self.guests.insert(fd, guest);
    }

    /// Makes a client of a connection that has said hello.
    fn admit(&mut self, stream: UnixStream, said: &[u8]) {
        if said[..HELLO.len()] != HELLO {
            return;
        }
        let Ok(peer) = socket::peer(&stream) else { return };
        // The descriptor is opened before the start time is read: if the pid was reused in between,
        // the descriptor says at once that its process is not the one that connected, or watches the right one.
        let (Ok(pidfd), Some(start)) = (process::watch(peer.pid), process::start_time(peer.pid)) else { return };
        let Some(key) = client::take(&self.host.shared, peer.pid, start) else {
            let mut answer = [0; ANSWER_LEN];
            answer[0] = FULL;
            answer[8..16].copy_from_slice(&(self.host.shared.layout.clients as u64).to_le_bytes());
            let _ = (&stream).write_all(&answer);
            return;
        };
        if let Err(error) = self.watch(pidfd.as_fd()) {
            tracing::warn!(%error, pid = peer.pid, "could not watch a process that wants to attach; it is refused");
            self.reap(key);
            return;
        }
        let mut answer = [0; ANSWER_LEN];
        answer[0] = WELCOME;
        answer[2..4].copy_from_slice(&key.index.to_le_bytes());
        answer[4..8].copy_from_slice(&key.generation.to_le_bytes());
        answer[8..16].copy_from_slice(&(self.host.shared.ctl.len() as u64).to_le_bytes());
        answer[16..24].copy_from_slice(&(self.host.shared.layout.capacity as u64).to_le_bytes());
        let timeout = u64::try_from(self.host.create_timeout.as_nanos()).unwrap_or(u64::MAX);
        answer[24..32].copy_from_slice(&timeout.to_le_bytes());
        let files = [self.host.ctl_file.as_fd(), self.host.arena.file().as_fd()];
        let sent = socket::send_with_fds(&stream, &answer, &files);
        if sent.is_err() {
            self.reap(key);
            return;
        }
        self.guests.insert(pidfd.as_raw_fd(), Guest::Process { _pidfd: pidfd, key });
        self.guests.insert(stream.as_raw_fd(), Guest::Client { _stream: stream, key });
    }

    fn reap(&mut self, key: ClientKey) {
        let Host { shared, arena, looks, me, .. } = &self.host;
        reap::reap(&Actor { shared, arena, looks, me: *me }, key);
        self.guests.retain(|_, guest| !matches!(guest, Guest::Client { key: other, .. } if *other == key));
    }

    fn drop_silent(&mut self) {
        if self.strangers > 0 {
            self.guests
                .retain(|_, guest| !matches!(guest, Guest::Stranger { since, .. } if since.elapsed() > HELLO_TIME));
            self.strangers = self.guests.values().filter(|guest| matches!(guest, Guest::Stranger { .. })).count();
        }
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        remove_socket(&self.host.socket, self.host.folder.as_deref());
        self.host.names.clear();
    }
}

/// Removes the socket and the folder that was made for it.
pub(crate) fn remove_socket(socket: &Path, folder: Option<&Path>) {
    memory::remove(socket);
    if let Some(folder) = folder {
        let _ = std::fs::remove_dir(folder);
    }
}
