//! Cancelling: what a caller does with a call that it no longer wants, and what the process does that has it.
//!
//! ```text
//!   cancel(&r) -- refs fail at once --> where is it?
//!     waits for arguments, or in a queue here      never sent
//!     was sent to a worker or actor                Cancel ==ring==> wanted --> begins? no: answered unrun
//!     has a process of its own                     CancelTask --> node    \--> runs?   its flag is set,
//!     was made by another process                  Cancel --> node --> that process       blocked waits in it return
//! ```
//!
//! The entry of a call that was called off stays until it is answered, without its refs: whoever has the call uses its
//! arguments. The answer is of no interest but for that.
//!
//! In the process that has the call ([`Cancels`]) each thread that runs calls has a [`Run`], which says what runs there.
//! To begin a call costs a store and a load more than without all this: no lock, and no fence either. So one that begins in
//! the very moment in which it is cancelled may be missed by both; whatever was not found is looked for once more after a
//! tick.
//!
//! - **WK-51** A call that was called off is answered and not tried again; it begins only if it did before its process took the
//!   `Cancel` frame out of the ring, which a cancel on a thread of the program waits for ([`PATIENCE`]).
//! - **WK-52** What is wanted by `Cancels` is taken out when it begins, is found running, or when the caller says that it has
//!   the answer (`Forget`), or is gone.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use mobula_scheduler::ids::TaskId;
use mobula_scheduler::protocol::ToNode;
use mobula_store::{ClientKey, ObjectId, SendError};

use crate::call;
use crate::core::Core;
use crate::deferred::{Dependent, Work};
use crate::error::{Error, Result};
use crate::frames::{self, PUT_INDEX, TASK_RESULTS};
use crate::outbox::Peer;
use crate::pending::Whom;
use crate::pump::{self, Wait};
use crate::refs::ObjectRef;
use crate::sys;
use crate::task;

/// How long a cancel waits at most until the process that has the call has heard of it.
const PATIENCE: Duration = Duration::from_millis(100);

/// How a call is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelOptions {
    /// Whether the worker of a task that runs is killed. The task is not tried again; what waits in that worker runs
    /// elsewhere.
    pub force: bool,
    /// Whether what the call has submitted and not got an answer to is cancelled, too, and so on.
    pub recursive: bool,
}

impl Default for CancelOptions {
    /// Not by force, and recursive.
    fn default() -> Self {
        CancelOptions { force: false, recursive: true }
    }
}

/// Cancels a call: its refs are `is_cancelled` at once.
///
/// What has not begun never runs. In what runs [`Context::is_cancelled`](crate::Context::is_cancelled) becomes true, and a
/// `get` or `wait` that is blocked, or would be, returns `is_cancelled`; the code goes on until it returns, and its result is
/// dropped. With `force` the worker of a task is killed. Whatever the cancelled call has submitted is cancelled, too: see
/// [`cancel_with`]. Any process that has a ref may cancel. Nothing happens if the value is there, or comes from `put`.
///
/// # Errors
///
/// If the runtime has ended; `is_invalid_argument` with `force` for the call of an actor's method.
///
/// # Examples
///
/// ```no_run
/// # fn example(report: mobula_worker::ObjectRef<String>) -> mobula_worker::Result<()> {
/// mobula_worker::cancel(&report, false)?;
/// assert!(mobula_worker::get(&report).unwrap_err().is_cancelled());
/// # Ok(())
/// # }
/// ```
pub fn cancel<T>(object: &ObjectRef<T>, force: bool) -> Result<()> {
    cancel_with(object, CancelOptions { force, recursive: true })
}

/// Cancels a call; see [`cancel`].
///
/// # Errors
///
/// Those of [`cancel`].
pub fn cancel_with<T>(object: &ObjectRef<T>, options: CancelOptions) -> Result<()> {
    let inner = &object.inner;
    if inner.runtime() == 0 {
        // It failed because there was no runtime.
        return Ok(());
    }
    let core = inner.core()?;
    let (nonce, number, index) = frames::parts(inner.id());
    if index == PUT_INDEX {
        return Ok(());
    }
    if nonce == core.nonce() {
        return core.cancel_call(number, options);
    }
    if inner.is_ready() {
        return Ok(());
    }
    if options.force && index < TASK_RESULTS {
        return Err(no_force());
    }
    let CancelOptions { force, recursive } = options;
    core.link().send(ToNode::Cancel { object: inner.id(), force, recursive });
    Ok(())
}

