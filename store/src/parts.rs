//! Who fills which part of an array that several processes fill together.
//!
//! ```text
//!   control board:   0  kind               8  size of an element      16  hash of the element's type
//!                   24  dimensions        32  id of the data:16       48  parts        56  where to look next
//!                   64  dimensions x 8    then the bounds: (parts + 1) x 8, elements, ascending from 0
//!                       then a record a part:  | word:8 | pid:8 |
//!
//!   word:  | generation:32 | index:16 | - | state:8 |
//!
//!              claim                finish
//!       FREE ---------> CLAIMED ---------------> DONE, for ever
//!         ^              by index, generation
//!         |  give back    |         ^
//!         +---------------+         | claim by another, when the client is dead
//!                                   +--- CLAIMED
//! ```
//!
//! State and owner stand in one word, so each step is one exchange and a death is before or after it:
//!
//! 1. *Claim*: read the word. FREE, or CLAIMED by a client whose death was noticed: exchange it for CLAIMED by me. Nobody
//!    has to undo the dead for that; a client is no longer attached only when its process can write no more.
//! 2. *Fill*: the bytes between two bounds are the owner's alone.
//! 3. *Finish*: exchange CLAIMED by me for DONE and wake. Who dies before the wake is covered by the wake after deaths.
//! 4. *Give back*: exchange CLAIMED by me for FREE and wake.
//!
//! The exchanges cannot mistake an old word for a new one: a [`ClientKey`](crate::client::ClientKey) names one client ever (ST-2), and a client claims
//! a part again only when its last claim is given back.
//!
//! Invariants:
//! - **ST-P1** A part has at most one owner, and only an owner writes it.
//! - **ST-P2** DONE is never left. What was written before is visible to whoever reads DONE.
//! - **ST-P3** The pid of a record is for messages only; nothing is decided by it.

pub(crate) mod records;

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Instant;

use self::records::Records;
use crate::array::{MAX_DIMENSIONS, elements};
use crate::board::Board;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ObjectId;
use crate::options::ObjectOptions;
use crate::store::Store;
use crate::sync::Ordering;

const KIND: u64 = u64::from_le_bytes(*b"parts001");
const SIZE: usize = 8;
const TYPE: usize = 16;
const DIMENSIONS: usize = 24;
const DATA: usize = 32;
const PARTS: usize = 48;
const NEXT: usize = 56;
const SHAPE: usize = 64;
/// Bytes of a part's record.
const RECORD: usize = 16;
/// More parts than this are a mistake.
pub(crate) const MAX_PARTS: usize = 1 << 20;

/// What an element is: size and hash of the type's name.
pub(crate) type Element = (usize, u64);

/// How a part stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    Free,
    /// Its owner lives.
    Filling,
    /// Its owner was killed, and nobody has claimed it since.
    Orphaned,
    Done,
}

/// The control board of an array that is filled together.
#[derive(Debug)]
pub(crate) struct Parts {
    board: Board,
    pub(crate) data: ObjectId,
    pub(crate) shape: Vec<usize>,
    bounds: Vec<usize>,
    /// Where the first part's record is.
    first: usize,
}

impl Parts {
    /// Makes the control board for the object `data`; `bounds` ascend from 0 to the number of elements.
    ///
    /// # Errors
    ///
    /// As [`Board::create`].
    pub(crate) fn create(
        store: &Store,
        data: ObjectId,
        element: Element,
        shape: &[usize],
        bounds: Vec<usize>,
    ) -> Result<Parts> {
        let parts = bounds.len().saturating_sub(1);
        let [low, high] = data.to_words();
        let mut words = vec![(SIZE, element.0 as u64), (TYPE, element.1), (DIMENSIONS, shape.len() as u64)];
        words.extend([(DATA, low), (DATA + 8, high), (PARTS, parts as u64)]);
        let rest = shape.iter().chain(&bounds).enumerate();
        words.extend(rest.map(|(n, &value)| (SHAPE + 8 * n, value as u64)));
        let records = SHAPE + 8 * (shape.len() + bounds.len());
        let len = records + RECORD * parts;
        let board = Board::create(store, KIND, len, len, &words, ObjectOptions::new())?;
        Ok(Parts { board, data, shape: shape.to_vec(), bounds, first: records })
    }

