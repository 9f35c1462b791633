//! The node's way to one process: messages go out in order, and the loop never waits for a reader.
//!
//! A socket takes messages until its buffer is full; then a send sleeps until the reader comes. A
//! process that is stopped, or drowned in work, must not stop its node, so the outlet counts what it
//! has sent since the process last proved that it reads:
//!
//! - SC-11: directly goes only what fits into the socket's buffer even if nothing was read since the
//!   last proof. The first message beyond that starts a thread, and from then on all messages to that
//!   process pass through it, so their order is kept.
//!
//! A proof is any answer to a particular message: a process reads its messages in order, so it has
//! read all earlier ones, too.
//!
//! A driver in the node's own process can lend an [`Ear`]: it hears at once what it only takes note of,
//! without its listening thread being woken.
//!
//! - SC-24: an ear hears a message only when everything that was sent before has been handled, so one
//!   process hears all in the order in which the node said it.

use std::fmt;
use std::thread;

use crossbeam::channel::{Sender, unbounded};
use ipc_channel::ipc::IpcSender;

use crate::protocol::{ActorName, Answer, Envelope, ToProcess};
use crate::sys;
use crate::trace::tell;

/// What goes directly without a proof: half of the smallest default socket buffer.
const CREDIT: usize = 96 * 1024;

/// What the kernel adds to a message in a socket's buffer, generously.
const OVERHEAD: usize = 1024;

/// A place in the sequence of messages to a process; see [`Outlet::proved`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Position(u64);

/// Hears what the node says to the process that it lives in.
pub struct Ear(Box<dyn Fn(u64, ToProcess) -> Option<ToProcess> + Send>);

impl Ear {
    /// Makes an ear out of a function that gets how many messages went to the inbox so far, and the next one.
    ///
    /// If all of those have been handled the function may handle this one, too, and return `None`; what it returns goes
    /// to the inbox. It is called on the node's loop and must not wait for anything.
    pub fn new(hear: impl Fn(u64, ToProcess) -> Option<ToProcess> + Send + 'static) -> Self {
        Ear(Box::new(hear))
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ear")
    }
}

/// The sending side of a process's inbox.
#[derive(Debug)]
pub(super) struct Outlet {
    sender: IpcSender<Envelope<ToProcess>>,
    ear: Option<Ear>,
    /// How many messages went to the inbox.
    count: u64,
    /// The costs of all messages so far.
    sent: u64,
    proved: u64,
    thread: Option<Sender<ToProcess>>,
}

impl Outlet {
    pub(super) fn new(sender: IpcSender<Envelope<ToProcess>>) -> Self {
        Outlet { sender, ear: None, count: 0, sent: 0, proved: 0, thread: None }
    }

    /// Has an ear hear from now on what it can.
    pub(super) fn lend(&mut self, ear: Ear) {
        self.ear = Some(ear);
    }

    /// Sends a message. A process that is gone gets nothing, and its death is heard of elsewhere.
    pub(super) fn send(&mut self, message: ToProcess) -> Position {
        let message = match &self.ear {
            Some(ear) => match (ear.0)(self.count, message) {
                Some(message) => message,
                None => return Position(self.sent),
            },
            None => message,
        };
        self.count += 1;
        let cost = cost(&message);
        self.sent += cost as u64;
        if self.thread.is_none() && self.sent - self.proved > CREDIT as u64 {
            self.thread = post(self.sender.clone());
        }
        match &self.thread {
            // The thread ends with the process only.
            Some(thread) => drop(thread.send(message)),
            None => deliver(&self.sender, message),
        }
        Position(self.sent)
    }

    /// Notes that the process has read the message at `position`.
    pub(super) fn proved(&mut self, position: Position) {
        self.proved = self.proved.max(position.0);
    }
}

