//! Message rings between processes: one for each pair of a sending and a receiving client.
//!
//! A ring is a byte queue with one producer ([`RingSender`]) and one consumer (the receiver's
//! [`Mailbox`]). All rings lie in a table in the control segment; a sender takes one when it first
//! has something to say to a peer, and its receiver gives it back when the sender is through.
//!
//! ```text
//!   header (256 bytes)
//!     0  word {generation:20 | sender's generation:32 | sender's index:8 | state:4}
//!     8  receiver {generation:32 | index:16}, written while OPEN
//!    16  tail: where a sender that closed its end stopped
//!   128  head: how far the receiver has taken frames (its own line pair: the only word of the
//!        header that changes while a ring is in use)
//!   256  data, 1,024 granules of 64 bytes (ring/record.rs)
//!
//!                      sender killed: reaper
//!        +-------------------------------------------+------------------------+
//!        v                                           |                        |
//!     +------+  sender: claim   +------+  sender  +--------+  receiver:    +--------+
//!     | FREE | ---------------> | OPEN | -------> | ACTIVE | ------------> | CLOSED |
//!     |  0   |                  |  1   |          |   2    |  frame is     |   4    |
//!     +------+                  +------+          +--------+  nonsense     +--------+
//!        ^                                sender:  |      ^
//!        |                                drop     v      | sender: opens again
//!        |  receiver: drained           +--------+ |      | (next generation)
//!        +------------------------------| ENDING |-+------+
//!                                       |   3    |
//!                                       +--------+
//! ```
//!
//! # Opening
//!
//! ```text
//!   O1  CAS  FREE -> OPEN, naming the sender
//!   O2  receiver, head = 0, first record's header = 0
//!   O3  CAS  OPEN -> ACTIVE (RING-WORD)
//!   O4  the receiver's count of openings + 1 (RING-OPENED), ring its bell
//! ```
//!
//! A mailbox looks through the table when that count has moved. A ring that its sender dropped and
//! that the receiver has not given back is taken up again (ENDING -> ACTIVE), so frames of a pair
//! stay in order over a drop.
//!
//! # Who frees a ring
//!
//! | its sender           | its receiver   | freed by                                              |
//! |----------------------|----------------|-------------------------------------------------------|
//! | any, OPEN            | -              | the sender, or its reaper                             |
//! | attached, ACTIVE     | attached       | nobody                                                |
//! | dropped it, ENDING   | attached       | the receiver, once drained                            |
//! | dead                 | attached       | the receiver, once drained                            |
//! | attached             | closed it      | the sender, when it drops its end                     |
//! | attached, ACTIVE     | dead           | the sender, when it drops its end                     |
//! | dropped it, or dead  | dead           | the reaper that comes second, or the sender's drop    |
//! | dead                 | closed it      | the sender's reaper, or the receiver as it closes it  |
//!
//! Each row is one CAS from the word that was judged to {generation + 1, FREE}. Nothing has to be
//! cleaned: whoever claims a ring writes all that its successor reads. Where two may free (the last
//! three rows), each first makes its own change (its state, or the client word of the dead), then
//! passes a SeqCst fence, then looks at the other's: at least one sees both ends gone, and the
//! generation lets one CAS win.
//!
//! # Invariants
//!
//! - **ST-R1** Every change of a ring's word is one CAS, and the word names its sender from OPEN on:
//!   a ring that is not FREE has an owner whose death is noticed.
//! - **ST-R2** A ring with an attached receiver that lists it is freed by that receiver alone. So
//!   a mailbox never reads a ring that has become another's.
//! - **ST-R3** A ring is freed once for each generation; no CAS that was decided in one generation
//!   succeeds in another (2^20 of them with the same sender would have to pass in between).
//! - **ST-R4** Before a record's header is published, the header after it is zero: a receiver at
//!   a position reads nothing or a whole record, wherever the sender was killed.
//! - **ST-R5** The head moves past a frame only after the frame's callback is over: what a frame
//!   refers to is held by its sender until then, and the sender's reaper waits for it
//!   ([`undrained_from`]).
//! - **ST-R6** What a ring contains is only ever copied out, word by word, at offsets that are
//!   masked into its own bytes, and every length is checked: a hostile peer can make its own ring
//!   useless and nothing else. A header that makes no sense closes the ring.
//! - **ST-R7** Nobody waits for a ring's other end: full, closed and dead are errors or no news.
//!
//! # SIGKILL at any instruction
//!
//! The sender, killed
//! - before O1, or after its drop: nothing is left of it but an ENDING ring, which the receiver frees.
//! - between O1 and O3: the ring is OPEN and named after it; the reaper frees it. No receiver reads
//!   the fields of an OPEN ring.
//! - between O3 and O4, or anywhere later: the reaper counts an opening and rings the receiver's bell;
//!   the receiver lists the ring, takes the whole records in it (ST-R4), and frees it.
//! - while it frees: the CAS has happened or not.
//!
//! The receiver, killed
//! - before the head is published: the frame counts as not taken ([`RingSender::taken`]).
//! - before it rings for an acknowledged frame: the reaper rings the senders' bells.
//! - before it frees a drained ring: the reaper does.
//!
//! A reaper, killed: the sweep is done again from its start by the next one.
//!
//! # What it does not do
//!
//! It does not keep order between two senders, does not confirm what a receiver did with a frame,
//! and does not split: longer messages go into the store. Two threads of a process that open the
//! first ring to the same peer at the same moment may get one each; the store's handle keeps a lock
//! over it.