    /// Opens a control board for elements of this type, and holds all of it against what can be (ST-B2).
    ///
    /// # Errors
    ///
    /// As [`Board::open`]; [`is_invalid_argument`](Error::is_invalid_argument) if it is for elements of another type.
    pub(crate) fn open(store: &Store, id: ObjectId, element: Element) -> Result<Parts> {
        let board = Board::open(store, id, KIND)?;
        let number = |at: usize| board.u64(at).load(Ordering::Relaxed);
        let corrupt =
            || Error::from(ErrorKind::Corrupt(vec![format!("the parts of array {id} contradict each other")]));
        if board.len() < SHAPE {
            return Err(corrupt());
        }
        if (number(SIZE), number(TYPE)) != (element.0 as u64, element.1) {
            let size = number(SIZE);
            return Err(Error::invalid(format!("the elements of array {id} have {size} bytes and another type")));
        }
        let (dimensions, parts) = (number(DIMENSIONS) as usize, number(PARTS) as usize);
        if dimensions > MAX_DIMENSIONS || parts == 0 || parts > MAX_PARTS {
            return Err(corrupt());
        }
        let records = SHAPE + 8 * (dimensions + parts + 1);
        if board.len() < records + RECORD * parts {
            return Err(corrupt());
        }
        let data = ObjectId::from_words([number(DATA), number(DATA + 8)]);
        let shape: Vec<_> = (0..dimensions).map(|n| number(SHAPE + 8 * n) as usize).collect();
        let bounds: Vec<_> = (0..=parts).map(|n| number(SHAPE + 8 * (dimensions + n)) as usize).collect();
        if !bounds.is_sorted() || bounds.first() != Some(&0) || bounds.last() != Some(&elements(&shape)?) {
            return Err(corrupt());
        }
        Ok(Parts { board, data, shape, bounds, first: records })
    }

    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    pub(crate) fn count(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Returns the elements of a part that there is.
    pub(crate) fn range(&self, part: usize) -> Option<Range<usize>> {
        Some(*self.bounds.get(part)?..*self.bounds.get(part.checked_add(1)?)?)
    }

    /// The records, as this client works on them.
    fn records(&self) -> Records<'_, Board> {
        Records { memory: &self.board, first: self.first, count: self.count(), me: self.board.me() }
    }

    pub(crate) fn status(&self, part: usize) -> Status {
        self.records().status(part)
    }

    /// Claims a part; the error says how it stands.
    pub(crate) fn claim(&self, part: usize) -> Result<(), Status> {
        self.records().claim(part)
    }

    /// Claims any part that is free.
    pub(crate) fn claim_any(&self) -> Option<usize> {
        self.records().claim_any()
    }

    /// Gives up a claim of this client, filled or not; says whether it had it.
    pub(crate) fn leave(&self, part: usize, filled: bool) -> bool {
        let left = self.records().leave(part, filled);
        if left {
            self.board.wake();
        }
        left
    }

    pub(crate) fn is_done(&self) -> bool {
        self.records().is_done()
    }

    /// Sleeps until `ready` gives a value; parts that are left and deaths wake.
    pub(crate) fn wait<R>(&self, deadline: Option<Instant>, ready: impl FnMut() -> Option<R>) -> Option<R> {
        self.board.wait(deadline, ready)
    }

    /// Names the parts that are not done, and who has them.
    pub(crate) fn missing(&self) -> String {
        const NAMED: usize = 8;
        let missing: Vec<_> = (0..self.count()).filter(|&part| self.status(part) != Status::Done).collect();
        let mut text = format!("{} of {} parts are not filled: ", missing.len(), self.count());
        for (n, &part) in missing.iter().take(NAMED).enumerate() {
            let _ = write!(text, "{}{part} ({})", if n == 0 { "" } else { ", " }, self.describe(part));
        }
        if missing.len() > NAMED {
            text.push_str(" ...");
        }
        text
    }

    /// Says how a part stands, for messages.
    pub(crate) fn describe(&self, part: usize) -> String {
        let pid = self.records().pid(part).load(Ordering::Relaxed);
        match self.status(part) {
            Status::Free => "free".to_owned(),
            Status::Filling => format!("being filled by pid {pid}"),
            Status::Orphaned => format!("free, pid {pid} died filling it"),
            Status::Done => "filled".to_owned(),
        }
    }
}
