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

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::thread::{self, JoinHandle};

use mobula_scheduler::death::{ActorDeath, DeathCause};
use mobula_scheduler::ids::ActorId;
use mobula_scheduler::node::Line;
use mobula_scheduler::protocol::{Answer, ToNode, Welcome};
use mobula_store::{ClientKey, Knell, ObjectHold, Store};

use crate::deferred::{Deferred, Dependent, Work};
use crate::error::{Error, Result};
use crate::executor::{Arrived, CallJob, Executor};
use crate::frames::{self, Body, Frame, Nonce};
use crate::leases::Leases;
use crate::link::{self, Link};
use crate::outbox::Peer;
use crate::payload::Received;
use crate::pending::{Answers, Callee, PendingCall, PendingTable};
use crate::pump::{self, Event, Pump};
use crate::refs::{Outcome, RefInner};
use crate::registry::Registry;
use crate::route::Route;
use crate::seats::{Delivery, LeasedJob, SeatKey};
use crate::transport::Transport;
use crate::{actor, sys};

static CURRENT: RwLock<Option<Arc<Core>>> = RwLock::new(None);

/// The number of the runtime that is up; 0 if none is. Refs know their runtime by its number.
static OPEN: AtomicU32 = AtomicU32::new(0);

/// The last number that was given to a runtime.
static NUMBERS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The runtime that this thread looked for last, by its number.
    static NEAR: RefCell<(u32, Weak<Core>)> = const { RefCell::new((0, Weak::new())) };
}

/// Returns the core of the runtime that is up.
pub(crate) fn current() -> Result<Arc<Core>> {
    match &*CURRENT.read().unwrap_or_else(PoisonError::into_inner) {
        Some(core) => {
            core.check_open()?;
            Ok(core.clone())
        }
        None => Err(not_initialized()),
    }
}

/// Says whether the runtime of that number is up.
#[inline]
pub(crate) fn is_open(number: u32) -> bool {
    OPEN.load(Ordering::Acquire) == number
}

/// Returns the runtime of that number if it is up.
pub(crate) fn numbered(number: u32) -> Result<Arc<Core>> {
    if !is_open(number) {
        return Err(ended());
    }
    let near = NEAR.try_with(|near| {
        let near = near.borrow();
        if near.0 == number { near.1.upgrade() } else { None }
    });
    let core = match near {
        Ok(Some(core)) => core,
        _ => {
            let core = current()?;
            if core.number != number {
                return Err(ended());
            }
            let _ = NEAR.try_with(|near| near.replace((number, Arc::downgrade(&core))));
            core
        }
    };
    core.check_open()?;
    Ok(core)
}

fn ended() -> Error {
    Error::not_initialized("the runtime that this belongs to has ended")
}

pub(crate) fn not_initialized() -> Error {
    Error::not_initialized("no runtime is up in this process: call mobula::init first")
}

fn set_current(core: Option<Arc<Core>>) {
    mobula_store::set_current(core.as_ref().map(|core| core.store.clone()));
    OPEN.store(core.as_ref().map_or(0, |core| core.number), Ordering::SeqCst);
    let before = std::mem::replace(&mut *CURRENT.write().unwrap_or_else(PoisonError::into_inner), core);
    drop(before);
}

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
    closed: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Stalled {
    routes: Vec<Arc<Route>>,
    peers: Vec<Arc<Peer>>,
    deferred: Vec<Arc<Deferred>>,
}

impl Stalled {
    fn add_route(&mut self, route: Arc<Route>) {
        if !self.routes.iter().any(|other| Arc::ptr_eq(other, &route)) {
            self.routes.push(route);
        }
    }

    fn add_peer(&mut self, peer: Arc<Peer>) {
        if !self.peers.iter().any(|other| Arc::ptr_eq(other, &peer)) {
            self.peers.push(peer);
        }
    }
}

