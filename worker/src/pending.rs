//! Calls that were made and are not answered yet.
//!
//! ```text
//!            first                            first + window.len()
//!   others     |  [ call | - | call | call | - | ... ]  <- new calls
//!   (map)  <---'  the window: one place for each number
//! ```
//!
//! Numbers are drawn in sequence, under the table's lock, and most answers come soon and in order, so the table is a window of
//! places that is entered at its end and left at its beginning. Calls that stay behind while others
//! come and go move to a map: the window never has more than a few places for each of its calls.
//!
//! - **WK-8** A call is in the table from before its first byte leaves the process until its refs
//!   are settled; it keeps its refs, the holds of its arguments and, through a strong handle, its
//!   actor.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mobula_scheduler::ids::{ActorId, TaskId};
use mobula_scheduler::protocol::TaskSpec;
use mobula_store::ObjectHold;

use crate::actor::RawHandle;
use crate::deferred::Work;
use crate::error::Error;
use crate::frames::Nonce;
use crate::leases::TaskQueue;
use crate::refs::{Outcome, Unanswered};
use crate::retries::Retries;
use crate::route::Route;
use crate::stream::Inflow;
use crate::task;

/// What settles the refs of one call; one is by far the most common number.
pub(crate) enum CallRefs {
    /// `None` if they were settled from the beginning.
    One(Option<Unanswered>),
    Many(Vec<Unanswered>),
    /// Its refs are made as the items come.
    Stream(Arc<Inflow>),
    /// The call was called off: they are settled, the answer is waited for.
    CalledOff,
}

impl CallRefs {
    fn as_slice(&self) -> &[Unanswered] {
        match self {
            CallRefs::One(one) => one.as_slice(),
            CallRefs::Many(many) => many,
            CallRefs::Stream(_) | CallRefs::CalledOff => &[],
        }
    }

    /// The call has failed: every ref gets the error, or the stream as its last item; who waited is added to `work`.
    pub(crate) fn fail(self, error: &Error, work: &mut Work) {
        match self {
            CallRefs::Stream(inflow) => inflow.end(Some(error.clone()), work),
            refs => refs.for_each(|unanswered| unanswered.end(Outcome::Failed(error.clone()), work)),
        }
    }

    /// Hands over what settles each ref, in order; a stream has none.
    #[inline]
    pub(crate) fn for_each(self, mut f: impl FnMut(Unanswered)) {
        match self {
            CallRefs::One(one) => one.into_iter().for_each(f),
            CallRefs::Many(many) => many.into_iter().for_each(&mut f),
            CallRefs::Stream(_) | CallRefs::CalledOff => {}
        }
    }
}

/// A task that has a process of its own, and what it takes to run it again.
pub(crate) struct Dedicated {
    name: &'static str,
    retries: Retries,
    /// As it was submitted, if it may be again.
    spec: Option<Box<TaskSpec>>,
    /// By what the node knows it, once it does.
    task: Option<TaskId>,
}

impl Dedicated {
    pub(crate) fn new(name: &'static str, retries: Retries) -> Self {
        Dedicated { name, retries, spec: None, task: None }
    }
}

/// Whom a call waits for.
pub(crate) enum Callee {
    Actor(RawHandle),
    /// A task that has a process of its own.
    Task(Box<Dedicated>),
    /// A task of a queue.
    Leased(&'static str, Arc<TaskQueue>),
}

impl Callee {
    pub(crate) fn is_actor(&self, id: ActorId) -> bool {
        matches!(self, Callee::Actor(handle) if handle.id() == id)
    }

    /// The call is over; its refs are settled next.
    #[inline]
    pub(crate) fn answered(&self) {
        if let Callee::Actor(handle) = self {
            handle.route().answered();
        }
    }

    /// Names what is called, and tells how often a task may have begun.
    pub(crate) fn name_and_tries(&self) -> (&'static str, u32) {
        match self {
            Callee::Actor(handle) => (handle.route().class(), 0),
            Callee::Task(task) => (task.name, task.retries.tries()),
            Callee::Leased(name, _) => (name, 0),
        }
    }

    /// True if the route of the call keeps it until it is answered.
    #[inline]
    pub(crate) fn keeps(&self) -> bool {
        matches!(self, Callee::Actor(handle) if handle.route().keeps())
    }

