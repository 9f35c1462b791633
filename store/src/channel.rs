//! Channels: one writer, some readers, a ring of places that are written and read where they are.
//!
//! ```text
//!   writer                           board                                 reader i
//!   W1 room: position - every        | kind, sizes, type                |
//!      living reader's head < places | writer: end word                 |  R1 tail > position ?
//!   W2 fill the place                | tail: places published           |  R2 look at the place
//!   W3 tail += 1      (CHANNEL-TAIL) | reader i: end word, head         |  R3 head += 1   (CHANNEL-HEAD)
//!   W4 wake who waits                | place 0 | place 1 | ..           |  R4 wake who waits
//! ```
//!
//! All that both sides share lies on one board (board.rs): positions only grow, and where an end stands is in shared
//! memory, so that it can move to another process. While there is something to read and room to write nobody takes a
//! lock, a locked instruction or a system call but for the fence before a look at who sleeps.
//!
//! # Layout
//!
//! ```text
//!     0  kind                        8  places (a power of two)     16  bytes of a place
//!    24  readers                    32  size of an element          40  hash of its type's name
//!    64  readers that have ended    128  the writer's end word     256  tail
//!   384 + 256 i                         reader i: end word         +128  head
//!   then the places: 64 bytes with the length in elements, and the elements from there on
//!
//!   end word {generation:32 | client:16 | state:8}: 0 free, 1 owned, 2 ended, 3 passed; behind it the id of its
//!   ticket, and where its owner was last, a processor's number + 1 (u32)
//! ```
//!
//! # Ends
//!
//! ```text
//!               first use, here or elsewhere              close, drop
//!     FREE -----------------------------------> OWNED ------------------> ENDED
//!      ^                                          |                        ^
//!      +------------------------------------------+                        |
//!      |            handle is encoded                                      |
//!      +-------------------------------------------------------------------+
//!                  a handle that was never used or sent is dropped
//! ```
//!
//! An owner that is dead needs no state: whoever looks asks whether its client is attached, and another handle of the end
//! can take its place, as that of an actor which was restarted. It reads on from where the dead one has stopped. So before
//! the writer goes on for other readers beyond what that position allows, it makes the end PASSED by one exchange: either
//! that or the claim of another handle comes first, and a handle that comes too late is told that its end is over. An end that is FREE is waited for as long as its *ticket*
//! exists: an empty counted object, which every handle of the end holds, and every message with one. So an end that is
//! lost on its way, whoever had it there, is gone for the other side as soon as the store has taken back what that one
//! had.
//!
//! # SIGKILL at any instruction
//!
//! - the writer before W3: the place is not published, and nobody looks at it. After W3 it is whole; who sleeps is woken
//!   by the death (ST-12).
//! - a reader before R3: nobody waits for its head any more. After R3 likewise.
//! - between a claim and the first use, or between encoding a handle and its decoding: the end has an owner who is dead,
//!   or is FREE and its ticket goes with who had it.
//!
//! Invariants:
//! - **ST-C1** A place is written by the writer alone, while `tail` does not count it and every living reader has given back
//!   what was there; it is read while `tail` counts it and the reader's own head does not.
//! - **ST-C2** An end has one owner: it becomes so by one exchange from FREE. A handle that has lost it refuses.
//! - **ST-C3** Every reader sees every value that is written after the channel was made, in order and once, until it ends.
//! - **ST-C4** Nobody waits for an end that is ENDED, PASSED, dead or lost.

mod ends;
mod reader;
pub(crate) mod words;
mod writer;

use bytemuck::Pod;

use crate::array::type_hash;
use crate::board::Board;
use crate::current::current;
use crate::error::{Error, Result};
use crate::id::ObjectId;
use crate::object::ObjectView;
use crate::options::{Lifetime, ObjectOptions};
use crate::store::Store;
use crate::sync::Ordering;

use self::words::Words;

pub use self::reader::{ChannelGuard, ChannelReader};
pub use self::writer::ChannelWriter;