fn cost(message: &ToProcess) -> usize {
    let pairs = |env: &[(String, String)]| env.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
    let bytes = match message {
        ToProcess::StartActor { spec, .. } => {
            spec.args.bytes.len() + spec.args.ids.len() * 16 + spec.options.len() + pairs(&spec.env)
        }
        ToProcess::RunTask { spec, .. } => spec.args.bytes.len() + spec.args.ids.len() * 16 + pairs(&spec.env),
        ToProcess::Reply { answer: Answer::Names(names), .. } => {
            names.iter().map(|ActorName { namespace, name }| namespace.len() + name.len() + 16).sum()
        }
        ToProcess::Reply { answer: Answer::Named(holder) | Answer::NameTaken(holder), .. } => {
            holder.class.name.len() + holder.class_name.len() + holder.options.len()
        }
        _ => 0,
    };
    // The kernel accounts for a large message in pages or more.
    bytes * 2 + OVERHEAD
}

fn deliver(sender: &IpcSender<Envelope<ToProcess>>, message: ToProcess) {
    if let Err(error) = sender.send(Envelope::new(message)) {
        tell!(Debug, debug, %error, "a message found its process gone");
    }
}

fn post(sender: IpcSender<Envelope<ToProcess>>) -> Option<Sender<ToProcess>> {
    let (queue, messages) = unbounded::<ToProcess>();
    let run = move || {
        sys::block_signals();
        for message in messages {
            deliver(&sender, message);
        }
    };
    match thread::Builder::new().name("mobula-post".into()).stack_size(256 * 1024).spawn(run) {
        Ok(_) => Some(queue),
        Err(error) => {
            tell!(Warn, warn, %error, "a process's messages go out directly, for want of a thread");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use ipc_channel::ipc;

    use super::*;

    #[test]
    fn a_reader_that_sleeps_holds_nobody_up_and_gets_all_in_order() {
        let (sender, receiver) = ipc::channel().unwrap();
        let mut outlet = Outlet::new(sender);
        for request in 0..2_000 {
            outlet.send(ToProcess::Reply { request, answer: crate::protocol::Answer::Done });
        }
        assert!(outlet.thread.is_some());
        for expected in 0..2_000 {
            match receiver.recv().unwrap().body {
                ToProcess::Reply { request, .. } => assert_eq!(request, expected),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_ear_hears_nothing_before_what_waits_in_the_inbox() {
        let (sender, receiver) = ipc::channel().unwrap();
        let handled = Arc::new(AtomicU64::new(0));
        let heard = Arc::new(AtomicU64::new(0));
        let mut outlet = Outlet::new(sender);
        outlet.send(ToProcess::Retire);
        outlet.lend(Ear::new({
            let (handled, heard) = (handled.clone(), heard.clone());
            move |sent, message| match message {
                ToProcess::Reply { .. } if handled.load(Ordering::Acquire) == sent => {
                    heard.fetch_add(1, Ordering::Relaxed);
                    None
                }
                other => Some(other),
            }
        }));
        let reply = |request| ToProcess::Reply { request, answer: crate::protocol::Answer::Done };
        let read = || {
            let message = receiver.recv().unwrap().body;
            handled.fetch_add(1, Ordering::Release);
            message
        };
        outlet.send(reply(1));
        assert!(matches!(read(), ToProcess::Retire));
        outlet.send(reply(2));
        for expected in 1..=2 {
            assert!(matches!(read(), ToProcess::Reply { request, .. } if request == expected));
        }
        assert_eq!(heard.load(Ordering::Relaxed), 0, "it heard a message before an earlier one was handled");
        outlet.send(reply(3));
        assert_eq!(heard.load(Ordering::Relaxed), 1);
        outlet.send(ToProcess::Retire);
        assert!(matches!(read(), ToProcess::Retire));
        assert!(receiver.try_recv().is_err(), "what was heard has come once more");
    }

    #[test]
    fn a_reader_that_answers_needs_no_thread() {
        let (sender, receiver) = ipc::channel().unwrap();
        let mut outlet = Outlet::new(sender);
        for _ in 0..1_000 {
            let position = outlet.send(ToProcess::Shutdown);
            receiver.recv().unwrap();
            outlet.proved(position);
        }
        assert!(outlet.thread.is_none());
    }
}
