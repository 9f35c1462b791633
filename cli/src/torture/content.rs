//! What the objects of a torture run contain: every byte follows from the id and the metadata, so
//! that whoever sees an object can check all of it.
//!
//! ```text
//!   id        "mtr" | kind:1 | worker:2 | lane:1 | 0 | number:8
//!   metadata  version:8 | len:8 | counted:1 | padding, a pattern of the version
//!   data      word i = seed(id, version, len) + i * STEP, the last one cut off
//! ```
//!
//! A version is the monotonic clock just before the object was written: no two are alike, and a
//! waiter can tell how long it took to be woken.

use std::time::Duration;

use mobula_store::{Lifetime, ObjectId, ObjectOptions, ObjectView};
use rustix::time::{ClockId, clock_gettime};

use crate::torture::random::mix;

const MARK: [u8; 3] = *b"mtr";
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
/// Bytes of metadata that every object has.
const FIXED: usize = 17;

/// What an object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Made and deleted by one lane alone, which knows at any time whether it is there.
    Kept = b'k' as isize,
    /// Like that, and others wait for it.
    Stream = b's' as isize,
    /// Counted, and held by one lane alone.
    Private = b'p' as isize,
    /// Made, held and deleted by anybody.
    Shared = b'x' as isize,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Kept, Kind::Stream, Kind::Private, Kind::Shared];
}

/// An id taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) worker: u16,
    pub(crate) lane: u8,
    pub(crate) number: u64,
}

impl Key {
    /// Puts an id together.
    pub(crate) fn id(self) -> ObjectId {
        let mut bytes = [0; 16];
        bytes[..3].copy_from_slice(&MARK);
        bytes[3] = self.kind as u8;
        bytes[4..6].copy_from_slice(&self.worker.to_le_bytes());
        bytes[6] = self.lane;
        bytes[8..].copy_from_slice(&self.number.to_le_bytes());
        ObjectId::from_bytes(bytes)
    }

    /// Takes an id apart; `None` if it is not of a torture run.
    pub(crate) fn of(id: ObjectId) -> Option<Key> {
        let bytes = id.as_bytes();
        let kind = Kind::ALL.into_iter().find(|&kind| kind as u8 == bytes[3])?;
        (bytes[..3] == MARK).then(|| Key {
            kind,
            worker: u16::from_le_bytes([bytes[4], bytes[5]]),
            lane: bytes[6],
            number: word(&bytes[8..]),
        })
    }
}

/// What is written into an object and beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) version: u64,
    pub(crate) len: usize,
    pub(crate) counted: bool,
}

/// Returns the monotonic clock in nanoseconds, the same for all processes.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Stamp {
    /// Makes the stamp of an object that is written now.
    pub(crate) fn new(len: usize, lifetime: Lifetime) -> Stamp {
        Stamp { version: now_ns(), len, counted: lifetime == Lifetime::Counted }
    }

    /// Returns the options that an object of this stamp is created with, `padding` bytes of metadata more than it needs.
    pub(crate) fn options(self, timeout: Duration, padding: usize) -> ObjectOptions {
        let mut metadata = Vec::with_capacity(FIXED + padding);
        metadata.extend_from_slice(&self.version.to_le_bytes());
        metadata.extend_from_slice(&(self.len as u64).to_le_bytes());
        metadata.push(u8::from(self.counted));
        metadata.resize(FIXED + padding, self.padding());
        let lifetime = if self.counted { Lifetime::Counted } else { Lifetime::UntilDeleted };
        ObjectOptions::new().metadata(&metadata).lifetime(lifetime).timeout(timeout)
    }

    fn padding(self) -> u8 {
        mix(self.version) as u8
    }

    fn seed(self, id: ObjectId) -> u64 {
        let bytes = id.as_bytes();
        mix(word(&bytes[..8]) ^ mix(word(&bytes[8..]) ^ mix(self.version ^ mix(self.len as u64))))
    }

    /// Writes the bytes that an object of this id and stamp has.
    pub(crate) fn fill(self, id: ObjectId, data: &mut [u8]) {
        let mut next = self.seed(id);
        let mut words = data.chunks_exact_mut(8);
        for chunk in &mut words {
            chunk.copy_from_slice(&next.to_le_bytes());
            next = next.wrapping_add(STEP);
        }
        let rest = words.into_remainder();
        let len = rest.len();
        rest.copy_from_slice(&next.to_le_bytes()[..len]);
    }

    /// Says at which byte the data differs from what it should be, if it does.
    fn differs(self, id: ObjectId, data: &[u8]) -> Option<usize> {
        let mut next = self.seed(id);
        let words = data.chunks_exact(8);
        let rest = words.remainder();
        for (i, chunk) in words.enumerate() {
            if word(chunk) != next {
                let right = next.to_le_bytes();
                return Some(i * 8 + chunk.iter().zip(right).take_while(|(a, b)| **a == *b).count());
            }
            next = next.wrapping_add(STEP);
        }
        let at = data.len() - rest.len();
        rest.iter().zip(next.to_le_bytes()).position(|(a, b)| *a != b).map(|i| at + i)
    }
}

