//! The runtime of one process, driver or worker: what all its handles and refs share.
//!
//! ```text
//!   user threads --+                    +-- mobula-service (drains the rings, ticks)
//!   executor ------+----> Arc<Core> <---+
//!   (worker only)  |                    +-- mobula-control (listens to the node)
//!                  +-- handles, refs
//! ```
//!
//! At most one core of a process is *current*; the cores of earlier runtimes live on, closed, as
//! long as handles of them do: their refs give `is_not_initialized`.
//!
//! - **WK-19** Locks are taken in this order: mailbox, route or task queue or executor, then any of
//!   stalled, peers, peer, pending, ref; user code (encoding, decoding, dropping values) runs under
//!   none of them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use mobula_scheduler::ids::ActorId;
use mobula_scheduler::node::Line;
use mobula_scheduler::protocol::{Answer, ToNode, Welcome};
use mobula_store::{ClientKey, Knell, ObjectHold, Store};

#[cfg(feature = "async")]
use crate::asynchrony::Wakes;
use crate::cancel::Cancels;
use crate::deferred::{Dependent, Work};
use crate::duty::Duty;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::frames::Nonce;
use crate::leases::Leases;
use crate::link::{self, Link};
use crate::outbox::Peer;
use crate::pending::PendingTable;
use crate::pump::{self, Pump};
use crate::refs::RefInner;
use crate::registry::Registry;
use crate::route::Route;
use crate::stream::Outflows;
use crate::sys;
use crate::transport::Transport;
use crate::unread::Unread;

mod arrivals;
mod current;
mod stalled;

pub(crate) use self::current::{current, is_open, is_orphan, not_initialized, numbered, with_open};
use self::stalled::Stalled;

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Driver,
    Worker,
}

