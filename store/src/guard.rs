//! The thread that watches over a process's clients when their server dies.
//!
//! While a store has a server, that notices every death. Each process with clients has one thread more,
//! `mobula-guard`, blocked in an epoll, that notices the server's:
//!
//! ```text
//!            attach                     the connection breaks, or the server's process ends
//!   (none) ---------->  served  ------------------------------------------------------------> orphaned
//!                         ^                                                                     |
//!                         |   somebody has adopted the store (adopt.rs) and announced it:       |
//!                         +--- connect, rejoin <------------------------------------------------+
//!
//!   served:    watches the connection and the server's process
//!   orphaned:  watches the processes of all other clients and reaps those that die, beside the other
//!              survivors, who do the same (ST-20); watches the folder of the socket for an announcement,
//!              or for a knock: a reader wants something (readers.rs), or a client that has ended leaves a
//!              reaping to somebody (reap.rs); the guards do what the server would
//! ```
//!
//! Nobody has to be told of a death twice, and nothing is polled. Only where the system is out of
//! descriptors or watches, or a new server does not answer, does the thread look every half second.
//!
//! The thread starts with the first client of the process that joins a store and ends with the last.
//! A forked child has nothing of it: a client of its own brings a thread of its own.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::fs::inotify;

use crate::arena::Arena;
use crate::client::{self, ClientKey};
use crate::handshake::Hello;
use crate::holds::{Actor, Looks};
use crate::origin;
use crate::readers;
use crate::reap;
use crate::shared::Shared;
use crate::sys::fork::PerProcess;
use crate::sys::{process, socket};

/// How often an orphan is looked at that could not watch everything.
const TICK: Duration = Duration::from_millis(500);
/// How long a rejoin waits for room in the server's queue.
const CONNECT_TIME: Duration = Duration::from_millis(200);

static GUARD: PerProcess<Guard> = PerProcess::new();

/// What epoll says woke the thread; clients have the numbers from `FIRST` on.
const STOP: u64 = 0;
const NEWS: u64 = 1;
const FIRST: u64 = 2;

#[derive(Debug, Default)]
struct Guard {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: HashMap<u64, Arc<Member>>,
    last: u64,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    post: Arc<Post>,
    thread: JoinHandle<()>,
}

/// The descriptors that wake the thread.
#[derive(Debug)]
struct Post {
    epoll: OwnedFd,
    stop: OwnedFd,
}

/// A client under guard.
#[derive(Debug)]
struct Member {
    id: u64,
    shared: Arc<Shared>,
    arena: Arc<Arena>,
    looks: Arc<Looks>,
    me: ClientKey,
    socket: PathBuf,
    watch: Mutex<Watch>,
}

/// What is watched for a client.
#[derive(Debug, Default)]
struct Watch {
    /// The client detaches: nobody may act in its name any more.
    ended: bool,
    link: Option<Link>,
    /// The server that `link` leads or led to.
    server: Option<ClientKey>,
    peers: HashMap<ClientKey, OwnedFd>,
    /// Not everything could be watched.
    blind: bool,
}

/// The connection to the server.
#[derive(Debug)]
struct Link {
    stream: UnixStream,
    /// The server's process, unless it is this one.
    process: Option<OwnedFd>,
}

/// A client's place under guard, until it ends.
#[derive(Debug)]
pub(crate) struct Membership {
    member: Arc<Member>,
}

/// Puts a client that has just joined under guard; `stream` leads to `server`, which let it in.
pub(crate) fn watch(
    shared: &Arc<Shared>,
    arena: &Arc<Arena>,
    looks: &Arc<Looks>,
    me: ClientKey,
    server: Option<ClientKey>,
    socket: PathBuf,
    stream: UnixStream,
) -> io::Result<Membership> {
    let mut state = GUARD.get().state();
    let post = match &state.running {
        Some(running) => running.post.clone(),
        None => {
            let running = Running::start()?;
            let post = running.post.clone();
            state.running = Some(running);
            post
        }
    };
    let id = FIRST + state.last;
    state.last += 1;
    let link = match Link::watched(&post, id, stream) {
        Ok(link) => link,
        Err(error) => {
            let idle = if state.members.is_empty() { state.running.take() } else { None };
            drop(state);
            idle.into_iter().for_each(Running::stop);
            return Err(error);
        }
    };
    let watch = Watch { link: Some(link), server, ..Watch::default() };
    let (shared, arena, looks) = (shared.clone(), arena.clone(), looks.clone());
    let member = Arc::new(Member { id, shared, arena, looks, me, socket, watch: Mutex::new(watch) });
    state.members.insert(id, member.clone());
    Ok(Membership { member })
}

