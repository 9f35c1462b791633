//! The way of this process's calls to one actor: where it is, and what waits to be sent there.
//!
//! ```text
//!                         +--------ActorUp---------+
//!                         v                        |
//!   Unknown --ActorUp--> Up --ActorRestarting--> Restarting
//!      |                  '------ActorDown---------' |
//!      '---------ActorDown--------------------> Dead '
//! ```
//!
//! `remote` never blocks: a call whose arguments are not there yet, whose actor has no place yet, or
//! whose ring is full waits in this queue.
//!
//! - **WK-15** Calls of this process to one actor are sent in the order in which they were made: a
//!   call is sent past the queue only if the queue is empty. Under the route's lock anybody sees
//!   that; a caller that does not take it sees `open`, under the lock of the ring. `open` is made
//!   false under both before anything is queued, and true when the queue is empty, under the
//!   route's.
//!   Calls of an actor that may be restarted are always sent under the lock: they are kept as they leave (attempts.rs).
//! - **WK-16** Once dead a route stays dead; every later call fails with the same death.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use mobula_scheduler::death::ActorDeath;
use mobula_scheduler::ids::ActorId;
use mobula_scheduler::protocol::ToNode;
use mobula_store::{ClientKey, ObjectHold, SendError};

use crate::arg::Args;
use crate::attempts::{Attempts, Kept, Sent, Sorted};
use crate::call;
use crate::cancel;
use crate::core::Core;
use crate::deferred::{Dependent, Work};
use crate::error::Error;
use crate::frames::Method;
use crate::outbox::Peer;
use crate::traits::ActorTraits;

mod queued;

use self::queued::{Content, Obstacle, QueuedCall};

/// How many calls may wait here before the program is warned.
const MANY: usize = 10_000;

/// How many calls queue behind a full ring between two looks for answers.
const LOOK_EVERY: usize = 32;

/// This process's way to an actor.
pub(crate) struct Route {
    id: ActorId,
    class: &'static str,
    /// Where the actor is, once it is up.
    peer: OnceLock<Arc<Peer>>,
    /// A call may be sent without the route's lock.
    open: AtomicBool,
    /// What an answer from there means beyond its call: [`COUNTED`], [`KEPT`].
    care: AtomicU8,
    /// How many unanswered calls this process may have there; 0: any number.
    limit: AtomicU32,
    /// How many it has, if there is a limit.
    unanswered: AtomicU32,
    in_graph: AtomicBool,
    /// What all calls fail with that the actor's death takes with it: who reads one has read all.
    died: OnceLock<Error>,
    state: Mutex<RouteState>,
}

/// Calls are counted against `max_pending_calls`.
const COUNTED: u8 = 1;

/// Calls are kept until they are answered, some or all.
const KEPT: u8 = 2;

struct RouteState {
    place: Place,
    traits: ActorTraits,
    queue: VecDeque<QueuedCall>,
    kept: Kept,
    /// How many processes of the actor are known to have ended.
    ended: u32,
    /// The node knows that this process wants to hear where the actor is.
    watched: bool,
    creation: Creation,
    /// Holds of the constructor's arguments until the node has its own.
    held: Vec<ObjectHold>,
    warned: bool,
}

enum Place {
    Unknown,
    Up(Arc<Peer>),
    /// Between two processes: how the first one ended.
    Restarting(ActorDeath),
    Dead(ActorDeath),
}

/// What this process has to do with the actor's creation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Creation {
    /// Nothing: another process creates it, or it has been told to the node.
    Over,
    /// Its arguments are not there yet.
    Ahead,
    /// The same, and the node knows: the handle has left this process, or the actor has a name.
    Announced,
}

