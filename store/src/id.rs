//! Object ids: sixteen bytes, every value valid, chosen by the caller or drawn at random.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sys;

/// What the words of an id are mixed with, so that small numbers become large factors.
pub(crate) const HASH: [u64; 2] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];

/// Names an object: any sixteen bytes.
///
/// Ids need not be random; the index mixes them. `Display` is 32 lower-case hex digits and
/// [`FromStr`] reads them back.
///
/// # Examples
///
/// ```
/// use mobula_store::ObjectId;
/// let id = ObjectId::from_bytes([7; 16]);
/// assert_eq!(id.to_string().parse::<ObjectId>().unwrap(), id);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId([u8; 16]);

impl ObjectId {
    /// Draws an id that no other process and no forked child draws.
    pub fn random() -> Self {
        ObjectId(sys::random::bytes16())
    }

    /// Makes an id of sixteen bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        ObjectId(bytes)
    }

    /// Returns the sixteen bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Borrows the sixteen bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Splits the id into the two words that the shared index stores.
    pub(crate) const fn to_words(self) -> [u64; 2] {
        let b = self.0;
        [
            u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]),
            u64::from_le_bytes([b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]),
        ]
    }

    /// Joins the two words of the shared index.
    pub(crate) fn from_words(words: [u64; 2]) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&words[0].to_le_bytes());
        bytes[8..].copy_from_slice(&words[1].to_le_bytes());
        ObjectId(bytes)
    }

    /// Mixes the id into a well-spread hash: both halves of the product of its words, one multiplication long.
    pub(crate) const fn hash(self) -> u64 {
        let [a, b] = self.to_words();
        let product = (a ^ HASH[0]) as u128 * (b ^ HASH[1]) as u128;
        (product >> 64) as u64 ^ product as u64
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

/// Says that a text is not an object id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an object id is 32 hex digits, got {text:?}")]
pub struct ParseObjectIdError {
    text: String,
}

impl FromStr for ObjectId {
    type Err = ParseObjectIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseObjectIdError { text: text.chars().take(64).collect() };
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut bytes = [0; 16];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        Ok(ObjectId(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_not_random_spread_as_if_they_were() {
        const IDS: u64 = 4096;
        let families: [fn(u64) -> [u64; 2]; 8] = [
            |n| [n, 0],
            |n| [0, n],
            |n| [n, n],
            |n| [n << 32, 7],
            |n| [7, n << 48],
            |n| [n << 8, n],
            |n| [u64::MAX - n, 1 << 63],
            |n| [0x3030_3030_3030_3030, n * 0x0101_0101],
        ];
        for (family, words) in families.into_iter().enumerate() {
            let hashes: Vec<u64> = (0..IDS).map(|n| ObjectId::from_words(words(n)).hash()).collect();
            let mut load = [0; 1024];
            hashes.iter().for_each(|hash| load[*hash as usize & 1023] += 1);
            // Four on average; of random ones hardly ever more than fifteen.
            let most = load.iter().max();
            assert!(most.is_some_and(|most| *most <= 24), "family {family}: {most:?} ids in one bucket");
            let mut tags: Vec<u64> = hashes.iter().map(|hash| hash >> 48).collect();
            tags.sort_unstable();
            tags.dedup();
            assert!(tags.len() > 3000, "family {family}: {} tags for {IDS} ids", tags.len());
        }
    }
}
