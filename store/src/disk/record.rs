//! Records: how an object lies in a spill file.
//!
//! ```text
//!   record, 64-byte aligned in its file, little-endian
//!     0  magic "MOBSPIL1"       8  uuid of the store        24  id of the object
//!    40  generation (u32)      44  children (u32)           48  {metadata length:24 | length:40}
//!    56  checksum of the payload (u32)                      60  checksum of bytes 0..60 (u32)
//!    64  payload as it lay in memory: data, metadata, children, each padded to 8 bytes
//! ```
//!
//! The header is written after the payload. It names one life of one object of one store, whose
//! bytes never change: a header that matches belongs to these bytes and to no others, even if the
//! object was spilled more than once.

use crate::id::ObjectId;

/// Records start and end at multiples of this.
pub(super) const UNIT: u64 = 64;
/// Bytes before the payload.
pub(super) const HEAD_BYTES: usize = 64;
const MAGIC: [u8; 8] = *b"MOBSPIL1";
const OFFSET_BITS: u32 = 22;
const FILE_BITS: u32 = 38;
/// How many units a file has that holds more than one record: 256 MiB.
pub(super) const FILE_UNITS: u64 = 1 << OFFSET_BITS;
/// The longest data of a record.
const MAX_LEN: u64 = (1 << 40) - 1;
const MAX_META: u64 = (1 << 24) - 1;

/// Where a record lies: the number of its file and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    file: u64,
    unit: u64,
}

impl Record {
    pub(super) fn new(file: u64, unit: u64) -> Record {
        Record { file, unit }
    }

    /// Packs into 60 bits that are not all zero.
    pub(crate) const fn to_word(self) -> u64 {
        self.file << OFFSET_BITS | self.unit
    }

    /// Unpacks such a word; `None` if it is none.
    pub(crate) const fn from_word(word: u64) -> Option<Record> {
        let (file, unit) = (word >> OFFSET_BITS, word & (FILE_UNITS - 1));
        if is_file(file) { Some(Record { file, unit }) } else { None }
    }

    pub(crate) const fn file(self) -> u64 {
        self.file
    }

    /// Returns the byte at which the record starts.
    pub(crate) const fn offset(self) -> u64 {
        self.unit * UNIT
    }
}

/// Says whether a file can have that number.
pub(super) const fn is_file(number: u64) -> bool {
    number != 0 && number >> FILE_BITS == 0
}

/// What identifies the bytes of an object: its id, its slot's generation and its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: ObjectId,
    pub(crate) generation: u32,
    pub(crate) len: u64,
    pub(crate) meta_len: u32,
    pub(crate) children: u32,
}

impl Head {
    /// Returns the length of the payload: data, metadata and children as they lie in memory.
    ///
    /// `None` for sizes that no record can have.
    pub(crate) fn payload(&self) -> Option<u64> {
        let meta = u64::from(self.meta_len);
        let fits = self.len <= MAX_LEN && meta <= MAX_META;
        fits.then(|| self.len.next_multiple_of(8) + meta.next_multiple_of(8) + 8 * u64::from(self.children))
    }

    /// Returns how many units the record takes; the largest number for sizes that no record can have.
    pub(super) fn units(&self) -> u64 {
        self.payload().map_or(u64::MAX, |payload| (HEAD_BYTES as u64 + payload).div_ceil(UNIT))
    }

    /// Writes the header of a record.
    pub(super) fn encode(&self, uuid: [u8; 16], checksum: u32) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&MAGIC);
        head[8..24].copy_from_slice(&uuid);
        head[24..40].copy_from_slice(self.id.as_bytes());
        head[40..44].copy_from_slice(&self.generation.to_le_bytes());
        head[44..48].copy_from_slice(&self.children.to_le_bytes());
        head[48..56].copy_from_slice(&(u64::from(self.meta_len) << 40 | self.len).to_le_bytes());
        head[56..60].copy_from_slice(&checksum.to_le_bytes());
        let own = crc32fast::hash(&head[..60]);
        head[60..].copy_from_slice(&own.to_le_bytes());
        head
    }

    /// Compares a header with what it should be and returns the checksum of the payload, or says what is wrong.
    pub(super) fn check(&self, uuid: [u8; 16], head: &[u8; HEAD_BYTES]) -> Result<u32, String> {
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if head[..8] != MAGIC {
            return Err("no record starts there".to_owned());
        }
        if word(60) != crc32fast::hash(&head[..60]) {
            return Err("the checksum of the record's header is wrong".to_owned());
        }
        if head[8..24] != uuid {
            return Err("the record belongs to another store".to_owned());
        }
        // All fields but the checksum are known: comparing the header with the right one compares them all.
        let checksum = word(56);
        if *head != self.encode(uuid, checksum) {
            return Err(format!("the record is not that of generation {} of object {}", self.generation, self.id));
        }
        Ok(checksum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head { id: ObjectId::from_bytes([7; 16]), generation: 9, len: 100, meta_len: 3, children: 2 }
    }

    #[test]
    fn words_come_back_or_are_refused() {
        for record in [Record::new(1, 0), Record::new((1 << FILE_BITS) - 1, FILE_UNITS - 1)] {
            assert_eq!(Record::from_word(record.to_word()), Some(record));
            assert_eq!(record.to_word() >> 60, 0);
        }
        for word in [0, FILE_UNITS - 1, 1 << 60, u64::MAX] {
            assert_eq!(Record::from_word(word), None, "{word:#x}");
        }
    }

    #[test]
    fn sizes_are_padded_and_bounded() {
        assert_eq!(head().payload(), Some(104 + 8 + 16));
        assert_eq!(head().units(), 3);
        assert_eq!(Head { len: 0, meta_len: 0, children: 0, ..head() }.units(), 1);
        assert_eq!(Head { len: u64::MAX, ..head() }.payload(), None);
        assert_eq!(Head { meta_len: u32::MAX, ..head() }.units(), u64::MAX);
    }

    #[test]
    fn every_flipped_bit_and_every_other_object_is_noticed() {
        let good = head().encode([5; 16], 77);
        assert_eq!(head().check([5; 16], &good), Ok(77));
        for bit in 0..8 * HEAD_BYTES {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            head().check([5; 16], &bad).unwrap_err();
        }
        head().check([6; 16], &good).unwrap_err();
        let others = [
            Head { id: ObjectId::from_bytes([8; 16]), ..head() },
            Head { generation: 8, ..head() },
            Head { len: 101, ..head() },
            Head { meta_len: 4, ..head() },
            Head { children: 3, ..head() },
        ];
        for other in others {
            other.check([5; 16], &good).unwrap_err();
        }
    }
}
