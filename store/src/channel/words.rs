//! The words of a channel: who has which end, what is published and what was given back.
//!
//! The protocol stands in [`channel`](super); here are its exchanges, written once for boards and for models.

use super::{E_TICKET, H_ENDINGS, H_TAIL, H_WRITER, R_HEAD, READER_BYTES, READERS};
use crate::board::Board;
use crate::client::ClientKey;
use crate::id::ObjectId;
use crate::sync::{AtomicU64, Ordering};

const FREE: u64 = 0;
const OWNED: u64 = 1;
const ENDED: u64 = 2;
const PASSED: u64 = 3;

/// Where the words are, and who lives.
pub(crate) trait Memory {
    /// Returns the word at byte `at`.
    fn word(&self, at: usize) -> &AtomicU64;

    /// Says whether a client is attached and its death has not been noticed.
    fn is_attached(&self, client: ClientKey) -> bool;

    /// Says whether the end at byte `at`, which nobody owns, may still come to somebody.
    fn has_ticket(&self, at: usize) -> bool;
}

impl Memory for Board {
    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        self.u64(at)
    }

    fn is_attached(&self, client: ClientKey) -> bool {
        Board::is_attached(self, client)
    }

    fn has_ticket(&self, at: usize) -> bool {
        self.contains(ticket(self, at))
    }
}

/// Returns the object that everybody holds who has the end at byte `at`, or may have it.
pub(super) fn ticket(board: &Board, at: usize) -> ObjectId {
    // SYNC board: written before the board could be found.
    ObjectId::from_words([0, 8].map(|word| board.u64(at + E_TICKET + word).load(Ordering::Relaxed)))
}

/// What an end is for the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Somebody has it, or may come.
    Here,
    Ended,
    Dead,
}

/// Why an end cannot be claimed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Ended,
    /// Its owner died, and the writer went on without it.
    Passed,
    /// It is another handle's.
    Taken,
}

/// Why nothing comes any more, or there is no room any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Closed,
    Died,
}

fn owned(by: ClientKey) -> u64 {
    u64::from(by.generation) << 32 | u64::from(by.index) << 8 | OWNED
}

fn owner(word: u64) -> ClientKey {
    ClientKey { index: (word >> 8) as u16, generation: (word >> 32) as u32 }
}

/// The words of one channel.
#[derive(Debug)]
pub(crate) struct Words<'a, M> {
    pub(crate) memory: &'a M,
    /// How many places there are: a power of two.
    pub(crate) places: u64,
    pub(crate) readers: usize,
}

impl<M: Memory> Words<'_, M> {
    /// Where a reader's end word is.
    #[inline]
    pub(crate) fn reader(&self, place: usize) -> usize {
        READERS + READER_BYTES * place.min(self.readers - 1)
    }

    /// Becomes the owner of the end at byte `at` (ST-C2).
    pub(crate) fn claim(&self, at: usize, me: ClientKey) -> Result<(), Refused> {
        let (word, mine) = (self.memory.word(at), owned(me));
        // SYNC CHANNEL-END: what the owner before has left is there for the next.
        let mut claimed = word.compare_exchange(FREE, mine, Ordering::AcqRel, Ordering::Acquire);
        if let Err(before) = claimed
            && before & 0xff == OWNED
            && !self.memory.is_attached(owner(before))
        {
            // What a dead process has had goes on with whoever has the handle, as an actor that was restarted.
            claimed = word.compare_exchange(before, mine, Ordering::AcqRel, Ordering::Acquire);
        }
        match claimed {
            Ok(_) => Ok(()),
            Err(ENDED) => Err(Refused::Ended),
            Err(PASSED) => Err(Refused::Passed),
            Err(_) => Err(Refused::Taken),
        }
    }

    /// Gives the end at byte `at` up for whoever claims it next.
    pub(crate) fn release(&self, at: usize) {
        // SYNC CHANNEL-END: pairs with the next owner's claim.
        self.memory.word(at).store(FREE, Ordering::Release);
    }

    /// Ends the end at byte `at` for good, which is `by`'s, or nobody's yet; says whether it was.
    pub(crate) fn end(&self, at: usize, by: Option<ClientKey>) -> bool {
        let mine = by.map_or(FREE, owned);
        // SYNC CHANNEL-END: who sees that it is over sees all that was published before.
        let ended = self.memory.word(at).compare_exchange(mine, ENDED, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if ended && at != H_WRITER {
            // SYNC CHANNEL-ENDINGS: the writer looks at the ends when this has changed; if it never does, as the
            // process is killed here, it looks when it has no room.
            self.memory.word(H_ENDINGS).fetch_add(1, Ordering::AcqRel);
        }
        ended
    }

    /// Says what the end at byte `at` is for the other side.
    pub(crate) fn presence(&self, at: usize) -> Presence {
        // SYNC CHANNEL-END: pairs with `end`.
        self.presence_of(at, self.memory.word(at).load(Ordering::Acquire))
    }

    fn presence_of(&self, at: usize, word: u64) -> Presence {
        match word & 0xff {
            FREE if self.memory.has_ticket(at) => Presence::Here,
            OWNED if self.memory.is_attached(owner(word)) => Presence::Here,
            ENDED => Presence::Ended,
            // Nobody is waited for behind a state that nobody writes, either.
            _ => Presence::Dead,
        }
    }

    /// Goes on without the dead reader at byte `at`, so that nobody takes its place any more; false if somebody has.
    #[cold]
    fn pass(&self, at: usize) -> bool {
        let word = self.memory.word(at);
        let before = word.load(Ordering::Acquire);
        match before & 0xff {
            OWNED if self.presence_of(at, before) == Presence::Dead => {
                // SYNC CHANNEL-END: against the claim of another in place of the dead.
                word.compare_exchange(before, PASSED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            }
            _ => self.presence_of(at, before) != Presence::Here,
        }
    }

    #[inline]
    fn head(&self, at: usize) -> u64 {
        // SYNC CHANNEL-HEAD: the reader is done with what it has given back.
        self.memory.word(at + R_HEAD).load(Ordering::Acquire)
    }
}

/// Where the writer is.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    /// The next place.
    pub(crate) position: u64,
    /// Up to here there is room, as long as no more readers end than these.
    limit: u64,
    endings: u64,
}