/// Wakes the guards that watch the folder of a socket because their server is gone.
///
/// Sets the folder's mode to what it is: what counts is that the kernel reports it, also where there is no socket
/// any more. A folder that is gone was a dead server's own: nobody watches it.
pub(crate) fn knock(socket: &Path) {
    let folder = folder(socket);
    let _ = std::fs::metadata(folder).and_then(|meta| std::fs::set_permissions(folder, meta.permissions()));
}

fn folder(socket: &Path) -> &Path {
    socket.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Membership {
    /// Returns the path of the store's socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.member.socket
    }

    /// Ends it: when this returns the thread does nothing more in the client's name.
    ///
    /// Returns the connection, which should end after the client's record is free.
    pub(crate) fn end(self) -> Option<UnixStream> {
        let mut state = GUARD.get().state();
        state.members.remove(&self.member.id);
        let post = state.running.as_ref().map(|running| running.post.clone());
        let idle = if state.members.is_empty() { state.running.take() } else { None };
        drop(state);
        let mut watch = self.member.watch();
        watch.ended = true;
        let link = watch.link.take();
        if let Some(post) = post {
            link.iter().for_each(|link| link.unwatch(&post));
            watch.peers.drain().for_each(|(_, peer)| post.unwatch(peer.as_fd()));
        }
        drop(watch);
        idle.into_iter().for_each(Running::stop);
        link.map(|link| link.stream)
    }
}

impl Guard {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches until the last client of the process is gone.
    fn run(&self, post: &Post) {
        let mut folders = Folders { news: None };
        let mut blind = false;
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
            match epoll::wait(&post.epoll, spare_capacity(&mut events), blind.then_some(&tick)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the guard of this process's store clients stops");
                    return;
                }
            }
            let woken: Vec<u64> = events.iter().map(|event| event.data.u64()).collect();
            if woken.contains(&STOP) {
                return;
            }
            if woken.contains(&NEWS) {
                folders.drain();
            }
            // Whoever is orphaned wants to hear of everything; a look at somebody served is two polls.
            let members: Vec<Arc<Member>> = self.state().members.values().cloned().collect();
            let orphans = members.iter().filter(|member| member.look(post, &mut folders)).collect::<Vec<_>>();
            blind = orphans.iter().any(|member| member.watch().blind);
            if orphans.is_empty() {
                folders.close(post);
            }
        }
    }
}

impl Running {
    fn start() -> io::Result<Running> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let post = Arc::new(Post { epoll, stop });
        post.watch(post.stop.as_fd(), STOP, epoll::EventFlags::IN)?;
        let its = post.clone();
        let guard = GUARD.get();
        let thread = std::thread::Builder::new()
            .name("mobula-guard".to_owned())
            .stack_size(256 << 10)
            .spawn(move || guard.run(&its))?;
        Ok(Running { post, thread })
    }

    fn stop(self) {
        let _ = rustix::io::write(&self.post.stop, &[1; 8]);
        let _ = self.thread.join();
    }
}

impl Post {
    fn watch(&self, fd: BorrowedFd<'_>, id: u64, flags: epoll::EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(id), flags)?)
    }

    /// Before a descriptor is closed: a forked child may have a copy, which would go on waking the thread.
    fn unwatch(&self, fd: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.epoll, fd);
    }
}

