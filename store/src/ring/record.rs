//! Records in a ring's bytes.
//!
//! ```text
//!   granule:  | 0 | 1 | 2 | ...                             1,024 of 64 bytes, then from the start
//!   record:   | header (8) | payload (0..=4096) | padding |   whole granules
//!   header:   | position:32 | mark:8 | ack:8 | length:16 |  0 = nothing here yet
//! ```
//!
//! Positions count granules and never go back; a position's place is its remainder by 1,024. A header
//! repeats the position that it was written for, and its mark makes it differ from zero.
//!
//! A frame of up to 56 bytes moves one cache line. Writing zeroes the header behind the record
//! before the record's own header is published (ST-R4), which is why a full ring keeps one granule
//! empty; it is also the line that the producer needs next.

use crate::ctl::Ctl;
use crate::layout::{RING_BYTES, RING_HEADER_BYTES};
use crate::sync::{AtomicU64, Ordering};

/// The longest frame that a ring takes, in bytes.
pub const MAX_FRAME: usize = 4096;

pub(super) const GRANULE: usize = 64;
/// How many granules a ring has.
pub(super) const GRANULES: u64 = (RING_BYTES / GRANULE) as u64;

const WORD: usize = 8;
const MARK: u64 = 0xb5;

const _: () = assert!(RING_BYTES.is_power_of_two() && MAX_FRAME <= u16::MAX as usize);
const _: () = assert!(granules(MAX_FRAME) < GRANULES);

/// Returns how many granules a frame of `len` bytes takes with its header.
pub(super) const fn granules(len: usize) -> u64 {
    (WORD + len).div_ceil(GRANULE) as u64
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// No record has been published here.
    Nothing,
    /// A record of `len` bytes, at most [`MAX_FRAME`].
    Record { len: usize, ack: bool },
    /// Nothing that a sender writes.
    Nonsense,
}

impl Header {
    fn pack(position: u64, len: usize, ack: bool) -> u64 {
        position << 32 | MARK << 24 | u64::from(ack) << 16 | len as u64
    }

    fn unpack(word: u64, position: u64) -> Header {
        let len = (word & 0xffff) as usize;
        let ack = word >> 16 & 1 != 0;
        if word == 0 {
            Header::Nothing
        } else if len <= MAX_FRAME && word == Header::pack(position, len, ack) {
            Header::Record { len, ack }
        } else {
            Header::Nonsense
        }
    }
}

/// A ring's bytes, as words; every offset is masked into them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data<'a> {
    ctl: &'a Ctl,
    base: usize,
}

impl<'a> Data<'a> {
    #[inline]
    pub(super) fn of(ctl: &'a Ctl, ring: usize) -> Data<'a> {
        Data { ctl, base: ring + RING_HEADER_BYTES }
    }

    /// Returns the word `index` of the record at `position`.
    #[inline]
    fn word(self, position: u64, index: usize) -> &'a AtomicU64 {
        let granule = (position % GRANULES) as usize * GRANULE;
        self.ctl.u64(self.base + ((granule + index * WORD) & (RING_BYTES - 1)))
    }

    /// Prepares the ring for a first record at position 0.
    pub(super) fn clear(self) {
        self.word(0, 0).store(0, Ordering::Relaxed);
    }

    /// Writes and publishes a record; all its granules and the one behind it must be free.
    #[inline]
    pub(super) fn write(self, position: u64, frame: &[u8], ack: bool) {
        self.word(position.wrapping_add(granules(frame.len())), 0).store(0, Ordering::Relaxed);
        let (words, rest) = frame.as_chunks::<WORD>();
        for (i, word) in words.iter().enumerate() {
            self.word(position, i + 1).store(u64::from_le_bytes(*word), Ordering::Relaxed);
        }
        if !rest.is_empty() {
            let mut last = [0; WORD];
            last[..rest.len()].copy_from_slice(rest);
            self.word(position, words.len() + 1).store(u64::from_le_bytes(last), Ordering::Relaxed);
        }
        // SYNC RING-FRAME: publishes the payload and the zero behind it; pairs with `header`.
        self.word(position, 0).store(Header::pack(position, frame.len(), ack), Ordering::Release);
    }

    /// Reads the header at `position`.
    #[inline]
    pub(super) fn header(self, position: u64) -> Header {
        // SYNC RING-FRAME: pairs with the last store in `write`.
        Header::unpack(self.word(position, 0).load(Ordering::Acquire), position)
    }

    /// Says whether anything but zero stands at `position`.
    #[inline]
    pub(super) fn is_touched(self, position: u64) -> bool {
        self.word(position, 0).load(Ordering::Relaxed) != 0
    }

    /// Says whether a record stands at `position`.
    pub(super) fn holds_record(self, position: u64) -> bool {
        matches!(self.header(position), Header::Record { .. })
    }

    /// Copies the first `into.len()` bytes of the record at `position`.
    #[inline]
    pub(super) fn read(self, position: u64, into: &mut [u8]) {
        let (words, rest) = into.as_chunks_mut::<WORD>();
        let whole = words.len();
        for (i, word) in words.iter_mut().enumerate() {
            *word = self.word(position, i + 1).load(Ordering::Relaxed).to_le_bytes();
        }
        if !rest.is_empty() {
            let last = self.word(position, whole + 1).load(Ordering::Relaxed).to_le_bytes();
            let len = rest.len();
            rest.copy_from_slice(&last[..len]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_comes_back_only_at_its_own_position() {
        for position in [0, 1, GRANULES - 1, GRANULES, u64::from(u32::MAX), 1 << 40] {
            for (len, ack) in [(0, false), (1, true), (MAX_FRAME, true)] {
                let word = Header::pack(position, len, ack);
                assert_ne!(word, 0);
                assert_eq!(Header::unpack(word, position), Header::Record { len, ack });
                assert_eq!(Header::unpack(word, position + GRANULES), Header::Nonsense);
            }
        }
        assert_eq!(Header::unpack(0, 7), Header::Nothing);
        assert_eq!(Header::unpack(Header::pack(7, MAX_FRAME + 1, false), 7), Header::Nonsense);
        assert_eq!(Header::unpack(u64::MAX, 7), Header::Nonsense);
    }

    #[test]
    fn granules_cover_header_and_payload() {
        assert_eq!([0, 56, 57, 120, 121, MAX_FRAME].map(granules), [1, 1, 2, 2, 3, 65]);
    }
}
