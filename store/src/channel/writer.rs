//! The writing end.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use bytemuck::Pod;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ends::End;
use super::words::{Over, Writing};
use super::{H_WRITER, Ring};
use crate::error::{Error, ErrorKind, Result};
use crate::id::ObjectId;
use crate::store::Store;
use crate::sync::Ordering;
use crate::transfer;

/// The writing end of a channel of values `[T]`.
///
/// It belongs to the process that uses it first, or to the next one after it was encoded; there is one. Dropping it
/// closes the channel: the readers take what is there, then they are told.
pub struct ChannelWriter<T: Pod> {
    ring: Ring,
    end: End,
    at: Writing,
    elements: PhantomData<fn(T)>,
}

impl<T: Pod> ChannelWriter<T> {
    /// Opens the writing end of a channel that somebody holds.
    pub(super) fn open(store: &Store, id: ObjectId) -> Result<Self> {
        let ring = Ring::open::<T>(store, id)?;
        let end = End::open(&ring, store, H_WRITER)?;
        Ok(ChannelWriter { ring, end, at: Writing::default(), elements: PhantomData })
    }

    /// Returns the most elements that a value can have.
    pub fn max_len(&self) -> usize {
        self.ring.len
    }

    /// Writes a value of the greatest length where the readers read it; waits for room.
    ///
    /// What `fill` finds is what was there before, of some earlier value. If it panics, nothing is sent.
    ///
    /// # Errors
    ///
    /// [`is_closed`](Error::is_closed) if all readers have ended, [`is_peer_died`](Error::is_peer_died) if none is left and
    /// one has died; [`is_invalid_argument`](Error::is_invalid_argument) if the end is in use elsewhere.
    pub fn write(&mut self, fill: impl FnOnce(&mut [T])) -> Result<()> {
        self.write_within(self.ring.len, None, fill)
    }

    /// Writes a value of `len` elements.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write); [`is_invalid_argument`](Error::is_invalid_argument) for a longer one than the
    /// channel has room for.
    pub fn write_len(&mut self, len: usize, fill: impl FnOnce(&mut [T])) -> Result<()> {
        self.write_within(len, None, fill)
    }

    /// Writes a value of `len` elements if there is room within `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`write_len`](Self::write_len), and [`is_timeout`](Error::is_timeout).
    pub fn write_timeout(&mut self, len: usize, timeout: Duration, fill: impl FnOnce(&mut [T])) -> Result<()> {
        self.write_within(len, Some(timeout), fill)
    }

    /// Writes a value of `len` elements if there is room now.
    ///
    /// # Errors
    ///
    /// Those of [`write_len`](Self::write_len), and [`is_full`](Error::is_full).
    pub fn try_write(&mut self, len: usize, fill: impl FnOnce(&mut [T])) -> Result<()> {
        self.write_within(len, Some(Duration::ZERO), fill)
    }

    /// Copies a value.
    ///
    /// # Errors
    ///
    /// Those of [`write_len`](Self::write_len).
    pub fn write_slice(&mut self, value: &[T]) -> Result<()> {
        self.write_within(value.len(), None, |place| place.copy_from_slice(value))
    }

    /// Sends a value of one element.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    pub fn send(&mut self, value: T) -> Result<()> {
        self.write_within(1, None, |place| place.fill(value))
    }

    fn write_within(&mut self, len: usize, timeout: Option<Duration>, fill: impl FnOnce(&mut [T])) -> Result<()> {
        if len > self.ring.len {
            return Err(Error::invalid(format!(
                "a value of {len} elements does not fit into channel {}, whose values have {} at most",
                self.ring.board.id(),
                self.ring.len
            )));
        }
        if !self.end.is_claimed() {
            self.claim()?;
        }
        if self.at.must_look(&self.ring.words()) {
            self.make_room(timeout)?;
        }
        let position = self.at.position;
        let place = self.ring.place(position);
        self.ring.board.u64(place).store(len as u64, Ordering::Relaxed);
        let (start, len) = self.ring.elements(position, len);
        if len > 0 {
            // SAFETY: inside the board and aligned to 64 (`elements`); nobody else reads or writes the place until it is
            // published (ST-C1), for the end is this handle's (ST-C2) and `self` is borrowed exclusively. Any bytes are a T.
            fill(unsafe { std::slice::from_raw_parts_mut(start.cast::<T>(), len) });
        } else {
            fill(&mut []);
        }
        self.at.publish(&self.ring.words());
        self.ring.board.wake();
        Ok(())
    }

    #[cold]
    fn claim(&mut self) -> Result<()> {
        let what = format!("the writing end of channel {}", self.ring.board.id());
        if self.end.claim(&self.ring, &what)? {
            self.at = Writing::resume(&self.ring.words());
        }
        Ok(())
    }

    /// Waits until the slowest of the readers that are there has given a place back.
    #[cold]
    fn make_room(&mut self, timeout: Option<Duration>) -> Result<()> {
        let (ring, at) = (&self.ring, &self.at);
        let look = || at.look(&ring.words());
        let id = ring.board.id();
        let readers = (0..ring.readers).map(|place| ring.words().reader(place));
        match self.end.wait(ring, readers, timeout, look) {
            Some(Ok(limit)) => {
                self.at.found(limit);
                Ok(())
            }
            Some(Err(Over::Closed)) => {
                Err(ErrorKind::Closed(format!("all readers of channel {id} have closed it")).into())
            }
            Some(Err(Over::Died)) => {
                Err(ErrorKind::PeerDied(format!("no reader of channel {id} is left: one has died")).into())
            }
            None => Err(match timeout {
                Some(after) if !after.is_zero() => ErrorKind::Late { what: format!("room in channel {id}"), after },
                _ => ErrorKind::Full(format!("channel {id} is full: its reader has not read yet")),
            }
            .into()),
        }
    }

    /// Counts the values that all readers have given back which are there; what was written before this handle had the
    /// end counts, too.
    pub fn taken(&self) -> u64 {
        self.at.taken(&self.ring.words())
    }

    /// Closes the channel: the readers take what is there, then they are told.
    pub fn close(self) {}
}

impl<T: Pod> Drop for ChannelWriter<T> {
    fn drop(&mut self) {
        if self.ring.board.usable().is_ok() {
            self.end.end(&self.ring);
        }
    }
}

impl<T: Pod> fmt::Debug for ChannelWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelWriter<{}>({})", std::any::type_name::<T>(), self.ring.board.id())
    }
}

impl<T: Pod> Serialize for ChannelWriter<T> {
    /// Gives the end to whoever decodes it; this handle can take it back as long as nobody has used it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.end.send(&self.ring) {
            return Err(S::Error::custom(
                "an end of a channel can only be serialised into an argument, result or object of Mobula",
            ));
        }
        self.ring.board.id().serialize(serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for ChannelWriter<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let store = transfer::decoding().ok_or_else(|| {
            D::Error::custom(
                "an end of a channel can only be deserialised from an argument, result or object of Mobula",
            )
        })?;
        let id = ObjectId::deserialize(deserializer)?;
        ChannelWriter::open(&store, id).map_err(transfer::refuse)
    }
}