fn no_force() -> Error {
    Error::invalid_argument("the call of an actor's method cannot be cancelled by force: mobula::kill ends the actor")
}

/// Where a call was when it was called off.
pub(crate) enum Place {
    /// In a queue of this process: nobody else will hear of it.
    Here,
    /// With another process.
    There(Arc<Peer>),
    /// Its arguments are not there, or it is on its way into a queue: whoever has it looks whether it is wanted.
    Ahead,
}

/// Finds something by its number in a queue whose numbers ascend but for a few.
pub(crate) fn find<T>(queue: &VecDeque<T>, number_of: impl Fn(&T) -> u64, number: u64) -> Option<usize> {
    let start = queue.partition_point(|one| number_of(one) < number);
    let is_it = |place: &usize| queue.get(*place).is_some_and(|one| number_of(one) == number);
    (0..queue.len().max(1))
        .find_map(|far| [start.checked_add(far), start.checked_sub(far + 1)].into_iter().flatten().find(is_it))
}

impl Core {
    /// Calls off a call of this process; returns who is to be told.
    fn call_off(&self, call: u64, options: CancelOptions, work: &mut Work) -> Result<Option<Arc<Peer>>> {
        let CancelOptions { force, recursive } = options;
        let Some((refs, whom, name)) = self.pending().call_off(call, force).map_err(|_| no_force())? else {
            return Ok(None);
        };
        let place = match whom {
            Whom::Queue(queue) => queue.call_off(self, call),
            Whom::Route(route) => {
                // Those behind it may go on.
                work.add(vec![Dependent::Route(route.clone())]);
                route.call_off(call)
            }
            Whom::Node(Some(task)) => {
                self.link().send(ToNode::CancelTask { task, force, recursive });
                Place::Ahead
            }
            Whom::Node(None) => Place::Ahead,
        };
        let told = match place {
            Place::There(peer) => Some(peer),
            Place::Here => {
                if let Some(pending) = self.pending().remove(call) {
                    pending.callee.answered();
                }
                None
            }
            Place::Ahead => None,
        };
        self.settle_refs(refs, &Error::cancelled(format!("{name} was cancelled")), work);
        Ok(told)
    }

    /// Cancels a call of this process on a thread of the program.
    ///
    /// # Errors
    ///
    /// If it is the call of an actor's method, and is to be cancelled by force.
    pub(crate) fn cancel_call(&self, call: u64, options: CancelOptions) -> Result<()> {
        let mut work = Work::default();
        let told = self.call_off(call, options, &mut work);
        // The refs fail before anybody else hears of it.
        work.run(self);
        if let Some(peer) = told? {
            self.tell_and_wait(&peer, call, options);
        }
        Ok(())
    }

    /// Cancels a call of this process that nobody reads any more; waits for nothing.
    pub(crate) fn abandon(&self, call: u64) {
        let mut work = Work::default();
        let how = CancelOptions::default();
        // Not by force, so nothing is refused.
        if let Ok(Some(peer)) = self.call_off(call, how, &mut work) {
            self.tell(&peer, call, how);
        }
        work.run(self);
    }

    /// Calls off a call for another process.
    pub(crate) fn call_off_for_others(&self, object: ObjectId, options: CancelOptions) {
        let mut work = Work::default();
        let (nonce, number, _) = frames::parts(object);
        // What cannot be by force was refused there.
        if nonce == self.nonce() {
            match self.call_off(number, options, &mut work) {
                Ok(Some(peer)) => self.tell(&peer, number, options),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a call of this process was not cancelled"),
            }
        }
        work.run(self);
    }

    /// Tells who has a call that it is not wanted, now or as soon as there is room.
    fn tell(&self, peer: &Arc<Peer>, call: u64, CancelOptions { force, recursive }: CancelOptions) {
        call::with_writer(|writer| {
            writer.cancel(task::task_id(self.nonce(), call), force, recursive);
            self.answer(peer, writer.bytes(), Vec::new());
        });
        self.forget_if_answered(peer, call);
    }

    /// The same on a thread of the program, which waits until it has been heard, for as long as it has patience.
    fn tell_and_wait(&self, peer: &Arc<Peer>, call: u64, options: CancelOptions) {
        let frame = call::with_writer(|writer| {
            writer.cancel(task::task_id(self.nonce(), call), options.force, options.recursive);
            writer.bytes().to_vec()
        });
        let mut told = Err(SendError::Full);
        let wait = Wait { deadline: Some(Instant::now() + PATIENCE), ticking: true, before_sleep: &mut || {} };
        pump::wait_until(self, wait, || {
            if matches!(told, Err(SendError::Full)) {
                told = peer.tell(&frame);
            }
            self.is_closed()
                || match told {
                    Ok(position) => peer.has_heard(position),
                    Err(SendError::Full) => false,
                    Err(_) => true,
                }
        });
        match told {
            Err(SendError::Full) => self.tell(peer, call, options),
            _ => self.forget_if_answered(peer, call),
        }
    }

