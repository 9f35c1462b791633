//! What a process and the server of a store say to each other when they meet.
//!
//! ```text
//!   hello (32 bytes)                              answer to a join (32 bytes, with two descriptors)
//!     0  "mobula2"                                  0  status: 0 welcome, 1 table full, 2 no memory
//!     7  kind: 0 join, 1 rejoin, 2 read,           2  client's index (u16)
//!        3 look, 4 join without descriptors
//!     8  uuid of the store, two words               4  its generation (u32)
//!    24  client's index (u16)                       8  length of ctl, or the limit of a full table
//!    28  its generation (u32)                      16  capacity of the arena
//!   (zero where it means nothing)                 24  default patience of a creation, ns
//! ```
//!
//! A *join* asks for a client record, and so does a *read*, by a client that will only read: its descriptors
//! of ctl and arena can only be read from, and a third one, of ctl, is for the mapping of its own area
//! (readers.rs). Who *looks* gets the descriptors and no client record, and the connection ends: it maps the
//! store for the processes that are forked from it (premap.rs). They have everything but a record, and join
//! *without descriptors*; the uuid says which store it is that they have. A *rejoin* comes from a client of a store whose server died and that somebody has
//! adopted: it has everything and only wants to be heard when it ends; it gets no
//! answer, and a connection that ends if the server does not know it.

use std::time::Duration;

use crate::client::ClientKey;

const MAGIC: &[u8; 7] = b"mobula2";
/// Length of a hello and of an answer.
pub(crate) const LEN: usize = 32;

/// What a process says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hello {
    /// It wants to be a client.
    Join,
    /// It wants to be one that only reads.
    Read,
    /// It is one.
    Rejoin { uuid: [u64; 2], client: ClientKey },
    /// It wants to map everything, and to be nothing.
    Look,
    /// It wants to be a client, and has mapped everything.
    JoinMapped { uuid: [u64; 2] },
}

impl Hello {
    pub(crate) fn to_bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..7].copy_from_slice(MAGIC);
        if self == Hello::Read {
            bytes[7] = 2;
        }
        if self == Hello::Look {
            bytes[7] = 3;
        }
        if let Hello::Rejoin { uuid, .. } | Hello::JoinMapped { uuid } = self {
            bytes[8..16].copy_from_slice(&uuid[0].to_le_bytes());
            bytes[16..24].copy_from_slice(&uuid[1].to_le_bytes());
            bytes[7] = 4;
        }
        if let Hello::Rejoin { client, .. } = self {
            bytes[7] = 1;
            bytes[24..26].copy_from_slice(&client.index.to_le_bytes());
            bytes[28..].copy_from_slice(&client.generation.to_le_bytes());
        }
        bytes
    }

    /// Reads a hello; `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8; LEN]) -> Option<Hello> {
        let uuid = [u64_at(bytes, 8), u64_at(bytes, 16)];
        match (&bytes[..7] == MAGIC, bytes[7]) {
            (true, 0) => Some(Hello::Join),
            (true, 2) => Some(Hello::Read),
            (true, 1) => Some(Hello::Rejoin { uuid, client: key_at(bytes, 24) }),
            (true, 3) => Some(Hello::Look),
            (true, 4) => Some(Hello::JoinMapped { uuid }),
            _ => None,
        }
    }
}

/// What the server answers to a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The process is a client; the descriptors of ctl and arena come along.
    Welcome { client: ClientKey, ctl_len: u64, capacity: u64, patience: Duration },
    /// All of that many places for clients are taken.
    Full(u64),
    /// There is no memory for the client's tables.
    NoMemory,
}

impl Answer {
    pub(crate) fn to_bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        match self {
            Answer::Welcome { client, ctl_len, capacity, patience } => {
                bytes[2..4].copy_from_slice(&client.index.to_le_bytes());
                bytes[4..8].copy_from_slice(&client.generation.to_le_bytes());
                bytes[8..16].copy_from_slice(&ctl_len.to_le_bytes());
                bytes[16..24].copy_from_slice(&capacity.to_le_bytes());
                let patience = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
                bytes[24..].copy_from_slice(&patience.to_le_bytes());
            }
            Answer::Full(limit) => {
                bytes[0] = 1;
                bytes[8..16].copy_from_slice(&limit.to_le_bytes());
            }
            Answer::NoMemory => bytes[0] = 2,
        }
        bytes
    }

    /// Reads an answer; `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8; LEN]) -> Option<Answer> {
        match bytes[0] {
            0 => Some(Answer::Welcome {
                client: ClientKey { index: u16::from_le_bytes([bytes[2], bytes[3]]), generation: u32_at(bytes, 4) },
                ctl_len: u64_at(bytes, 8),
                capacity: u64_at(bytes, 16),
                patience: Duration::from_nanos(u64_at(bytes, 24)),
            }),
            1 => Some(Answer::Full(u64_at(bytes, 8))),
            2 => Some(Answer::NoMemory),
            _ => None,
        }
    }
}

fn key_at(bytes: &[u8; LEN], at: usize) -> ClientKey {
    ClientKey { index: u16::from_le_bytes([bytes[at], bytes[at + 1]]), generation: u32_at(bytes, at + 4) }
}

fn u32_at(bytes: &[u8; LEN], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; LEN], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ClientKey = ClientKey { index: 0x1234, generation: 0x5678_9abc };

    #[test]
    fn hellos_come_through() {
        let uuid = [u64::MAX - 1, 7];
        let rejoin = Hello::Rejoin { uuid, client: KEY };
        for hello in [Hello::Join, Hello::Read, rejoin, Hello::Look, Hello::JoinMapped { uuid }] {
            assert_eq!(Hello::from_bytes(&hello.to_bytes()), Some(hello));
        }
        let mut other = Hello::Join.to_bytes();
        other[7] = 9;
        assert_eq!(Hello::from_bytes(&other), None);
        assert_eq!(Hello::from_bytes(&[0; LEN]), None);
    }

    #[test]
    fn answers_come_through() {
        let patience = Duration::from_millis(1500);
        let welcome = Answer::Welcome { client: KEY, ctl_len: 1 << 40, capacity: 3, patience };
        for answer in [welcome, Answer::Full(256), Answer::NoMemory] {
            assert_eq!(Answer::from_bytes(&answer.to_bytes()), Some(answer));
        }
        assert_eq!(Answer::from_bytes(&[255; LEN]), None);
    }
}