impl Route {
    /// Makes the route of an actor; `created` if this process creates it, so that it is a watcher anyway.
    pub(crate) fn new(id: ActorId, class: &'static str, created: bool) -> Arc<Self> {
        let state = RouteState {
            place: Place::Unknown,
            traits: ActorTraits::default(),
            queue: VecDeque::new(),
            kept: Kept::default(),
            ended: 0,
            watched: created,
            creation: if created { Creation::Ahead } else { Creation::Over },
            held: Vec::new(),
            warned: false,
        };
        let (peer, open, care) = (OnceLock::new(), AtomicBool::new(false), AtomicU8::new(0));
        let (limit, unanswered) = (AtomicU32::new(0), AtomicU32::new(0));
        let (died, in_graph) = (OnceLock::new(), AtomicBool::new(false));
        Arc::new(Route { id, class, peer, open, care, limit, unanswered, died, in_graph, state: Mutex::new(state) })
    }

    /// Notes that the actor is in a graph of this process; false if it is in one already.
    pub(crate) fn enter_graph(&self) -> bool {
        !self.in_graph.swap(true, Ordering::AcqRel)
    }

    /// The graph is over.
    pub(crate) fn leave_graph(&self) {
        self.in_graph.store(false, Ordering::Release);
    }

    pub(crate) fn id(&self) -> ActorId {
        self.id
    }

    /// Returns the error of calls to an actor that has died.
    pub(crate) fn died(&self, death: &ActorDeath) -> Error {
        self.died.get_or_init(|| Error::actor_died(death.clone())).clone()
    }

