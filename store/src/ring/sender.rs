//! The sending end of a ring.

use std::fmt;
use std::sync::Arc;

use super::record::{GRANULES, MAX_FRAME, granules};
use super::{Ring, State, Word, announce, indices, reach};
use crate::bell::{self, Doorbell};
use crate::client::{self, ClientKey};
use crate::host::Host;
use crate::segment;
use crate::shared::Shared;
use crate::sync::{Ordering, fence};

/// Says why a ring could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The receiver is not attached any more.
    #[error("the receiver of the ring is not attached to the store any more")]
    PeerGone,
    /// Every ring of the store is in use, or there is no memory for another one.
    #[error("all rings of the store are in use, or there is no memory for another; create it for more clients")]
    Exhausted,
    /// This client was attached read-only.
    #[error("a read-only client cannot send")]
    ReadOnly,
    /// This client has a sender to that receiver.
    #[error("this client has a ring to the receiver already; use its sender, or drop it first")]
    AlreadyOpen,
}

/// Says why a frame was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The ring has no room for the frame until the receiver takes others.
    #[error("the ring is full; try again when the receiver has taken frames")]
    Full,
    /// The receiver is not attached any more, or has closed the ring.
    #[error("the receiver of the ring is gone or has closed it")]
    PeerGone,
    /// The frame has more than [`MAX_FRAME`] bytes.
    #[error("the frame is longer than {MAX_FRAME} bytes; put the message into the store")]
    TooLong,
}

/// The sending end of the ring from this client to another.
///
/// Frames arrive whole and in order. Dropping the sender closes this end: the receiver still gets
/// what was sent. A sender keeps its client attached.
pub struct RingSender {
    shared: Arc<Shared>,
    sender: Sender,
    host: Arc<dyn Host>,
}

impl RingSender {
    /// Opens the ring to `to`, or takes up the one that was dropped and is not drained yet.
    ///
    /// The caller sees to it that one thread of the client opens rings at a time.
    pub(crate) fn open(host: Arc<dyn Host>, to: ClientKey) -> Result<RingSender, RingError> {
        let shared = Arc::clone(host.shared());
        let sender = Sender::open(&shared, host.key(), to)?;
        Ok(RingSender { shared, sender, host })
    }

    /// Returns the client that receives.
    pub fn peer(&self) -> ClientKey {
        self.sender.to
    }

    /// Sends a frame and wakes the receiver if it sleeps; returns the position behind the frame.
    ///
    /// With `ack` the receiver rings this client's bell after it has taken the frame.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if there is no room now, [`SendError::PeerGone`] if nobody will ever read
    /// it, [`SendError::TooLong`] for a frame of more than [`MAX_FRAME`] bytes. Nothing was sent then.
    #[inline]
    pub fn try_send(&mut self, frame: &[u8], ack: bool) -> Result<u64, SendError> {
        self.sender.try_send(&self.shared, frame, ack)
    }

    /// Sends a frame to which the calling thread is going to wait for the answer; returns the position behind it, and
    /// whether the processor was handed over.
    ///
    /// If a user thread of the receiver sleeps and `wish()` says so, it is told ([`Bell::take_hint`](crate::Bell::take_hint)).
    /// The caller then sleeps at once: the receiver may well run on its processor, and wakes it there.
    ///
    /// # Errors
    ///
    /// Those of [`RingSender::try_send`].
    #[inline]
    pub fn try_send_to_wait(&mut self, frame: &[u8], wish: &mut dyn FnMut() -> bool) -> Result<(u64, bool), SendError> {
        let position = self.sender.publish(&self.shared, frame, false)?;
        Ok((position, bell::ring_to_wait(&self.shared, self.sender.to.index, wish)))
    }

    /// Returns the position up to which the receiver has taken frames.
    ///
    /// A frame is taken when the receiver's callback for it is over: whatever the receiver wants to
    /// hold of what the frame refers to, it holds.
    #[inline]
    pub fn taken(&self) -> u64 {
        self.sender.taken(&self.shared)
    }
}

impl Drop for RingSender {
    fn drop(&mut self) {
        // A forked child's copy is the parent's ring.
        if !self.host.is_foreign() {
            self.sender.close(&self.shared);
        }
    }
}

impl fmt::Debug for RingSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingSender")
            .field("peer", &self.sender.to)
            .field("sent", &self.sender.tail)
            .finish_non_exhaustive()
    }
}

/// The producer's side of the protocol.
#[derive(Debug)]
pub(crate) struct Sender {
    index: u32,
    /// The ring's word as long as both ends use it.
    word: Word,
    to: ClientKey,
    tail: u64,
    /// The receiver's head as it was last seen; never ahead of it.
    head: u64,
}