const KIND: u64 = u64::from_le_bytes(*b"mbchan01");
const H_PLACES: usize = 8;
const H_BYTES: usize = 16;
const H_READERS: usize = 24;
const H_ELEMENT: usize = 32;
const H_TYPE: usize = 40;
const H_ENDINGS: usize = 64;
pub(crate) const H_WRITER: usize = 128;
const H_TAIL: usize = 256;
const READERS: usize = 384;
const READER_BYTES: usize = 256;
/// From an end word to the id of its ticket.
const E_TICKET: usize = 8;
/// From an end word to where its owner was last, the processor's number + 1 (u32).
const E_PROCESSOR: usize = 24;
/// From a reader's end word to its head.
const R_HEAD: usize = 128;
/// Before the elements of a place.
const PLACE_HEADER: usize = 64;

const MOST_PLACES: usize = 1 << 20;
const MOST_READERS: usize = 1 << 10;

/// What a channel has room for.
#[derive(Debug, Clone)]
pub struct ChannelOptions {
    slots: usize,
    len: usize,
    readers: usize,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        ChannelOptions { slots: 8, len: 1, readers: 1 }
    }
}

impl ChannelOptions {
    /// Describes a channel for one reader with eight places for one element each.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many values may be on their way (rounded up to a power of two, default 8): with 1 the writer waits for
    /// the reader each time.
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// Sets how many elements a value has at most (default 1).
    pub fn len(mut self, elements: usize) -> Self {
        self.len = elements;
        self
    }

    /// Sets the greatest length to so many elements if it is smaller.
    pub fn at_least(mut self, elements: usize) -> Self {
        self.len = self.len.max(elements);
        self
    }

    /// Sets how many readers there are (default 1): each reads every value.
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers;
        self
    }
}

/// Makes a channel in the process's store: its writer and its readers.
///
/// # Errors
///
/// Those of [`channel_in`]; [`is_disconnected`](Error::is_disconnected) before initialisation.
pub fn channel<T: Pod>(options: &ChannelOptions) -> Result<(ChannelWriter<T>, Vec<ChannelReader<T>>)> {
    channel_in(&current()?, options)
}

/// Makes a channel in a store: its writer and its readers.
///
/// Its memory is `slots` times the greatest length, and goes with the last handle.
///
/// # Errors
///
/// [`is_invalid_argument`](Error::is_invalid_argument) for options without sense, [`is_store_full`](Error::is_store_full).
///
/// # Examples
///
/// ```
/// use mobula_store::{ChannelOptions, Store, StoreOptions, channel_in};
///
/// # fn main() -> mobula_store::Result<()> {
/// let store = Store::create(StoreOptions::new(1 << 20))?;
/// let (mut writer, mut readers) = channel_in::<f32>(&store, &ChannelOptions::new().slots(4).len(1000))?;
/// writer.write(|slot| slot.fill(0.5))?; // where the reader reads it
/// writer.write_slice(&[1.0, 2.0])?;
/// assert_eq!(readers[0].read()?.len(), 1000);
/// assert_eq!(&readers[0].read()?[..], [1.0, 2.0]);
/// # Ok(())
/// # }
/// ```
pub fn channel_in<T: Pod>(
    store: &Store,
    options: &ChannelOptions,
) -> Result<(ChannelWriter<T>, Vec<ChannelReader<T>>)> {
    let ChannelOptions { slots, len, readers } = *options;
    if align_of::<T>() > 64 || size_of::<T>() == 0 {
        return Err(Error::invalid(format!(
            "{} cannot be sent over a channel: its elements need a size, and an alignment of 64 at most",
            std::any::type_name::<T>()
        )));
    }
    if !(1..=MOST_PLACES).contains(&slots) || !(1..=MOST_READERS).contains(&readers) || len == 0 {
        return Err(Error::invalid(format!(
            "a channel has 1 to {MOST_PLACES} slots of one element or more and 1 to {MOST_READERS} readers, not {slots} of {len} and {readers}"
        )));
    }
    let places = slots.next_power_of_two();
    let beyond = || Error::invalid(format!("a channel of {slots} slots with {len} elements each is beyond memory"));
    let bytes = len.checked_mul(size_of::<T>()).ok_or_else(beyond)?;
    let head = READERS + READER_BYTES * readers;
    let stride = bytes.checked_next_multiple_of(64).and_then(|b| b.checked_add(PLACE_HEADER)).ok_or_else(beyond)?;
    let whole = stride.checked_mul(places).and_then(|all| all.checked_add(head)).ok_or_else(beyond)?;
    // One for each end: the writer's first.
    let counted = ObjectOptions::new().lifetime(Lifetime::Counted);
    let tickets = (0..=readers).map(|_| store.put_with(ObjectId::random(), &[], &counted));
    let tickets = tickets.collect::<Result<Vec<ObjectView>>>()?;
    let ends = std::iter::once(H_WRITER).chain((0..readers).map(|place| READERS + READER_BYTES * place));
    let ids = ends.zip(&tickets).flat_map(|(at, ticket)| {
        let words = ticket.id().to_words();
        [(at + E_TICKET, words[0]), (at + E_TICKET + 8, words[1])]
    });
    let mut words = vec![
        (H_PLACES, places as u64),
        (H_BYTES, bytes as u64),
        (H_READERS, readers as u64),
        (H_ELEMENT, size_of::<T>() as u64),
        (H_TYPE, type_hash::<T>()),
    ];
    words.extend(ids);
    let board = Board::create(store, KIND, whole, whole, &words, ObjectOptions::new())?;
    let id = board.id();
    let readers = (0..readers).map(|place| ChannelReader::open(store, id, place)).collect::<Result<Vec<_>>>()?;
    Ok((ChannelWriter::open(store, id)?, readers))
}