    /// True if dropping this may be the end of an actor's last handle here.
    fn is_last(&self) -> bool {
        matches!(self, Callee::Actor(handle) if handle.is_last())
    }
}

/// One unanswered call.
pub(crate) struct PendingCall {
    pub(crate) refs: CallRefs,
    pub(crate) callee: Callee,
    pub(crate) holds: Vec<ObjectHold>,
    /// The call that it was made in, by its key; 0 if none.
    parent: u64,
}

/// Who is to be told that a call is not wanted.
pub(crate) enum Whom {
    Queue(Arc<TaskQueue>),
    Route(Arc<Route>),
    /// The node, if it knows the task.
    Node(Option<TaskId>),
}

impl PendingCall {
    pub(crate) fn new(refs: CallRefs, callee: Callee, parent: u64) -> Self {
        PendingCall { refs, callee, holds: Vec::new(), parent }
    }

    /// True if dropping it gives back what others must hear of.
    pub(crate) fn is_heavy(&self) -> bool {
        !self.holds.is_empty() || self.callee.is_last() || self.is_called_off()
    }

    /// True if nobody wants its answer.
    pub(crate) fn is_called_off(&self) -> bool {
        matches!(self.refs, CallRefs::CalledOff)
    }
}

/// An actor's call cannot be cancelled by force.
#[derive(Debug)]
pub(crate) struct NoForce;

/// How many places the window may have without a look at how many of them are taken.
const ROOMY: usize = 1024;

/// How many places the window has at most for each call in it, beyond [`ROOMY`].
const SPARSE: usize = 4;

/// A window of more places gives its memory back when it is empty.
const LARGE: usize = 1 << 16;

/// How many answers are taken out before others get the table's lock.
const AT_ONCE: usize = 16;

/// The calls by their numbers.
#[derive(Default)]
struct Table {
    /// The last number that was drawn.
    drawn: u64,
    /// The number of the window's first place.
    first: u64,
    window: VecDeque<Option<PendingCall>>,
    /// How many places of the window are taken.
    taken: usize,
    /// Calls with numbers before the window.
    others: HashMap<u64, PendingCall>,
}

impl Table {
    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    fn insert(&mut self, call: u64, pending: PendingCall) {
        let end = self.first + self.window.len() as u64;
        if call >= end + ROOMY as u64 {
            // Many numbers were drawn for other things: the window begins anew.
            while !self.window.is_empty() {
                self.move_on();
            }
        }
        if self.window.is_empty() {
            self.first = call;
        }
        let Some(place) = self.place(call) else {
            self.others.insert(call, pending);
            return;
        };
        if place >= self.window.len() {
            self.window.resize_with(place + 1, || None);
        }
        self.window[place] = Some(pending);
        self.taken += 1;
        while self.window.len() > ROOMY && self.window.len() / SPARSE > self.taken {
            self.move_on();
        }
    }

    fn remove(&mut self, call: u64) -> Option<PendingCall> {
        let found = match self.place(call) {
            Some(place) => self.window.get_mut(place)?.take(),
            None => return self.others.remove(&call),
        };
        self.taken -= usize::from(found.is_some());
        while let Some(None) = self.window.front() {
            self.window.pop_front();
            self.first += 1;
        }
        if self.window.is_empty() && self.window.capacity() > LARGE {
            self.window = VecDeque::new();
        }
        found
    }

    fn get_mut(&mut self, call: u64) -> Option<&mut PendingCall> {
        match self.place(call) {
            Some(place) => self.window.get_mut(place)?.as_mut(),
            None => self.others.get_mut(&call),
        }
    }

    /// Returns the call's place in the window, or behind it; `None` if it comes before the window.
    fn place(&self, call: u64) -> Option<usize> {
        usize::try_from(call.checked_sub(self.first)?).ok()
    }

    /// Makes the window begin one place later.
    fn move_on(&mut self) {
        if let Some(Some(pending)) = self.window.pop_front() {
            self.others.insert(self.first, pending);
            self.taken -= 1;
        }
        self.first += 1;
    }

    fn iter(&self) -> impl Iterator<Item = &PendingCall> {
        self.others.values().chain(self.window.iter().flatten())
    }

    /// Lists the numbers of what `test` is true of, oldest first.
    fn numbers(&self, test: impl Fn(&PendingCall) -> bool) -> Vec<u64> {
        let mut found: Vec<_> =
            self.others.iter().filter(|(_, pending)| test(pending)).map(|(&call, _)| call).collect();
        found.sort_unstable();
        let window = (self.first..).zip(&self.window);
        found.extend(window.filter(|(_, place)| place.as_ref().is_some_and(&test)).map(|(call, _)| call));
        found
    }

