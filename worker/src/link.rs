//! The control link of this process to its node, and the thread that listens on it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ipc_channel::ipc::{IpcReceiver, IpcSender};
use mobula_scheduler::death::LostTask;
use mobula_scheduler::ids::ProcessId;
use mobula_scheduler::node::{Ear, Line};
use mobula_scheduler::protocol::{Answer, Envelope, FromProcess, PROTOCOL, ToNode, ToProcess};

use crate::cancel::CancelOptions;
use crate::core::Core;
use crate::deferred::Work;
use crate::error::{Error, Result};
use crate::executor::Control;
use crate::pump::Event;
use crate::{executor, payload, stacks, sys};

/// The sending half of the control link, and the questions that wait for an answer.
pub(crate) struct Link {
    process: ProcessId,
    way: Way,
    questions: Mutex<Questions>,
    answered: Condvar,
    next: AtomicU64,
    /// How many messages of the inbox have been handled.
    handled: AtomicU64,
}

/// How the node is reached.
enum Way {
    Channel(Mutex<IpcSender<FromProcess>>),
    /// The node is in this process.
    Line(Line),
}

#[derive(Default)]
struct Questions {
    open: HashMap<u64, Option<Answer>>,
    broken: bool,
}

impl Link {
    /// Makes the link of a process; `line` if its node is in the same one.
    pub(crate) fn new(process: ProcessId, sender: IpcSender<FromProcess>, line: Option<Line>) -> Self {
        let way = match line {
            Some(line) => Way::Line(line),
            None => Way::Channel(Mutex::new(sender)),
        };
        Link {
            process,
            way,
            questions: Mutex::default(),
            answered: Condvar::new(),
            next: AtomicU64::new(1),
            handled: AtomicU64::new(0),
        }
    }

    /// True if the node is in this process.
    pub(crate) fn is_near(&self) -> bool {
        matches!(self.way, Way::Line(_))
    }

    pub(crate) fn process(&self) -> ProcessId {
        self.process
    }

    /// Tells the node something. If the node is gone nothing happens: the listening thread learns
    /// it too, and fails everything that waits.
    pub(crate) fn send(&self, message: ToNode) {
        match &self.way {
            Way::Channel(sender) => {
                let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(error) = sender.send(Envelope::new((self.process, message))) {
                    tracing::debug!(%error, "the node does not listen any more");
                }
            }
            Way::Line(line) => {
                if !line.send(message) {
                    tracing::debug!("the node has ended");
                }
            }
        }
    }

    /// Asks the node something and waits for the answer.
    pub(crate) fn ask(&self, question: impl FnOnce(u64) -> ToNode) -> Result<Answer> {
        self.ask_patiently(question, || ())
    }

