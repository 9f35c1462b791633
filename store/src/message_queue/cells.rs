//! The cells of a queue: who has which, over whatever words they are.
//!
//! The protocol stands in [`message_queue`](super); here are its exchanges, written once for boards and for models.

use super::{CELLS, H_HEAD, H_TAIL};
use crate::board::Board;
use crate::client::ClientKey;
use crate::sync::{AtomicU64, Ordering};

const EMPTY: u64 = 0;
const WRITING: u64 = 1;
const FULL: u64 = 2;
const READING: u64 = 3;

/// Where the words are, and who lives.
pub(crate) trait Memory {
    /// Returns the word at byte `at`.
    fn word(&self, at: usize) -> &AtomicU64;

    /// Says whether the process of that name is gone.
    fn is_orphan(&self, owner: u32) -> bool;
}

impl Memory for Board {
    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        self.u64(at)
    }

    fn is_orphan(&self, owner: u32) -> bool {
        self.living((owner & 0xff) as u16).is_none_or(|key| name(key) != owner)
    }
}

/// Returns what a client is called in words: 22 bits of its generation, and its index.
pub(crate) fn name(key: ClientKey) -> u32 {
    (key.generation << 8 | u32::from(key.index & 0xff)) & (u32::MAX >> 2)
}

/// A cell's word, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word(u64);

impl Word {
    fn new(lap: u32, owner: u32, state: u64) -> Word {
        Word(u64::from(lap) << 32 | u64::from(owner) << 2 | state)
    }

    fn lap(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn owner(self) -> u32 {
        (self.0 as u32) >> 2
    }

    fn state(self) -> u64 {
        self.0 & 3
    }
}

/// What was found at a position.
enum Found {
    /// The cell is the caller's now; its position.
    Mine(u64),
    /// There is nothing to have: it is full, or empty.
    Nothing,
    /// The cells contradict each other.
    Nonsense,
}

/// Why there is no cell to put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Full,
    /// Nothing more is put here.
    Over,
    /// The cells contradict each other.
    Nonsense,
}

/// What a consumer has seen at the head.
pub(crate) enum Seen {
    /// The message at this position is the caller's now.
    Message(u64),
    Nothing,
    /// Nothing, and nothing will come.
    End,
    /// The cells contradict each other.
    Nonsense,
}

/// A walk along the cells of more steps than this for each cell never ends: a hint lags by little, and each step behind
/// it is of a message that somebody else put or took meanwhile.
const STEPS_A_CELL: u64 = 64;

/// The cells as one client works on them.
#[derive(Debug)]
pub(crate) struct Cells<'a, M> {
    pub(crate) memory: &'a M,
    /// How many there are: a power of two.
    pub(crate) cells: u64,
    /// How far apart they are.
    pub(crate) stride: usize,
    /// What the client is called.
    pub(crate) me: u32,
}