    /// Takes out what `test` is true of, oldest first.
    fn extract(&mut self, test: impl Fn(&PendingCall) -> bool) -> Vec<PendingCall> {
        let mut old: Vec<_> = self.others.extract_if(|_, pending| test(pending)).collect();
        old.sort_unstable_by_key(|(call, _)| *call);
        let mut taken: Vec<_> = old.into_iter().map(|(_, pending)| pending).collect();
        let before = taken.len();
        taken.extend(self.window.iter_mut().filter_map(|place| place.take_if(|pending| test(pending))));
        self.taken -= taken.len() - before;
        taken
    }
}

/// The table of unanswered calls of this process.
#[derive(Default)]
pub(crate) struct PendingTable {
    calls: Mutex<Table>,
}

impl PendingTable {
    /// Draws a number for something.
    pub(crate) fn draw(&self) -> u64 {
        self.lock().draw()
    }

    /// Draws a number, makes a call of it and enters that. `make` must not wait for anything.
    #[inline]
    pub(crate) fn enter<R>(&self, make: impl FnOnce(u64) -> (R, PendingCall)) -> (u64, R) {
        let mut table = self.lock();
        let call = table.draw();
        let (refs, pending) = make(call);
        table.insert(call, pending);
        (call, refs)
    }

    /// Begins to take out calls that are answered.
    pub(crate) fn answers(&self) -> Answers<'_> {
        Answers { pending: self, table: None, taken: 0 }
    }

    pub(crate) fn remove(&self, call: u64) -> Option<PendingCall> {
        self.lock().remove(call)
    }

    /// True if a call waits for its answer.
    pub(crate) fn contains(&self, call: u64) -> bool {
        self.lock().get_mut(call).is_some()
    }

    /// Returns the route of an actor's call that waits for its answer, if calls are kept there.
    pub(crate) fn keeping_route_of(&self, call: u64) -> Option<Arc<Route>> {
        match &self.lock().get_mut(call)?.callee {
            Callee::Actor(handle) if handle.route().keeps() => Some(handle.route().clone()),
            _ => None,
        }
    }

    /// Returns the queue of a task that waits for its answer.
    pub(crate) fn queue_of(&self, call: u64) -> Option<Arc<TaskQueue>> {
        match &self.lock().get_mut(call)?.callee {
            Callee::Leased(_, queue) => Some(queue.clone()),
            _ => None,
        }
    }

    /// Adds holds that the call needs until it is answered; drops them if it is already.
    pub(crate) fn add_holds(&self, call: u64, holds: Vec<ObjectHold>) {
        if holds.is_empty() {
            return;
        }
        if let Some(pending) = self.lock().get_mut(call) {
            pending.holds.extend(holds);
        }
    }

    /// The node is about to hear of a task: keeps what it is submitted with if it may run again.
    pub(crate) fn keep_spec(&self, spec: &TaskSpec) {
        if let Some(PendingCall { callee: Callee::Task(task), .. }) = self.lock().get_mut(spec.call) {
            task.task = Some(spec.task);
            task.spec = task.retries.allow_any().then(|| Box::new(spec.clone()));
        }
    }

    /// Takes the refs of a call that is called off, and says who is to be told; `None` if it is answered.
    ///
    /// # Errors
    ///
    /// If it is the call of an actor's method, and `force` is wanted.
    pub(crate) fn call_off(&self, call: u64, force: bool) -> Result<Option<(CallRefs, Whom, &'static str)>, NoForce> {
        let mut table = self.lock();
        let Some(pending) = table.get_mut(call) else {
            return Ok(None);
        };
        let whom = match &pending.callee {
            Callee::Actor(_) if force => return Err(NoForce),
            Callee::Actor(handle) => Whom::Route(handle.route().clone()),
            Callee::Task(task) => Whom::Node(task.task),
            Callee::Leased(_, queue) => Whom::Queue(queue.clone()),
        };
        let name = pending.callee.name_and_tries().0;
        Ok(Some((std::mem::replace(&mut pending.refs, CallRefs::CalledOff), whom, name)))
    }

    /// True if a call was called off and is not answered.
    pub(crate) fn is_called_off(&self, call: u64) -> bool {
        self.lock().get_mut(call).is_some_and(|pending| pending.is_called_off())
    }

    /// Returns the unanswered calls that were made in a call, oldest first.
    pub(crate) fn calls_of(&self, parent: u64) -> Vec<u64> {
        self.lock().numbers(|pending| pending.parent == parent)
    }

    /// Returns what to submit again of a task that has a process of its own; `may` says whether a try is left.
    pub(crate) fn try_again(
        &self,
        nonce: Nonce,
        call: u64,
        may: impl FnOnce(&mut Retries) -> bool,
    ) -> Option<Box<TaskSpec>> {
        let mut table = self.lock();
        let number = table.drawn + 1;
        let Some(PendingCall { callee: Callee::Task(task), refs, .. }) = table.get_mut(call) else {
            return None;
        };
        if matches!(refs, CallRefs::CalledOff) || !may(&mut task.retries) {
            return None;
        }
        // By another id: the node may not have heard that the last try is over.
        let spec = task.spec.as_mut()?;
        spec.task = task::task_id(nonce, number);
        task.task = Some(spec.task);
        let spec = spec.clone();
        table.draw();
        Some(spec)
    }