mod mailbox;
#[cfg(all(test, loom))]
mod proof;
mod record;
mod sender;

use crate::bell::{self, Doorbell};
use crate::client::{self, ClientKey};
use crate::layout::{C_OPENED, H_RINGS_EVER, MAX_CLIENTS};
use crate::shared::Shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

pub use mailbox::Mailbox;
pub use record::MAX_FRAME;
pub use sender::{RingError, RingSender, SendError};

/// What two processes must agree on about a ring.
pub(crate) const LAYOUT: &[usize] = &[R_WORD, R_RECEIVER, R_TAIL, R_HEAD, record::GRANULE, MAX_FRAME];

const R_WORD: usize = 0;
const R_RECEIVER: usize = 8;
const R_TAIL: usize = 16;
const R_HEAD: usize = 128;

/// How often a word may move under a look at its ring. Living ends move it a few times at most; who
/// moves it more often only wants to keep others busy, and the ring is left to itself.
const PATIENCE: usize = 64;

/// A ring's state and sender: the one word that every transition of a ring goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Open,
    Active,
    Ending,
    Closed,
    /// Not a state: somebody wrote into the table. Such a ring is left alone.
    Nonsense,
}

// The sender's index has eight bits.
const _: () = assert!(MAX_CLIENTS <= 1 << 8);

impl Word {
    const GENERATIONS: u64 = (1 << 20) - 1;

    fn state(self) -> State {
        match self.0 & 0xf {
            0 => State::Free,
            1 => State::Open,
            2 => State::Active,
            3 => State::Ending,
            4 => State::Closed,
            _ => State::Nonsense,
        }
    }

    fn sender(self) -> ClientKey {
        ClientKey { index: (self.0 >> 4 & 0xff) as u16, generation: (self.0 >> 12) as u32 }
    }

    fn claimed(self, sender: ClientKey) -> Word {
        let key = u64::from(sender.index & 0xff) << 4 | u64::from(sender.generation) << 12;
        Word(self.0 & !((1 << 44) - 1) | key | State::Open as u64)
    }

    fn to(self, state: State) -> Word {
        Word(self.0 & !0xf | state as u64)
    }

    fn next_generation(self) -> Word {
        Word((self.0 >> 44).wrapping_add(1) << 44 | self.0 & ((1 << 44) - 1))
    }

    fn freed(self) -> Word {
        Word((self.0 >> 44 & Self::GENERATIONS).wrapping_add(1) << 44)
    }
}

/// One place of the table of rings.
#[derive(Debug, Clone, Copy)]
struct Ring<'a> {
    shared: &'a Shared,
    at: usize,
}

impl<'a> Ring<'a> {
    #[inline]
    fn of(shared: &'a Shared, index: u32) -> Ring<'a> {
        Ring { shared, at: shared.layout.ring(index as usize) }
    }

    #[inline]
    fn word_cell(self) -> &'a AtomicU64 {
        self.shared.ctl.u64(self.at + R_WORD)
    }

    #[inline]
    fn head_cell(self) -> &'a AtomicU64 {
        self.shared.ctl.u64(self.at + R_HEAD)
    }

    fn tail_cell(self) -> &'a AtomicU64 {
        self.shared.ctl.u64(self.at + R_TAIL)
    }

    #[inline]
    fn data(self) -> record::Data<'a> {
        record::Data::of(&self.shared.ctl, self.at)
    }

    #[inline]
    fn word(self) -> Word {
        // SYNC RING-WORD: pairs with the exchange in `shift`.
        Word(self.word_cell().load(Ordering::Acquire))
    }

    /// Moves the word, or returns what it has become instead.
    fn shift(self, from: Word, to: Word) -> Result<Word, Word> {
        // SYNC RING-WORD: whoever reads the new word sees what its author wrote into the ring before.
        match self.word_cell().compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(to),
            Err(now) => Err(Word(now)),
        }
    }

    fn free(self, from: Word) -> bool {
        self.shift(from, from.freed()).is_ok()
    }

    fn set_receiver(self, receiver: ClientKey) {
        let packed = u64::from(receiver.generation) << 32 | u64::from(receiver.index);
        // SYNC RING-RECEIVER: whoever reads this sees that the word says OPEN; pairs with `ends`.
        self.shared.ctl.u64(self.at + R_RECEIVER).store(packed, Ordering::Release);
    }

    /// Returns the word and the receiver of one and the same generation; `None` if there is no receiver yet.
    fn ends(self) -> Option<(Word, ClientKey)> {
        let mut word = self.word();
        for _ in 0..PATIENCE {
            if matches!(word.state(), State::Free | State::Open | State::Nonsense) {
                return None;
            }
            // SYNC RING-RECEIVER: a later generation's receiver brings a later word with it, which the
            // second look sees. So if the word has not moved, this is its receiver.
            let packed = self.shared.ctl.u64(self.at + R_RECEIVER).load(Ordering::Acquire);
            let again = self.word();
            if again == word {
                return Some((word, ClientKey { index: packed as u16, generation: (packed >> 32) as u32 }));
            }
            word = again;
        }
        None
    }
}

