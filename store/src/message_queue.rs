//! Queues of messages: any number of producers and consumers, in any process, with nobody in between.
//!
//! ```text
//!   board:  | sizes | closed | head hint | tail hint | cell 0 | cell 1 | ...
//!
//!   cell word  {lap:32 | owner's generation:22 | owner's index:8 | state:2}
//!
//!             producer: one exchange            producer: one store
//!   EMPTY(l) ------------------------> WRITING(l) ------------------> FULL(l)
//!      ^                                   |                             | consumer: one exchange
//!      |     consumer: one store           | owner dead                  v
//!      +---- EMPTY(l + 1) <----------------+------------------------- READING(l)
//! ```
//!
//! A position is a cell and a lap. State and owner of a cell change in one exchange, so there is no moment in which a cell
//! is taken and nobody knows by whom: whoever meets a cell of a dead process gives it on. What that was writing was never
//! published; what it was reading has been taken (at most once).
//!
//! Head and tail are *hints* of where to look first. They are stored plainly, by anybody, and may lag: a cell that is
//! ahead of the hint says so, and one walks on from there. So nobody is waited for to move them, and a message costs one
//! locked instruction on each side, and a fence before the look at who sleeps.
//!
//! # Layout
//!
//! ```text
//!     0  kind             8  cells (a power of two)      16  bytes of a cell
//!   128  closed: 1      256  head hint                  384  tail hint
//!   512  cells: the word, its length (u64), and from 64 on the message
//! ```
//!
//! # Closing
//!
//! `closed` is set before the last look at the head, and a producer looks at it after it has its cell: so either the
//! producer sees it and gives the cell on, or the consumer sees the cell and waits for it. What was put before the close
//! is taken, then consumers hear of it.
//!
//! # Without a bound
//!
//! A queue that grows is a chain of such boards, which the root of the queue holds ([`chain`]).
//!
//! # SIGKILL at any instruction
//!
//! - a producer before its exchange: nothing has happened; until FULL: the cell is skipped; after: the message is there.
//! - a consumer until EMPTY: the message is gone with it, the cell is free as soon as somebody meets it.
//! - anybody before a hint is stored: it lags.
//! - anybody before it wakes: every death wakes all who sleep (ST-12).
//!
//! Invariants:
//! - **ST-Q1** A cell's bytes are touched by its owner in WRITING and READING alone, for every other change needs the
//!   owner's death.
//! - **ST-Q2** A message that was put is taken at most once, and only by a consumer that has died not at all.
//! - **ST-Q3** Messages of one producer are taken in the order in which it put them: positions are taken in order.
//! - **ST-Q4** Laps have 32 bits: an exchange that was decided a lap ago and more never succeeds, unless its process was
//!   stopped for 2^32 laps of at least [`FEWEST`] messages and comes back at just that.

pub(crate) mod cells;
mod chain;
pub(crate) mod handover;
mod ring;

use std::fmt;
use std::hint::spin_loop;
use std::time::{Duration, Instant};

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::cells::{NoRoom, Seen};
use self::chain::{Chain, Link};
use self::handover::{Head, Line};
use self::ring::Ring;
use crate::board::Board;
use crate::current::current;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ObjectId;
use crate::options::ObjectOptions;
use crate::store::Store;
use crate::transfer;

const KIND: u64 = u64::from_le_bytes(*b"mbqueue1");
/// Those of a queue without a bound: its root and its rings.
const ROOT_KIND: u64 = u64::from_le_bytes(*b"mbqroot1");
const RING_KIND: u64 = u64::from_le_bytes(*b"mbqring1");
const H_CELLS: usize = 8;
const H_BYTES: usize = 16;
const H_CLOSED: usize = 128;
const H_HEAD: usize = 256;
const H_TAIL: usize = 384;
const CELLS: usize = 512;
const CELL_HEADER: usize = 64;
const C_LEN: usize = 8;

/// The fewest cells that a queue has.
const FEWEST: usize = 64;
const MOST: usize = 1 << 24;

/// How long who waits looks before it sleeps.
const LOOKING: Duration = Duration::from_micros(20);
const LOOKS: u32 = 100;