impl Core {
    /// Attaches the store, tells the node, starts the two threads and becomes current.
    ///
    /// A driver has a `line` to its node, a worker none.
    pub(crate) fn join(welcome: Welcome, line: Option<Line>, registry: &'static Registry) -> Result<Arc<Self>> {
        let kind = if line.is_some() { Kind::Driver } else { Kind::Worker };
        let Welcome {
            process,
            node_id,
            store_address,
            namespace,
            registry_hash,
            waiting,
            call_path,
            most_leases,
            inbox,
            node,
            ..
        } = welcome;
        // Before the first thread: afterwards it would take milliseconds.
        let tolls = kind == Kind::Worker && Knell::prepare();
        let store =
            Store::attach(&store_address).map_err(|error| Error::from_store(&error, "cannot attach the store"))?;
        let link = Arc::new(Link::new(process, node, line));
        let (transport, mailbox) = Transport::open(call_path, &store, &link)?;
        let client = store.client();
        let core = Arc::new(Core {
            kind,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed).wrapping_add(1),
            pid: std::process::id(),
            node_id,
            namespace,
            link,
            pump: Pump::new(store.bell(), transport, mailbox, waiting),
            registry,
            nonce: nonce(),
            pending: PendingTable::default(),
            leases: Leases::new(most_leases),
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
            closed: AtomicBool::new(false),
            threads: Mutex::default(),
            store,
        });
        set_current(Some(core.clone()));
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

