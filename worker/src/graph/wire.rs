//! Values on a channel of bytes: what one step gives, or one execution is given.
//!
//! ```text
//!   0       kind: 0 values, 1 an error
//!   values: 1 count (u8)   2 ids (u16)   then the lengths, count x u32, ids x 16 bytes, and the values
//!           a value is an argument as a call has it: a tag, then its bytes, or the id of the object that holds them
//!   error:  the encoded error to the end
//! ```
//!
//! The ids are those of the objects that the values refer to. Their sender holds them until all readers have given the
//! place of the message back; a reader takes holds of its own before it does that (WK-73). So as long as the sender lives no object on its way is lost.

use std::collections::VecDeque;
use std::time::Duration;

use mobula_store::{ChannelReader, ChannelWriter, ObjectHold, ObjectId};
use serde::de::DeserializeOwned;

use crate::arg::ArgReader;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::returns::ReturnWriter;
use crate::value::{self, TAG_VALUE};

const VALUES: u8 = 0;
const FAILED: u8 = 1;
const FIXED: usize = 4;
/// The tags of arguments (arg.rs).
const INLINE: u8 = 0;
const STORED: u8 = 1;

/// The fewest bytes that a channel has room for: any error fits.
pub(super) const LEAST: usize = 4 << 10;

/// The sending end of a channel of values.
pub(super) struct Outlet {
    writer: ChannelWriter<u8>,
    room: usize,
    /// What the values on their way refer to, by the number of their message.
    kept: VecDeque<(u64, Vec<ObjectHold>)>,
    sent: u64,
    message: Vec<u8>,
}

impl Outlet {
    /// Wraps the writer of a channel whose places have `room` bytes.
    pub(super) fn new(writer: ChannelWriter<u8>, room: usize) -> Self {
        Outlet { writer, room, kept: VecDeque::new(), sent: 0, message: Vec::new() }
    }

    /// Puts values together, to be [sent](Self::send); large ones go into the store.
    pub(super) fn values(&mut self, core: &Core, values: &mut ReturnWriter) -> Result<Vec<ObjectHold>> {
        let count = values.len();
        let mut holds = Vec::new();
        let mut lengths = [0; 8];
        let fair = (self.room - LEAST.min(self.room) / 2) / count.max(1);
        let mut stored: Vec<Option<ObjectHold>> = Vec::new();
        for (index, length) in lengths.iter_mut().enumerate().take(count) {
            let (bytes, own) = values.take(index);
            if bytes.len() + 16 * own.len() < fair {
                holds.extend(own);
                stored.push(None);
                *length = bytes.len() + 1;
            } else {
                let hold = value::store_bytes(core.store(), ObjectId::random(), bytes, &own, TAG_VALUE, None)
                    .map_err(|error| Error::from_store(&error, "a value of a graph"))?;
                stored.push(Some(hold.clone()));
                holds.push(hold);
                *length = 17;
            }
        }
        let message = &mut self.message;
        message.clear();
        message.extend_from_slice(&[VALUES, count as u8]);
        message.extend_from_slice(&(holds.len() as u16).to_le_bytes());
        for length in lengths.iter().take(count) {
            message.extend_from_slice(&(*length as u32).to_le_bytes());
        }
        for hold in &holds {
            message.extend_from_slice(hold.id().as_bytes());
        }
        for (index, stored) in stored.iter().enumerate() {
            match stored {
                Some(hold) => {
                    message.push(STORED);
                    message.extend_from_slice(hold.id().as_bytes());
                }
                None => {
                    message.push(INLINE);
                    message.extend_from_slice(values.bytes(index));
                }
            }
        }
        Ok(holds)
    }

    /// Puts an error together, to be [sent](Self::send).
    pub(super) fn failed(&mut self, error: &Error) {
        self.message.clear();
        self.message.push(FAILED);
        self.message.extend_from_slice(&error.to_bytes());
        self.message.truncate(self.room);
    }

    /// Sends what was put together, whose values refer to `holds`; `is_timeout` if there is no room in time: then it can
    /// be sent again.
    pub(super) fn send(&mut self, holds: &mut Vec<ObjectHold>, timeout: Duration) -> Result<()> {
        let message = &self.message;
        self.writer
            .write_timeout(message.len(), timeout, |place| place.copy_from_slice(message))
            .map_err(|error| Error::from_store(&error, "a graph"))?;
        if !holds.is_empty() {
            self.kept.push_back((self.sent, std::mem::take(holds)));
        }
        self.sent += 1;
        if !self.kept.is_empty() {
            self.release();
        }
        Ok(())
    }