    /// An answer that came before the other one was told has been followed by a Forget that was too early.
    fn forget_if_answered(&self, peer: &Peer, call: u64) {
        if !self.pending().is_called_off(call) {
            self.forget_there(peer.key(), call);
        }
    }

    /// The answer of a call that was called off is here: the process that sent it need not look for it any more.
    #[cold]
    pub(crate) fn forget_there(&self, from: ClientKey, call: u64) {
        call::with_writer(|writer| {
            writer.forget(task::task_id(self.nonce(), call));
            self.answer(&self.peer(from), writer.bytes(), Vec::new());
        });
    }

    /// A caller wants a call no more that this process has, or had.
    pub(crate) fn not_wanted(&self, from: ClientKey, task: TaskId, force: bool, recursive: bool, work: &mut Work) {
        let frozen = force.then(|| self.executor().freeze());
        let found = self.cancels().want(key(task), Want { from, force, recursive });
        self.end_if_forced(&found);
        drop(frozen);
        if self.cancels().needs_ticks() {
            self.pump().kick_service();
        }
        self.stop(&found, work);
    }

    /// The same, of a task that has this process for itself.
    pub(crate) fn called_off_by_node(&self, task: TaskId, recursive: bool) {
        let mut work = Work::default();
        self.not_wanted(self.store().client(), task, false, recursive, &mut work);
        work.run(self);
    }

    /// Looks once more for what was not found running.
    pub(crate) fn look_for_wanted(&self) {
        if !self.cancels().again.load(Ordering::SeqCst) {
            return;
        }
        let frozen = self.executor().freeze();
        let found = self.cancels().look_again();
        self.end_if_forced(&found);
        drop(frozen);
        let mut work = Work::default();
        self.stop(&found, &mut work);
        work.run(self);
    }

    /// Ends the process if it runs what was cancelled by force. The caller has the executor's lock, so no leased task
    /// begins meanwhile: what is killed is what is meant.
    fn end_if_forced(&self, found: &[(u64, Want)]) {
        if found.iter().any(|(_, want)| want.force) {
            self.link().send(ToNode::EndsByForce);
            sys::kill_own_group();
        }
    }

    /// What runs has been told; what it has submitted is cancelled, too.
    fn stop(&self, found: &[(u64, Want)], work: &mut Work) {
        for &(key, want) in found {
            if want.recursive {
                for call in self.pending().calls_of(key) {
                    // Not by force, so nothing is refused.
                    let how = CancelOptions::default();
                    if let Ok(Some(peer)) = self.call_off(call, how, work) {
                        self.tell(&peer, call, how);
                    }
                }
            }
            self.pump().wake();
        }
        #[cfg(feature = "async")]
        self.executor().cancel_in_loop(found.iter().map(|(key, _)| *key));
    }
}

/// Returns by what a running call is known in its process.
pub(crate) fn key(task: TaskId) -> u64 {
    let (mut low, mut high) = ([0; 8], [0; 8]);
    low.copy_from_slice(&task.object().as_bytes()[..8]);
    high.copy_from_slice(&task.object().as_bytes()[8..]);
    // Different for all calls of one caller, and as good as random for those of two.
    u64::from_le_bytes(low).wrapping_add(u64::from_le_bytes(high)).max(1)
}

/// What a thread runs, for others to see.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// The call that runs, by its key; 0 if none does.
    running: AtomicU64,
    /// The last one that was cancelled while it ran.
    cancelled: AtomicU64,
}

impl Run {
    /// True if `key` was cancelled while it ran here.
    pub(crate) fn is_cancelled(&self, key: u64) -> bool {
        self.cancelled.load(Ordering::Acquire) == key
    }

    /// Notes that a call begins; false if nobody wants it any more: then it must not.
    #[inline]
    pub(crate) fn begin(&self, cancels: &Cancels, task: TaskId) -> bool {
        let key = key(task);
        self.running.store(key, Ordering::Relaxed);
        !cancels.any.load(Ordering::Relaxed) || cancels.lock().wanted.remove(&key).is_none()
    }