/// The runtime of this process.
pub(crate) struct Core {
    kind: Kind,
    /// Tells this runtime from the process's others.
    number: u32,
    pid: u32,
    node_id: String,
    namespace: String,
    store: Store,
    link: Arc<Link>,
    pump: Pump,
    registry: &'static Registry,
    /// Tells this runtime's objects from those of every other.
    nonce: Nonce,
    pending: PendingTable,
    leases: Leases,
    cancels: Cancels,
    outflows: Outflows,
    routes: Mutex<HashMap<ActorId, Arc<Route>>>,
    peers: Mutex<HashMap<ClientKey, Arc<Peer>>>,
    /// Routes and peers whose ring was full, submissions for which the store was full.
    stalled: Mutex<Stalled>,
    has_stalled: AtomicBool,
    /// Counts the calls that failed, so that who waits for many looks for errors only after one.
    failures: AtomicU64,
    /// Refs of other processes that something here waits for.
    borrowed: Mutex<Vec<(RefInner, Dependent)>>,
    has_borrowed: AtomicBool,
    /// Peers that have holds of ours in flight.
    unacked: Mutex<Vec<Arc<Peer>>>,
    has_unacked: AtomicBool,
    totals: OnceLock<Vec<(String, f64, f64)>>,
    executor: Executor,
    duty: Duty,
    unread: Unread,
    #[cfg(feature = "async")]
    wakes: Wakes,
    /// The actor of this process had another one before.
    reconstructed: AtomicBool,
    /// The lives of detached actors that this process has created, until they are up: then the node has a hold, too.
    kept: Mutex<HashMap<ActorId, ObjectHold>>,
    closed: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Core {
    /// Attaches the store, tells the node, starts the two threads and becomes current.
    ///
    /// A driver in its node's process has a `line` to that.
    pub(crate) fn join(
        kind: Kind,
        welcome: Welcome,
        line: Option<Line>,
        registry: &'static Registry,
    ) -> Result<Arc<Self>> {
        let Welcome {
            process,
            node_id,
            store_address,
            namespace,
            registry_hash,
            waiting,
            call_path,
            most_leases,
            thread_variables,
            inbox,
            node,
            ..
        } = welcome;
        // Before the first thread: afterwards it would take milliseconds.
        let tolls = kind == Kind::Worker && Knell::prepare();
        let store =
            Store::attach(&store_address).map_err(|error| Error::from_store(&error, "cannot attach the store"))?;
        let nonce = process.tag();
        let link = Arc::new(Link::new(process, node, line));
        let (transport, mailbox) = Transport::open(call_path, &store, &link)?;
        let client = store.client();
        let core = Arc::new(Core {
            kind,
            number: current::next_number(),
            pid: std::process::id(),
            node_id,
            namespace,
            link,
            pump: Pump::new(store.bell(), transport, mailbox, waiting),
            registry,
            nonce,
            pending: PendingTable::default(),
            leases: Leases::new(most_leases),
            cancels: Cancels::default(),
            outflows: Outflows::default(),
            routes: Mutex::default(),
            peers: Mutex::default(),
            stalled: Mutex::default(),
            has_stalled: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            borrowed: Mutex::default(),
            has_borrowed: AtomicBool::new(false),
            unacked: Mutex::default(),
            has_unacked: AtomicBool::new(false),
            totals: OnceLock::new(),
            executor: Executor::default(),
            duty: Duty::new(thread_variables),
            unread: Unread::new(),
            #[cfg(feature = "async")]
            wakes: Wakes::default(),
            reconstructed: AtomicBool::new(false),
            kept: Mutex::default(),
            closed: AtomicBool::new(false),
            threads: Mutex::default(),
            store,
        });
        current::set_current(Some(core.clone()));
        let entries = kind == Kind::Driver || registry.hash() != registry_hash;
        let letters = core.pump.transport().start(&core)?;
        lock(&core.threads).extend(letters);
        core.link.send(ToNode::Ready {
            pid: core.pid,
            client,
            registry_hash: registry.hash(),
            registry: if entries { registry.keys() } else { Vec::new() },
        });
        if kind == Kind::Worker {
            core.pump.begin_short();
            link::catch_up(&core, &inbox);
        }
        let for_control = core.clone();
        let control = spawn("mobula-control", move || {
            let _guard = for_control.is_worker().then_some(sys::EndWithMe);
            link::listen(&for_control, &inbox);
        })?;
        lock(&core.threads).push(control);
        let for_service = core.clone();
        let knell = tolls.then(|| core.store.knell());
        let service = spawn("mobula-service", move || {
            let _guard = for_service.is_worker().then_some(sys::EndWithMe);
            if let Some(knell) = knell {
                // Of no use if it fails: then the node hears of this process's end when it is over.
                knell.toll_at_end();
            }
            pump::serve(&for_service);
        })?;
        lock(&core.threads).push(service);
        Ok(core)
    }

    pub(crate) fn is_worker(&self) -> bool {
        self.kind == Kind::Worker
    }

    pub(crate) fn node_id(&self) -> &str {
        &self.node_id
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn pump(&self) -> &Pump {
        &self.pump
    }

    pub(crate) fn pending(&self) -> &PendingTable {
        &self.pending
    }

    pub(crate) fn leases(&self) -> &Leases {
        &self.leases
    }

    #[inline]
    pub(crate) fn cancels(&self) -> &Cancels {
        &self.cancels
    }

    /// Returns the streams that this process makes.
    pub(crate) fn outflows(&self) -> &Outflows {
        &self.outflows
    }

    pub(crate) fn registry(&self) -> &'static Registry {
        self.registry
    }

    pub(crate) fn executor(&self) -> &Executor {
        &self.executor
    }

    pub(crate) fn unread(&self) -> &Unread {
        &self.unread
    }

    /// Returns the wakers that are to be called.
    #[cfg(feature = "async")]
    pub(crate) fn wakes(&self) -> &Wakes {
        &self.wakes
    }

    /// True if futures are to be woken by somebody who has no lock.
    #[inline]
    pub(crate) fn has_wakes(&self) -> bool {
        #[cfg(feature = "async")]
        return self.wakes.any();
        #[cfg(not(feature = "async"))]
        false
    }

    /// Wakes the futures that are to be woken. The caller has no lock.
    #[inline]
    pub(crate) fn wake_futures(&self) {
        #[cfg(feature = "async")]
        self.wakes.call();
    }

    pub(crate) fn duty(&self) -> &Duty {
        &self.duty
    }

    pub(crate) fn is_reconstructed(&self) -> bool {
        self.reconstructed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_reconstructed(&self, yes: bool) {
        self.reconstructed.store(yes, Ordering::Relaxed);
    }

    pub(crate) fn nonce(&self) -> Nonce {
        self.nonce
    }

    pub(crate) fn next_call(&self) -> u64 {
        self.pending.draw()
    }

    /// The pid of the process that made this core; another one is a forked child.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Fails once the runtime has ended.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) { Err(current::ended()) } else { Ok(()) }
    }

    /// Ends this runtime's part in the process: every waiting thread returns, nothing is sent any more.
    pub(crate) fn close(self: &Arc<Self>) {
        self.set_closed();
        if current::is_current(self) {
            current::set_current(None);
        }
        self.link.set_broken();
        self.pump.transport().close();
        self.pump.wake();
        self.pump.kick_service();
        // What waits in vain holds refs and handles, which hold this core, and each other.
        let pending = self.pending.take_all();
        let ended = self.check_open().err().unwrap_or_else(not_initialized);
        let mut work = Work::default();
        for call in pending {
            call.refs.fail(&ended, &mut work);
        }
        self.leases.clear();
        let routes = std::mem::take(&mut *self.routes());
        let borrowed = std::mem::take(&mut *lock(&self.borrowed));
        work.add(borrowed.iter().map(|(_, dependent)| dependent.clone()).collect());
        work.wake_only(self);
        self.wake_futures();
        let kept = std::mem::take(&mut *lock(&self.kept));
        drop((routes, borrowed, kept));
    }

    /// Tells the node, which is in another process, that this driver goes; returns when its workers are gone.
    pub(crate) fn leave(&self) {
        let here = thread::current().id();
        let is_own = lock(&self.threads).iter().any(|thread| thread.thread().id() == here);
        if is_own {
            // This thread may be the one that would hear the answer.
            self.link.send(ToNode::Leave { request: 0 });
        } else if self.link.ask(|request| ToNode::Leave { request }).is_err() {
            tracing::debug!("the node has ended before its driver");
        }
    }

    /// Keeps the life of a detached actor until it is up.
    pub(crate) fn keep(&self, id: ActorId, life: ObjectHold) {
        lock(&self.kept).insert(id, life);
    }

    /// A detached actor is up, or dead.
    pub(crate) fn keep_no_longer(&self, id: ActorId) {
        let life = lock(&self.kept).remove(&id);
        drop(life);
    }

    fn set_closed(&self) {
        self.closed.store(true, Ordering::SeqCst);
        current::shut(self.number);
    }

    /// Waits for the threads of a closed core whose node is gone.
    pub(crate) fn join_threads(&self) {
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // One of them may have dropped the last guard, inside a value.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the runtime panicked");
            }
        }
    }

    /// Returns the node's totals.
    pub(crate) fn totals(&self) -> Result<&[(String, f64, f64)]> {
        if let Some(totals) = self.totals.get() {
            return Ok(totals);
        }
        let totals = self.resources()?;
        Ok(self.totals.get_or_init(|| totals))
    }

    /// Has a text printed for the user, without waiting for that; `aloud`: even if the driver does not want what workers
    /// print.
    pub(crate) fn say(&self, text: String, aloud: bool) {
        if self.is_worker() || self.link.is_near() {
            self.link.send(ToNode::Say { text, aloud });
        } else {
            // The node would print it on its own stderr. What cannot be printed is lost.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Asks the node for its resources: name, total, available.
    pub(crate) fn resources(&self) -> Result<Vec<(String, f64, f64)>> {
        // What no task of this process uses is free.
        self.leases.return_idle(self);
        match self.link.ask(|request| ToNode::Resources { request })? {
            Answer::Resources(maps) => Ok(maps),
            other => Err(Error::system(format!("the node answered {other:?} when asked for its resources"))),
        }
    }

    // ---- where things are sent

    fn routes(&self) -> MutexGuard<'_, HashMap<ActorId, Arc<Route>>> {
        lock(&self.routes)
    }

    /// Returns the way to an actor that this process has heard of.
    pub(crate) fn known_route(&self, id: ActorId) -> Option<Arc<Route>> {
        self.routes().get(&id).cloned()
    }

    /// Returns the way to an actor; `created` if this process is about to create it.
    pub(crate) fn route(&self, id: ActorId, class: &'static str, created: bool) -> Arc<Route> {
        self.routes().entry(id).or_insert_with(|| Route::new(id, class, created)).clone()
    }

    /// Forgets the way to an actor that is not created after all.
    pub(crate) fn forget_route(&self, id: ActorId) {
        let route = self.routes().remove(&id);
        drop(route);
    }

    /// Returns the process behind a client of the store.
    pub(crate) fn peer(&self, key: ClientKey) -> Arc<Peer> {
        lock(&self.peers).entry(key).or_insert_with(|| Arc::new(Peer::new(self.pump.transport(), key))).clone()
    }

    /// Sends an answer, now or as soon as there is room.
    /// False if there is none now.
    pub(crate) fn answer(&self, to: &Arc<Peer>, frame: &[u8], holds: Vec<ObjectHold>) -> bool {
        let holding = !holds.is_empty();
        let sent = to.answer(frame, holds);
        if holding {
            let mut unacked = lock(&self.unacked);
            if !unacked.iter().any(|peer| peer.key() == to.key()) {
                unacked.push(to.clone());
            }
            self.has_unacked.store(true, Ordering::SeqCst);
            drop(unacked);
            // It may have been taken, and rung for, before this was noted: store, fence, look; the
            // receiver stores, rings, and whoever is woken looks at `has_unacked`.
            fence(Ordering::SeqCst);
            to.collect();
        }
        if !sent {
            self.add_stalled_peer(to);
        }
        sent
    }

    // ---- what the service thread does from time to time

    /// True while something must be looked at that rings no bell.
    pub(crate) fn needs_ticks(&self) -> bool {
        self.has_stalled.load(Ordering::SeqCst)
            || self.has_borrowed.load(Ordering::SeqCst)
            || self.leases.needs_ticks()
            || self.cancels.needs_ticks()
            || self.unread.is_waiting()
    }

    /// Lets go on what waited for refs of other processes that are settled now.
    pub(crate) fn look_at_borrowed(&self) {
        if !self.has_borrowed.load(Ordering::SeqCst) {
            return;
        }
        let mut work = Work::default();
        {
            let mut borrowed = lock(&self.borrowed);
            borrowed.retain(|(inner, dependent)| {
                let ready = inner.is_ready();
                if ready {
                    work.add(vec![dependent.clone()]);
                }
                !ready
            });
            self.has_borrowed.store(!borrowed.is_empty(), Ordering::SeqCst);
        }
        work.run(self);
    }

    /// True if holds can be dropped because their answers have arrived.
    pub(crate) fn has_acks(&self) -> bool {
        self.has_unacked.load(Ordering::SeqCst) && lock(&self.unacked).iter().any(|peer| peer.has_acks())
    }

    /// Drops the holds of answers that have arrived.
    pub(crate) fn collect_acks(&self) {
        if !self.has_unacked.load(Ordering::SeqCst) {
            return;
        }
        let mut unacked = lock(&self.unacked);
        unacked.retain(|peer| !peer.collect());
        self.has_unacked.store(!unacked.is_empty(), Ordering::SeqCst);
    }

    /// True if nothing that this process has said or promised is still on its way.
    pub(crate) fn is_quiet(&self) -> bool {
        let peers: Vec<_> = lock(&self.peers).values().cloned().collect();
        let routes: Vec<_> = self.routes().values().cloned().collect();
        routes.iter().all(|route| route.is_idle())
            && peers.iter().all(|peer| peer.is_delivered())
            && !self.pending.has_promises()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread of the runtime, with all signals blocked: they are for the program's own threads.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            sys::block_signals();
            body();
        })
        .map_err(|error| Error::system(format!("cannot start the thread {name}: {error}")))
}
