//! What arrives: frames of the rings and events of the node, taken by the leader of the pump, and the refs that they
//! settle.
//!
//! ```text
//!   frame -- Call, Task, Recall, Cancel --> arrived: the executor runs or looks for it
//!         |- Done, Failed, Returned ------> the unanswered call: tried again, or its refs are settled
//!         \- Item, Taken -----------------> streams: the reader's queue, the maker's count
//!   event -- a death, a lost task or lease, a cancel --> what it ends
//! ```

use std::sync::atomic::Ordering;

use mobula_scheduler::death::{ActorDeath, DeathCause};
use mobula_scheduler::protocol::ToNode;
use mobula_store::{ClientKey, ObjectHold};

use super::{Core, lock};
use crate::actor;
use crate::deferred::{Dependent, Work};
use crate::error::{Error, Result};
use crate::executor::{Arrived, CallJob};
use crate::frames::{self, Body, Frame};
use crate::link;
use crate::payload::Received;
use crate::pending::{Answers, CallRefs, Callee, PendingCall};
use crate::pump::Event;
use crate::refs::{Outcome, RefInner};
use crate::retries::Retries;
use crate::seats::{Delivery, LeasedJob, SeatKey};

impl Core {
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
                    group: call.group.map(Into::into),
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
            Some(Frame::Cancel { task, force, recursive }) => {
                answers.pause();
                self.not_wanted(from, task, force, recursive, work);
            }
            Some(Frame::Forget { task }) => self.cancels.forget(task),
            Some(Frame::Closed { lease }) => {
                answers.pause();
                self.leases.closed(self, lease);
            }
            Some(Frame::Returned { call }) => {
                answers.pause();
                if let Some(queue) = self.pending.queue_of(call) {
                    queue.returned(self, call, work);
                }
            }
            Some(Frame::Done { call, values }) => {
                let Some(pending) = answers.take(call) else {
                    answers.pause();
                    return self.answered_late(call);
                };
                if let Callee::Leased(_, queue) = &pending.callee {
                    answers.pause();
                    queue.answered(self, call, work);
                } else if pending.callee.keeps() {
                    answers.pause();
                    self.forget_kept(&pending.callee, call);
                }
                if pending.is_called_off() {
                    answers.pause();
                    self.forget_there(from, call);
                }
                self.finish(pending, values, answers, work);
            }
            Some(Frame::Failed { call, error }) => {
                answers.pause();
                let error = Error::from_bytes(error);
                if self.runs_again(call, &error, work) {
                    return;
                }
                let Some(pending) = self.pending.remove(call) else {
                    return self.answered_late(call);
                };
                self.forget_kept(&pending.callee, call);
                if pending.is_called_off() {
                    self.forget_there(from, call);
                }
                self.settle(pending, &error, work);
            }
            Some(Frame::Item { call, value }) => {
                if let Some(inflow) = answers.inflow(call) {
                    let outcome = match value {
                        Body::Inline(bytes, ids) if ids.is_empty() => Outcome::Value(bytes.into()),
                        value => {
                            answers.pause();
                            self.outcome(Some(value))
                        }
                    };
                    inflow.push(from, outcome, work);
                }
            }
            Some(Frame::FailedItem { call, error }) => {
                if let Some(inflow) = answers.inflow(call) {
                    inflow.push(from, Outcome::Failed(Error::from_bytes(error)), work);
                }
            }
            Some(Frame::Taken { task, count }) => self.outflows.taken(task, count),
            None => tracing::error!(?from, len = frame.len(), "a damaged frame arrived and was dropped"),
        }
    }

    /// A call has failed; true if it is tried again.
    fn runs_again(&self, call: u64, error: &Error, work: &mut Work) -> bool {
        if let Some(route) = self.pending.keeping_route_of(call) {
            return error.is_task_failed() && !self.pending.is_called_off(call) && route.retry(call, work);
        }
        match self.pending.queue_of(call) {
            Some(queue) => queue.failed(self, call, error, work),
            None => self.submit_again(call, |retries| retries.failed(error)),
        }
    }

    /// Submits a task once more that has a process of its own, if `may` says so.
    fn submit_again(&self, call: u64, may: impl FnOnce(&mut Retries) -> bool) -> bool {
        let spec = self.pending.try_again(self.nonce, call, may);
        spec.map(|spec| self.link.send(ToNode::SubmitTask(*spec))).is_some()
    }

    /// A call is answered that its route may have kept.
    #[cold]
    fn forget_kept(&self, callee: &Callee, call: u64) {
        if let Callee::Actor(handle) = callee
            && handle.route().keeps()
        {
            handle.route().forget_kept(self, call);
        }
    }

    /// A call is answered that nobody waits for any more.
    #[cold]
    fn answered_late(&self, call: u64) {
        let routes: Vec<_> = self.routes().values().filter(|route| route.keeps()).cloned().collect();
        for route in routes {
            route.forget_kept(self, call);
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
        let PendingCall { refs, callee, holds, .. } = pending;
        callee.answered();
        if let CallRefs::Stream(inflow) = &refs {
            inflow.end(None, work);
        }
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
            Event::ActorRestarting { death, incarnation, begun } => {
                if let Some(route) = self.known_route(death.actor) {
                    route.restarting(self, death, incarnation, begun, work);
                }
            }
            Event::ActorUp { actor, client, incarnation } => {
                if let Some(route) = self.known_route(actor) {
                    route.up(self, client, incarnation, work);
                }
            }
            Event::TaskLost { call, reason } => {
                if !self.submit_again(call, |retries| retries.lost(&reason))
                    && let Some(pending) = self.pending.remove(call)
                {
                    let (name, tries) = pending.callee.name_and_tries();
                    self.settle(pending, &Error::lost_task(name, tries, reason), work);
                }
            }
            Event::LeaseLost { lease, reason } => self.leases.lost(self, lease, &reason, work),
            Event::ProcessGone(client) => {
                self.cancels.forget_all_of(client);
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
        self.keep_no_longer(death.actor);
        let id = death.actor;
        let route = self.routes().remove(&id);
        let error = match route {
            Some(route) => {
                let error = route.died(&death);
                route.down(self, death, work);
                error
            }
            None => Error::actor_died(death),
        };
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
                callee => {
                    let (name, tries) = callee.name_and_tries();
                    Error::lost_task(name, tries, link::node_ended())
                }
            };
            self.settle(pending, &error, work);
        }
        self.leases.clear();
        self.set_closed();
        // Nobody looks at them any more.
        let borrowed = std::mem::take(&mut *lock(&self.borrowed));
        work.add(borrowed.iter().map(|(_, dependent)| dependent.clone()).collect());
    }

    fn settle(&self, pending: PendingCall, error: &Error, work: &mut Work) {
        pending.callee.answered();
        self.settle_refs(pending.refs, error, work);
        drop((pending.callee, pending.holds));
    }

    /// Fails the refs of a call.
    pub(crate) fn settle_refs(&self, refs: CallRefs, error: &Error, work: &mut Work) {
        refs.fail(error, work);
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
        let mut borrowed = lock(&self.borrowed);
        let mut left = Vec::new();
        if borrowed.len() == borrowed.capacity() {
            left.extend(borrowed.extract_if(.., |(_, dependent)| dependent.is_left()));
        }
        borrowed.push((inner.clone(), dependent));
        drop(borrowed);
        drop(left);
        self.has_borrowed.store(true, Ordering::SeqCst);
        self.pump.kick_service();
        None
    }
}
