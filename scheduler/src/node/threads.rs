//! The threads beside the loop: each turns what it waits for into events, and all end together.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ipc_channel::ipc::{IpcReceiver, IpcSender};
use mobula_store::{Knell, Store};

use super::state::Event;
use super::{LAST_BARRIER, NodeError, barrier, door};
use crate::ids::ProcessId;
use crate::logs::{self, LogOptions};
use crate::protocol::{FromProcess, PROTOCOL, ToNode};
use crate::session::Session;
use crate::sys;
use crate::trace::tell;
use crate::watch::{self, Sighting};

/// How long the node's end waits for the last lines of its workers to be printed.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Tells a thread to end.
pub(super) type Ender = Box<dyn FnOnce() + Send>;

struct LogThread {
    end: Ender,
    /// Closed when the thread has ended.
    ended: Receiver<Infallible>,
    thread: JoinHandle<()>,
}

/// The threads beside the loop; ended together, also when the start fails half way.
pub(super) struct Helpers {
    store: Store,
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Ends the thread that listens to all processes.
    pub(super) control_end: Option<Ender>,
    life: Option<JoinHandle<()>>,
    watch_end: Option<Ender>,
    door_end: Option<Ender>,
    logs: Option<LogThread>,
}

impl Helpers {
    pub(super) fn new(store: Store) -> Self {
        Helpers {
            store,
            stopping: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
            control_end: None,
            life: None,
            watch_end: None,
            door_end: None,
            logs: None,
        }
    }

    pub(super) fn control(
        &mut self,
        own: ProcessId,
        receiver: IpcReceiver<FromProcess>,
        events: Sender<Event>,
    ) -> Result<(), NodeError> {
        let thread = thread::Builder::new()
            .name("mobula-control".into())
            .spawn(move || listen(own, &receiver, &events))
            .map_err(NodeError::io("start its control thread"))?;
        self.threads.push(thread);
        Ok(())
    }

    pub(super) fn life(&mut self, store: Store, events: Sender<Event>) -> Result<(), NodeError> {
        let stopping = Arc::clone(&self.stopping);
        let run = move || {
            sys::block_signals();
            let mut seen = 0;
            while !stopping.load(Ordering::Acquire) {
                let now = store.wait_reclaim(seen, None);
                if now != seen && events.send(Event::Reclaimed).is_err() {
                    return;
                }
                seen = now;
            }
        };
        let thread = thread::Builder::new().name("mobula-life".into()).spawn(run);
        self.life = Some(thread.map_err(NodeError::io("start its life thread"))?);
        Ok(())
    }

    pub(super) fn knell(&mut self, knell: Knell, events: Sender<Event>) -> Result<(), NodeError> {
        let run = move || {
            sys::block_signals();
            while let Some(clients) = knell.listen() {
                for client in clients {
                    if events.send(Event::Dying { client }).is_err() {
                        return;
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("mobula-knell".into()).spawn(run);
        self.threads.push(thread.map_err(NodeError::io("start its knell thread"))?);
        Ok(())
    }

    pub(super) fn watch(
        &mut self,
        own: ProcessId,
        loopback: IpcSender<FromProcess>,
        events: Sender<Event>,
    ) -> Result<watch::Poster<watch::Order>, NodeError> {
        let tell = move |worker, sighting| {
            let exited = matches!(sighting, Sighting::Exited);
            // A loop that is gone hears nothing any more.
            let _ = events.send(Event::Sighting { worker, sighting });
            // Behind all that the process had sent, and on its way while the loop sees to the exit.
            if exited && loopback.send(barrier(own, worker)).is_err() {
                let _ = events.send(Event::Barrier { worker });
            }
        };
        let (poster, thread) = watch::start(tell).map_err(NodeError::io("start its watch thread"))?;
        let end = poster.clone();
        self.watch_end = Some(Box::new(move || end.post(watch::Order::Stop)));
        self.threads.push(thread);
        Ok(poster)
    }

    pub(super) fn logs(
        &mut self,
        options: LogOptions,
        events: Sender<Event>,
    ) -> Result<watch::Poster<logs::Order>, NodeError> {
        let (alive, ended) = bounded(0);
        let tell = move |worker, tail| {
            let _: &Sender<Infallible> = &alive;
            drop(events.send(Event::Tail { worker, tail }));
        };
        let (poster, thread) =
            logs::start(options, io::stderr(), tell).map_err(NodeError::io("start its log thread"))?;
        let end = poster.clone();
        self.logs = Some(LogThread { end: Box::new(move || end.post(logs::Order::Stop)), ended, thread });
        Ok(poster)
    }

    pub(super) fn door(&mut self, session: &Session, events: Sender<Event>) -> Result<(), NodeError> {
        let tell = move |knock| drop(events.send(Event::Knock(knock)));
        let opened = door::open(&session.control_path(), session.boot_dir(), tell);
        let (poster, thread) = opened.map_err(NodeError::io("open its control socket"))?;
        self.door_end = Some(Box::new(move || poster.post(door::Order::Stop)));
        self.threads.push(thread);
        Ok(())
    }

    pub(super) fn end(self) {
        drop(self);
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.store.knell().hush();
        let ends = [self.control_end.take(), self.watch_end.take(), self.door_end.take()];
        ends.into_iter().flatten().for_each(|end| end());
        if let Some(logs) = self.logs.take() {
            (logs.end)();
            // Its last lines go to stderr, which may be held up for good: that must not hold up the end.
            if logs.ended.recv_timeout(LAST_LINES) == Err(RecvTimeoutError::Disconnected) {
                let _ = logs.thread.join();
            }
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        if let Some(thread) = self.life.take() {
            // This counts as a reclaim, so a thread that is just before its wait does not begin it.
            self.store.wake_reclaim_waiters();
            let _ = thread.join();
        }
    }
}

/// The body of `mobula-control`.
fn listen(own: ProcessId, receiver: &IpcReceiver<FromProcess>, events: &Sender<Event>) {
    sys::block_signals();
    let mut failures = 0;
    loop {
        let event = match receiver.recv() {
            Ok(envelope) if envelope.version != PROTOCOL => continue,
            Ok(envelope) => match envelope.body {
                (process, ToNode::Resources { request }) if process == own => {
                    if request == LAST_BARRIER {
                        return;
                    }
                    Event::Barrier { worker: request }
                }
                (process, message) => Event::Message { process, message },
            },
            Err(error) => {
                // A process that died in the midst of a long message leaves a torn one. The node holds
                // a sender itself, so the channel as such does not end.
                tell!(Warn, warn, %error, "a control message could not be read");
                failures += 1;
                if failures > 10_000 {
                    return;
                }
                continue;
            }
        };
        failures = 0;
        if events.send(event).is_err() {
            return;
        }
    }
}
