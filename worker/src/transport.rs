//! What frames travel through: rings in shared memory, or sockets of ipc-channel (`Config::call_path`).
//!
//! ```text
//!   Peer ---- Line ----> frames ----> Mailbox ---- leader of the pump
//!               \-> Ring: the store's rings       (ring.rs)
//!               \-> Ipc:  letters through sockets (ipc.rs)
//! ```
//!
//! The two differ in speed and in what a death takes with it; nobody outside of this room knows which one it is. What
//! both promise:
//!
//! - **WK-31** Frames of one process to another arrive whole, once and in order. A line that is full says so and does
//!   not wait (with letters as far as their windows reach).
//! - **WK-32** Frames that reached this process before the node's news of something are handled before that news.

mod ipc;
mod ring;

use std::sync::Arc;
use std::thread::JoinHandle;

use ipc_channel::ipc::IpcBytesSender;
use mobula_scheduler::config::CallPath;
use mobula_store::{ClientKey, SendError, Store};

use self::ipc::{IpcLine, Letterbox, Post};
use self::ring::RingLine;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::link::Link;
use crate::pump::Event;

/// The transport of one process.
#[derive(Clone)]
pub(crate) enum Transport {
    Ring(Store),
    Ipc(Arc<Post>),
}

impl Transport {
    /// Makes the transport with the end where this process takes frames.
    pub(crate) fn open(path: CallPath, store: &Store, link: &Arc<Link>) -> Result<(Self, Mailbox)> {
        match path {
            CallPath::IpcChannel => {
                let post = Post::open(store, link)
                    .map_err(|error| Error::system(format!("cannot make a channel for calls: {error}")))?;
                Ok((Transport::Ipc(post.clone()), Mailbox::Ipc(Letterbox::new(post))))
            }
            _ => {
                let mailbox = store
                    .mailbox()
                    .ok_or_else(|| Error::system("the store gave this process no mailbox for its calls"))?;
                Ok((Transport::Ring(store.clone()), Mailbox::Ring(mailbox)))
            }
        }
    }

    /// Starts what receives beside the pump, and tells the node of it; to be done before the node hears that this
    /// process is ready.
    pub(crate) fn start(&self, core: &Arc<Core>) -> Result<Option<JoinHandle<()>>> {
        match self {
            Transport::Ring(_) => Ok(None),
            Transport::Ipc(post) => post.start(core),
        }
    }

    /// Returns the way to another process.
    pub(crate) fn line(&self, key: ClientKey) -> Line {
        match self {
            Transport::Ring(store) => Line::Ring(RingLine::new(store, key)),
            Transport::Ipc(post) => Line::Ipc(IpcLine::new(post, key)),
        }
    }

    /// The node has told where another process takes frames.
    pub(crate) fn introduced(&self, core: &Core, client: ClientKey, sender: IpcBytesSender, seat: u32) {
        match self {
            Transport::Ring(_) => tracing::error!(?client, "an introduction came to a process that uses rings"),
            Transport::Ipc(post) => post.introduced(core, client, sender, seat),
        }
    }

    /// True if news of the node may have to wait for what came before them.
    pub(crate) fn holds_back(&self) -> bool {
        matches!(self, Transport::Ipc(_))
    }

    /// Keeps news of the node until what came before them is in the mailbox, then reports them; gives them back if
    /// that is so already.
    pub(crate) fn hold_back(&self, event: Event) -> Option<Event> {
        match self {
            Transport::Ring(_) => Some(event),
            Transport::Ipc(post) => post.hold_back(event),
        }
    }

    /// Another process has ended.
    pub(crate) fn forget(&self, client: ClientKey) {
        if let Transport::Ipc(post) = self {
            post.forget(client);
        }
    }

    /// The runtime has ended: nothing is sent or received any more.
    pub(crate) fn close(&self) {
        if let Transport::Ipc(post) = self {
            post.close();
        }
    }
}

/// The sending end towards one process; a position is a place in the sequence of its frames.
pub(crate) enum Line {
    Ring(RingLine),
    Ipc(IpcLine),
}

impl Line {
    /// Sends a frame and returns the position behind it. With `ack` this process is woken when it has been taken.
    #[inline]
    pub(crate) fn try_send(&mut self, frame: &[u8], ack: bool) -> Result<u64, SendError> {
        match self {
            Line::Ring(line) => line.try_send(frame, ack),
            Line::Ipc(line) => line.try_send(frame, ack),
        }
    }

    /// Sends a frame whose answer the thread is going to wait for; also says whether the processor was handed over.
    #[inline]
    pub(crate) fn try_send_to_wait(
        &mut self,
        frame: &[u8],
        wish: &mut dyn FnMut() -> bool,
    ) -> Result<(u64, bool), SendError> {
        match self {
            Line::Ring(line) => line.try_send_to_wait(frame, wish),
            Line::Ipc(line) => line.try_send(frame, false).map(|position| (position, false)),
        }
    }

    /// Returns up to where frames that asked for it have been taken: their receiver holds what they refer to.
    #[inline]
    pub(crate) fn taken(&self) -> u64 {
        match self {
            Line::Ring(line) => line.taken(),
            Line::Ipc(line) => line.taken(),
        }
    }

    /// Returns up to where frames reach their receiver even if this process ends now.
    pub(crate) fn delivered(&self) -> u64 {
        match self {
            Line::Ring(line) => line.taken(),
            // What was sent lies in the receiver's socket.
            Line::Ipc(_) => u64::MAX,
        }
    }

    /// Says whether the receiver may have taken what lies before a position, also after its end.
    pub(crate) fn may_have_taken(&self, position: u64) -> bool {
        match self {
            Line::Ring(line) => line.has_taken(position),
            // The word that it has not may be lost with it.
            Line::Ipc(_) => true,
        }
    }
}

/// The receiving end of all lines towards this process; the leader of the pump has it.
pub(crate) enum Mailbox {
    Ring(mobula_store::Mailbox),
    Ipc(Letterbox),
}

impl Mailbox {
    /// Hands frames that lie here to `take`, some of each sender; returns how many, 0 only if there was none.
    ///
    /// A frame counts as taken when `take` has returned.
    #[inline]
    pub(crate) fn poll(&mut self, budget: usize, take: &mut dyn FnMut(ClientKey, &[u8])) -> usize {
        match self {
            Mailbox::Ring(mailbox) => mailbox.poll(budget, take),
            Mailbox::Ipc(mailbox) => mailbox.poll(budget, take),
        }
    }

    /// Says whether [`Mailbox::poll`] has something to do.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        match self {
            Mailbox::Ring(mailbox) => mailbox.has_work(),
            Mailbox::Ipc(mailbox) => mailbox.has_work(),
        }
    }
}
