//! The receiving end of all rings towards a client.

use std::fmt;
use std::sync::Arc;

use super::record::{Header, MAX_FRAME, granules};
use super::{Ring, State, Word, indices, openings};
use crate::bell::Doorbell;
use crate::client::{self, ClientKey};
use crate::host::Host;
use crate::shared::Shared;
use crate::sync::{Ordering, fence};

/// The receiving end of all rings towards this client.
///
/// A client has one mailbox at a time; what a dropped one left, the next one finds. A mailbox keeps
/// its client attached.
pub struct Mailbox {
    shared: Arc<Shared>,
    receiver: Receiver,
    host: Arc<dyn Host>,
}

impl Mailbox {
    /// Makes the client's mailbox; the caller sees to it that there is no other.
    pub(crate) fn new(host: Arc<dyn Host>) -> Mailbox {
        Mailbox { shared: Arc::clone(host.shared()), receiver: Receiver::new(host.key()), host }
    }

    /// Hands waiting frames to `f` with their senders, at most `budget` of each ring; returns how many.
    ///
    /// A frame counts as taken when `f` returns (or unwinds): then its room is the sender's again, and
    /// the sender is told if it asked for that. Frames of one sender come in order. Rings that were opened since the last
    /// call are found, and rings whose sender is through with them or dead are given back once empty.
    pub fn poll(&mut self, budget: usize, f: &mut dyn FnMut(ClientKey, &[u8])) -> usize {
        let taken = self.receiver.poll(&self.shared, budget, f);
        while let Some(sender) = self.receiver.drained.pop() {
            self.host.drained(sender);
        }
        taken
    }

    /// Says whether [`Mailbox::poll`] has something to do: a load for each open ring and one more.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.receiver.has_work(&self.shared)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.host.mailbox_dropped();
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rings = self.receiver.rings.len();
        f.debug_struct("Mailbox").field("client", &self.receiver.me).field("rings", &rings).finish_non_exhaustive()
    }
}

/// The consumer's side of the protocol, over all rings towards a client.
pub(crate) struct Receiver {
    me: ClientKey,
    /// The count of openings at the last look through the table; `None` before the first.
    seen: Option<u32>,
    rings: Vec<Incoming>,
    /// Which ring is served first.
    first: usize,
    buffer: Box<[u8]>,
    /// Dead senders whose rings were emptied here, until somebody is told.
    pub(super) drained: Vec<ClientKey>,
}

#[derive(Debug, Clone, Copy)]
struct Incoming {
    index: u32,
    sender: ClientKey,
    head: u64,
    /// The sender will not send any more: give the ring back when it is empty.
    ending: bool,
    /// Given back, or not ours: to be forgotten.
    gone: bool,
}

impl Receiver {
    pub(crate) fn new(me: ClientKey) -> Receiver {
        Receiver {
            me,
            seen: None,
            rings: Vec::new(),
            first: 0,
            buffer: vec![0; MAX_FRAME].into_boxed_slice(),
            drained: Vec::new(),
        }
    }

    pub(crate) fn poll(&mut self, shared: &Shared, budget: usize, f: &mut dyn FnMut(ClientKey, &[u8])) -> usize {
        self.look_through(shared);
        let count = self.rings.len();
        if count == 0 {
            return 0;
        }
        self.first = (self.first + 1) % count;
        let mut taken = 0;
        let mut gone = false;
        for i in 0..count {
            let incoming = &mut self.rings[(self.first + i) % count];
            if incoming.gone {
                // A callback unwound before the list was cleaned.
                gone = true;
                continue;
            }
            taken += incoming.drain(shared, budget.max(1), &mut self.buffer, f);
            if incoming.gone {
                gone = true;
                // The ring's change comes before the look at its sender; the reaper of the sender
                // changes its word before it looks at the ring: one of the two sees the other.
                fence(Ordering::SeqCst);
                if !client::is_attached(shared, incoming.sender) {
                    self.drained.push(incoming.sender);
                }
            }
        }
        if gone {
            self.rings.retain(|incoming| !incoming.gone);
        }
        taken
    }

    #[inline]
    pub(crate) fn has_work(&self, shared: &Shared) -> bool {
        self.seen != Some(openings(shared, self.me).load(Ordering::Relaxed))
            || self.rings.iter().any(|it| it.ending || Ring::of(shared, it.index).data().is_touched(it.head))
    }

