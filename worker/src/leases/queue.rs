//! The tasks of one demand that wait, and the leases that serve them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mobula_scheduler::death::LostTask;
use mobula_scheduler::resources::Demand;
use mobula_store::{ClientKey, SendError};

use super::lease::{Lease, Task};
use super::{Orders, QUIET};
use crate::call;
use crate::cancel::{self, Place};
use crate::core::Core;
use crate::deferred::Work;
use crate::definition::TaskFunction;
use crate::error::Error;
use crate::retries::Retries;

/// How many buffers of answered tasks are kept, and how large ones.
const SPARE_BUFFERS: usize = 1024;
const SPARE_SIZE: usize = 512;

/// The tasks of one demand.
pub(crate) struct TaskQueue {
    demand: Demand,
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Waiting,
    leases: Vec<Lease>,
    /// Leases that were asked for.
    asked: Vec<u64>,
    /// A ring was full.
    full: bool,
    spare: Vec<Vec<u8>>,
}

/// Tasks in the order of their turn: deepest first, then oldest.
#[derive(Default)]
struct Waiting {
    /// The first of each depth is wanted.
    by_depth: BTreeMap<Reverse<u32>, VecDeque<Task>>,
    /// How many are wanted.
    len: usize,
    /// How many are not, and still in their places.
    called_off: usize,
}

impl Waiting {
    fn push_back(&mut self, task: Task) {
        self.by_depth.entry(Reverse(task.depth)).or_default().push_back(task);
        self.len += 1;
    }

    /// Puts a task back that had its turn.
    fn push_front(&mut self, task: Task) {
        self.by_depth.entry(Reverse(task.depth)).or_default().push_front(task);
        self.len += 1;
    }

    /// Puts a task back that has not begun, before all that were submitted later: of several that come back one by one the
    /// oldest has its turn first again.
    fn put_back(&mut self, task: Task) {
        let tasks = self.by_depth.entry(Reverse(task.depth)).or_default();
        // Ascending but for those that are tried again, behind the others.
        let place = tasks.partition_point(|other| other.call < task.call);
        tasks.insert(place, task);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<Task> {
        loop {
            // The list of a depth stays for the next tasks, unless it is in the way.
            let mut first = self.by_depth.first_entry()?;
            match first.get_mut().pop_front() {
                Some(task) => {
                    self.len -= 1;
                    if self.called_off != 0 {
                        self.called_off -= skip(first.get_mut());
                    }
                    return Some(task);
                }
                None => drop(first.remove()),
            }
        }
    }

    /// Marks a task that is not wanted; false if it is not here. Its place stays, so that this costs the same however many
    /// tasks there are.
    fn call_off(&mut self, call: u64) -> bool {
        for tasks in self.by_depth.values_mut() {
            if let Some(task) = cancel::find(tasks, |task| task.call, call).and_then(|place| tasks.get_mut(place)) {
                if std::mem::replace(&mut task.called_off, true) {
                    return true;
                }
                task.frame = Vec::new();
                self.len -= 1;
                self.called_off += 1;
                self.called_off -= skip(tasks);
                return true;
            }
        }
        false
    }

    fn first(&self) -> Option<&Task> {
        self.by_depth.values().find_map(VecDeque::front)
    }
}

/// Takes those off the front that are not wanted; returns how many.
fn skip(tasks: &mut VecDeque<Task>) -> usize {
    let mut count = 0;
    while tasks.pop_front_if(|task| task.called_off).is_some() {
        count += 1;
    }
    count
}

impl TaskQueue {
    pub(super) fn new(demand: Demand, most: usize) -> Self {
        TaskQueue { demand, most, state: Mutex::default() }
    }

    pub(super) fn demand(&self) -> &Demand {
        &self.demand
    }