    pub(crate) fn class(&self) -> &'static str {
        self.class
    }

    /// Returns `max_pending_calls`, or 0 if there is none.
    #[inline]
    fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Returns what is known of the actor's options.
    pub(crate) fn traits(&self) -> ActorTraits {
        self.lock().traits
    }

    pub(crate) fn set_traits(&self, traits: ActorTraits) {
        let mut state = self.lock();
        state.traits = traits;
        self.limit.store(traits.max_pending_calls, Ordering::Relaxed);
        let counted = if traits.max_pending_calls > 0 { COUNTED } else { 0 };
        let kept = if traits.restarts { KEPT } else { 0 };
        self.care.fetch_or(counted | kept, Ordering::Relaxed);
    }

    /// Counts a call that is about to be made, if they are counted.
    #[inline]
    pub(crate) fn count(&self) -> Result<(), Error> {
        match self.limit() {
            0 => Ok(()),
            limit => self.count_up_to(limit),
        }
    }

    #[cold]
    fn count_up_to(&self, limit: u32) -> Result<(), Error> {
        let more = |calls: u32| (calls < limit).then(|| calls + 1);
        match self.unanswered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(()),
            Err(calls) => Err(Error::pending_calls_limit(self.class, self.id, calls)),
        }
    }

    /// A counted call is answered. Must come before its refs are settled: who has them may call again.
    #[inline]
    pub(crate) fn answered(&self) {
        if self.care.load(Ordering::Relaxed) & COUNTED != 0 {
            // Calls from before the limit was known here are not counted.
            let less = |calls: u32| calls.checked_sub(1);
            let _ = self.unanswered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// True if calls are kept here until they are answered, some or all.
    #[inline]
    pub(crate) fn keeps(&self) -> bool {
        self.care.load(Ordering::Relaxed) & KEPT != 0
    }

    /// Returns how often a call can be made again that sets `retries` or not; `None` if it need not be kept for that.
    pub(crate) fn attempts(&self, retries: Option<i32>, errors: bool) -> Option<Attempts> {
        let traits = self.traits();
        let attempts = Attempts { left: retries.unwrap_or(traits.max_task_retries), errors };
        let kept = traits.restarts || errors && attempts.left != 0;
        if kept {
            self.care.fetch_or(KEPT, Ordering::Relaxed);
        }
        kept.then_some(attempts)
    }

    /// Says why a call cannot be made now that can be made again so often.
    pub(crate) fn unavailable(&self, attempts: Option<Attempts>) -> Option<Error> {
        let attempts = attempts?;
        match &self.lock().place {
            Place::Restarting(death) if attempts.left == 0 => Some(restarting(death)),
            _ => None,
        }
    }

    /// Forgets a kept call that is answered.
    pub(crate) fn forget_kept(&self, core: &Core, call: u64) {
        let sent = self.lock().kept.take(core, call);
        drop(sent);
    }

    /// Makes a call again that failed by itself, if it can be: once `work` is done. False if it cannot.
    pub(crate) fn retry(self: &Arc<Self>, call: u64, work: &mut Work) -> bool {
        let mut state = self.lock();
        let Some(Sent { call, frame, attempts, .. }) = state.kept.take_failed(call) else {
            return false;
        };
        let queued = QueuedCall { call, attempts: Some(attempts), content: Content::Frame(frame) };
        if state.queue.is_empty() {
            self.close();
        }
        state.queue.push_front(queued);
        drop(state);
        work.add(vec![Dependent::Route(self.clone())]);
        true
    }

    pub(crate) fn death(&self) -> Option<ActorDeath> {
        match &self.lock().place {
            Place::Dead(death) => Some(death.clone()),
            _ => None,
        }
    }

    /// Sends a finished call, or queues it. True if the ring is full, so that it is time to look
    /// whether answers have made room.
    #[inline]
    pub(crate) fn send(self: &Arc<Self>, core: &Core, call: u64, frame: &[u8]) -> bool {
        if self.open.load(Ordering::Relaxed)
            && let Some(peer) = self.peer.get()
            && let Some(Ok(())) = peer.call_if(&self.open, frame)
        {
            return false;
        }
        self.send_or_queue(core, call, None, frame)
    }

    /// Sends a finished call that is to be kept, or queues it, as [`Route::send`] does.
    pub(crate) fn send_kept(self: &Arc<Self>, core: &Core, call: u64, attempts: Attempts, frame: &[u8]) -> bool {
        self.send_or_queue(core, call, Some(attempts), frame)
    }

    /// Sends a finished call whose answer the thread is going to wait for, or queues it, as [`Route::send`] does.
    pub(crate) fn send_to_wait(self: &Arc<Self>, core: &Core, call: u64, frame: &[u8]) -> bool {
        if self.open.load(Ordering::Relaxed)
            && let Some(peer) = self.peer.get()
            && let Some(Ok(handed)) = peer.hand_if(&self.open, frame, &mut || core.pump().hands_over(peer.key()))
        {
            if handed {
                core.pump().look_no_longer();
            }
            return false;
        }
        self.send_or_queue(core, call, None, frame)
    }

    #[cold]
    fn send_or_queue(self: &Arc<Self>, core: &Core, call: u64, attempts: Option<Attempts>, frame: &[u8]) -> bool {
        let mut guard = self.lock();
        let state = &mut *guard;
        let failure = match &state.place {
            Place::Up(peer) if state.queue.is_empty() => match peer.call(frame) {
                Ok(position) => {
                    if let Some(attempts) = attempts {
                        state.kept.push(Sent { call, frame: frame.to_vec(), attempts, position });
                    }
                    return false;
                }
                Err(SendError::Full) => {
                    core.add_stalled(self);
                    None
                }
                Err(SendError::PeerGone) => self.closed(core, peer),
                Err(SendError::TooLong) => Some(call::too_long()),
            },
            Place::Dead(death) => Some(self.died(death)),
            Place::Restarting(death) if attempts.is_none_or(|attempts| attempts.left == 0) => Some(restarting(death)),
            _ => None,
        };
        if let Some(error) = failure {
            drop(guard);
            core.fail_call(call, error);
            return false;
        }
        self.queue(state, QueuedCall { call, attempts, content: Content::Frame(frame.to_vec()) });
        self.watch(core, state);
        matches!(state.place, Place::Up(_)) && state.queue.len() % LOOK_EVERY == 1
    }

    /// Queues a call whose arguments are not all there.
    pub(crate) fn send_later(
        self: &Arc<Self>,
        core: &Core,
        call: u64,
        attempts: Option<Attempts>,
        method: Method,
        depth: u32,
        args: Args,
    ) {
        if let Some(error) = self.unavailable(attempts) {
            return core.fail_call(call, error);
        }
        let waits_for: Vec<_> = args.refs().filter(|inner| !inner.is_ready()).cloned().collect();
        {
            let mut state = self.lock();
            let content = Content::Waiting { method, depth, args, full_since: None };
            self.queue(&mut state, QueuedCall { call, attempts, content });
            self.watch(core, &mut state);
        }
        for inner in waits_for {
            core.await_ref(&inner, Dependent::Route(self.clone()));
        }
        // A ref may have been settled before it was told who waits.
        Work::of(Dependent::Route(self.clone())).run(core);
    }

    /// Sends what can be sent; false if the rest waits for room in the ring or the store.
    pub(crate) fn flush(self: &Arc<Self>, core: &Core, work: &mut Work) -> bool {
        loop {
            let mut guard = self.lock();
            let state = &mut *guard;
            let Some(head) = state.queue.front_mut() else {
                self.open.store(matches!(state.place, Place::Up(_)) && !state.traits.restarts, Ordering::Relaxed);
                return true;
            };
            let failure = match &state.place {
                Place::Dead(death) => self.died(death),
                place => match head.prepare(core, self.id) {
                    Obstacle::Arguments => return true,
                    Obstacle::Room => return false,
                    Obstacle::Error(error) => error,
                    Obstacle::None => {
                        let (Place::Up(peer), Content::Frame(frame)) = (place, &head.content) else {
                            return true;
                        };
                        match peer.call(frame) {
                            Ok(position) => {
                                if let Some(QueuedCall { call, attempts: Some(attempts), content }) =
                                    state.queue.pop_front()
                                    && let Content::Frame(frame) = content
                                {
                                    state.kept.push(Sent { call, frame, attempts, position });
                                }
                                continue;
                            }
                            Err(SendError::Full) => return false,
                            Err(SendError::PeerGone) => match self.closed(core, peer) {
                                Some(error) => error,
                                None => return true,
                            },
                            Err(SendError::TooLong) => call::too_long(),
                        }
                    }
                },
            };
            if let Some(queued) = state.queue.pop_front() {
                drop(guard);
                core.settle_failed(queued.call, failure, work);
            }
        }
    }

    /// Says why a process takes no calls though it lives; `None` if it has died, which is about to be
    /// reported.
    fn closed(&self, core: &Core, peer: &Peer) -> Option<Error> {
        let lives = core.store().is_alive(peer.key());
        lives.then(|| Error::system(format!("the process of actor {} {} takes no calls any more", self.class, self.id)))
    }

    /// The node told where the actor is, counting its processes from 1; what waited goes there with `work`.
    pub(crate) fn up(self: &Arc<Self>, core: &Core, client: ClientKey, incarnation: u32, work: &mut Work) {
        let held = {
            let mut state = self.lock();
            if !matches!(state.place, Place::Dead(_)) && incarnation > state.ended {
                let peer = match state.traits.restarts {
                    true => core.peer(client),
                    false => self.peer.get_or_init(|| core.peer(client)).clone(),
                };
                state.place = Place::Up(peer);
            }
            std::mem::take(&mut state.held)
        };
        drop(held);
        work.add(vec![Dependent::Route(self.clone())]);
    }

    /// A process of the actor has ended, and everything that it has sent has been handled; another one follows. Fails
    /// what may have begun there and cannot be made again.
    pub(crate) fn restarting(&self, core: &Core, death: ActorDeath, incarnation: u32, begun: bool, work: &mut Work) {
        let (broken, held) = {
            let mut guard = self.lock();
            let state = &mut *guard;
            if matches!(state.place, Place::Dead(_)) || incarnation <= state.ended {
                return;
            }
            state.ended = incarnation;
            // From here on, if its traits have not said so.
            state.traits.restarts = true;
            self.care.fetch_or(KEPT, Ordering::Relaxed);
            self.close();
            let peer = match &state.place {
                Place::Up(peer) => Some(&**peer),
                _ => None,
            };
            let Sorted { again, broken } = state.kept.sort(core, peer, begun, !state.traits.concurrent);
            for Sent { call, frame, attempts, .. } in again.into_iter().rev() {
                let content = Content::Frame(frame);
                state.queue.push_front(QueuedCall { call, attempts: Some(attempts), content });
            }
            state.place = Place::Restarting(death.clone());
            (broken, std::mem::take(&mut state.held))
        };
        drop(held);
        for call in broken {
            core.settle_failed(call, restarting(&death), work);
        }
    }

    /// The actor is dead for good: fails what waits here. The first death counts.
    pub(crate) fn down(self: &Arc<Self>, core: &Core, death: ActorDeath, work: &mut Work) {
        let held = {
            let mut state = self.lock();
            if !matches!(state.place, Place::Dead(_)) {
                self.close();
                state.place = Place::Dead(death);
                state.kept.clear();
            }
            std::mem::take(&mut state.held)
        };
        drop(held);
        self.flush(core, work);
    }

    /// The handle leaves this process: if the node has not heard of the actor it must, so that those
    /// who get the handle hear of it if this process dies first.
    pub(crate) fn announce(&self, core: &Core) {
        let mut state = self.lock();
        if state.creation == Creation::Ahead {
            state.creation = Creation::Announced;
            core.link().send(ToNode::ExpectActor { actor: self.id, class_name: self.class.to_owned() });
        }
    }

    /// The node knows already that this process is to create the actor.
    pub(crate) fn set_announced(&self) {
        let mut state = self.lock();
        if state.creation == Creation::Ahead {
            state.creation = Creation::Announced;
        }
    }

    /// The actor is about to be created; false if it is dead already. Keeps the holds of the
    /// constructor's arguments until it has its process.
    pub(crate) fn begin_creation(&self, holds: Vec<ObjectHold>) -> bool {
        let mut state = self.lock();
        state.creation = Creation::Over;
        if matches!(state.place, Place::Dead(_)) {
            return false;
        }
        state.held = holds;
        true
    }

    /// The actor cannot be created; those who wait for it elsewhere hear so from the node.
    pub(crate) fn give_up_creation(&self, core: &Core, message: String) {
        let before = std::mem::replace(&mut self.lock().creation, Creation::Over);
        if before == Creation::Announced {
            core.link().send(ToNode::ActorFailed { actor: self.id, message });
        }
    }

    /// True if the node has not been told to create the actor, though this process is to do that.
    pub(crate) fn is_creation_ahead(&self) -> bool {
        self.lock().creation != Creation::Over
    }

    /// A call is not wanted any more: takes it out of its place, which stays, or says who has it.
    pub(crate) fn call_off(&self, call: u64) -> cancel::Place {
        let mut state = self.lock();
        let place = cancel::find(&state.queue, |queued| queued.call, call);
        let content = match place.and_then(|place| state.queue.get_mut(place)) {
            Some(queued) => std::mem::replace(&mut queued.content, Content::CalledOff),
            None => {
                return match &state.place {
                    Place::Up(peer) => cancel::Place::There(peer.clone()),
                    _ => cancel::Place::Ahead,
                };
            }
        };
        drop(state);
        drop(content);
        cancel::Place::Here
    }

    /// True if no call waits here.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().queue.is_empty()
    }

    fn queue(&self, state: &mut RouteState, call: QueuedCall) {
        if state.queue.is_empty() {
            self.close();
        }
        state.queue.push_back(call);
    }

    /// Has every call take the route's lock, which the caller holds.
    fn close(&self) {
        if self.open.load(Ordering::Relaxed)
            && let Some(peer) = self.peer.get()
        {
            peer.close(&self.open);
        }
    }

    fn watch(&self, core: &Core, state: &mut RouteState) {
        if !state.watched {
            state.watched = true;
            core.link().send(ToNode::WatchActor(self.id));
        }
        if state.queue.len() >= MANY && !state.warned {
            state.warned = true;
            tracing::warn!(actor = %self.id, class = self.class, "{MANY} calls wait for one actor");
        }
    }

    fn lock(&self) -> MutexGuard<'_, RouteState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a call that has no retries while its actor is restarted.
fn restarting(death: &ActorDeath) -> Error {
    let ActorDeath { actor, class, cause, .. } = death;
    Error::actor_unavailable(format!("actor {class} {actor} is being restarted: {cause}"))
}
