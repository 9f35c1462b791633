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

use mobula_scheduler::ids::ActorId;
use mobula_store::ObjectHold;

use crate::actor::RawHandle;
use crate::leases::TaskQueue;
use crate::refs::Unanswered;

/// What settles the refs of one call; one is by far the most common number.
pub(crate) enum CallRefs {
    /// `None` if they were settled from the beginning.
    One(Option<Unanswered>),
    Many(Vec<Unanswered>),
}

impl CallRefs {
    fn as_slice(&self) -> &[Unanswered] {
        match self {
            CallRefs::One(one) => one.as_slice(),
            CallRefs::Many(many) => many,
        }
    }

    /// Hands over what settles each ref, in order.
    #[inline]
    pub(crate) fn for_each(self, mut f: impl FnMut(Unanswered)) {
        match self {
            CallRefs::One(one) => one.into_iter().for_each(f),
            CallRefs::Many(many) => many.into_iter().for_each(&mut f),
        }
    }
}

/// Whom a call waits for.
pub(crate) enum Callee {
    Actor(RawHandle),
    /// A task that has a process of its own.
    Task(&'static str),
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
}

impl PendingCall {
    /// True if dropping it gives back what others must hear of.
    pub(crate) fn is_heavy(&self) -> bool {
        !self.holds.is_empty() || self.callee.is_last()
    }
}

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
        PendingCall { refs: CallRefs::Many(Vec::with_capacity(marker)), callee: Callee::Task("t"), holds: Vec::new() }
    }

    fn marker(call: &PendingCall) -> usize {
        match &call.refs {
            CallRefs::Many(refs) => refs.capacity(),
            CallRefs::One(_) => 0,
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