    /// Asks the node something and waits for the answer; `later` is called when the node says that it takes time.
    pub(crate) fn ask_patiently(
        &self,
        question: impl FnOnce(u64) -> ToNode,
        mut later: impl FnMut(),
    ) -> Result<Answer> {
        let gone = || Error::not_initialized("the node of this runtime has ended");
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        {
            let mut questions = self.questions();
            if questions.broken {
                return Err(gone());
            }
            questions.open.insert(request, None);
        }
        self.send(question(request));
        let mut questions = self.questions();
        loop {
            match questions.open.get_mut(&request).and_then(Option::take) {
                Some(Answer::Later) => {
                    drop(questions);
                    later();
                    questions = self.questions();
                    continue;
                }
                Some(answer) => {
                    questions.open.remove(&request);
                    return Ok(answer);
                }
                None => {}
            }
            if questions.broken {
                questions.open.remove(&request);
                return Err(gone());
            }
            questions = self.answered.wait(questions).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn answer(&self, request: u64, answer: Answer) {
        if let Some(slot) = self.questions().open.get_mut(&request) {
            *slot = Some(answer);
        }
        self.answered.notify_all();
    }

    /// The node is gone: no question will be answered.
    pub(crate) fn set_broken(&self) {
        self.questions().broken = true;
        self.answered.notify_all();
    }

    fn questions(&self) -> MutexGuard<'_, Questions> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handles what the node has said already: a worker may be born with its work.
pub(crate) fn catch_up(core: &Arc<Core>, inbox: &IpcReceiver<Envelope<ToProcess>>) {
    while let Ok(message) = inbox.try_recv() {
        if !obey(core, message) {
            return end(core);
        }
    }
}

/// Listens to the node until it is gone.
pub(crate) fn listen(core: &Arc<Core>, inbox: &IpcReceiver<Envelope<ToProcess>>) {
    loop {
        match inbox.recv() {
            Ok(message) => {
                if !obey(core, message) {
                    break;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the control link has ended");
                break;
            }
        }
    }
    end(core);
}

/// Handles a message; false if it ends the link.
fn obey(core: &Arc<Core>, message: Envelope<ToProcess>) -> bool {
    match message {
        Envelope { version: PROTOCOL, body: ToProcess::Shutdown } => return false,
        Envelope { version: PROTOCOL, body } => {
            handle(core, body);
            // SYNC handled: whoever sees the count sees what the messages have changed.
            core.link().handled.fetch_add(1, Ordering::Release);
        }
        Envelope { version, .. } => {
            tracing::error!(version, "the node speaks another version of the control protocol");
            return false;
        }
    }
    true
}

/// The link has ended.
fn end(core: &Arc<Core>) {
    if core.is_worker() {
        // Also ends the programs that user code started in this process's group.
        sys::kill_own_group();
    }
    core.link().set_broken();
    core.pump().report(Event::NodeGone);
}

/// Makes the ear of a driver whose node is in this process: it takes note of what it hears without this process's
/// listening thread, if that has handled everything before (SC-24). News that must wait for frames of a socket are left
/// to that thread: the node's loop waits for none.
pub(crate) fn ear(core: &Arc<Core>) -> Ear {
    let core = Arc::downgrade(core);
    Ear::new(move |sent, message| match core.upgrade() {
        // SYNC handled: pairs with the count in `obey`.
        Some(core) if !core.pump().transport().holds_back() && core.link().handled.load(Ordering::Acquire) == sent => {
            note(&core, message)
        }
        _ => Some(message),
    })
}

/// Takes note of a message that something comes of only on another thread; gives back any other one. Waits for nothing
/// but the transport ([`Transport::holds_back`](crate::transport::Transport::holds_back)).
fn note(core: &Core, message: ToProcess) -> Option<ToProcess> {
    match message {
        ToProcess::EndActor(actor) => core.pump().report(Event::EndActor(actor)),
        ToProcess::LeaseLost { lease, reason } => core.pump().report(Event::LeaseLost { lease, reason }),
        ToProcess::ActorDown(death) => core.pump().report(Event::ActorDown(death)),
        ToProcess::ActorRestarting { death, incarnation, begun } => {
            core.pump().report(Event::ActorRestarting { death, incarnation, begun });
        }
        // Behind the news that the process before it has ended.
        ToProcess::ActorUp { actor, client, incarnation, .. } if incarnation > 1 => {
            core.pump().report(Event::ActorUp { actor, client, incarnation });
        }
        ToProcess::TaskLost { call, reason } => core.pump().report(Event::TaskLost { call, reason }),
        ToProcess::ProcessGone(client) => core.pump().report(Event::ProcessGone(client)),
        ToProcess::Reply { request, answer } => core.link().answer(request, answer),
        other => return Some(other),
    }
    None
}

fn handle(core: &Arc<Core>, message: ToProcess) {
    let Some(message) = note(core, message) else {
        return;
    };
    match message {
        ToProcess::Refused(reason) => {
            if core.is_worker() {
                sys::exit_saying(format_args!("this worker may not join: {reason}"));
            }
            tracing::error!(reason, "the node refused this driver");
            core.link().set_broken();
            core.pump().report(Event::NodeGone);
        }
        ToProcess::StartActor { spec, granted, incarnation } => {
            core.set_reconstructed(incarnation > 1);
            let args = payload::receive(core.store(), &spec.args);
            core.executor().control(core, Control::Start { spec: Box::new(spec), granted, args });
        }
        ToProcess::RunTask { spec, granted, nested } => {
            let args = payload::receive(core.store(), &spec.args);
            let task = executor::TaskJob { spec: Box::new(spec), granted, args };
            if nested {
                executor::run_beside(core, task);
            } else {
                core.executor().control(core, Control::Run(task));
            }
        }
        ToProcess::RunLease { lease, granted, nested } => executor::begin_lease(core, lease, granted, nested),
        ToProcess::EndLease(lease) => executor::end_lease(core, lease),
        ToProcess::LeaseGranted { lease, client } => core.leases().granted(core, lease, client),
        ToProcess::RecallLease(lease) => core.leases().recalled(core, lease),
        ToProcess::ActorUp { actor, client, incarnation, .. } => {
            core.keep_no_longer(actor);
            if let Some(route) = core.known_route(actor) {
                let mut work = Work::default();
                route.up(core, client, incarnation, &mut work);
                work.run(core);
            }
        }
        ToProcess::Introduced { client, sender, seat } => {
            core.pump().transport().introduced(core, client, sender, seat);
        }
        ToProcess::CancelTask { task, recursive } => core.called_off_by_node(task, recursive),
        ToProcess::Cancel { object, force, recursive } => {
            core.call_off_for_others(object, CancelOptions { force, recursive });
        }
        ToProcess::TellStacks(inquiry) => stacks::tell(core, inquiry),
        ToProcess::Retire => core.executor().control(core, Control::Retire),
        // Handled by the caller.
        ToProcess::Shutdown => {}
        // Noted above.
        ToProcess::EndActor(_)
        | ToProcess::LeaseLost { .. }
        | ToProcess::ActorDown(_)
        | ToProcess::ActorRestarting { .. }
        | ToProcess::TaskLost { .. }
        | ToProcess::ProcessGone(_)
        | ToProcess::Reply { .. } => {}
    }
}

/// The reason that tasks get when their node ended.
pub(crate) fn node_ended() -> LostTask {
    LostTask::NoWorker("the node of this runtime has ended".into())
}
