//! The threads that wait for descriptors on behalf of the node.
//!
//! A [`Poller`] is an epoll set with a mailbox: other threads post commands, its own thread sleeps
//! until a descriptor or a command is there. Two run in a node:
//!
//! - `mobula-watch` (here): the pidfds of workers and their bootstrap sockets. It turns readiness
//!   into events for the loop and waits for nobody but the thread that reads control messages, behind
//!   which it sends the barrier of a death ([`crate::node`]), so a death is always heard of.
//! - `mobula-logs` ([`crate::logs`]): the workers' output. It prints, so it may be held up.
//!
//! SC-8: no descriptor is polled on a timer; a node in which nothing happens sleeps. (The log thread wakes up for lines
//! that it has held back, and only then.)

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender, TryRecvError, unbounded};
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

use crate::bootstrap::{ADMIT, Hello, HelloReader, REFUSE};
use crate::sys;
use crate::trace::tell;

/// The key of the poller's own wake-up descriptor.
const WAKE: u64 = u64::MAX;

/// How many ready descriptors are taken at once.
const BATCH: usize = 64;

/// An epoll set with a mailbox; lives on one thread.
#[derive(Debug)]
pub(crate) struct Poller<C> {
    epoll: Arc<OwnedFd>,
    wake: Arc<OwnedFd>,
    commands: Receiver<C>,
}

/// Posts commands to a [`Poller`].
#[derive(Debug)]
pub(crate) struct Poster<C> {
    epoll: Arc<OwnedFd>,
    wake: Arc<OwnedFd>,
    commands: Sender<C>,
}

impl<C> Clone for Poster<C> {
    fn clone(&self) -> Self {
        let (epoll, wake) = (Arc::clone(&self.epoll), Arc::clone(&self.wake));
        Poster { epoll, wake, commands: self.commands.clone() }
    }
}

impl<C> Poster<C> {
    /// Posts a command; one that comes after the poller's end is dropped.
    pub(crate) fn post(&self, command: C) {
        if self.commands.send(command).is_ok() {
            // A full counter is readable, which is all that is needed.
            let _ = rustix::io::write(&*self.wake, &[1, 0, 0, 0, 0, 0, 0, 0]);
        }
    }
}

impl<C> Poller<C> {
    pub(crate) fn new() -> io::Result<(Poller<C>, Poster<C>)> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(&*epoll, &*wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        let (sender, commands) = unbounded();
        let poster = Poster { epoll: Arc::clone(&epoll), wake: Arc::clone(&wake), commands: sender };
        Ok((Poller { epoll, wake, commands }, poster))
    }

    pub(crate) fn add(&self, source: impl AsFd, key: u64) -> io::Result<()> {
        Ok(epoll::add(&*self.epoll, source, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?)
    }

    pub(crate) fn remove(&self, source: impl AsFd) {
        // A descriptor that was never added needs no removal.
        let _ = epoll::delete(&*self.epoll, source);
    }

    /// Sleeps until something is there; `ready` gets the keys of readable descriptors.
    pub(crate) fn wait(&self, ready: &mut Vec<u64>) {
        self.wait_until(ready, None);
    }

    /// Sleeps like [`Poller::wait`], but no longer than until a moment.
    pub(crate) fn wait_until(&self, ready: &mut Vec<u64>, deadline: Option<Instant>) {
        ready.clear();
        let mut events = Vec::with_capacity(BATCH);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match epoll::wait(&*self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // Only a descriptor that is no epoll set can fail otherwise, and this one is ours.
            Err(error) => tell!(Error, error, %error, "waiting for descriptors failed"),
        }
        for event in &events {
            match event.data.u64() {
                WAKE => {
                    let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
                }
                key => ready.push(key),
            }
        }
    }

    /// Takes the next command, if there is one.
    pub(crate) fn command(&self) -> Command<C> {
        match self.commands.try_recv() {
            Ok(command) => Command::Next(command),
            Err(TryRecvError::Empty) => Command::None,
            Err(TryRecvError::Disconnected) => Command::Closed,
        }
    }
}

/// What a poller's mailbox holds.
#[derive(Debug)]
pub(crate) enum Command<C> {
    Next(C),
    None,
    /// Nobody will post any more.
    Closed,
}

/// What the watch thread tells.
#[derive(Debug)]
pub(crate) enum Sighting {
    /// The process has ended; it has not been reaped.
    Exited,
    /// The process said hello (step 1 of the bootstrap).
    Hello(Hello),
    /// The process said something that is no hello.
    BadHello(String),
    /// The template has carried out an order, or could not.
    Forked,
}

impl Poster<Order> {
    /// Has the end of a process that has nothing to say sighted, without waking the thread for it.
    ///
    /// The caller keeps the descriptor until then.
    pub(crate) fn watch_end(&self, worker: u64, pidfd: &OwnedFd) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        Ok(epoll::add(&*self.epoll, pidfd, epoll::EventData::new_u64(keys(worker).0), flags)?)
    }
}

/// What a process that is watched says, and who it is.
#[derive(Debug)]
pub(crate) enum Words {
    /// Nothing that anybody wants to hear.
    None,
    /// A hello, which is answered.
    Worker(UnixStream),
    /// A hello, then a byte for each worker that it has forked.
    Template(UnixStream),
}