/// Checks all bytes of an object and returns its stamp; the error says what is wrong.
pub(crate) fn verify(view: &ObjectView) -> Result<Stamp, String> {
    let (id, metadata) = (view.id(), view.metadata());
    if metadata.len() < FIXED {
        return Err(format!("object {id} has {} bytes of metadata, not even its stamp", metadata.len()));
    }
    let stamp = Stamp { version: word(metadata), len: word(&metadata[8..]) as usize, counted: metadata[16] & 1 == 1 };
    if stamp.len != view.len() {
        return Err(format!("object {id} has {} bytes and its stamp says {}", view.len(), stamp.len));
    }
    if let Some(at) = metadata[FIXED..].iter().position(|&b| b != stamp.padding()) {
        return Err(format!("object {id}: metadata of {} bytes is wrong at {}", metadata.len(), FIXED + at));
    }
    if let Some(at) = stamp.differs(id, view) {
        let end = view.len().min(at + 16);
        let mut right = vec![0; view.len()];
        stamp.fill(id, &mut right);
        let wrong = view.iter().zip(&right).filter(|(a, b)| a != b).count();
        return Err(format!(
            "object {id} of {} bytes, version {}, is damaged: {wrong} bytes, the first at {at}: {:02x?} in place of {:02x?}",
            view.len(),
            stamp.version,
            &view[at..end],
            &right[at..end]
        ));
    }
    Ok(stamp)
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mobula_store::{Store, StoreOptions};

    #[test]
    fn ids_can_be_taken_apart() {
        let key = Key { kind: Kind::Stream, worker: 300, lane: 2, number: u64::MAX - 1 };
        assert_eq!(Key::of(key.id()), Some(key));
        assert_eq!(Key::of(ObjectId::from_bytes([7; 16])), None);
    }

    #[test]
    fn every_wrong_byte_is_found() {
        let id = Key { kind: Kind::Kept, worker: 1, lane: 0, number: 9 }.id();
        for len in [0, 1, 7, 8, 9, 64, 1003] {
            let stamp = Stamp { version: 77, len, counted: false };
            let mut data = vec![0; len];
            stamp.fill(id, &mut data);
            assert_eq!(stamp.differs(id, &data), None);
            for at in 0..len {
                data[at] ^= 0x10;
                assert_eq!(stamp.differs(id, &data), Some(at), "length {len}");
                data[at] ^= 0x10;
            }
        }
    }

    #[test]
    fn an_object_speaks_for_itself() {
        let store = Store::create(StoreOptions::new(1 << 20)).unwrap();
        let id = Key { kind: Kind::Shared, worker: 0, lane: 0, number: 1 }.id();
        let stamp = Stamp::new(100, Lifetime::UntilDeleted);
        let options = stamp.options(Duration::ZERO, 30);
        let mut buffer = store.create_object_with(id, 100, &options).unwrap();
        stamp.fill(id, &mut buffer);
        assert_eq!(verify(&buffer.seal().unwrap()), Ok(stamp));
        store.delete(id).unwrap();
        let mut buffer = store.create_object_with(id, 100, &options).unwrap();
        stamp.fill(id, &mut buffer);
        buffer[99] ^= 1;
        assert!(verify(&buffer.seal().unwrap()).unwrap_err().contains("1 bytes, the first at 99"));
    }
}
