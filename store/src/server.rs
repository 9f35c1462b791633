//! The thread that lets others in and notices when they die.
//!
//! ```text
//!   joiner                                   server (thread `mobula-store`)
//!     connect                                  accept, ask the kernel for uid and pid
//!     hello -------------------------------->  another user: refused, nothing mapped
//!                                              take a client record, watch the process
//!     <------------------------ answer + fds
//!     map, record JOINING -> ALIVE
//!     ... the connection stays open ...        process ends (pidfd): reap
//!                                              connection ends: the client detached itself, or gave up
//! ```
//!
//! What they say is in `handshake.rs`. The server of an adopted store watches the processes of its
//! clients from the start; they connect again when they hear of it (guard.rs).
//!
//! One epoll, no polling: an idle store burns nothing. A joiner that says nothing within a second
//! is dropped; connections are non-blocking, so that no joiner delays another.
//!
//! At a tidy end the segment's names go first, while nobody else can have them, then the server's
//! word in the header, the socket, and the connections, by which the others hear of it.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

use crate::address::Address;
use crate::ahead::Spiller;
use crate::arena::Arena;
use crate::client::{self, ClientKey};
use crate::error::{Error, Result};
use crate::handshake::{self, Answer, Hello};
use crate::holds::{Actor, Looks};
use crate::large::Tables;
use crate::origin::{self, Origin};
use crate::readers;
use crate::reap;
use crate::segment;
use crate::shared::Shared;
use crate::sys::{memory, process, socket};
use crate::trim::Idle;

/// Tokens of what is watched besides guests.
const LISTENER: u64 = 0;
const STOP: u64 = 1;
const POKE: u64 = 2;
const FIRST: u64 = 2;
/// How long a connection may stay silent before it has said what it wants.
const HELLO_TIME: Duration = Duration::from_secs(1);
/// Connections that have not said hello; more are refused until some have.
const MAX_STRANGERS: usize = 256;

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

/// What the server needs of the store; when it is dropped the store is served no longer.
pub(crate) struct Host {
    pub(crate) shared: Arc<Shared>,
    pub(crate) arena: Arc<Arena>,
    /// Shared with the server's own handle: both work in the name of one client (holds.rs).
    pub(crate) looks: Arc<Looks>,
    /// The server's own client, in whose name it works.
    pub(crate) me: ClientKey,
    pub(crate) origin: Origin,
    pub(crate) address: Address,
}

impl Server {
    /// Starts serving on a bound socket; of an adopted store the dead are reaped first, as far as there is time.
    pub(crate) fn start(listener: UnixListener, host: Host, time: Duration) -> Result<Server> {
        let failed = |e: io::Error| Error::io("could not start the store's server thread", e);
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|e| failed(e.into()))?);
        let mut guests = Guests::new(listener, host, stop.clone()).map_err(failed)?;
        origin::serve(&guests.host.shared, guests.host.me);
        let (ready, is_ready) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("mobula-store".to_owned())
            .stack_size(256 << 10)
            .spawn(move || {
                guests.take_in();
                guests.host.address.announce();
                drop(ready);
                guests.serve();
                guests.close();
            })
            .map_err(failed)?;
        // It ends with the other end, or when the time is over.
        let _ = is_ready.recv_timeout(time);
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

/// A descriptor that is watched, and what is known about it.
enum Guest {
    /// Has not said what it wants.
    Stranger { stream: UnixStream, since: Instant, said: Vec<u8> },
    /// A client, or one that is joining; watched until its process ends or it detaches.
    Client { stream: UnixStream, key: ClientKey },
    /// The process of a client.
    Process { pidfd: OwnedFd, key: ClientKey },
}

/// How a process is to be a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Joins,
    Reads,
    HasMapped,
}

impl Guest {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Guest::Stranger { stream, .. } | Guest::Client { stream, .. } => stream.as_fd(),
            Guest::Process { pidfd, .. } => pidfd.as_fd(),
        }
    }

    fn key(&self) -> Option<ClientKey> {
        match self {
            Guest::Stranger { .. } => None,
            Guest::Client { key, .. } | Guest::Process { key, .. } => Some(*key),
        }
    }
}