impl<M: Memory> Cells<'_, M> {
    /// Where a position's cell is.
    #[inline]
    pub(crate) fn at(&self, position: u64) -> usize {
        CELLS + (position & (self.cells - 1)) as usize * self.stride
    }

    /// Where a position's cell is, and which lap it is.
    #[inline]
    fn split(&self, position: u64) -> (usize, u32) {
        (self.at(position), (position / self.cells) as u32)
    }

    /// The next position at which a cell that is `ahead` laps in front of one can have anything.
    fn next(&self, position: u64, ahead: i32) -> u64 {
        // Any number is a position, whatever the words say (ST-B2).
        let laps = u64::from(ahead.unsigned_abs().saturating_sub(1));
        position.wrapping_add(self.cells.wrapping_mul(laps)).wrapping_add(1)
    }

    /// How many steps a walk has.
    fn steps(&self) -> u64 {
        self.cells.saturating_mul(STEPS_A_CELL)
    }

    /// Makes a message that was written at a claimed position one that can be taken.
    #[inline]
    pub(crate) fn publish(&self, position: u64) {
        let (cell, lap) = self.split(position);
        // SYNC QUEUE-CELL: the message is there for who takes the cell.
        self.memory.word(cell).store(Word::new(lap, 0, FULL).0, Ordering::Release);
    }

    /// Gives the cell of a claimed position on to the next lap, whether it was read or never written.
    #[inline]
    pub(crate) fn give_up(&self, position: u64) {
        let (cell, lap) = self.split(position);
        // SYNC QUEUE-CELL: what was read was read before the cell is written again.
        self.memory.word(cell).store(Word::new(lap.wrapping_add(1), 0, EMPTY).0, Ordering::Release);
    }

    /// Gives the cell of a dead process on; says whether that is done, by whomever.
    #[cold]
    fn give_on(&self, cell: usize, word: Word) -> bool {
        let orphan = self.memory.is_orphan(word.owner());
        if orphan {
            let free = Word::new(word.lap().wrapping_add(1), 0, EMPTY);
            // SYNC QUEUE-CELL: nobody reads or writes what the dead one had.
            let _ = self.memory.word(cell).compare_exchange(word.0, free.0, Ordering::SeqCst, Ordering::Relaxed);
        }
        orphan
    }

    /// Claims the first cell behind the tail that is empty.
    #[inline]
    fn claim_empty(&self) -> Found {
        let hint = self.memory.word(H_TAIL);
        let mut position = hint.load(Ordering::Relaxed);
        for _ in 0..self.steps() {
            let (cell, lap) = self.split(position);
            // SYNC QUEUE-CELL: pairs with the stores of owners.
            let word = Word(self.memory.word(cell).load(Ordering::Acquire));
            match word.lap().wrapping_sub(lap) as i32 {
                0 if word.state() == EMPTY => {
                    let mine = Word::new(lap, self.me, WRITING);
                    let claimed =
                        self.memory.word(cell).compare_exchange(word.0, mine.0, Ordering::SeqCst, Ordering::Relaxed);
                    if claimed.is_ok() {
                        hint.store(position.wrapping_add(1), Ordering::Relaxed);
                        return Found::Mine(position);
                    }
                }
                // The hint lags.
                ahead if ahead >= 0 => position = self.next(position, ahead),
                _ if matches!(word.state(), WRITING | READING) && self.give_on(cell, word) => {}
                _ => return Found::Nothing,
            }
        }
        Found::Nonsense
    }

    /// Claims the first cell behind the head, if it is full.
    #[inline]
    fn claim_full(&self) -> Found {
        let hint = self.memory.word(H_HEAD);
        let mut position = hint.load(Ordering::Relaxed);
        for _ in 0..self.steps() {
            let (cell, lap) = self.split(position);
            // SYNC QUEUE-CELL: pairs with the stores of owners.
            let word = Word(self.memory.word(cell).load(Ordering::Acquire));
            match (word.lap().wrapping_sub(lap) as i32, word.state()) {
                (0, FULL) => {
                    let mine = Word::new(lap, self.me, READING);
                    let claimed =
                        self.memory.word(cell).compare_exchange(word.0, mine.0, Ordering::SeqCst, Ordering::Relaxed);
                    if claimed.is_ok() {
                        hint.store(position.wrapping_add(1), Ordering::Relaxed);
                        return Found::Mine(position);
                    }
                }
                (0, WRITING) if self.give_on(cell, word) => {}
                // The hint lags.
                (0, READING) => position = self.next(position, 0),
                (ahead, _) if ahead > 0 => position = self.next(position, ahead),
                _ => return Found::Nothing,
            }
        }
        Found::Nonsense
    }

    /// Claims a cell to put into, unless `is_over`, which is asked before and after ("Closing").
    #[inline]
    pub(crate) fn claim_room(&self, is_over: impl Fn() -> bool) -> Result<u64, NoRoom> {
        if is_over() {
            return Err(NoRoom::Over);
        }
        let position = match self.claim_empty() {
            Found::Mine(position) => position,
            Found::Nothing => return Err(NoRoom::Full),
            Found::Nonsense => return Err(NoRoom::Nonsense),
        };
        // After the exchange, in one order with what ends the queue.
        if is_over() {
            self.give_up(position);
            return Err(NoRoom::Over);
        }
        Ok(position)
    }

    /// Claims the next message; `ended` says whether nothing more is put here, and was looked at before ("Closing").
    #[inline]
    pub(crate) fn claim_message(&self, ended: bool) -> Seen {
        match self.claim_full() {
            Found::Mine(position) => Seen::Message(position),
            Found::Nothing if ended && self.is_drained() => Seen::End,
            Found::Nothing => Seen::Nothing,
            Found::Nonsense => Seen::Nonsense,
        }
    }

    /// Says whether nothing is at the head, not even on its way.
    fn is_drained(&self) -> bool {
        let mut position = self.memory.word(H_HEAD).load(Ordering::Relaxed);
        for _ in 0..self.steps() {
            let (cell, lap) = self.split(position);
            let word = Word(self.memory.word(cell).load(Ordering::SeqCst));
            match (word.lap().wrapping_sub(lap) as i32, word.state()) {
                (0, EMPTY) => return true,
                (0, READING) => position = self.next(position, 0),
                (ahead, _) if ahead > 0 => position = self.next(position, ahead),
                (0, _) => return false,
                _ => return true,
            }
        }
        true
    }
}
