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

use std::thread;

use crossbeam::channel::{Sender, unbounded};
use ipc_channel::ipc::IpcSender;

use crate::protocol::{Envelope, ToProcess};
use crate::sys;
use crate::trace::tell;

/// What goes directly without a proof: half of the smallest default socket buffer.
const CREDIT: usize = 96 * 1024;

/// What the kernel adds to a message in a socket's buffer, generously.
const OVERHEAD: usize = 1024;

/// A place in the sequence of messages to a process; see [`Outlet::proved`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Position(u64);

/// The sending side of a process's inbox.
#[derive(Debug)]
pub(super) struct Outlet {
    sender: IpcSender<Envelope<ToProcess>>,
    /// The costs of all messages so far.
    sent: u64,
    proved: u64,
    thread: Option<Sender<ToProcess>>,
}

impl Outlet {
    pub(super) fn new(sender: IpcSender<Envelope<ToProcess>>) -> Self {
        Outlet { sender, sent: 0, proved: 0, thread: None }
    }

    /// Sends a message. A process that is gone gets nothing, and its death is heard of elsewhere.
    pub(super) fn send(&mut self, message: ToProcess) -> Position {
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