impl Link {
    fn watched(post: &Post, id: u64, stream: UnixStream) -> io::Result<Link> {
        let server = socket::peer(&stream)?.pid;
        let process = if server == std::process::id() { None } else { Some(process::watch(server)?) };
        let link = Link { stream, process };
        post.watch(link.stream.as_fd(), id, epoll::EventFlags::RDHUP)?;
        if let Some(process) = &link.process
            && let Err(error) = post.watch(process.as_fd(), id, epoll::EventFlags::IN)
        {
            post.unwatch(link.stream.as_fd());
            return Err(error);
        }
        Ok(link)
    }

    fn unwatch(&self, post: &Post) {
        post.unwatch(self.stream.as_fd());
        self.process.iter().for_each(|process| post.unwatch(process.as_fd()));
    }

    /// Says whether the server is gone; its process may have left the connection to a forked child.
    fn is_broken(&self) -> bool {
        socket::is_closed(&self.stream) || self.process.as_ref().is_some_and(process::has_ended)
    }
}

impl Member {
    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn actor(&self) -> Actor<'_> {
        Actor { shared: &self.shared, arena: &self.arena, looks: &self.looks, me: self.me }
    }

    /// Does what there is to do; says whether the client is an orphan afterwards.
    fn look(&self, post: &Post, folders: &mut Folders) -> bool {
        let mut watch = self.watch();
        if watch.ended {
            return false;
        }
        if let Some(link) = watch.link.take_if(|link| link.is_broken()) {
            link.unwatch(post);
            tracing::debug!(socket = %self.socket.display(), "the server of a store is gone; its clients go on");
        }
        if watch.link.is_some() {
            return false;
        }
        watch.blind = !folders.watch(post, &self.socket);
        if self.shared.reader.is_none() {
            self.watch_peers(post, &mut watch);
            readers::settle_all(&self.actor());
        }
        // After the folder is watched: an announcement is either seen here or wakes the thread.
        if self.rejoin(post, &mut watch) {
            watch.peers.drain().for_each(|(_, peer)| post.unwatch(peer.as_fd()));
            return false;
        }
        true
    }

    /// Reaps the clients that have died, and watches those that live.
    fn watch_peers(&self, post: &Post, watch: &mut Watch) {
        let ended: Vec<ClientKey> =
            watch.peers.iter().filter(|(_, peer)| process::has_ended(peer)).map(|(key, _)| *key).collect();
        for key in ended {
            if let Some(peer) = watch.peers.remove(&key) {
                post.unwatch(peer.as_fd());
            }
            reap::reap(&self.actor(), key);
        }
        for index in 0..self.shared.layout.clients {
            // Reaping that stopped half way is gone on with by whoever finds it.
            let Some(key) = client::at(&self.shared, index, client::ALIVE) else {
                reap::reap_at(self.actor(), index);
                continue;
            };
            let (pid, start) = client::process(&self.shared, index);
            if pid == std::process::id() || watch.peers.contains_key(&key) {
                continue;
            }
            match self.watch_process(post, pid) {
                // The descriptor is of whoever has the pid now: if that is the client, it stays the client.
                Ok(peer) if process::is_alive(pid, start) => drop(watch.peers.insert(key, peer)),
                Ok(peer) => {
                    post.unwatch(peer.as_fd());
                    reap::reap_at(self.actor(), index);
                }
                Err(error) => {
                    if !reap::reap_at(self.actor(), index) {
                        tracing::debug!(%error, pid, "could not watch a client of a store without a server");
                        watch.blind = true;
                    }
                }
            }
        }
    }

    fn watch_process(&self, post: &Post, pid: u32) -> io::Result<OwnedFd> {
        let pidfd = process::watch(pid)?;
        post.watch(pidfd.as_fd(), self.id, epoll::EventFlags::IN)?;
        Ok(pidfd)
    }

    /// Connects to whoever has adopted the store; false if nobody has.
    fn rejoin(&self, post: &Post, watch: &mut Watch) -> bool {
        let server = origin::living_server(&self.shared);
        if server.is_none() || server == watch.server {
            return false;
        }
        let hello = Hello::Rejoin { uuid: self.shared.uuid(), client: self.me }.to_bytes();
        let connected = socket::connect(&self.socket, CONNECT_TIME).and_then(|mut stream| {
            if socket::peer(&stream)?.uid != process::uid() {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            stream.write_all(&hello)?;
            self.shared.poke.through_connection(stream.try_clone()?.into());
            // What a reader asked for while there was no way to the server (readers.rs) is looked at now: what was
            // asked before the way was there stands in the bits already.
            self.shared.poke.send();
            Link::watched(post, self.id, stream)
        });
        match connected {
            Ok(link) => {
                watch.link = Some(link);
                watch.server = server;
                true
            }
            Err(error) => {
                tracing::debug!(%error, socket = %self.socket.display(), "could not connect to a store's new server");
                // It may be as busy as not to answer, and does not announce itself again.
                watch.blind = true;
                false
            }
        }
    }
}

