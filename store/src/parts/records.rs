//! The records of parts: who has which.
//!
//! The protocol stands in [`parts`](super); here are its exchanges, written once for boards and for models.

use super::{NEXT, RECORD, Status};
use crate::board::Board;
use crate::client::ClientKey;
use crate::sync::{AtomicU64, Ordering};

const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const DONE: u64 = 2;

/// Where the words are, and who lives.
pub(crate) trait Memory {
    /// Returns the word at byte `at`.
    fn word(&self, at: usize) -> &AtomicU64;

    /// Says whether a client is attached and its death has not been noticed.
    fn is_attached(&self, client: ClientKey) -> bool;
}

impl Memory for Board {
    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        self.u64(at)
    }

    fn is_attached(&self, client: ClientKey) -> bool {
        Board::is_attached(self, client)
    }
}

/// The records as one client works on them.
#[derive(Debug)]
pub(crate) struct Records<'a, M> {
    pub(crate) memory: &'a M,
    /// Where the first one is, and how many there are.
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) me: ClientKey,
}

impl<M: Memory> Records<'_, M> {
    fn word(&self, part: usize) -> &AtomicU64 {
        self.memory.word(self.first + RECORD * part)
    }

    /// The pid of who claimed a part last, for messages.
    pub(crate) fn pid(&self, part: usize) -> &AtomicU64 {
        self.memory.word(self.first + RECORD * part + 8)
    }

    fn mine(&self) -> u64 {
        let ClientKey { index, generation } = self.me;
        u64::from(generation) << 32 | u64::from(index) << 16 | CLAIMED
    }

    fn read(&self, word: u64) -> Status {
        match word & 0xff {
            FREE => Status::Free,
            DONE => Status::Done,
            // A state that nobody writes is nobody's to take.
            _ => {
                let owner = ClientKey { index: (word >> 16) as u16, generation: (word >> 32) as u32 };
                if self.memory.is_attached(owner) { Status::Filling } else { Status::Orphaned }
            }
        }
    }

    pub(crate) fn status(&self, part: usize) -> Status {
        // SYNC part: pairs with the exchange in `leave`.
        self.read(self.word(part).load(Ordering::Acquire))
    }

    /// Claims a part; the error says how it stands.
    pub(crate) fn claim(&self, part: usize) -> Result<(), Status> {
        let word = self.word(part);
        loop {
            let old = word.load(Ordering::Acquire);
            match self.read(old) {
                Status::Free | Status::Orphaned => {}
                taken => return Err(taken),
            }
            // SYNC part: pairs with the exchange in `leave`, of who gave it back.
            if word.compare_exchange(old, self.mine(), Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                self.pid(part).store(std::process::id().into(), Ordering::Relaxed);
                return Ok(());
            }
        }
    }

    /// Claims any part that is free.
    pub(crate) fn claim_any(&self) -> Option<usize> {
        // Only a hint, so that those who claim one after the other do not all look at all that are done.
        let from = self.memory.word(NEXT).load(Ordering::Relaxed) as usize % self.count;
        let part = (from..self.count).chain(0..from).find(|&part| self.claim(part).is_ok())?;
        self.memory.word(NEXT).store(part as u64 + 1, Ordering::Relaxed);
        Some(part)
    }

    /// Gives up a claim of this client, filled or not; says whether it had it. Who waits is to be woken then.
    pub(crate) fn leave(&self, part: usize, filled: bool) -> bool {
        let to = if filled { DONE } else { FREE };
        // SYNC part: what was written into the part is there for whoever reads the new word (ST-P2).
        self.word(part).compare_exchange(self.mine(), to, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn is_done(&self) -> bool {
        (0..self.count).all(|part| self.status(part) == Status::Done)
    }
}
