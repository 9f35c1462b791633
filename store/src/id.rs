//! Object ids: sixteen bytes, every value valid, chosen by the caller or drawn at random.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sys;

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

    /// Mixes the id into a well-spread hash (two multiply-xorshift rounds over both words).
    pub(crate) const fn hash(self) -> u64 {
        let [a, b] = self.to_words();
        let mut h = a ^ b.rotate_left(29) ^ 0x9e37_79b9_7f4a_7c15;
        h = (h ^ (h >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        h ^= b;
        h = (h ^ (h >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h ^ (h >> 32)
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