struct Guests {
    host: Host,
    listener: UnixListener,
    stop: Arc<OwnedFd>,
    epoll: OwnedFd,
    /// By token: a descriptor's number may be used again while events of its former owner are still to be heard.
    guests: HashMap<u64, Guest>,
    next: u64,
    strangers: usize,
    /// Readable when this process pokes (trim.rs).
    poke: Arc<OwnedFd>,
    idle: Idle,
    spiller: Option<Spiller>,
    tables: Tables,
}

impl Guests {
    fn new(listener: UnixListener, host: Host, stop: Arc<OwnedFd>) -> io::Result<Guests> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let poke = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        host.shared.poke.through_event(poke.clone());
        let mut idle = Idle::default();
        idle.poked(&host.shared, &host.arena, host.me);
        let spiller = Spiller::start(&host.shared, &host.arena, &host.looks, host.me)?;
        let mut tables = Tables::default();
        tables.poked(&host.shared);
        let (guests, next, strangers) = (HashMap::new(), FIRST, 0);
        let guests = Guests { host, listener, stop, epoll, guests, next, strangers, poke, idle, spiller, tables };
        guests.watch(guests.poke.as_fd(), POKE)?;
        guests.watch(guests.listener.as_fd(), LISTENER)?;
        guests.watch(guests.stop.as_fd(), STOP)?;
        Ok(guests)
    }

    fn token(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn watch(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN | epoll::EventFlags::RDHUP)?)
    }

    /// Ends the watch of a descriptor before it is closed: a forked child may have a copy of it.
    fn unwatch(&self, fd: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Forgets what belongs to a client that is gone.
    fn forget(&mut self, key: ClientKey) {
        let epoll = &self.epoll;
        self.guests.retain(|_, guest| {
            let gone = guest.key() == Some(key);
            if gone {
                let _ = epoll::delete(epoll, guest.fd());
            }
            !gone
        });
    }

    /// Watches the clients that an adopted store has already, and reaps those that are dead.
    fn take_in(&mut self) {
        let own = usize::from(self.host.me.index);
        for index in (0..self.host.shared.layout.clients).filter(|&index| index != own) {
            let Some(key) = client::at(&self.host.shared, index, client::ALIVE) else {
                // Reaping that stopped half way.
                reap::reap_at(self.actor(), index);
                continue;
            };
            if readers::give_up(&self.host.shared, index) {
                reap::reap(&self.actor(), key);
                continue;
            }
            let (pid, start) = client::process(&self.host.shared, index);
            match process::watch(pid) {
                Ok(pidfd) if process::is_alive(pid, start) => {
                    let token = self.token();
                    if let Err(error) = self.watch(pidfd.as_fd(), token) {
                        tracing::warn!(%error, pid, "could not watch a client of an adopted store");
                    }
                    self.guests.insert(token, Guest::Process { pidfd, key });
                }
                _ => drop(reap::reap_at(self.actor(), index)),
            }
        }
        readers::settle_all(&self.actor());
    }

    fn actor(&self) -> Actor<'_> {
        let Host { shared, arena, looks, me, .. } = &self.host;
        Actor { shared, arena, looks, me: *me }
    }

    fn serve(&mut self) {
        let mut events = Vec::with_capacity(64);
        self.look_ahead();
        loop {
            events.clear();
            let silent = (self.strangers > 0).then_some(Duration::from_millis(100));
            let timeout = [silent, self.idle.next_look(), self.tables.is_due().then_some(Duration::ZERO)]
                .into_iter()
                .flatten()
                .min();
            let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the store's server stops: no more clients can attach");
                    return;
                }
            }
            for event in &events {
                match event.data.u64() {
                    STOP => return,
                    POKE => {
                        let _ = rustix::io::read(&*self.poke, &mut [0; 8]);
                        self.poked();
                    }
                    LISTENER => self.accept(),
                    token => self.hear(token),
                }
            }
            self.drop_silent();
            let Host { shared, arena, me, .. } = &self.host;
            self.idle.look(shared, arena, *me);
            self.tables.look(shared);
        }
    }

    fn poked(&mut self) {
        let Host { shared, arena, me, .. } = &self.host;
        self.idle.poked(shared, arena, *me);
        self.tables.poked(shared);
        self.look_ahead();
    }

    /// Has the spiller look whether memory is about to become short.
    fn look_ahead(&self) {
        if let Some(spiller) = &self.spiller {
            spiller.poked();
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
            let token = self.token();
            if !allowed || self.watch(stream.as_fd(), token).is_err() {
                continue;
            }
            self.guests.insert(token, Guest::Stranger { stream, since: Instant::now(), said: Vec::new() });
            self.strangers += 1;
            self.hear(token);
        }
    }

    fn hear(&mut self, token: u64) {
        match self.guests.remove(&token) {
            None => {}
            Some(Guest::Stranger { mut stream, since, mut said }) => {
                self.strangers -= 1;
                let mut bytes = [0; handshake::LEN];
                match stream.read(&mut bytes[..handshake::LEN - said.len()]) {
                    Ok(n) if n > 0 => {
                        said.extend_from_slice(&bytes[..n]);
                        match <&[u8; handshake::LEN]>::try_from(&said[..]) {
                            Ok(hello) => self.greet(token, stream, Hello::from_bytes(hello)),
                            Err(_) => self.keep(token, Guest::Stranger { stream, since, said }),
                        }
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        self.keep(token, Guest::Stranger { stream, since, said });
                    }
                    _ => self.unwatch(stream.as_fd()),
                }
            }
            Some(Guest::Client { stream, key }) => {
                let (shared, index) = (&self.host.shared, usize::from(key.index));
                // Somebody else may have its place by now.
                let reads = client::is_attached(shared, key) && readers::is_reader(shared, index);
                if (&stream).read(&mut [0; 64]).is_ok_and(|said| said > 0) {
                    self.guests.insert(token, Guest::Client { stream, key });
                    if reads {
                        readers::settle(&self.actor(), index);
                    }
                    return self.poked();
                }
                self.unwatch(stream.as_fd());
                if reads && readers::give_up(shared, index) {
                    reap::reap(&self.actor(), key);
                    // It waits for the end of the connection.
                    let _ = stream.shutdown(Shutdown::Both);
                }
                // Whoever detaches has given its record up before; a connection that just breaks says nothing about
                // the process, which may have died while it was detaching. One that had not joined gives up.
                if client::cancel(&self.host.shared, key) || !client::is_recorded(&self.host.shared, key) {
                    self.forget(key);
                }
                reap::go_on(&self.actor());
            }
            Some(Guest::Process { pidfd, key }) => {
                self.unwatch(pidfd.as_fd());
                self.bury(key);
            }
        }
    }

    fn keep(&mut self, token: u64, guest: Guest) {
        self.strangers += 1;
        self.guests.insert(token, guest);
    }

    /// Answers a connection that has said what it wants; one that makes no sense ends.
    fn greet(&mut self, token: u64, stream: UnixStream, hello: Option<Hello>) {
        let client = match hello {
            Some(Hello::Join) => self.admit(&stream, Kind::Joins),
            Some(Hello::Read) => self.admit(&stream, Kind::Reads),
            Some(Hello::JoinMapped { uuid }) if uuid == self.host.shared.uuid() => self.admit(&stream, Kind::HasMapped),
            Some(Hello::JoinMapped { .. }) => None,
            Some(Hello::Look) => {
                if let Err(error) = self.show(&stream) {
                    tracing::debug!(%error, "could not show a process the store");
                }
                None
            }
            Some(Hello::Rejoin { uuid, client }) => self.knows(&stream, uuid, client).then_some(client),
            None => None,
        };
        match client {
            Some(key) => drop(self.guests.insert(token, Guest::Client { stream, key })),
            None => self.unwatch(stream.as_fd()),
        }
    }

    /// Says whether a connection comes from one of the store's clients.
    fn knows(&self, stream: &UnixStream, uuid: [u64; 2], key: ClientKey) -> bool {
        let shared = &self.host.shared;
        uuid == shared.uuid()
            && usize::from(key.index) < shared.layout.clients
            && client::is_attached(shared, key)
            && socket::peer(stream).is_ok_and(|peer| peer.pid == client::pid(shared, key.index.into()))
    }

    /// Returns what the answer to a client says.
    fn welcome(&self, client: ClientKey) -> Answer {
        let shared = &self.host.shared;
        let (ctl_len, capacity) = (shared.ctl.len() as u64, shared.layout.capacity as u64);
        Answer::Welcome { client, ctl_len, capacity, patience: self.host.origin.patience }
    }

    /// Hands out what a process needs to map everything, without making a client of it.
    fn show(&self, stream: &UnixStream) -> io::Result<()> {
        let (ctl, arena) = (self.host.shared.ctl.file().ok_or(io::ErrorKind::NotFound)?, self.host.arena.file());
        socket::send_with_fds(stream, &self.welcome(self.host.me).to_bytes(), &[ctl.as_fd(), arena.as_fd()])
    }

    /// Makes a client of a connection's process, and tells it so.
    fn admit(&mut self, stream: &UnixStream, kind: Kind) -> Option<ClientKey> {
        let reads = kind == Kind::Reads;
        let shared = self.host.shared.clone();
        let peer = socket::peer(stream).ok()?;
        // The descriptor is opened before the start time is read: if the pid was reused in between,
        // the descriptor says at once that its process is not the one that connected, or watches the right one.
        let (pidfd, start) = (process::watch(peer.pid).ok()?, process::start_time(peer.pid)?);
        let answer = |answer: Answer| (&*stream).write_all(&answer.to_bytes());
        let Some(key) = client::take(&shared, peer.pid, start, self.host.origin.clients) else {
            let _ = answer(Answer::Full(self.host.origin.clients as u64));
            return None;
        };
        let committed = match reads {
            true => segment::commit_reader(&shared, key.index),
            false => segment::commit_holds(&shared, key.index),
        };
        if let Err(error) = committed {
            tracing::warn!(%error, pid = peer.pid, "no memory for the tables of one more client");
            client::cancel(&shared, key);
            let _ = answer(Answer::NoMemory);
            return None;
        }
        let welcome = self.welcome(key);
        if reads {
            // It could not do that itself.
            readers::enrol(&shared, key);
            client::confirm(&shared, key);
        }
        let token = self.token();
        let watched = self.watch(pidfd.as_fd(), token);
        let sent = watched.and_then(|()| {
            if kind == Kind::HasMapped {
                return answer(welcome);
            }
            let (ctl, arena) = (shared.ctl.file().ok_or(io::ErrorKind::NotFound)?, self.host.arena.file());
            if reads {
                let (ctl_to_read, arena) = (memory::reopen_to_read(ctl)?, memory::reopen_to_read(arena)?);
                let files = [ctl_to_read.as_fd(), arena.as_fd(), ctl.as_fd()];
                return socket::send_with_fds(stream, &welcome.to_bytes(), &files);
            }
            socket::send_with_fds(stream, &welcome.to_bytes(), &[ctl.as_fd(), arena.as_fd()])
        });
        if let Err(error) = sent {
            tracing::debug!(%error, pid = peer.pid, "could not let a process in");
            self.unwatch(pidfd.as_fd());
            if !client::cancel(&shared, key) {
                reap::reap(&self.actor(), key);
            }
            return None;
        }
        self.guests.insert(token, Guest::Process { pidfd, key });
        Some(key)
    }

    /// Undoes what a client left whose process has ended.
    fn bury(&mut self, key: ClientKey) {
        if !client::cancel(&self.host.shared, key) {
            reap::reap(&self.actor(), key);
            // Its last poke may have died with it.
            self.poked();
        }
        self.forget(key);
    }

    fn drop_silent(&mut self) {
        if self.strangers == 0 {
            return;
        }
        let epoll = &self.epoll;
        self.guests.retain(|_, guest| {
            let silent = matches!(guest, Guest::Stranger { since, .. } if since.elapsed() > HELLO_TIME);
            if silent {
                let _ = epoll::delete(epoll, guest.fd());
            }
            !silent
        });
        self.strangers = self.guests.values().filter(|guest| matches!(guest, Guest::Stranger { .. })).count();
    }

    /// Ends the service; the connections end last and tell the clients.
    fn close(self) {
        let Guests { host, guests, spiller, .. } = self;
        // It works in the host's name.
        drop(spiller);
        drop(host);
        for guest in guests.into_values() {
            if let Guest::Client { stream, .. } = guest {
                // Not only closed: a forked child may have a copy.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let Host { shared, arena, me, origin, address, .. } = self;
        if let (Some(name), Some(ctl)) = (&origin.name, shared.ctl.file()) {
            segment::remove_names(name, ctl, arena.file());
        }
        origin::retire(shared, *me);
        address.remove();
    }
}