    /// Notes that the call has ended.
    #[inline]
    pub(crate) fn end(&self) {
        self.running.store(0, Ordering::Release);
    }
}

/// Who wants a call no more, and how.
#[derive(Debug, Clone, Copy)]
struct Want {
    from: ClientKey,
    force: bool,
    recursive: bool,
}

/// The calls of other processes that are not to begin here, or are to stop.
#[derive(Default)]
pub(crate) struct Cancels {
    /// Something is wanted.
    any: AtomicBool,
    /// Something must be looked for once more.
    again: AtomicBool,
    /// A call has been cancelled here while it ran: what it submits at that moment must be looked at.
    ever: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    wanted: HashMap<u64, Want>,
    runs: Vec<Weak<Run>>,
}

impl Cancels {
    /// Makes what a thread says what it runs with.
    pub(crate) fn register(&self) -> Arc<Run> {
        let run = Arc::new(Run::default());
        let mut state = self.lock();
        state.runs.retain(|run| run.strong_count() > 0);
        state.runs.push(Arc::downgrade(&run));
        run
    }

    /// True once a call has been cancelled here while it ran.
    #[inline]
    pub(crate) fn ever(&self) -> bool {
        self.ever.load(Ordering::Relaxed)
    }

    /// True if something must be looked for after a tick.
    pub(crate) fn needs_ticks(&self) -> bool {
        self.again.load(Ordering::SeqCst)
    }

    fn has_wanted(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }

    /// Keeps a call from beginning, or notes where it runs that it is cancelled; returns all that were found running.
    fn want(&self, key: u64, want: Want) -> Vec<(u64, Want)> {
        let mut state = self.lock();
        state.wanted.insert(key, want);
        self.any.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let found = state.look(self);
        self.again.store(!state.wanted.is_empty(), Ordering::SeqCst);
        found
    }

    fn look_again(&self) -> Vec<(u64, Want)> {
        self.again.store(false, Ordering::SeqCst);
        self.lock().look(self)
    }

    /// A caller has the answer of a call.
    pub(crate) fn forget(&self, task: TaskId) {
        let mut state = self.lock();
        state.wanted.remove(&key(task));
        self.any.store(!state.wanted.is_empty(), Ordering::SeqCst);
    }

    /// A process has ended: its calls will not be answered.
    pub(crate) fn forget_all_of(&self, from: ClientKey) {
        if self.has_wanted() {
            let mut state = self.lock();
            state.wanted.retain(|_, want| want.from != from);
            self.any.store(!state.wanted.is_empty(), Ordering::SeqCst);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes out what runs, and notes there that it is cancelled.
    fn look(&mut self, cancels: &Cancels) -> Vec<(u64, Want)> {
        let mut found = Vec::new();
        for run in self.runs.iter().filter_map(Weak::upgrade) {
            let key = run.running.load(Ordering::Acquire);
            if let Some(want) = self.wanted.remove(&key) {
                run.cancelled.store(key, Ordering::Release);
                cancels.ever.store(true, Ordering::SeqCst);
                found.push((key, want));
            }
        }
        cancels.any.store(!self.wanted.is_empty(), Ordering::SeqCst);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_wherever_they_are() {
        let queue: VecDeque<u64> = [9, 1, 2, 3, 5, 4, 6, 8, 7, 0].into();
        for number in 0..10 {
            let place = find(&queue, |&one| one, number).unwrap();
            assert_eq!(queue[place], number);
        }
        assert_eq!(find(&queue, |&one| one, 10), None);
        assert_eq!(find(&VecDeque::new(), |&one: &u64| one, 1), None);
    }

    fn want(from: ClientKey) -> Want {
        Want { from, force: false, recursive: true }
    }

    #[test]
    fn what_is_not_wanted_does_not_begin_and_what_runs_hears() {
        let cancels = Cancels::default();
        let run = cancels.register();
        let (first, second) = (TaskId::random(), TaskId::random());
        let from = ClientKey { index: 3, generation: 7 };
        assert!(run.begin(&cancels, first));
        assert!(cancels.want(key(first), want(from)).len() == 1 && run.is_cancelled(key(first)));
        run.end();
        assert!(cancels.want(key(second), want(from)).is_empty() && cancels.needs_ticks());
        assert!(!run.begin(&cancels, second) && !run.is_cancelled(key(second)));
        run.end();
        // Once only.
        assert!(run.begin(&cancels, second));
        run.end();
        cancels.want(key(first), want(from));
        cancels.forget(first);
        assert!(run.begin(&cancels, first));
    }
}
