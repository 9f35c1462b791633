//! Running the tasks of a lease, on the executor thread or on one of its own.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mobula_scheduler::ids::TaskId;
use mobula_scheduler::protocol::{Granted, ToNode};

use super::{answer, unwanted};
use crate::arg::ArgReader;
use crate::call;
use crate::context::{self, Scope};
use crate::core::Core;
use crate::definition::TaskFunction;
use crate::error::{Error, Result};
use crate::outbox::Peer;
use crate::panics;
use crate::pump::{self, Wait};
use crate::returns::ReturnWriter;
use crate::seats::{LeasedJob, Next, SeatKey};
use crate::stream::Outlet;
use crate::{sys, task, worn};

/// How often the node hears at most that a lease has come to another function.
const TELL_EVERY: Duration = Duration::from_millis(10);

/// Sends tasks back to their callers that have not begun.
pub(super) fn give_back(core: &Core, jobs: impl IntoIterator<Item = LeasedJob>) {
    for job in jobs {
        call::with_writer(|frame| {
            frame.returned(job.call);
            core.answer(&core.peer(job.from), frame.bytes(), Vec::new());
        });
    }
}

/// Says to the callers of jobs that nothing more of their leases begins here.
pub(super) fn tell_closed(core: &Core, jobs: &[LeasedJob]) {
    let mut last = None;
    for job in jobs {
        if last.replace(job.seat) != Some(job.seat) {
            say_closed(core, &core.peer(job.from), job.seat);
        }
    }
}

pub(super) fn say_closed(core: &Core, caller: &Arc<Peer>, seat: SeatKey) {
    call::with_writer(|frame| {
        frame.closed(seat.number);
        core.answer(caller, frame.bytes(), Vec::new());
    });
}

/// A thread at the seat of a lease.
pub(super) struct Seated {
    pub(super) key: SeatKey,
    caller: Arc<Peer>,
    scope: Rc<Scope>,
    writer: ReturnWriter,
    /// What the node has been told that runs here, and when.
    told: Option<(&'static TaskFunction, Instant)>,
    /// What runs has run, if it may only so often.
    bounded: Option<&'static TaskFunction>,
}

impl Seated {
    pub(super) fn new(core: &Arc<Core>, first: &LeasedJob) -> Self {
        let key = first.seat;
        let granted = core.executor().lock().seats.granted(key);
        let scope = Scope { lends: Some(key.lease()), seat: Some(key), ..Scope::of_task(core, granted) };
        Seated {
            key,
            caller: core.peer(first.from),
            scope: Rc::new(scope),
            writer: ReturnWriter::for_tasks(),
            told: None,
            bounded: None,
        }
    }

    /// What the tasks hold, each in turn.
    pub(super) fn granted(&self) -> &Granted {
        &self.scope.granted
    }

    /// Runs a task and answers its caller.
    pub(super) fn run(&mut self, core: &Arc<Core>, job: &LeasedJob, gave_back: bool) {
        if gave_back {
            self.wait_until_said(core);
        }
        let wanted = self.scope.begin(task::task_id(job.seat.nonce, job.call));
        self.scope.depth.set(job.depth + 1);
        let before = context::enter(Some(self.scope.clone()));
        let outcome = if wanted { self.execute(core, job) } else { Err(unwanted()) };
        context::enter(before);
        self.scope.end();
        if !answer(core, &self.caller, job.call, job.seat.nonce, outcome, &mut self.writer) {
            self.wait_until_said(core);
        }
        if let Some(function) = self.bounded.take() {
            worn::ran(core, function, self.key, &self.caller);
        }
    }

    /// Waits until everything that the caller is to hear has left: only then may the next task begin (WK-27).
    fn wait_until_said(&self, core: &Core) {
        let wait = Wait { deadline: None, ticking: true, before_sleep: &mut || {} };
        pump::wait_until(core, wait, || {
            core.flush_stalled();
            self.caller.flush()
        });
    }

    fn execute(&mut self, core: &Arc<Core>, job: &LeasedJob) -> Result<()> {
        let function = core.registry().function_of(job.function)?;
        self.tell(core, function);
        if function.defaults.max_calls.is_some() {
            self.bounded = Some(function);
        }
        let args = job.args.as_ref().map_err(Error::clone)?;
        self.writer.clear();
        if function.streams {
            self.writer.open(Outlet::new(core, &self.caller, job.seat.nonce, job.call, function.name.to_owned()));
        }
        let writer = &mut self.writer;
        let ran =
            args.with(|bytes| panics::catch(|| (function.run)(&mut ArgReader::new(core.store(), bytes), writer)))?;
        ran.flatten().map_err(|error| error.into_error(|| function.name.to_owned()))
    }

    /// Tells the node what runs here: the first function is the one that the lease was asked for, and one that
    /// changes often is told now and then.
    fn tell(&mut self, core: &Core, function: &'static TaskFunction) {
        match self.told {
            Some((known, _)) if std::ptr::eq(known, function) => return,
            Some((_, when)) if when.elapsed() < TELL_EVERY => return,
            Some(_) => {
                let function_name = function.name.to_owned();
                core.link().send(ToNode::Runs { lease: self.key.lease(), function_name });
            }
            None => {}
        }
        self.told = Some((function, Instant::now()));
    }
}

/// The node has lent this worker to a caller.
pub(crate) fn begin_lease(core: &Arc<Core>, lease: TaskId, granted: Granted, nested: bool) {
    let key = SeatKey::of(lease);
    core.executor().lock().seats.begin(key, granted, nested);
    if !nested {
        core.pump().wake();
        return;
    }
    let for_thread = core.clone();
    let started = std::thread::Builder::new().name("mobula-task".into()).spawn(move || {
        sys::unblock_signals();
        attend(&for_thread, key);
    });
    if let Err(error) = started {
        tracing::error!(%error, "no thread for tasks beside one that sleeps: they wait until it has ended");
        core.executor().lock().seats.make_main(key);
    }
}

/// Runs the tasks of a nested lease until it is over.
fn attend(core: &Arc<Core>, key: SeatKey) {
    let mut seat: Option<Seated> = None;
    loop {
        let mut next = Next::Nothing;
        let wait = Wait { deadline: None, ticking: false, before_sleep: &mut || {} };
        pump::wait_until(core, wait, || {
            next = core.executor().lock().seats.next(key);
            core.is_closed() || !matches!(next, Next::Nothing)
        });
        match next {
            Next::Job(job, gave_back) => {
                seat.get_or_insert_with(|| Seated::new(core, &job)).run(core, &job, gave_back);
            }
            Next::Ended(key) => return tell_end(core, key),
            Next::Nothing | Next::Over => return,
        }
    }
}

/// A lease that was not over when the node asked has ended with its task.
pub(super) fn tell_end(core: &Core, seat: SeatKey) {
    core.link().send(ToNode::LeaseEnded { lease: seat.lease(), over: true });
}

/// The node wants to know whether a lease is over.
pub(crate) fn end_lease(core: &Core, lease: TaskId) {
    let (over, jobs) = core.executor().lock().seats.end(SeatKey::of(lease));
    drop(jobs);
    core.pump().wake();
    core.link().send(ToNode::LeaseEnded { lease, over });
}
