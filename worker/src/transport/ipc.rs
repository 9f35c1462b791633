//! Frames through ipc-channel: each process has one socket that all others send letters to.
//!
//! ```text
//!   line (window) --letter--> socket of the receiver --mobula-letters--> queue --leader--> frame handled
//!        ^                                                                                     |
//!        +-------- mobula-letters <-- socket of the sender <-- Taken{position} -- if asked for -+
//! ```
//!
//! A send to a socket whose buffer is full sleeps until its receiver comes, and all senders of a process share one
//! buffer. So a line has a *window*: how much of what it sent may be on its way. Beyond that it is full, as a ring is,
//! and whoever sends keeps the frame until a Taken has come. The node gives each line its *seat* at the receiver; the
//! first [`SEATS`] have a window of [`WINDOW`], later ones may have one frame on its way. Letters without a frame stay
//! outside of the windows: there is at most one for each frame that its receiver had sent. So nobody waits in a send,
//! but behind a process that is stopped while some dozens send to it.
//!
//! Whoever asks the node for a line has the node tell both sides. What comes before that news waits in its line
//! (`early`), so that whoever is called can answer at once.
//!
//! - **WK-33** A line that asked for a Taken when its window was a quarter through hears of it: so it is never full for
//!   good while its receiver lives.
//! - **WK-34** News of the node wait in `held_back` for a Mark that this process sends to itself when they come: a
//!   socket keeps its order, so all that was in it before is in the queue when the Mark is read.

mod letter;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use ipc_channel::ipc::{self, IpcBytesReceiver, IpcBytesSender};
use mobula_scheduler::protocol::ToNode;
use mobula_store::{ClientKey, MAX_FRAME, SendError, Store};

use self::letter::{Kind, Letter};
use crate::core::{self, Core};
use crate::error::Result;
use crate::link::Link;
use crate::pump::Event;
use crate::sys;

/// How many lines to one process have a whole window: with what may be outside of the windows they fit into the
/// smallest default buffer of a socket.
const SEATS: u32 = 8;

/// How much of what a line sent may be on its way.
const WINDOW: u64 = 16 * 1024;

/// What the kernel adds to a letter in a socket's buffer, generously.
const OVERHEAD: u64 = 1024;

/// The letters of one process.
pub(crate) struct Post {
    key: ClientKey,
    store: Store,
    link: Arc<Link>,
    wires: Mutex<HashMap<ClientKey, Arc<Wire>>>,
    closed: AtomicBool,
    /// The way to this process itself, until the runtime ends.
    own: Mutex<Option<IpcBytesSender>>,
    /// Until the thread has it.
    receiver: Mutex<Option<IpcBytesReceiver>>,
    arrived: Mutex<VecDeque<Letter>>,
    /// How many letters lie in `arrived`.
    waiting: AtomicUsize,
    /// A line has room again.
    moved: AtomicBool,
    held_back: Mutex<VecDeque<Event>>,
}

/// What a line and the thread that receives share.
struct Wire {
    key: ClientKey,
    closed: AtomicBool,
    /// The position behind the last frame: the sum of what all of them cost. Changes under `outgoing`.
    sent: AtomicU64,
    /// The position up to which the receiver says that it has taken frames.
    taken: AtomicU64,
    /// What came from the other side before the news of it; `None` afterwards.
    early: Mutex<Option<Vec<Letter>>>,
    /// Locked over a send, so never by the thread that receives: else two full sockets could wait for each other.
    outgoing: Mutex<Outgoing>,
}

#[derive(Default)]
struct Outgoing {
    sender: Option<IpcBytesSender>,
    /// The node was asked for the sender.
    asked: bool,
    window: u64,
    /// The position behind the last frame that asked for a Taken.
    asked_at: u64,
    buffer: Vec<u8>,
}

impl Post {
    pub(super) fn open(store: &Store, link: &Arc<Link>) -> io::Result<Arc<Post>> {
        let (own, receiver) = ipc::bytes_channel()?;
        Ok(Arc::new(Post {
            key: store.client(),
            store: store.clone(),
            link: link.clone(),
            wires: Mutex::default(),
            closed: AtomicBool::new(false),
            own: Mutex::new(Some(own)),
            receiver: Mutex::new(Some(receiver)),
            arrived: Mutex::default(),
            waiting: AtomicUsize::new(0),
            moved: AtomicBool::new(false),
            held_back: Mutex::default(),
        }))
    }