impl Sender {
    pub(crate) fn open(shared: &Shared, from: ClientKey, to: ClientKey) -> Result<Sender, RingError> {
        if usize::from(to.index) >= shared.layout.clients || !client::is_attached(shared, to) {
            return Err(RingError::PeerGone);
        }
        for index in indices(shared) {
            let ring = Ring::of(shared, index);
            let Some((word, receiver)) = ring.ends() else {
                continue;
            };
            if word.sender() != from || receiver != to {
                continue;
            }
            if word.state() != State::Ending {
                return Err(RingError::AlreadyOpen);
            }
            // The receiver may have decided to free what it saw drained: the next generation makes
            // that fail, or its success makes this fail, and then another ring is as good.
            if let Ok(word) = ring.shift(word, word.next_generation().to(State::Active)) {
                let tail = ring.tail_cell().load(Ordering::Relaxed);
                let head = ring.head_cell().load(Ordering::Acquire);
                return Ok(Sender { index, word, to, tail, head });
            }
        }
        Sender::claim(shared, from, to)
    }

    fn claim(shared: &Shared, from: ClientKey, to: ClientKey) -> Result<Sender, RingError> {
        // The lowest that is free: the others are neither looked at by anybody nor paid for with memory.
        for index in 0..u32::try_from(shared.layout.rings).unwrap_or(u32::MAX) {
            // Of a ring that was never used there may be no memory, not even to look at it.
            if index >= indices(shared).end && segment::commit_ring(shared, index as usize).is_err() {
                return Err(RingError::Exhausted);
            }
            let ring = Ring::of(shared, index);
            let word = ring.word();
            if word.state() != State::Free {
                continue;
            }
            reach(shared, index);
            let Ok(word) = ring.shift(word, word.claimed(from)) else {
                continue;
            }; // O1
            ring.set_receiver(to); // O2
            ring.head_cell().store(0, Ordering::Relaxed);
            ring.data().clear();
            // O3. It fails only if somebody reaped this client while it lives; nobody can send then.
            let word = ring.shift(word, word.to(State::Active)).map_err(|_| RingError::PeerGone)?;
            let mut sender = Sender { index, word, to, tail: 0, head: 0 };
            if !client::is_attached(shared, to) {
                sender.close(shared);
                return Err(RingError::PeerGone);
            }
            announce(shared, to); // O4
            return Ok(sender);
        }
        Err(RingError::Exhausted)
    }

    #[inline]
    pub(crate) fn try_send(&mut self, shared: &Shared, frame: &[u8], ack: bool) -> Result<u64, SendError> {
        let position = self.publish(shared, frame, ack)?;
        Doorbell::of(shared, self.to.index).ring();
        Ok(position)
    }

    /// Writes a frame; the receiver's bell is still to be rung.
    #[inline]
    pub(super) fn publish(&mut self, shared: &Shared, frame: &[u8], ack: bool) -> Result<u64, SendError> {
        if frame.len() > MAX_FRAME {
            return Err(SendError::TooLong);
        }
        let ring = Ring::of(shared, self.index);
        if ring.word() != self.word || !client::is_attached(shared, self.to) {
            return Err(SendError::PeerGone);
        }
        let granules = granules(frame.len());
        if !self.has_room(granules) {
            // SYNC RING-HEAD: the receiver is through with what lies before its head; pairs with `Taken`.
            self.head = ring.head_cell().load(Ordering::Acquire);
            if !self.has_room(granules) {
                // More taken than sent, or more waiting than fits: the receiver is out of its mind.
                let sane = self.head <= self.tail && self.tail - self.head < GRANULES;
                return Err(if sane { SendError::Full } else { SendError::PeerGone });
            }
        }
        ring.data().write(self.tail, frame, ack);
        self.tail = self.tail.wrapping_add(granules);
        Ok(self.tail)
    }

    /// Says whether a record fits and the header behind it too.
    #[inline]
    fn has_room(&self, granules: u64) -> bool {
        self.tail.checked_sub(self.head).is_some_and(|used| used < GRANULES && used + granules < GRANULES)
    }

    #[inline]
    pub(crate) fn taken(&self, shared: &Shared) -> u64 {
        // SYNC RING-HEAD: pairs with `Taken`.
        Ring::of(shared, self.index).head_cell().load(Ordering::Acquire).min(self.tail)
    }

    /// Closes this end; the ring is freed now if the other end is gone, else when it is drained.
    pub(crate) fn close(&mut self, shared: &Shared) {
        let ring = Ring::of(shared, self.index);
        ring.tail_cell().store(self.tail, Ordering::Relaxed);
        match ring.shift(self.word, self.word.to(State::Ending)) {
            Ok(ending) => {
                // The change of state comes before the look at the receiver ("Who frees a ring").
                fence(Ordering::SeqCst);
                if client::is_attached(shared, self.to) {
                    announce(shared, self.to);
                } else {
                    ring.free(ending);
                }
            }
            Err(now) if now == self.word.to(State::Closed) => {
                ring.free(now);
            }
            // Not this sender's any more, which only a damaged table or a false reaping brings about.
            Err(_) => {}
        }
    }
}
