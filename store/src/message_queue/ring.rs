//! A ring of cells on a board: what a bounded queue is, and an unbounded one has several of.
//!
//! The exchanges are those of [`cells`](super::cells); here are the messages in the cells, and what a ring says of itself.

use super::cells::{self, Cells, NoRoom};
use super::{C_LEN, CELL_HEADER, CELLS, FEWEST, H_BYTES, H_CELLS, H_CLOSED};
use crate::board::Board;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ObjectId;
use crate::options::ObjectOptions;
use crate::store::Store;
use crate::sync::Ordering;

/// The cells of a board, as one client works on them.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    pub(super) board: Board,
    pub(super) cells: u64,
    pub(super) bytes: usize,
    /// What this client is called in words.
    me: u32,
}

/// Returns how far cells for messages of so many bytes are apart.
pub(super) fn stride(bytes: usize) -> Option<usize> {
    bytes.checked_next_multiple_of(64)?.checked_add(CELL_HEADER)
}

/// Returns how many bytes the board of a ring has.
fn whole(cells: usize, bytes: usize) -> Option<usize> {
    stride(bytes)?.checked_mul(cells)?.checked_add(CELLS)
}

impl Ring {
    /// Makes a ring of at least `capacity` cells.
    pub(super) fn create(
        store: &Store,
        (id, kind): (ObjectId, u64),
        capacity: usize,
        bytes: usize,
        options: ObjectOptions,
    ) -> Result<Self> {
        let cells = capacity.max(FEWEST).next_power_of_two();
        let whole = whole(cells, bytes).ok_or_else(|| {
            Error::invalid(format!("a queue of {capacity} messages of {bytes} bytes is beyond memory"))
        })?;
        let words = [(H_CELLS, cells as u64), (H_BYTES, bytes as u64)];
        Ring::of(Board::create_as(store, id, kind, whole, whole, &words, options)?)
    }

    /// Reads what a ring says of itself (ST-B2).
    pub(super) fn of(board: Board) -> Result<Self> {
        let number = |at: usize| usize::try_from(board.u64(at).load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let (cells, bytes) = (number(H_CELLS), number(H_BYTES));
        if !cells.is_power_of_two() || whole(cells, bytes).is_none_or(|whole| whole > board.len()) {
            return Err(Error::invalid(format!("queue {} contradicts itself", board.id())));
        }
        let me = cells::name(board.me());
        Ok(Ring { board, cells: cells as u64, bytes, me })
    }

    /// Says whether nothing more is put here.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.board.u64(H_CLOSED).load(Ordering::SeqCst) != 0
    }

    /// Has nothing more put here; says whether that is new.
    pub(super) fn end(&self) -> bool {
        self.board.u64(H_CLOSED).swap(1, Ordering::SeqCst) == 0
    }

    /// Returns about how many messages wait.
    pub(super) fn len(&self) -> usize {
        let (head, tail) = (self.board.u64(super::H_HEAD), self.board.u64(super::H_TAIL));
        let waiting = tail.load(Ordering::Relaxed).saturating_sub(head.load(Ordering::Relaxed));
        waiting.min(self.cells) as usize
    }

    /// Puts a message that is not too long, unless `is_over`, which is asked before and after a cell is claimed.
    #[inline]
    pub(super) fn put(&self, message: &[u8], is_over: impl Fn() -> bool) -> Result<(), NoRoom> {
        let cells = self.cells();
        let position = cells.claim_room(is_over)?;
        let cell = cells.at(position);
        self.board.u64(cell + C_LEN).store(message.len() as u64, Ordering::Relaxed);
        if let Some(bytes) = self.board.bytes(cell + CELL_HEADER, message.len()) {
            // SAFETY: inside the board; the cell is this thread's until the store below (ST-Q1), and `message` is not in it:
            // nobody has a slice of a cell that is EMPTY.
            unsafe { std::ptr::copy_nonoverlapping(message.as_ptr(), bytes, message.len()) };
        }
        cells.publish(position);
        Ok(())
    }

    #[cold]
    pub(super) fn nonsense(&self) -> Error {
        ErrorKind::Corrupt(vec![format!("the cells of queue {} contradict each other", self.board.id())]).into()
    }

    /// Shows a claimed message where it is, and gives its cell back.
    #[inline]
    pub(super) fn take<R>(&self, position: u64, take: impl FnOnce(&[u8]) -> R) -> R {
        /// Gives a cell back, also when it is left by a panic.
        struct Taken<'a>(Cells<'a, Board>, u64);
        impl Drop for Taken<'_> {
            fn drop(&mut self) {
                self.0.give_up(self.1);
            }
        }
        let cell = self.cells().at(position);
        let _taken = Taken(self.cells(), position);
        let len = self.board.u64(cell + C_LEN).load(Ordering::Relaxed);
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.bytes);
        let message = match self.board.bytes(cell + CELL_HEADER, len) {
            // SAFETY: inside the board, which this handle pins; the cell is this thread's until `_taken` is dropped (ST-Q1).
            Some(bytes) if len > 0 => unsafe { std::slice::from_raw_parts(bytes.cast_const(), len) },
            _ => &[],
        };
        take(message)
    }

    /// The cells, as this client works on them.
    #[inline]
    pub(super) fn cells(&self) -> Cells<'_, Board> {
        let stride = self.bytes.next_multiple_of(64) + CELL_HEADER;
        Cells { memory: &self.board, cells: self.cells, stride, me: self.me }
    }
}