    pub(super) fn start(self: &Arc<Self>, core: &Arc<Core>) -> Result<Option<JoinHandle<()>>> {
        let (Some(receiver), Some(own)) = (lock(&self.receiver).take(), lock(&self.own).clone()) else {
            return Ok(None);
        };
        self.link.send(ToNode::Listens(own));
        let (post, core) = (self.clone(), core.clone());
        let thread = core::spawn("mobula-letters", move || {
            let _guard = core.is_worker().then_some(sys::EndWithMe);
            post.listen(&core, &receiver);
        })?;
        Ok(Some(thread))
    }

    /// Takes letters out of the socket until the runtime ends.
    fn listen(&self, core: &Core, receiver: &IpcBytesReceiver) {
        loop {
            let bytes = match receiver.recv() {
                Ok(bytes) => bytes,
                Err(error) => {
                    tracing::error!(%error, "no calls and answers arrive any more");
                    return;
                }
            };
            let Some(letter) = Letter::read(bytes) else {
                tracing::error!("a damaged letter arrived and was dropped");
                continue;
            };
            let own = letter.from == self.key;
            match letter.kind {
                Kind::Frame | Kind::FrameToAcknowledge => {
                    let wire = self.wire(letter.from);
                    let mut early = lock(&wire.early);
                    match &mut *early {
                        Some(early) => early.push(letter),
                        None => {
                            self.arrive([letter]);
                            core.pump().ring();
                        }
                    }
                }
                Kind::Taken => {
                    if let Some(wire) = lock(&self.wires).get(&letter.from).cloned() {
                        wire.taken(letter.position);
                        self.moved.store(true, Ordering::SeqCst);
                        core.pump().ring();
                    }
                }
                Kind::Mark if own => {
                    let event = lock(&self.held_back).pop_front();
                    if let Some(event) = event {
                        core.pump().deliver(event);
                    }
                }
                Kind::End if own && self.closed.load(Ordering::SeqCst) => return,
                Kind::Mark | Kind::End => tracing::error!(from = ?letter.from, "a letter came that only I may send"),
            }
        }
    }

    fn arrive(&self, letters: impl IntoIterator<Item = Letter>) {
        let mut arrived = lock(&self.arrived);
        arrived.extend(letters);
        self.waiting.store(arrived.len(), Ordering::SeqCst);
    }

    fn wire(&self, key: ClientKey) -> Arc<Wire> {
        let mut wires = lock(&self.wires);
        let wire = wires.entry(key).or_insert_with(|| Arc::new(Wire::new(key)));
        if self.closed.load(Ordering::SeqCst) {
            wire.closed.store(true, Ordering::SeqCst);
        }
        wire.clone()
    }

    pub(super) fn introduced(&self, core: &Core, client: ClientKey, sender: IpcBytesSender, seat: u32) {
        let wire = self.wire(client);
        {
            let mut outgoing = lock(&wire.outgoing);
            if wire.closed.load(Ordering::SeqCst) || outgoing.sender.is_some() {
                return;
            }
            outgoing.window = if seat < SEATS { WINDOW } else { 0 };
            outgoing.asked = true;
            outgoing.sender = Some(sender);
        }
        {
            let mut early = lock(&wire.early);
            // Under the lock: later ones come behind them.
            self.arrive(early.take().unwrap_or_default());
        }
        self.moved.store(true, Ordering::SeqCst);
        core.pump().ring();
    }

    /// Has the node asked for the way to a process, once; false if it is gone.
    fn ask(&self, wire: &Wire, outgoing: &mut Outgoing) -> bool {
        if wire.closed.load(Ordering::SeqCst) || !self.store.is_alive(wire.key) {
            return false;
        }
        if !outgoing.asked {
            outgoing.asked = true;
            self.link.send(ToNode::Introduce(wire.key));
        }
        true
    }

    /// Tells a process up to where its frames have been taken here.
    fn acknowledge(&self, to: ClientKey, position: u64) {
        let wire = self.wire(to);
        let mut guard = lock(&wire.outgoing);
        let Outgoing { sender, buffer, .. } = &mut *guard;
        // One that is gone need not hear of it.
        if let Some(sender) = sender {
            letter::write(buffer, Kind::Taken, self.key, position, &[]);
            if let Err(error) = sender.send(buffer) {
                tracing::debug!(%error, "a process has ended before its letter was answered");
            }
        }
    }

    pub(super) fn hold_back(&self, event: Event) -> Option<Event> {
        let own = lock(&self.own);
        let Some(sender) = &*own else {
            return Some(event);
        };
        lock(&self.held_back).push_back(event);
        let mut mark = Vec::new();
        letter::write(&mut mark, Kind::Mark, self.key, 0, &[]);
        match sender.send(&mark) {
            Ok(()) => None,
            // Nobody receives any more: there is nothing to wait for.
            Err(_) => lock(&self.held_back).pop_back(),
        }
    }