    /// Lets go of what all readers have taken holds of, or do not want.
    fn release(&mut self) {
        let taken = self.writer.taken();
        while self.kept.front().is_some_and(|&(number, _)| number < taken) {
            self.kept.pop_front();
        }
    }
}

/// The receiving end of a channel of values.
pub(super) struct Inlet {
    reader: ChannelReader<u8>,
}

/// A message that was received.
#[derive(Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
    /// Where each value ends; the first begins at 0.
    ends: Vec<usize>,
    holds: Vec<ObjectHold>,
    error: Option<Error>,
}

impl Inlet {
    pub(super) fn new(reader: ChannelReader<u8>) -> Self {
        Inlet { reader }
    }

    /// Receives into `message`.
    pub(super) fn receive(&mut self, core: &Core, message: &mut Message, timeout: Duration) -> Result<()> {
        let place = self.reader.read_timeout(timeout).map_err(|error| match error.is_empty() {
            // Nobody was to wait.
            true => Error::timeout("nothing has come"),
            false => Error::from_store(&error, "a graph"),
        })?;
        message.read(core, &place);
        Ok(())
    }

    /// Says whether nothing more can come.
    pub(super) fn is_closed(&self) -> bool {
        self.reader.is_closed()
    }
}

impl Message {
    /// Copies a message out of its place, and takes holds of what it refers to.
    fn read(&mut self, core: &Core, from: &[u8]) {
        self.bytes.clear();
        self.ends.clear();
        self.holds.clear();
        self.error = None;
        if self.parse(core, from).is_none() {
            self.error = Some(Error::system("a message of a graph makes no sense: is it another version of Mobula?"));
        }
    }

    fn parse(&mut self, core: &Core, from: &[u8]) -> Option<()> {
        let (&kind, rest) = from.split_first()?;
        if kind == FAILED {
            self.error = Some(Error::from_bytes(rest));
            return Some(());
        }
        let count = usize::from(*from.get(1)?);
        let ids = usize::from(u16::from_le_bytes(from.get(2..FIXED)?.try_into().ok()?));
        let lengths = from.get(FIXED..FIXED + 4 * count)?;
        let listed = from.get(FIXED + 4 * count..FIXED + 4 * count + 16 * ids)?;
        let values = from.get(FIXED + 4 * count + 16 * ids..)?;
        let mut end = 0usize;
        for length in lengths.chunks_exact(4) {
            end = end.checked_add(u32::from_le_bytes(length.try_into().ok()?) as usize)?;
            self.ends.push(end);
        }
        self.bytes.extend_from_slice(values.get(..end)?);
        for id in listed.chunks_exact(16) {
            let id = ObjectId::from_bytes(id.try_into().ok()?);
            match core.store().hold(id) {
                Ok(hold) => self.holds.push(hold),
                Err(_) => self.error = Some(Error::object_lost(id)),
            }
        }
        Some(())
    }

    /// Returns the error that came instead of values.
    pub(super) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Returns a value as an argument has it, and nothing for a number that it does not have.
    pub(super) fn argument(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        match (start, self.ends.get(index)) {
            (Some(start), Some(&end)) => self.bytes.get(start..end).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Takes the place of a message by what a step of this process has given, without a channel in between.
    pub(super) fn set(&mut self, values: &mut ReturnWriter) {
        self.bytes.clear();
        self.ends.clear();
        self.holds.clear();
        self.error = None;
        for index in 0..values.len() {
            let (bytes, holds) = values.take(index);
            self.bytes.push(INLINE);
            self.bytes.extend_from_slice(bytes);
            self.holds.extend(holds);
            self.ends.push(self.bytes.len());
        }
    }

    /// The same by an error.
    pub(super) fn set_failed(&mut self, error: Error) {
        self.bytes.clear();
        self.ends.clear();
        self.holds.clear();
        self.error = Some(error);
    }
}

/// The results of one execution, to be decoded in order.
pub struct Results<'a> {
    core: &'a Core,
    messages: &'a [Message],
    /// Which message, and which of its values, each one is.
    order: std::slice::Iter<'a, (usize, u8)>,
}

impl std::fmt::Debug for Results<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Results").field("left", &self.left()).finish_non_exhaustive()
    }
}

impl<'a> Results<'a> {
    pub(super) fn new(core: &'a Core, messages: &'a [Message], order: &'a [(usize, u8)]) -> Self {
        Results { core, messages, order: order.iter() }
    }

    pub(super) fn left(&self) -> usize {
        self.order.len()
    }

    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Result<T> {
        let value = self.order.next().and_then(|&(message, value)| Some((self.messages.get(message)?, value)));
        let value = value.map_or(&[][..], |(message, value)| message.argument(value.into()));
        ArgReader::new(self.core.store(), value).read()
    }
}