/// What the watch thread is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Watch a process that was just started.
    Add { worker: u64, pidfd: OwnedFd, words: Words },
    /// Step 3: the Welcome is on its way.
    Admit { worker: u64 },
    /// Step 3: the process may not join.
    Refuse { worker: u64, text: String },
    /// Watch a process no longer.
    Forget { worker: u64 },
    /// End the thread.
    Stop,
}

struct Watched {
    pidfd: OwnedFd,
    stream: Option<UnixStream>,
    hello: HelloReader,
    template: bool,
    /// The hello has come: a template's further words are answers.
    answering: bool,
}

/// Starts `mobula-watch`; `tell` gets each sighting with the worker's number.
pub(crate) fn start(tell: impl Fn(u64, Sighting) + Send + 'static) -> io::Result<(Poster<Order>, JoinHandle<()>)> {
    let (poller, poster) = Poller::new()?;
    let thread = thread::Builder::new().name("mobula-watch".into()).spawn(move || {
        sys::block_signals();
        Watch { poller, workers: HashMap::new(), tell }.run();
    })?;
    Ok((poster, thread))
}

struct Watch<F> {
    poller: Poller<Order>,
    workers: HashMap<u64, Watched>,
    tell: F,
}

/// A worker's pidfd has twice its number as key, its bootstrap socket one more.
fn keys(worker: u64) -> (u64, u64) {
    (worker * 2, worker * 2 + 1)
}

impl<F: Fn(u64, Sighting)> Watch<F> {
    fn run(&mut self) {
        let mut ready = Vec::new();
        loop {
            self.poller.wait(&mut ready);
            loop {
                match self.poller.command() {
                    Command::Next(Order::Stop) | Command::Closed => return,
                    Command::Next(order) => self.obey(order),
                    Command::None => break,
                }
            }
            // Hellos before deaths: a process that says hello and dies has said hello.
            for key in ready.iter().filter(|key| *key % 2 == 1) {
                self.listen(key / 2);
            }
            for key in ready.iter().filter(|key| *key % 2 == 0) {
                self.bury(key / 2);
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Add { worker, pidfd, words } => {
                let template = matches!(words, Words::Template(_));
                let stream = match words {
                    Words::None => None,
                    Words::Worker(stream) | Words::Template(stream) => Some(stream),
                };
                let (life, words) = keys(worker);
                let listened = stream.as_ref().map_or(Ok(()), |stream| {
                    stream.set_nonblocking(true)?;
                    self.poller.add(stream, words)
                });
                if let Err(error) = listened.and_then(|()| self.poller.add(&pidfd, life)) {
                    (self.tell)(worker, Sighting::BadHello(format!("it cannot be watched: {error}")));
                }
                let hello = HelloReader::default();
                self.workers.insert(worker, Watched { pidfd, stream, hello, template, answering: false });
            }
            Order::Admit { worker } => self.answer(worker, &[ADMIT]),
            Order::Refuse { worker, text } => {
                let mut bytes = vec![REFUSE];
                bytes.extend(text.bytes().take(16 * 1024));
                self.answer(worker, &bytes);
            }
            Order::Forget { worker } => self.forget(worker),
            Order::Stop => {}
        }
    }

    /// Answers and closes a bootstrap socket. The buffer of a socket that nobody has written to takes
    /// any answer whole, and a worker that is gone needs none.
    fn answer(&mut self, worker: u64, bytes: &[u8]) {
        if let Some(mut stream) = self.workers.get_mut(&worker).and_then(|watched| watched.stream.take()) {
            self.poller.remove(&stream);
            let _ = stream.write_all(bytes);
        }
    }

    fn listen(&mut self, worker: u64) {
        let Some(watched) = self.workers.get_mut(&worker) else {
            return;
        };
        let Some(stream) = &mut watched.stream else {
            return;
        };
        let mut bytes = [0; 512];
        match sys::recv_with_fds(stream, &mut bytes) {
            Ok((0, _)) => {
                // It closed its end; whether it lives on is for the pidfd to say.
                self.poller.remove(&*stream);
            }
            Ok(_) if watched.answering => (self.tell)(worker, Sighting::Forked),
            Ok((count, fds)) => match watched.hello.push(&bytes[..count], fds) {
                Ok(None) => {}
                Ok(Some(hello)) => {
                    watched.answering = watched.template;
                    if !watched.template {
                        self.poller.remove(&*stream);
                    }
                    (self.tell)(worker, Sighting::Hello(hello));
                }
                Err(reason) => {
                    self.poller.remove(&*stream);
                    (self.tell)(worker, Sighting::BadHello(reason));
                }
            },
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.poller.remove(&*stream),
        }
    }

    fn forget(&mut self, worker: u64) {
        if let Some(watched) = self.workers.remove(&worker) {
            self.poller.remove(&watched.pidfd);
            if let Some(stream) = &watched.stream {
                self.poller.remove(stream);
            }
        }
    }

    fn bury(&mut self, worker: u64) {
        self.forget(worker);
        // Of one that is not known here the node has the descriptor (`Poster::watch_end`).
        (self.tell)(worker, Sighting::Exited);
    }
}
