//! What workers tell the supervisor: records of one size over a pipe, each written whole.
//!
//! ```text
//!   | tag:1 | op:1 | lane:1 | ok:1 | text:4 | id:16 | version:8 | len:8 | time:8 | more:8 |  text ...
//! ```
//!
//! A record is shorter than `PIPE_BUF`, so the kernel takes all of it or, if the writer dies before,
//! nothing: what the supervisor has not read was not said.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use mobula_store::ObjectId;

use crate::torture::content::now_ns;

const LEN: usize = 56;
/// The longest text of a record.
const TEXT: usize = 4096 - LEN;

/// What a record means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// The process is attached and its lanes begin.
    Ready,
    /// A lane begins something that may change what is there, or may block.
    Start,
    /// What was started is done; `ok` says whether it took effect.
    Done,
    /// `len` operations of a kind since the last tally, `version` objects and `more` bytes verified in them.
    Tally,
    /// The longest time from a seal to the waiter's return, in `len` nanoseconds.
    Woken,
    /// A lane has ended in good order.
    Left,
    /// The text says what is wrong.
    Violation,
}

impl Tag {
    const ALL: [Tag; 7] = [Tag::Ready, Tag::Start, Tag::Done, Tag::Tally, Tag::Woken, Tag::Left, Tag::Violation];
}

macro_rules! ops {
    ($($op:ident $name:literal,)*) => {
        /// What lanes do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Op { $(#[doc = $name] $op,)* }

        impl Op {
            /// All of them.
            pub(crate) const ALL: &[Op] = &[$(Op::$op,)*];

            /// Returns the name in reports.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Op::$op => $name,)* }
            }
        }
    };
}

ops! {
    Create "create",
    Seal "seal",
    SealAll "seal_all",
    Abort "abort",
    Get "get",
    GetMany "get_many",
    Wait "wait",
    Contains "contains",
    Hold "hold",
    Promise "promise",
    Delete "delete",
    Release "release",
    List "list",
    Info "info",
    Stats "stats",
    Check "check",
    Attach "attach",
    Fork "fork",
    Array "array",
    IntoMut "into_mut",
    Lurk "lurk",
    Read "read-only",
    Evict "evict",
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) tag: Tag,
    pub(crate) op: Op,
    pub(crate) lane: u8,
    pub(crate) ok: bool,
    pub(crate) id: ObjectId,
    pub(crate) version: u64,
    pub(crate) len: u64,
    pub(crate) time: u64,
    pub(crate) more: u64,
    pub(crate) text: String,
}

impl Record {
    /// Makes a record of now.
    pub(crate) fn new(tag: Tag, op: Op, lane: u8) -> Record {
        let id = ObjectId::from_bytes([0; 16]);
        Record { tag, op, lane, ok: true, id, version: 0, len: 0, time: now_ns(), more: 0, text: String::new() }
    }

    fn encode(&self) -> Vec<u8> {
        let mut end = self.text.len().min(TEXT);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &self.text.as_bytes()[..end];
        let mut bytes = Vec::with_capacity(LEN + text.len());
        bytes.extend_from_slice(&[self.tag as u8, self.op as u8, self.lane, u8::from(self.ok)]);
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        for word in [self.version, self.len, self.time, self.more] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(text);
        bytes
    }

    /// Reads the next record; `None` at the end or where a record makes no sense.
    pub(crate) fn read(from: &mut impl Read) -> Option<Record> {
        let mut bytes = [0; LEN];
        from.read_exact(&mut bytes).ok()?;
        let word = |at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let mut text = vec![0; (word(4) as u32 as usize).min(TEXT)];
        from.read_exact(&mut text).ok()?;
        let id = bytes[8..].first_chunk().map_or(ObjectId::from_bytes([0; 16]), |id| ObjectId::from_bytes(*id));
        Some(Record {
            tag: *Tag::ALL.get(usize::from(bytes[0]))?,
            op: *Op::ALL.get(usize::from(bytes[1]))?,
            lane: bytes[2],
            ok: bytes[3] != 0,
            id,
            version: word(24),
            len: word(32),
            time: word(40),
            more: word(48),
            text: String::from_utf8_lossy(&text).into_owned(),
        })
    }
}

/// A worker's end of the pipe.
#[derive(Debug)]
pub(crate) struct Journal {
    pipe: File,
}

impl Journal {
    /// Wraps the writing end.
    pub(crate) fn new(pipe: OwnedFd) -> Journal {
        Journal { pipe: File::from(pipe) }
    }

    /// Says something. Without a supervisor this process is about to be killed anyway.
    pub(crate) fn put(&self, record: &Record) -> io::Result<()> {
        (&self.pipe).write_all(&record.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_pipe() {
        let mut record = Record::new(Tag::Violation, Op::Array, 3);
        record.id = ObjectId::from_bytes([9; 16]);
        (record.version, record.len, record.more, record.ok) = (1 << 40, 2, 3, false);
        record.text = "what is wrong".to_owned();
        let bytes = [record.encode(), record.encode()].concat();
        let mut from = &bytes[..];
        assert_eq!(Record::read(&mut from), Some(record.clone()));
        assert_eq!(Record::read(&mut from), Some(record.clone()));
        assert_eq!(Record::read(&mut from), None);
        record.text = "\u{e9}".repeat(5000);
        assert!(record.encode().len() <= 4096);
        assert!(Record::read(&mut &record.encode()[..]).is_some());
        assert_eq!(Record::read(&mut &record.encode()[..20]), None);
    }
}