/// A channel as one of its ends sees it; all numbers were held against the board.
#[derive(Debug)]
struct Ring {
    board: Board,
    places: u64,
    /// The most elements of a value.
    len: usize,
    element: usize,
    readers: usize,
    /// Where the places begin, and how far apart they are.
    first: usize,
    stride: usize,
}

impl Ring {
    /// Opens a channel that somebody holds.
    fn open<T: Pod>(store: &Store, id: ObjectId) -> Result<Ring> {
        Ring::of::<T>(Board::open(store, id, KIND)?)
    }

    /// Reads what a channel says of itself (ST-B2).
    fn of<T: Pod>(board: Board) -> Result<Ring> {
        let number = |at: usize| usize::try_from(board.u64(at).load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let (places, bytes, readers) = (number(H_PLACES), number(H_BYTES), number(H_READERS));
        let name = std::any::type_name::<T>();
        // What `channel_in` refuses: the board may be of somebody who did not ask it.
        if align_of::<T>() > 64 || size_of::<T>() == 0 {
            return Err(Error::invalid(format!("{name} cannot be sent over a channel")));
        }
        if number(H_ELEMENT) != size_of::<T>() || board.u64(H_TYPE).load(Ordering::Relaxed) != type_hash::<T>() {
            return Err(Error::invalid(format!("channel {} has elements of another type than {name}", board.id())));
        }
        let first = READERS.saturating_add(READER_BYTES.saturating_mul(readers));
        let stride = bytes.checked_next_multiple_of(64).and_then(|bytes| bytes.checked_add(PLACE_HEADER));
        let whole = stride.and_then(|stride| stride.checked_mul(places)).and_then(|all| all.checked_add(first));
        let fits = whole.is_some_and(|whole| whole <= board.len()) && places.is_power_of_two() && readers > 0;
        let (Some(stride), true) = (stride, fits) else {
            return Err(Error::invalid(format!("channel {} contradicts itself", board.id())));
        };
        let len = bytes / size_of::<T>();
        Ok(Ring { board, places: places as u64, len, element: size_of::<T>(), readers, first, stride })
    }

    /// Where a position's place begins.
    fn place(&self, position: u64) -> usize {
        self.first + (position & (self.places - 1)) as usize * self.stride
    }

    /// The words, as both sides work on them.
    #[inline]
    fn words(&self) -> Words<'_, Board> {
        Words { memory: &self.board, places: self.places, readers: self.readers }
    }

    /// Returns the address of the elements of a place, `len` of them at most.
    fn elements(&self, position: u64, len: usize) -> (*mut u8, usize) {
        let len = len.min(self.len);
        let bytes = self.board.bytes(self.place(position) + PLACE_HEADER, len * self.element);
        bytes.map_or((std::ptr::null_mut(), 0), |bytes| (bytes, len))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