    /// Sends a task to a lease with room, or has it wait for one. Its call is in the pending table; with `check` it may
    /// have been called off there.
    pub(crate) fn submit(
        &self,
        core: &Core,
        (function, retries): (&'static TaskFunction, Retries),
        call: u64,
        depth: u32,
        frame: &[u8],
        check: bool,
    ) {
        let mut orders = Orders::default();
        {
            let mut guard = self.lock();
            // Under the lock: who calls it off looks for it here after that.
            if check && core.pending().is_called_off(call) {
                drop(guard);
                drop(core.pending().remove(call));
                return;
            }
            let state = &mut *guard;
            let mut bytes = state.spare.pop().unwrap_or_default();
            bytes.extend_from_slice(frame);
            let mut task = Task { call, depth, retries, function, frame: bytes, called_off: false, position: 0 };
            if state.waiting.len == 0
                && let Some(lease) = state.leases.iter_mut().find(|lease| lease.has_room())
            {
                match lease.send(task) {
                    Ok(()) => {
                        let tick = lease.needs_ticks();
                        drop(guard);
                        if tick {
                            core.leases().want_ticks(core);
                        }
                        return;
                    }
                    Err((back, _)) => task = back,
                }
            }
            state.waiting.push_back(task);
            state.advance(core, self.most, &mut orders);
        }
        self.run(core, orders);
    }

    /// An answer has come: makes room for the next task.
    pub(crate) fn answered(&self, core: &Core, call: u64, work: &mut Work) {
        let mut orders = Orders::default();
        {
            let mut state = self.lock();
            let state = &mut *state;
            let found = state.leases.iter_mut().find_map(|lease| lease.answered(call));
            if let Some(task) = found {
                state.recycle(task);
            }
            state.advance(core, self.most, &mut orders);
        }
        orders.run(core, &self.demand, work);
    }

    /// A task has failed; true if it runs again, behind those that wait.
    pub(crate) fn failed(&self, core: &Core, call: u64, error: &Error, work: &mut Work) -> bool {
        let mut orders = Orders::default();
        let mut again = false;
        {
            let mut state = self.lock();
            let state = &mut *state;
            if let Some(mut task) = state.leases.iter_mut().find_map(|lease| lease.answered(call)) {
                again = !task.called_off && task.retries.failed(error);
                match again {
                    true => state.waiting.push_back(task),
                    false => state.recycle(task),
                }
            }
            state.advance(core, self.most, &mut orders);
        }
        orders.run(core, &self.demand, work);
        again
    }

    /// A worker has given a task back that it has not begun.
    pub(crate) fn returned(&self, core: &Core, call: u64, work: &mut Work) {
        let mut orders = Orders::default();
        {
            let mut state = self.lock();
            let state = &mut *state;
            if let Some(task) = state.leases.iter_mut().find_map(|lease| lease.returned(call)) {
                state.again(task, &mut orders);
            }
            state.advance(core, self.most, &mut orders);
        }
        orders.run(core, &self.demand, work);
    }

    /// A task is not wanted any more: takes it out, or says who has it.
    pub(crate) fn call_off(&self, core: &Core, call: u64) -> Place {
        let mut orders = Orders::default();
        let place = {
            let mut state = self.lock();
            let state = &mut *state;
            match state.leases.iter_mut().find_map(|lease| lease.call_off(call)) {
                Some(peer) => Place::There(peer),
                None if state.waiting.call_off(call) => {
                    state.advance(core, self.most, &mut orders);
                    Place::Here
                }
                None => Place::Ahead,
            }
        };
        self.run(core, orders);
        place
    }

    pub(super) fn granted(&self, core: &Core, number: u64, client: ClientKey) -> bool {
        let mut orders = Orders::default();
        {
            let mut state = self.lock();
            let Some(place) = state.asked.iter().position(|&asked| asked == number) else {
                return false;
            };
            state.asked.swap_remove(place);
            state.leases.push(Lease::new(number, core.peer(client)));
            state.advance(core, self.most, &mut orders);
        }
        self.run(core, orders);
        true
    }

    pub(super) fn recalled(&self, core: &Core, number: u64) -> bool {
        self.change(core, number, Lease::recall)
    }

    pub(super) fn closed(&self, core: &Core, number: u64) -> bool {
        self.change(core, number, Lease::close)
    }

    fn change(&self, core: &Core, number: u64, change: impl FnOnce(&mut Lease)) -> bool {
        let mut orders = Orders::default();
        {
            let mut state = self.lock();
            let Some(lease) = state.leases.iter_mut().find(|lease| lease.number() == number) else {
                return false;
            };
            change(lease);
            state.advance(core, self.most, &mut orders);
        }
        self.run(core, orders);
        true
    }

    /// A lease is no more. Its first task may have begun (WK-27): that costs it a try, and it goes behind those that wait.
    /// The others have their turn again.
    pub(super) fn lost(&self, core: &Core, number: u64, reason: &LostTask, work: &mut Work) -> bool {
        let mut orders = Orders::default();
        {
            let mut state = self.lock();
            if let Some(place) = state.leases.iter().position(|lease| lease.number() == number) {
                let (begun, tasks) = state.leases.swap_remove(place).into_tasks();
                for task in tasks {
                    state.again(task, &mut orders);
                }
                if let Some(mut task) = begun {
                    match !task.called_off && task.retries.lost(reason) {
                        true => state.waiting.push_back(task),
                        false => orders.fail(&task, reason),
                    }
                }
            } else if let Some(place) = state.asked.iter().position(|&asked| asked == number) {
                state.asked.swap_remove(place);
                if state.leases.is_empty() && state.asked.is_empty() {
                    // Nobody will ever serve them.
                    while let Some(task) = state.waiting.pop() {
                        orders.fail(&task, reason);
                    }
                }
            } else {
                return false;
            }
            state.advance(core, self.most, &mut orders);
        }
        orders.run(core, &self.demand, work);
        true
    }

    /// Looks at all leases after a tick; those that have been quiet for so long go back.
    pub(super) fn tick(&self, core: &Core, quiet: Option<Duration>) {
        let mut orders = Orders::default();
        {
            let mut state = self.lock();
            let now = Instant::now();
            let quiet = quiet.unwrap_or(QUIET);
            state.leases.retain_mut(|lease| {
                let over = lease.tick(now, quiet, core.nonce());
                if over {
                    orders.returns.push(lease.number());
                }
                !over
            });
            if state.waiting.len == 0 {
                orders.returns.append(&mut state.asked);
            }
            state.advance(core, self.most, &mut orders);
        }
        self.run(core, orders);
    }

    pub(super) fn clear(&self) {
        let state = std::mem::take(&mut *self.lock());
        drop(state);
    }

    fn run(&self, core: &Core, orders: Orders) {
        let mut work = Work::default();
        orders.run(core, &self.demand, &mut work);
        work.run(core);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A task that has not begun has its turn again, if somebody wants it.
    fn again(&mut self, task: Task, orders: &mut Orders) {
        match task.called_off {
            true => orders.failures.push((task.call, Error::cancelled("it was cancelled"))),
            false => self.waiting.put_back(task),
        }
    }

    /// Keeps the buffer of a task that is over.
    fn recycle(&mut self, task: Task) {
        let Task { mut frame, .. } = task;
        if self.spare.len() < SPARE_BUFFERS && frame.capacity() <= SPARE_SIZE {
            frame.clear();
            self.spare.push(frame);
        }
    }

    /// Sends what can be sent, gives back what is due, and asks for what is missing.
    fn advance(&mut self, core: &Core, most: usize, orders: &mut Orders) {
        self.full = false;
        while self.waiting.len > 0
            && let Some(lease) = self.leases.iter_mut().find(|lease| lease.has_room())
            && let Some(task) = self.waiting.pop()
        {
            match lease.send(task) {
                Ok(()) => {}
                Err((task, SendError::TooLong)) => orders.failures.push((task.call, call::too_long())),
                Err((task, SendError::PeerGone)) => self.waiting.push_front(task),
                Err((task, SendError::Full)) => {
                    self.waiting.push_front(task);
                    self.full = true;
                    break;
                }
            }
        }
        let has_work = self.waiting.len > 0;
        self.leases.retain(|lease| {
            let due = lease.is_due(has_work);
            if due {
                orders.returns.push(lease.number());
            }
            !due
        });
        self.ask(core, most, orders);
        orders.tick |= self.full
            || (!self.asked.is_empty() && self.waiting.len == 0)
            || self.leases.iter().any(Lease::needs_ticks);
    }

    fn ask(&mut self, core: &Core, most: usize, orders: &mut Orders) {
        if self.waiting.len == 0 {
            return;
        }
        // Those that the leases will take soon need no further one.
        let live = self.leases.iter().filter(|lease| lease.is_live());
        let mut room = live.map(Lease::spare_room).sum::<usize>() + self.asked.len();
        let Some((depth, function)) = self.waiting.first().map(|task| (task.depth, task.function)) else {
            return;
        };
        while self.waiting.len > room && self.asked.len() < most {
            let number = core.next_call();
            self.asked.push(number);
            orders.asks.push((number, depth, function));
            room += 1;
        }
    }
}

impl Orders {
    fn fail(&mut self, task: &Task, reason: &LostTask) {
        let error = Error::lost_task(task.function.name, task.retries.tries(), reason.clone());
        self.failures.push((task.call, error));
    }
}