/// The count of openings towards a client: its mailbox looks through the table when it has moved.
#[inline]
fn openings(shared: &Shared, receiver: ClientKey) -> &AtomicU32 {
    shared.ctl.u32(shared.layout.client(receiver.index.into()) + C_OPENED)
}

/// Makes a receiver look through the table, asleep or awake.
fn announce(shared: &Shared, receiver: ClientKey) {
    // SYNC RING-OPENED: pairs with the load in the mailbox, which then sees the ring's word.
    openings(shared, receiver).fetch_add(1, Ordering::Release);
    Doorbell::of(shared, receiver.index).ring();
}

/// The rings that were ever used: all others are FREE.
fn indices(shared: &Shared) -> std::ops::Range<u32> {
    // SYNC RINGS-EVER: pairs with `reach`, which comes before a ring's first claim.
    let used = shared.ctl.u64(H_RINGS_EVER).load(Ordering::SeqCst);
    0..u32::try_from(used.min(shared.layout.rings as u64)).unwrap_or(u32::MAX)
}

/// Counts a ring among those that were ever used, before it is claimed.
fn reach(shared: &Shared, index: u32) {
    let used = shared.ctl.u64(H_RINGS_EVER);
    if used.load(Ordering::Relaxed) <= u64::from(index) {
        // SYNC RINGS-EVER: pairs with `indices`.
        used.fetch_max(u64::from(index) + 1, Ordering::SeqCst);
    }
}

/// Lets go of every ring that `dead` was an end of, tells the other ends, and wakes all sleepers.
///
/// The word of `dead` must not say ALIVE any more, and its process must not touch rings any more.
/// What still lies in a ring towards an attached receiver stays there. Can be done again at any time.
pub(crate) fn sweep(shared: &Shared, dead: ClientKey) {
    // The change of the client's word comes before every look at a ring's word ("Who frees a ring").
    fence(Ordering::SeqCst);
    for index in indices(shared) {
        sweep_one(Ring::of(shared, index), dead);
    }
    // It may have been killed between taking a sleeper's word away and waking it.
    bell::wake_everybody(shared);
}

fn sweep_one(ring: Ring<'_>, dead: ClientKey) {
    let shared = ring.shared;
    // Each turn that does not return saw the word move.
    for _ in 0..PATIENCE {
        let word = ring.word();
        if word.state() == State::Open {
            if word.sender() != dead || ring.free(word) {
                return;
            }
            continue;
        }
        let Some((word, receiver)) = ring.ends() else {
            return;
        };
        let sender = word.sender();
        if sender != dead && receiver != dead {
            return;
        }
        let sends = word.state() != State::Ending && client::is_attached(shared, sender);
        let receives = word.state() != State::Closed && client::is_attached(shared, receiver);
        if sends || receives {
            if receives {
                announce(shared, receiver);
            } else {
                Doorbell::of(shared, sender.index).ring();
            }
            return;
        }
        if ring.free(word) {
            // A sender that has closed its end may still wait for an acknowledgement.
            if client::is_attached(shared, sender) {
                Doorbell::of(shared, sender.index).ring();
            }
            return;
        }
    }
}

/// Says whether a frame of the dead client `sender` waits for an attached receiver.
///
/// Until it says no, what the sender held must stay held (ST-R5). Once no, it stays no. It becomes
/// no when the receiver has drained the ring, which its mailbox reports to
/// [`Host::drained`](crate::host::Host::drained), or when the receiver dies: whoever reaps
/// a receiver asks again for the dead senders that wait.
pub(crate) fn undrained_from(shared: &Shared, sender: ClientKey) -> bool {
    fence(Ordering::SeqCst);
    indices(shared).any(|index| {
        let ring = Ring::of(shared, index);
        let Some((word, receiver)) = ring.ends() else {
            return false;
        };
        word.sender() == sender
            && word.state() != State::Closed
            && client::is_attached(shared, receiver)
            && ring.data().holds_record(ring.head_cell().load(Ordering::Acquire))
    })
}

#[cfg(test)]
mod tests;