/// A queue of messages of bytes between processes of a store.
///
/// Clones and copies in other processes are the same queue; it lives as long as any of them. Messages have a greatest
/// length, and there is room for a number of them.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use mobula_store::{MessageQueue, Store, StoreOptions};
///
/// # fn main() -> mobula_store::Result<()> {
/// let store = Store::create(StoreOptions::new(1 << 20))?;
/// let queue = MessageQueue::new_in(&store, 100, 64)?;
/// queue.put(b"one", None)?;
/// assert_eq!(queue.get(None, |message| message.len())?, 3);
/// assert!(queue.get(Some(Duration::ZERO), |_| ()).unwrap_err().is_empty());
/// # Ok(())
/// # }
/// ```
pub struct MessageQueue(Shape);

#[derive(Clone)]
enum Shape {
    Bounded(Ring),
    Unbounded(Chain),
}

/// A message that was claimed, and where it is.
enum Claim<'a> {
    Here(&'a Ring, u64),
    There(std::sync::Arc<Link>, u64),
}

impl Claim<'_> {
    fn take<R>(self, take: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Claim::Here(ring, position) => ring.take(position, take),
            Claim::There(link, position) => link.ring.take(position, take),
        }
    }
}

impl MessageQueue {
    /// Makes a queue in the process's store for `capacity` messages (64 at least, rounded up to a power of two) of up to
    /// `bytes` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`new_in`](Self::new_in); [`is_disconnected`](Error::is_disconnected) before initialisation.
    pub fn new(capacity: usize, bytes: usize) -> Result<Self> {
        Self::new_in(&current()?, capacity, bytes)
    }

    /// Makes a queue in a store.
    ///
    /// # Errors
    ///
    /// [`is_invalid_argument`](Error::is_invalid_argument) for a capacity of 0 or beyond 2^24, [`is_store_full`](Error::is_store_full).
    pub fn new_in(store: &Store, capacity: usize, bytes: usize) -> Result<Self> {
        if !(1..=MOST).contains(&capacity) {
            return Err(Error::invalid(format!("a queue has room for 1 to {MOST} messages, not {capacity}")));
        }
        let name = (ObjectId::random(), KIND);
        Ok(MessageQueue(Shape::Bounded(Ring::create(store, name, capacity, bytes, ObjectOptions::new())?)))
    }