    pub(super) fn forget(&self, client: ClientKey) {
        let wire = lock(&self.wires).remove(&client);
        if let Some(wire) = wire {
            wire.close();
        }
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if let Some(own) = lock(&self.own).take() {
            let mut end = Vec::new();
            letter::write(&mut end, Kind::End, self.key, 0, &[]);
            if let Err(error) = own.send(&end) {
                tracing::debug!(%error, "the thread that receives has ended before");
            }
        }
        let wires = std::mem::take(&mut *lock(&self.wires));
        wires.values().for_each(|wire| wire.close());
    }
}

impl Wire {
    fn new(key: ClientKey) -> Self {
        Wire {
            key,
            closed: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            early: Mutex::new(Some(Vec::new())),
            outgoing: Mutex::default(),
        }
    }

    /// The receiver says up to where it has taken frames; more than was sent is nonsense.
    fn taken(&self, position: u64) {
        if position <= self.sent.load(Ordering::SeqCst) {
            self.taken.fetch_max(position, Ordering::SeqCst);
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let sender = lock(&self.outgoing).sender.take();
        drop(sender);
    }
}

/// The way to one process. What stands beside rings is marked cold, so that their way stays straight.
pub(crate) struct IpcLine {
    post: Arc<Post>,
    wire: Arc<Wire>,
}

impl IpcLine {
    pub(super) fn new(post: &Arc<Post>, key: ClientKey) -> Self {
        IpcLine { post: post.clone(), wire: post.wire(key) }
    }

    #[cold]
    pub(super) fn try_send(&mut self, frame: &[u8], ack: bool) -> Result<u64, SendError> {
        if frame.len() > MAX_FRAME {
            return Err(SendError::TooLong);
        }
        let (post, wire) = (&self.post, &self.wire);
        let mut guard = lock(&wire.outgoing);
        let outgoing = &mut *guard;
        let Some(sender) = &outgoing.sender else {
            return Err(if post.ask(wire, outgoing) { SendError::Full } else { SendError::PeerGone });
        };
        let (sent, taken) = (wire.sent.load(Ordering::SeqCst), wire.taken.load(Ordering::SeqCst));
        let position = sent + OVERHEAD + 2 * frame.len() as u64;
        if taken < sent && position - taken > outgoing.window {
            return Err(SendError::Full);
        }
        let asks = ack || position - outgoing.asked_at > outgoing.window / 4;
        let kind = if asks { Kind::FrameToAcknowledge } else { Kind::Frame };
        letter::write(&mut outgoing.buffer, kind, post.key, position, frame);
        // Before the send: the Taken may come sooner than the send returns.
        wire.sent.store(position, Ordering::SeqCst);
        if let Err(error) = sender.send(&outgoing.buffer) {
            wire.sent.store(sent, Ordering::SeqCst);
            tracing::debug!(%error, peer = ?wire.key, "a process takes no letters any more");
            // The news of its death are on their way.
            return Err(if post.store.is_alive(wire.key) { SendError::Full } else { SendError::PeerGone });
        }
        if asks {
            outgoing.asked_at = position;
        }
        Ok(position)
    }

    #[cold]
    pub(super) fn taken(&self) -> u64 {
        self.wire.taken.load(Ordering::SeqCst)
    }
}

/// The end where this process takes frames.
pub(crate) struct Letterbox {
    post: Arc<Post>,
    /// What is being handled.
    batch: VecDeque<Letter>,
    /// Up to where frames are to be acknowledged, and to whom.
    owed: HashMap<ClientKey, u64>,
}

impl Letterbox {
    pub(super) fn new(post: Arc<Post>) -> Self {
        Letterbox { post, batch: VecDeque::new(), owed: HashMap::new() }
    }

    #[cold]
    pub(super) fn poll(&mut self, budget: usize, take: &mut dyn FnMut(ClientKey, &[u8])) -> usize {
        let mut taken = usize::from(self.post.moved.swap(false, Ordering::SeqCst));
        {
            let mut arrived = lock(&self.post.arrived);
            let count = budget.min(arrived.len());
            self.batch.extend(arrived.drain(..count));
            self.post.waiting.store(arrived.len(), Ordering::SeqCst);
        }
        while let Some(letter) = self.batch.pop_front() {
            take(letter.from, letter.frame());
            taken += 1;
            if letter.kind == Kind::FrameToAcknowledge {
                self.owed.insert(letter.from, letter.position);
            }
        }
        for (to, position) in self.owed.drain() {
            self.post.acknowledge(to, position);
        }
        taken
    }

    #[cold]
    pub(super) fn has_work(&self) -> bool {
        self.post.waiting.load(Ordering::SeqCst) > 0 || self.post.moved.load(Ordering::SeqCst)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