    /// Brings the list up to date if an opening was counted.
    #[inline]
    fn look_through(&mut self, shared: &Shared) {
        // SYNC RING-OPENED: pairs with `announce`. What is counted here is seen below; what is
        // missed below will be counted.
        let openings = openings(shared, self.me).load(Ordering::Acquire);
        if self.seen != Some(openings) {
            self.seen = Some(openings);
            self.list(shared);
        }
    }

    #[cold]
    fn list(&mut self, shared: &Shared) {
        let mut found = Vec::with_capacity(self.rings.len() + 1);
        for index in indices(shared) {
            let ring = Ring::of(shared, index);
            let Some((word, receiver)) = ring.ends() else {
                continue;
            };
            if receiver != self.me || word.state() == State::Closed {
                continue;
            }
            let sender = word.sender();
            let ending = word.state() == State::Ending || !client::is_attached(shared, sender);
            let known = self.rings.iter().find(|it| it.index == index && it.sender == sender && !it.gone);
            // The head in shared memory is this side's own word, so it is as good as a known one.
            let head = known.map_or_else(|| ring.head_cell().load(Ordering::Relaxed), |it| it.head);
            found.push(Incoming { index, sender, head, ending, gone: false });
        }
        self.rings = found;
    }
}

impl Incoming {
    /// Takes up to `budget` frames.
    fn drain(
        &mut self,
        shared: &Shared,
        budget: usize,
        buffer: &mut [u8],
        f: &mut dyn FnMut(ClientKey, &[u8]),
    ) -> usize {
        let ring = Ring::of(shared, self.index);
        for taken in 0..budget {
            match ring.data().header(self.head) {
                Header::Nothing => {
                    if self.ending {
                        self.give_back(ring);
                    }
                    return taken;
                }
                Header::Nonsense => {
                    self.refuse(ring);
                    return taken;
                }
                Header::Record { len, ack } => {
                    let sender = self.sender;
                    let frame = &mut buffer[..len];
                    ring.data().read(self.head, frame);
                    let taken = Taken { incoming: self, ring, granules: granules(len), ack };
                    f(sender, frame);
                    drop(taken);
                }
            }
        }
        budget
    }

    /// Frees the empty ring unless its sender has taken it up again.
    fn give_back(&mut self, ring: Ring<'_>) {
        let word = ring.word();
        if word.sender() != self.sender {
            self.gone = true;
            return;
        }
        match word.state() {
            State::Active if client::is_attached(ring.shared, self.sender) => self.ending = false,
            // The word was read before this look: a frame that was sent before the end is seen by it.
            State::Active | State::Ending => {
                self.gone = !ring.data().is_touched(self.head) && ring.free(word);
            }
            _ => self.gone = true,
        }
    }

    /// Closes a ring that contains nonsense.
    #[cold]
    fn refuse(&mut self, ring: Ring<'_>) {
        self.gone = true;
        let mut word: Word = ring.word();
        while word.sender() == self.sender {
            let shift = match word.state() {
                State::Active => ring.shift(word, word.to(State::Closed)),
                State::Ending => ring.shift(word, word.freed()),
                _ => return,
            };
            match shift {
                Ok(closed) if closed.state() == State::Closed => {
                    // The change of state comes before the look at the sender ("Who frees a ring").
                    fence(Ordering::SeqCst);
                    if client::is_attached(ring.shared, self.sender) {
                        Doorbell::of(ring.shared, self.sender.index).ring();
                    } else {
                        ring.free(closed);
                    }
                    return;
                }
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }
}

/// Gives a frame's room back when its callback is over, also when that unwinds.
struct Taken<'a, 'r> {
    incoming: &'a mut Incoming,
    ring: Ring<'r>,
    granules: u64,
    ack: bool,
}

impl Drop for Taken<'_, '_> {
    fn drop(&mut self) {
        self.incoming.head = self.incoming.head.wrapping_add(self.granules);
        // SYNC RING-HEAD: the callback and the copy come before; pairs with the sender's loads.
        self.ring.head_cell().store(self.incoming.head, Ordering::Release);
        if self.ack {
            Doorbell::of(self.ring.shared, self.incoming.sender.index).ring();
        }
    }
}