    pub(crate) fn registry(&self) -> &'static Registry {
        self.registry
    }

    pub(crate) fn executor(&self) -> &Executor {
        &self.executor
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
        if self.closed.load(Ordering::Relaxed) { Err(ended()) } else { Ok(()) }
    }

    /// Ends this runtime's part in the process: every waiting thread returns, nothing is sent any more.
    pub(crate) fn close(self: &Arc<Self>) {
        self.set_closed();
        let is_current = |slot: &Option<Arc<Core>>| slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, self));
        if is_current(&CURRENT.read().unwrap_or_else(PoisonError::into_inner)) {
            set_current(None);
        }
        self.link.set_broken();
        self.pump.transport().close();
        self.pump.wake();
        self.pump.kick_service();
        // What waits in vain holds refs and handles, which hold this core, and each other.
        let pending = self.pending.take_all();
        let ended = self.check_open().err().unwrap_or_else(not_initialized);
        for call in pending {
            call.refs.for_each(|unanswered| unanswered.end(Outcome::Failed(ended.clone()), &mut Work::default()));
        }
        self.leases.clear();
        let routes = std::mem::take(&mut *self.routes());
        let borrowed = std::mem::take(&mut *lock(&self.borrowed));
        drop((routes, borrowed));
    }

    fn set_closed(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = OPEN.compare_exchange(self.number, 0, Ordering::SeqCst, Ordering::Relaxed);
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

    /// Asks the node for its resources: name, total, available.
    pub(crate) fn resources(&self) -> Result<Vec<(String, f64, f64)>> {
        // What no task of this process uses is free.
        self.leases.return_idle(self);
        match self.link.ask(|request| ToNode::Resources { request })? {
            Answer::Resources(maps) => Ok(maps),
            other => Err(Error::system(format!("the node answered {other:?} when asked for its resources"))),
        }
    }

    // ---- frames and events, called by the leader of the pump

    /// Handles one frame of a ring; calls and tasks are added to `arrived`, the call that an answer is of is one of
    /// `answers`.
    pub(crate) fn dispatch(
        &self,
        from: ClientKey,
        frame: &[u8],
        answers: &mut Answers<'_>,
        work: &mut Work,
        arrived: &mut Arrived,
    ) {
        match frames::read(frame) {
            Some(Frame::Call(call)) => {
                let args = self.receive(call.args);
                arrived.calls.push_back(CallJob {
                    from,
                    call: call.call,
                    nonce: call.nonce,
                    actor: call.actor,
                    method: call.method,
                    depth: call.depth,
                    args,
                });
            }
            Some(Frame::Task(task)) => {
                let args = self.receive(task.args);
                arrived.tasks.push_back(Delivery::Job(LeasedJob {
                    seat: SeatKey { nonce: task.nonce, number: task.lease },
                    from,
                    call: task.call,
                    function: task.function,
                    depth: task.depth,
                    args,
                }));
            }
            Some(Frame::Recall { lease, nonce }) => {
                arrived.tasks.push_back(Delivery::Recall(SeatKey { nonce, number: lease }));
            }
            Some(Frame::Returned { call }) => {
                answers.pause();
                if let Some(queue) = self.pending.queue_of(call) {
                    queue.returned(self, call, work);
                }
            }
            Some(Frame::Done { call, values }) => {
                let Some(pending) = answers.take(call) else {
                    return;
                };
                if let Callee::Leased(_, queue) = &pending.callee {
                    answers.pause();
                    queue.answered(self, call, work);
                }
                self.finish(pending, values, answers, work);
            }
            Some(Frame::Failed { call, error }) => {
                answers.pause();
                let Some(pending) = self.pending.remove(call) else {
                    return;
                };
                if let Callee::Leased(_, queue) = &pending.callee {
                    queue.answered(self, call, work);
                }
                self.settle(pending, &Error::from_bytes(error), work);
            }
            None => tracing::error!(?from, len = frame.len(), "a damaged frame arrived and was dropped"),
        }
    }

    fn receive(&self, args: Body<'_>) -> Result<Received> {
        match args {
            Body::Inline(bytes, ids) => self.adopt(ids).map(|holds| Received::Inline(bytes.into(), holds)),
            Body::Stored(id) => self.adopt_one(id).map(Received::Stored),
        }
    }

    /// Settles the refs of a call that has been answered; what may last is done without the lock of `answers`.
    #[inline]
    fn finish(&self, pending: PendingCall, mut values: frames::Values<'_>, answers: &mut Answers<'_>, work: &mut Work) {
        if pending.is_heavy() {
            answers.pause();
        }
        let PendingCall { refs, callee, holds } = pending;
        callee.answered();
        refs.for_each(|unanswered| {
            let outcome = match values.next().flatten() {
                Some(Body::Inline(bytes, ids)) if ids.is_empty() => Outcome::Value(bytes.into()),
                body => {
                    answers.pause();
                    self.outcome(body)
                }
            };
            if let Some(inner) = unanswered.settle(outcome) {
                answers.pause();
                work.add(inner.tell());
            }
        });
        drop((callee, holds));
    }

    /// Takes holds of what a value of an answer refers to.
    fn outcome(&self, body: Option<Body<'_>>) -> Outcome {
        let made = match body {
            Some(Body::Inline(bytes, ids)) => self.adopt(ids).map(|holds| Outcome::value(bytes.into(), holds)),
            Some(Body::Stored(id)) => self.adopt_one(id).map(Outcome::stored),
            None => Err(Error::system("an answer arrived damaged")),
        };
        made.unwrap_or_else(|error| {
            self.failures.fetch_add(1, Ordering::SeqCst);
            Outcome::Failed(error)
        })
    }

    fn adopt(&self, ids: frames::Ids<'_>) -> Result<Vec<ObjectHold>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        ids.iter().map(|id| self.adopt_one(id)).collect()
    }

    fn adopt_one(&self, id: mobula_store::ObjectId) -> Result<ObjectHold> {
        self.store.hold(id).map_err(|error| {
            if error.is_not_found() { Error::object_lost(id) } else { Error::from_store(&error, "a received object") }
        })
    }

    /// Handles what the node reported; the rings were drained after it had been reported.
    pub(crate) fn handle_event(&self, event: Event, work: &mut Work) {
        match event {
            Event::ActorDown(death) => self.bury(death, work),
            Event::TaskLost { call, reason } => {
                if let Some(pending) = self.pending.remove(call) {
                    let function = match &pending.callee {
                        Callee::Task(name) | Callee::Leased(name, _) => name,
                        Callee::Actor(handle) => handle.route().class(),
                    };
                    self.settle(pending, &Error::lost_task(function, reason), work);
                }
            }
            Event::LeaseLost { lease, reason } => self.leases.lost(self, lease, &reason, work),
            Event::ProcessGone(client) => {
                if let Some(peer) = lock(&self.peers).remove(&client) {
                    peer.set_gone();
                }
                self.pump.transport().forget(client);
            }
            Event::EndActor(actor) => self.executor.end(actor),
            Event::NodeGone => self.node_gone(work),
        }
    }

    /// An actor is dead for good: fails its calls.
    pub(crate) fn bury(&self, death: ActorDeath, work: &mut Work) {
        let route = self.routes().remove(&death.actor);
        if let Some(route) = route {
            route.down(self, death.clone(), work);
        }
        let id = death.actor;
        let error = Error::actor_died(death);
        for pending in self.pending.take_actor(id) {
            self.settle(pending, &error, work);
        }
    }

    fn node_gone(&self, work: &mut Work) {
        if self.is_closed() {
            return;
        }
        let routes: Vec<_> = self.routes().values().cloned().collect();
        for route in routes {
            self.bury(actor::death(&route, DeathCause::NodeDied), work);
        }
        for pending in self.pending.take_all() {
            let error = match &pending.callee {
                Callee::Actor(handle) => Error::actor_died(actor::death(handle.route(), DeathCause::NodeDied)),
                Callee::Task(name) | Callee::Leased(name, _) => Error::lost_task(name, link::node_ended()),
            };
            self.settle(pending, &error, work);
        }
        self.leases.clear();
        self.set_closed();
    }

    // ---- settling

    fn settle(&self, pending: PendingCall, error: &Error, work: &mut Work) {
        pending.callee.answered();
        pending.refs.for_each(|unanswered| unanswered.end(Outcome::Failed(error.clone()), work));
        self.failures.fetch_add(1, Ordering::SeqCst);
        self.pump.wake();
    }

    /// Returns how many calls have failed so far.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::SeqCst)
    }

    /// Fails a call; what waited for it is added to `work`.
    pub(crate) fn settle_failed(&self, call: u64, error: Error, work: &mut Work) {
        if let Some(pending) = self.pending.remove(call) {
            self.settle(pending, &error, work);
        }
    }

    /// Fails a call from outside the pump.
    pub(crate) fn fail_call(&self, call: u64, error: Error) {
        let mut work = Work::default();
        self.settle_failed(call, error, &mut work);
        work.run(self);
    }

    /// Has `dependent` looked at once `inner` is settled; gives it back if it is already.
    pub(crate) fn await_ref(&self, inner: &RefInner, dependent: Dependent) -> Option<Dependent> {
        if inner.is_ready() {
            return Some(dependent);
        }
        if !inner.is_borrowed() {
            return inner.await_by(dependent);
        }
        lock(&self.borrowed).push((inner.clone(), dependent));
        self.has_borrowed.store(true, Ordering::SeqCst);
        self.pump.kick_service();
        None
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
            let mut stalled = lock(&self.stalled);
            stalled.add_peer(to.clone());
            self.note_stalled(stalled);
        }
        sent
    }

    /// Has a route flushed again soon: its ring was full.
    pub(crate) fn add_stalled(&self, route: &Arc<Route>) {
        let mut stalled = lock(&self.stalled);
        stalled.add_route(route.clone());
        self.note_stalled(stalled);
    }

    /// Has a submission tried again soon: the store was full.
    pub(crate) fn add_deferred(&self, deferred: Arc<Deferred>) {
        let mut stalled = lock(&self.stalled);
        stalled.deferred.push(deferred);
        self.note_stalled(stalled);
    }

    /// Has the service thread tick, if it does not yet.
    fn note_stalled(&self, guard: MutexGuard<'_, Stalled>) {
        let first = !self.has_stalled.swap(true, Ordering::SeqCst);
        drop(guard);
        if first {
            self.pump.kick_service();
        }
    }

    /// Sends what found its ring full before, as far as there is room now.
    pub(crate) fn flush_stalled(&self) {
        if !self.has_stalled.load(Ordering::SeqCst) {
            return;
        }
        let Stalled { routes, peers, deferred } = std::mem::take(&mut *lock(&self.stalled));
        if routes.is_empty() && peers.is_empty() && deferred.is_empty() {
            // Another thread is at it and will say what is left.
            return;
        }
        let mut work = Work::default();
        work.add(deferred.into_iter().map(Dependent::Deferred).collect());
        let routes: Vec<_> = routes.into_iter().filter(|route| !route.flush(self, &mut work)).collect();
        work.run(self);
        let peers: Vec<_> = peers.into_iter().filter(|peer| !peer.flush()).collect();
        let mut stalled = lock(&self.stalled);
        routes.into_iter().for_each(|route| stalled.add_route(route));
        peers.into_iter().for_each(|peer| stalled.add_peer(peer));
        if stalled.routes.is_empty() && stalled.peers.is_empty() && stalled.deferred.is_empty() {
            self.has_stalled.store(false, Ordering::SeqCst);
        } else {
            self.note_stalled(stalled);
        }
    }

    // ---- what the service thread does from time to time

    /// True while something must be looked at that rings no bell.
    pub(crate) fn needs_ticks(&self) -> bool {
        self.has_stalled.load(Ordering::SeqCst) || self.has_borrowed.load(Ordering::SeqCst) || self.leases.needs_ticks()
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

fn nonce() -> Nonce {
    let bytes = mobula_store::ObjectId::random().to_bytes();
    let mut half = [0; 8];
    half.copy_from_slice(&bytes[..8]);
    Nonce::from_le_bytes(half)
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
