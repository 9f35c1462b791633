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
use crate::core::Core;
use crate::deferred::Work;
use crate::definition::TaskFunction;
use crate::error::Error;

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
    by_depth: BTreeMap<Reverse<u32>, VecDeque<Task>>,
    len: usize,
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

    fn pop(&mut self) -> Option<Task> {
        loop {
            // The list of a depth stays for the next tasks, unless it is in the way.
            let mut first = self.by_depth.first_entry()?;
            match first.get_mut().pop_front() {
                Some(task) => {
                    self.len -= 1;
                    return Some(task);
                }
                None => drop(first.remove()),
            }
        }
    }

    fn first(&self) -> Option<&Task> {
        self.by_depth.values().find_map(VecDeque::front)
    }
}

impl TaskQueue {
    pub(super) fn new(demand: Demand, most: usize) -> Self {
        TaskQueue { demand, most, state: Mutex::default() }
    }

    pub(super) fn demand(&self) -> &Demand {
        &self.demand
    }

    /// Sends a task to a lease with room, or has it wait for one. Its call is in the pending table.
    pub(crate) fn submit(&self, core: &Core, function: &'static TaskFunction, call: u64, depth: u32, frame: &[u8]) {
        let mut orders = Orders::default();
        {
            let mut guard = self.lock();
            let state = &mut *guard;
            let mut bytes = state.spare.pop().unwrap_or_default();
            bytes.extend_from_slice(frame);
            let mut task = Task { call, depth, function, frame: bytes, position: 0 };
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
            if let Some(Task { mut frame, .. }) = found
                && state.spare.len() < SPARE_BUFFERS
                && frame.capacity() <= SPARE_SIZE
            {
                frame.clear();
                state.spare.push(frame);
            }
            state.advance(core, self.most, &mut orders);
        }
        orders.run(core, &self.demand, work);
    }

    /// A worker has given a task back that it has not begun.
    pub(crate) fn returned(&self, core: &Core, call: u64, work: &mut Work) {
        let mut orders = Orders::default();
        {
            let mut state = self.lock();
            let state = &mut *state;
            if let Some(task) = state.leases.iter_mut().find_map(|lease| lease.returned(call)) {
                state.waiting.push_front(task);
            }
            state.advance(core, self.most, &mut orders);
        }
        orders.run(core, &self.demand, work);
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
        let mut orders = Orders::default();
        {
            let mut state = self.lock();
            let Some(lease) = state.leases.iter_mut().find(|lease| lease.number() == number) else {
                return false;
            };
            lease.recall();
            state.advance(core, self.most, &mut orders);
        }
        self.run(core, orders);
        true
    }

    /// A lease is no more. Its first task may have begun and is lost then (WK-27); the others wait again.
    pub(super) fn lost(&self, core: &Core, number: u64, reason: &LostTask, work: &mut Work) -> bool {
        let mut orders = Orders::default();
        {
            let mut state = self.lock();
            if let Some(place) = state.leases.iter().position(|lease| lease.number() == number) {
                let (begun, tasks) = state.leases.swap_remove(place).into_tasks();
                orders.fail(begun, reason);
                for task in tasks.into_iter().rev() {
                    state.waiting.push_front(task);
                }
            } else if let Some(place) = state.asked.iter().position(|&asked| asked == number) {
                state.asked.swap_remove(place);
                if state.leases.is_empty() && state.asked.is_empty() {
                    // Nobody will ever serve them.
                    while let Some(task) = state.waiting.pop() {
                        orders.fail(Some(task), reason);
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
    fn fail(&mut self, task: Option<Task>, reason: &LostTask) {
        if let Some(task) = task {
            self.failures.push((task.call, Error::lost_task(task.function.name, reason.clone())));
        }
    }
}