    /// Takes out every call to one actor, oldest first.
    pub(crate) fn take_actor(&self, id: ActorId) -> Vec<PendingCall> {
        self.lock().extract(|pending| pending.callee.is_actor(id))
    }

    /// Takes out everything, oldest first.
    pub(crate) fn take_all(&self) -> Vec<PendingCall> {
        self.lock().extract(|_| true)
    }

    /// True if somebody outside of this process waits for the answer of a call made here.
    pub(crate) fn has_promises(&self) -> bool {
        let table = self.lock();
        table.iter().flat_map(|pending| pending.refs.as_slice()).any(|unanswered| unanswered.inner().is_promised())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out calls that are answered, several under one lock.
pub(crate) struct Answers<'a> {
    pending: &'a PendingTable,
    table: Option<MutexGuard<'a, Table>>,
    taken: usize,
}

impl Answers<'_> {
    /// Takes out a call, with the table's lock held from here on.
    #[inline]
    pub(crate) fn take(&mut self, call: u64) -> Option<PendingCall> {
        self.taken += 1;
        if self.taken.is_multiple_of(AT_ONCE) {
            self.pause();
        }
        self.table.get_or_insert_with(|| self.pending.lock()).remove(call)
    }

    /// Returns where the items of a stream go, with the table's lock held from here on; `None` if nobody wants them.
    #[inline]
    pub(crate) fn inflow(&mut self, call: u64) -> Option<Arc<Inflow>> {
        self.taken += 1;
        if self.taken.is_multiple_of(AT_ONCE) {
            self.pause();
        }
        match &self.table.get_or_insert_with(|| self.pending.lock()).get_mut(call)?.refs {
            CallRefs::Stream(inflow) => Some(inflow.clone()),
            CallRefs::One(_) | CallRefs::Many(_) | CallRefs::CalledOff => None,
        }
    }

    /// Gives the lock back until the next call is taken out: before anything that may last.
    #[inline]
    pub(crate) fn pause(&mut self) {
        self.table = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(marker: usize) -> PendingCall {
        // The number of refs tells the calls apart.
        let task = Dedicated::new("t", Retries::new(Some(0), None).unwrap());
        let refs = CallRefs::Many(Vec::with_capacity(marker));
        PendingCall::new(refs, Callee::Task(Box::new(task)), 0)
    }

    fn marker(call: &PendingCall) -> usize {
        match &call.refs {
            CallRefs::Many(refs) => refs.capacity(),
            CallRefs::One(_) | CallRefs::Stream(_) | CallRefs::CalledOff => 0,
        }
    }

    fn take(table: &mut Table, number: u64) -> Option<usize> {
        table.remove(number).map(|found| marker(&found))
    }

    #[test]
    fn calls_are_found_whatever_the_order() {
        let mut table = Table::default();
        let mut model = HashMap::new();
        let mut random = 7_u64;
        for step in 0..200_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Sometimes long runs of numbers are drawn for other things, and some calls stay for ever.
            let number = step + (step / 50_000) * 100_000 + if random >> 60 == 0 { random >> 40 & 0x7f } else { 0 };
            if random >> 33 & 1 == 0 && !model.contains_key(&number) {
                table.insert(number, call(step as usize % 97 + 1));
                model.insert(number, step as usize % 97 + 1);
            } else {
                let oldest = number.saturating_sub(random >> 50 & 0xfff);
                assert_eq!(take(&mut table, oldest), model.remove(&oldest));
            }
            assert_eq!(table.taken + table.others.len(), model.len());
        }
        assert!(table.window.len() <= ROOMY.max(SPARSE * (table.taken + 1)));
        let left = table.extract(|_| true);
        let mut expected: Vec<_> = model.into_iter().collect();
        expected.sort_unstable();
        let expected: Vec<_> = expected.into_iter().map(|(_, marker)| marker).collect();
        assert_eq!(left.iter().map(marker).collect::<Vec<_>>(), expected, "oldest first");
        assert_eq!(table.taken + table.others.len(), 0);
    }

    #[test]
    fn a_call_that_stays_keeps_the_window_short() {
        let mut table = Table::default();
        table.insert(1, call(1));
        for number in 2..1_000_000 {
            table.insert(number, call(2));
            assert_eq!(take(&mut table, number), Some(2));
        }
        assert!(table.window.capacity() <= 2 * ROOMY, "{}", table.window.capacity());
        assert_eq!(take(&mut table, 1), Some(1));
        assert_eq!(take(&mut table, 1), None);
    }
}