/// The folders in which servers may announce themselves.
struct Folders {
    news: Option<OwnedFd>,
}

impl Folders {
    /// Watches the folder of a socket; watching it twice is no more. False if that is impossible.
    fn watch(&mut self, post: &Post, socket: &Path) -> bool {
        if self.news.is_none() {
            let made = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK);
            self.news = made.ok().filter(|news| post.watch(news.as_fd(), NEWS, epoll::EventFlags::IN).is_ok());
        }
        let Some(news) = &self.news else { return false };
        // The announcement is a change of the socket's attributes (`Address::announce`), a knock one of the
        // folder's. A folder that is gone takes no new socket.
        match inotify::add_watch(news, folder(socket), inotify::WatchFlags::ATTRIB) {
            Ok(_) | Err(rustix::io::Errno::NOENT) => true,
            Err(_) => false,
        }
    }

    fn drain(&mut self) {
        let Some(news) = &self.news else { return };
        let mut bytes = [0; 4096];
        // What changed does not matter: everybody looks.
        while rustix::io::read(news, &mut bytes).is_ok_and(|read| read > 0) {}
    }

    fn close(&mut self, post: &Post) {
        if let Some(news) = self.news.take() {
            post.unwatch(news.as_fd());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::lock::{self, Lock};
    use crate::sync::Ordering;
    use crate::{Store, StoreOptions};

    #[test]
    fn what_an_ending_reaper_was_left_is_done_without_a_server() {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let folder = tempfile::Builder::new().permissions(private).tempdir().unwrap();
        let socket = folder.path().join("socket");
        let server = Store::create(StoreOptions::new(1 << 20).address(socket.display().to_string())).unwrap();
        let [ending, leaving, dead, survivor] = [(); 4].map(|()| Store::attach(server.address()).unwrap());
        let [its, left, key] = [&ending, &leaving, &dead].map(Store::client);
        std::mem::forget(dead);
        drop(server);
        let shared = &survivor.inner().shared;
        let record = |key: ClientKey| shared.ctl.u64(shared.layout.client(key.index.into()));
        let begin = |key: ClientKey| {
            record(key).store(client::word(key.generation, client::REAPING), Ordering::SeqCst);
        };
        let is_free = |key: ClientKey| client::state(record(key).load(Ordering::SeqCst)) == client::FREE;
        let eventually = |what: &str, happened: &dyn Fn() -> bool| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while !happened() {
                assert!(Instant::now() < deadline, "{what}");
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        // From here on the guard has missed the server, and only sleeps.
        begin(key);
        eventually("nobody hears a knock", &|| {
            knock(&socket);
            is_free(key)
        });

        let reaping = lock::acquire(shared, Lock::Reap, its);
        drop(leaving);
        assert_eq!(client::state(record(left).load(Ordering::SeqCst)), client::REAPING, "two reap at once");
        // It has freed its record when it finds what was left to it.
        record(its).store(client::word(its.generation.wrapping_add(1), client::FREE), Ordering::SeqCst);
        drop(reaping);
        drop(ending);
        eventually("nobody does what was left to a reaper that has ended", &|| is_free(left));
        survivor.check().unwrap();
    }
}