impl Writing {
    /// Goes on where the owner before has stopped.
    pub(crate) fn resume(words: &Words<'_, impl Memory>) -> Writing {
        // SYNC CHANNEL-TAIL: what the owner before has published.
        let position = words.memory.word(H_TAIL).load(Ordering::Acquire);
        Writing { position, limit: position, endings: 0 }
    }

    /// Says whether the writer has to look for room, and at who is still there.
    #[inline]
    pub(crate) fn must_look(&mut self, words: &Words<'_, impl Memory>) -> bool {
        // SYNC CHANNEL-ENDINGS: pairs with the count in `end`.
        let endings = words.memory.word(H_ENDINGS).load(Ordering::Acquire);
        let must = self.position == self.limit || self.endings != endings;
        self.endings = endings;
        must
    }

    /// Looks how far there is room: up to a lap in front of the slowest reader that is there.
    pub(crate) fn look<M: Memory>(&self, words: &Words<'_, M>) -> Option<Result<u64, Over>> {
        let position = self.position;
        let readers = || (0..words.readers).map(|place| words.reader(place));
        loop {
            let (mut slowest, mut least, mut here, mut died) = (position, position, false, false);
            for at in readers() {
                let head = words.head(at).min(position);
                // Who has kept up need not be asked for: it matters only if all are gone.
                match words.presence(at) {
                    Presence::Here => (here, slowest, least) = (true, slowest.min(head), least.min(head)),
                    Presence::Ended => {}
                    Presence::Dead => (died, least) = (true, least.min(head)),
                }
            }
            return match (here, died) {
                // Another handle may still take the place of a dead reader.
                (true, _) if position - least < words.places => Some(Ok(least.wrapping_add(words.places))),
                (true, _) if position - slowest >= words.places => None,
                // Who takes it reads on from its head, which the writer must not have passed.
                (true, _) if !readers().all(|at| words.head(at).min(position) >= slowest || words.pass(at)) => continue,
                (true, _) => Some(Ok(slowest.wrapping_add(words.places))),
                (false, true) => Some(Err(Over::Died)),
                (false, false) => Some(Err(Over::Closed)),
            };
        }
    }

    /// Notes how far there is room.
    pub(crate) fn found(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Makes the value at the position one that can be read.
    #[inline]
    pub(crate) fn publish(&mut self, words: &Words<'_, impl Memory>) {
        self.position = self.position.wrapping_add(1);
        // SYNC CHANNEL-TAIL: what is in the place is there for who sees that it is published.
        words.memory.word(H_TAIL).store(self.position, Ordering::Release);
    }

    /// Counts the values that all readers which are there have given back.
    pub(crate) fn taken(&self, words: &Words<'_, impl Memory>) -> u64 {
        let heads = (0..words.readers).map(|place| words.reader(place)).filter_map(|at| {
            let head = words.head(at);
            (words.presence(at) == Presence::Here).then_some(head)
        });
        heads.fold(self.position, u64::min)
    }
}

/// Where a reader is.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// The next place.
    pub(crate) position: u64,
    /// Up to here there is something to read.
    tail: u64,
}

impl Reading {
    /// Goes on where the owner before of the end at byte `at` has stopped.
    pub(crate) fn resume(words: &Words<'_, impl Memory>, at: usize) -> Reading {
        let position = words.head(at);
        Reading { position, tail: position }
    }

    /// Says whether the reader has to look for a value.
    #[inline]
    pub(crate) fn must_look(&self) -> bool {
        self.position == self.tail
    }

    /// Looks how far there is something to read.
    pub(crate) fn look<M: Memory>(&self, words: &Words<'_, M>) -> Option<Result<u64, Over>> {
        let published = || {
            // SYNC CHANNEL-TAIL: pairs with the writer's store.
            let tail = words.memory.word(H_TAIL).load(Ordering::Acquire);
            // No more than the ring has places, whatever the word says (ST-B2).
            (tail.wrapping_sub(self.position).wrapping_sub(1) < words.places).then_some(Ok(tail))
        };
        published().or_else(|| {
            let over = match words.presence(H_WRITER) {
                Presence::Here => return None,
                Presence::Ended => Over::Closed,
                Presence::Dead => Over::Died,
            };
            // What it has written last came before its end.
            published().or(Some(Err(over)))
        })
    }

    /// Notes how far there is something to read.
    pub(crate) fn found(&mut self, tail: u64) {
        self.tail = tail;
    }

    /// Gives the place of the value before back, as the owner of the end at byte `at`.
    #[inline]
    pub(crate) fn advance(&mut self, words: &Words<'_, impl Memory>, at: usize) {
        self.position = self.position.wrapping_add(1);
        // SYNC CHANNEL-HEAD: pairs with the writer's load; what was read was read before.
        words.memory.word(at + R_HEAD).store(self.position, Ordering::Release);
    }
}