    /// Makes a queue in the process's store without a bound, for messages of up to `bytes` bytes.
    ///
    /// A put never waits for room: it makes some, as long as the store has memory. What was taken gives its memory back,
    /// but for room for about as many as ever waited at once, and for 64 at least, which stays until the queue is gone.
    ///
    /// # Errors
    ///
    /// Those of [`unbounded_in`](Self::unbounded_in); [`is_disconnected`](Error::is_disconnected) before initialisation.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mobula_store::{MessageQueue, Store, StoreOptions};
    /// # fn main() -> mobula_store::Result<()> {
    /// # let store = Store::create(StoreOptions::new(1 << 20))?;
    /// let queue = MessageQueue::unbounded_in(&store, 16)?;
    /// (0..1_000u32).try_for_each(|n| queue.put(&n.to_le_bytes(), None))?;
    /// assert_eq!(queue.get(None, |message| message.to_vec())?, [0; 4]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn unbounded(bytes: usize) -> Result<Self> {
        Self::unbounded_in(&current()?, bytes)
    }

    /// Makes a queue without a bound in a store; see [`unbounded`](Self::unbounded).
    ///
    /// # Errors
    ///
    /// [`is_store_full`](Error::is_store_full), [`is_invalid_argument`](Error::is_invalid_argument) for messages beyond memory.
    pub fn unbounded_in(store: &Store, bytes: usize) -> Result<Self> {
        Chain::create(store, bytes).map(|chain| MessageQueue(Shape::Unbounded(chain)))
    }

    /// Returns how many messages there is room for; `usize::MAX` if it has no bound.
    pub fn capacity(&self) -> usize {
        match &self.0 {
            Shape::Bounded(ring) => ring.cells as usize,
            Shape::Unbounded(_) => usize::MAX,
        }
    }

    /// The board that all who wait sleep on, and that is the queue's name.
    #[inline]
    fn board(&self) -> &Board {
        match &self.0 {
            Shape::Bounded(ring) => &ring.board,
            Shape::Unbounded(chain) => &chain.root,
        }
    }

    /// Returns the most bytes that a message can have.
    pub fn max_len(&self) -> usize {
        match &self.0 {
            Shape::Bounded(ring) => ring.bytes,
            Shape::Unbounded(chain) => chain.bytes,
        }
    }

    /// Returns about how many messages wait: others put and take them meanwhile.
    pub fn len(&self) -> usize {
        match &self.0 {
            Shape::Bounded(ring) => ring.len(),
            Shape::Unbounded(chain) => chain.len(),
        }
    }

    /// Says whether about no message waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether the queue was closed.
    pub fn is_closed(&self) -> bool {
        match &self.0 {
            Shape::Bounded(ring) => ring.is_over(),
            Shape::Unbounded(chain) => chain.is_closed(),
        }
    }

    /// Closes the queue for all: nothing more is put, and when what is there is taken, consumers are told.
    pub fn close(&self) {
        if self.board().usable().is_err() {
            return;
        }
        let new = match &self.0 {
            Shape::Bounded(ring) => ring.end(),
            Shape::Unbounded(chain) => chain.close(),
        };
        if new {
            self.board().wake();
        }
    }

    /// Puts a message, waiting for room for at most `timeout` (`None` for ever, zero not at all).
    ///
    /// # Errors
    ///
    /// [`is_closed`](Error::is_closed), [`is_timeout`](Error::is_timeout), or [`is_full`](Error::is_full) for a timeout of
    /// zero; [`is_invalid_argument`](Error::is_invalid_argument) for a message that is too long;
    /// [`is_store_full`](Error::is_store_full) if it has no bound, and the store no memory.
    pub fn put(&self, message: &[u8], timeout: Option<Duration>) -> Result<()> {
        self.put_quietly(message, timeout)?;
        self.board().wake();
        Ok(())
    }

    /// Puts messages one behind the other, waiting for room for each for at most `timeout`; returns how many it put.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), if not even the first was put.
    pub fn put_many<'m>(
        &self,
        messages: impl IntoIterator<Item = &'m [u8]>,
        timeout: Option<Duration>,
    ) -> Result<usize> {
        let mut count = 0;
        for message in messages {
            // Who sleeps is woken once, or before this side sleeps itself.
            let put = match self.put_quietly(message, Some(Duration::ZERO)) {
                Err(error) if error.is_full() && timeout.is_none_or(|timeout| !timeout.is_zero()) => {
                    self.board().wake();
                    self.put_quietly(message, timeout)
                }
                other => other,
            };
            match put {
                Ok(()) => count += 1,
                Err(error) if count == 0 => return Err(error),
                Err(_) => break,
            }
        }
        self.board().wake();
        Ok(count)
    }

    #[inline]
    fn put_quietly(&self, message: &[u8], timeout: Option<Duration>) -> Result<()> {
        if message.len() > self.max_len() {
            return Err(Error::invalid(format!(
                "a message of {} bytes does not fit into queue {}, whose messages have {} at most",
                message.len(),
                self.board().id(),
                self.max_len()
            )));
        }
        self.board().usable()?;
        let ring = match &self.0 {
            Shape::Bounded(ring) => ring,
            Shape::Unbounded(chain) => return if chain.put(message)? { Ok(()) } else { Err(self.closed()) },
        };
        self.wait(timeout, "room", || match ring.put(message, || ring.is_over()) {
            Ok(()) => Some(Ok(())),
            Err(NoRoom::Full) => None,
            Err(NoRoom::Nonsense) => Some(Err(ring.nonsense())),
            Err(NoRoom::Over) => {
                // A consumer may have waited for the cell that was given up.
                ring.board.wake();
                Some(Err(self.closed()))
            }
        })
    }

    /// Takes the next message, waiting for one for at most `timeout` (`None` for ever, zero not at all), and shows it to
    /// `take` where it is.
    ///
    /// If `take` panics the message is gone. A message that is being put hides those behind it until it is there or its
    /// producer's client was reaped.
    ///
    /// # Errors
    ///
    /// [`is_closed`](Error::is_closed) if the queue was closed and all is taken, [`is_timeout`](Error::is_timeout), or
    /// [`is_empty`](Error::is_empty) for a timeout of zero.
    pub fn get<R>(&self, timeout: Option<Duration>, take: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let taken = self.get_quietly(timeout, take)?;
        self.board().wake();
        Ok(taken)
    }

    /// Takes up to `most` messages: waits for the first for at most `timeout`, not for the others. Returns how many.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), if there is not even a first.
    pub fn get_many(&self, most: usize, timeout: Option<Duration>, mut take: impl FnMut(&[u8])) -> Result<usize> {
        if most == 0 {
            return Ok(0);
        }
        self.get_quietly(timeout, &mut take)?;
        let mut count = 1;
        while count < most && self.get_quietly(Some(Duration::ZERO), &mut take).is_ok() {
            count += 1;
        }
        self.board().wake();
        Ok(count)
    }

    #[inline]
    fn get_quietly<R>(&self, timeout: Option<Duration>, take: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.board().usable()?;
        let claim = self.wait(timeout, "message", || match &self.0 {
            Shape::Bounded(ring) => {
                // Before the look at the cells ("Closing").
                let closed = ring.is_over();
                match ring.cells().claim_message(closed) {
                    Seen::Message(position) => Some(Ok(Claim::Here(ring, position))),
                    Seen::Nothing => None,
                    Seen::End => Some(Err(self.closed())),
                    Seen::Nonsense => Some(Err(ring.nonsense())),
                }
            }
            Shape::Unbounded(chain) => match chain.claim() {
                Ok(Head::Mine(link, position)) => Some(Ok(Claim::There(link, position))),
                Ok(Head::Nothing) => None,
                Ok(Head::Closed) => Some(Err(self.closed())),
                Err(error) => Some(Err(error)),
            },
        })?;
        Ok(claim.take(take))
    }

    /// Waits until `ready` gives a value: looks for a while, then sleeps.
    fn wait<R>(
        &self,
        timeout: Option<Duration>,
        what: &str,
        mut ready: impl FnMut() -> Option<Result<R>>,
    ) -> Result<R> {
        if let Some(found) = ready() {
            return found;
        }
        let board = self.board();
        let late = || match (timeout, what) {
            (Some(after), _) if !after.is_zero() => {
                ErrorKind::Late { what: format!("{what} in queue {}", board.id()), after }
            }
            (_, "room") => ErrorKind::Full(format!("queue {} is full", board.id())),
            _ => ErrorKind::Empty(format!("queue {} is empty", board.id())),
        };
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(late().into());
        }
        let start = Instant::now();
        while start.elapsed() < LOOKING {
            for _ in 0..LOOKS {
                spin_loop();
            }
            if let Some(found) = ready() {
                return found;
            }
        }
        let deadline = timeout.and_then(|timeout| start.checked_add(timeout));
        board.wait(deadline, ready).unwrap_or_else(|| Err(late().into()))
    }

    fn closed(&self) -> Error {
        ErrorKind::Closed(format!("queue {} was closed", self.board().id())).into()
    }

    fn of(store: &Store, id: ObjectId) -> Result<Self> {
        match Board::open(store, id, KIND) {
            Err(error) if error.is_invalid_argument() => {
                let root = Board::open(store, id, ROOT_KIND)?;
                Chain::of(root).map(|chain| MessageQueue(Shape::Unbounded(chain)))
            }
            board => board.and_then(Ring::of).map(|ring| MessageQueue(Shape::Bounded(ring))),
        }
    }
}

impl Clone for MessageQueue {
    fn clone(&self) -> Self {
        MessageQueue(self.0.clone())
    }
}

impl fmt::Debug for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageQueue({}, about {}", self.board().id(), self.len())?;
        match &self.0 {
            Shape::Bounded(ring) => write!(f, " of {})", ring.cells),
            Shape::Unbounded(_) => f.write_str(")"),
        }
    }
}

impl Serialize for MessageQueue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !transfer::note(self.board().hold()) {
            return Err(S::Error::custom(
                "a queue can only be serialised into an argument, result or object of Mobula",
            ));
        }
        self.board().id().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MessageQueue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let store = transfer::decoding().ok_or_else(|| {
            D::Error::custom("a queue can only be deserialised from an argument, result or object of Mobula")
        })?;
        let id = ObjectId::deserialize(deserializer)?;
        MessageQueue::of(&store, id).map_err(transfer::refuse)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
