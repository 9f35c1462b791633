//! A reading end.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use bytemuck::Pod;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ends::End;
use super::words::{Over, Presence, Reading};
use super::{H_WRITER, Ring};
use crate::error::{Error, ErrorKind, Result};
use crate::id::ObjectId;
use crate::store::Store;
use crate::sync::Ordering;
use crate::transfer;

/// A reading end of a channel of values `[T]`.
///
/// It belongs to the process that uses it first, or to the next one after it was encoded. Each reader sees every value;
/// dropping one lets the writer go on without it.
pub struct ChannelReader<T: Pod> {
    ring: Ring,
    end: End,
    place: usize,
    at: Reading,
    elements: PhantomData<fn() -> T>,
}

/// Borrows a value where it was written; the writer gets its place back when it is dropped.
pub struct ChannelGuard<'a, T: Pod> {
    reader: &'a mut ChannelReader<T>,
    start: *const T,
    len: usize,
}

// SAFETY: a guard only reads elements that nobody writes meanwhile (ST-C1), and moves a head, which is an atomic word.
unsafe impl<T: Pod + Send> Send for ChannelGuard<'_, T> {}
// SAFETY: as for Send.
unsafe impl<T: Pod + Sync> Sync for ChannelGuard<'_, T> {}

impl<T: Pod> ChannelReader<T> {
    /// Opens a reading end of a channel that somebody holds.
    pub(super) fn open(store: &Store, id: ObjectId, place: usize) -> Result<Self> {
        let ring = Ring::open::<T>(store, id)?;
        if place >= ring.readers {
            return Err(Error::invalid(format!("channel {id} has {} readers, no number {place}", ring.readers)));
        }
        let end = End::open(&ring, store, ring.words().reader(place))?;
        Ok(ChannelReader { ring, end, place, at: Reading::default(), elements: PhantomData })
    }

    /// Returns the most elements that a value can have.
    pub fn max_len(&self) -> usize {
        self.ring.len
    }

    /// Waits for the next value and borrows it where it is.
    ///
    /// # Errors
    ///
    /// When all that was written is read: [`is_closed`](Error::is_closed) if the writer has closed the channel,
    /// [`is_peer_died`](Error::is_peer_died) if its process has died. [`is_invalid_argument`](Error::is_invalid_argument) if
    /// the end is in use elsewhere.
    pub fn read(&mut self) -> Result<ChannelGuard<'_, T>> {
        self.read_within(None)
    }

    /// The same for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), and [`is_timeout`](Error::is_timeout).
    pub fn read_timeout(&mut self, timeout: Duration) -> Result<ChannelGuard<'_, T>> {
        self.read_within(Some(timeout))
    }

    /// Borrows the next value if there is one.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), and [`is_empty`](Error::is_empty).
    pub fn try_read(&mut self) -> Result<ChannelGuard<'_, T>> {
        self.read_within(Some(Duration::ZERO))
    }

    /// Waits for a value and takes its first element.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read); [`is_invalid_argument`](Error::is_invalid_argument) for a value without elements.
    pub fn recv(&mut self) -> Result<T> {
        let first = self.read()?.first().copied();
        first.ok_or_else(|| Error::invalid("a value without elements came over a channel: read it with `read`"))
    }

    /// Says whether the writer has ended: nothing comes behind what is there.
    pub fn is_closed(&self) -> bool {
        self.ring.words().presence(H_WRITER) != Presence::Here
    }

    #[inline]
    fn read_within(&mut self, timeout: Option<Duration>) -> Result<ChannelGuard<'_, T>> {
        if !self.end.is_claimed() {
            self.claim()?;
        }
        if self.at.must_look() {
            self.await_value(timeout)?;
        }
        let position = self.at.position;
        let place = self.ring.place(position);
        let len = self.ring.board.u64(place).load(Ordering::Relaxed);
        let (start, len) = self.ring.elements(position, usize::try_from(len).unwrap_or(usize::MAX));
        Ok(ChannelGuard { start: start.cast_const().cast(), len, reader: self })
    }

    #[cold]
    fn claim(&mut self) -> Result<()> {
        let what = format!("reading end {} of channel {}", self.place, self.ring.board.id());
        if self.end.claim(&self.ring, &what)? {
            let words = self.ring.words();
            self.at = Reading::resume(&words, words.reader(self.place));
        }
        Ok(())
    }

    fn await_value(&mut self, timeout: Option<Duration>) -> Result<()> {
        let (ring, at) = (&self.ring, &self.at);
        let look = || at.look(&ring.words());
        let id = ring.board.id();
        match self.end.wait(ring, std::iter::once(H_WRITER), timeout, look) {
            Some(Ok(tail)) => {
                self.at.found(tail);
                Ok(())
            }
            Some(Err(Over::Closed)) => Err(ErrorKind::Closed(format!("channel {id} was closed by its writer")).into()),
            Some(Err(Over::Died)) => {
                Err(ErrorKind::PeerDied(format!("the writer of channel {id} is gone without having closed it")).into())
            }
            None => Err(match timeout {
                Some(after) if !after.is_zero() => ErrorKind::Late { what: format!("value on channel {id}"), after },
                _ => ErrorKind::Empty(format!("channel {id} is empty")),
            }
            .into()),
        }
    }

    /// Gives the place of the value before back.
    fn advance(&mut self) {
        let words = self.ring.words();
        self.at.advance(&words, words.reader(self.place));
        self.ring.board.wake();
    }

    /// Ends this reader; the writer goes on for the others.
    pub fn close(self) {}
}

impl<T: Pod> Deref for ChannelGuard<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: inside the board, which the reader pins, and aligned to 64 (`elements`); the writer does not touch the
        // place until the head has passed it (ST-C1), which is when this is dropped. Any bytes are a T.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T: Pod> Drop for ChannelGuard<'_, T> {
    fn drop(&mut self) {
        self.reader.advance();
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for ChannelGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Pod> Drop for ChannelReader<T> {
    fn drop(&mut self) {
        if self.ring.board.usable().is_ok() {
            self.end.end(&self.ring);
        }
    }
}

impl<T: Pod> fmt::Debug for ChannelReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelReader<{}>({}, {})", std::any::type_name::<T>(), self.ring.board.id(), self.place)
    }
}

impl<T: Pod> Serialize for ChannelReader<T> {
    /// Gives the end to whoever decodes it; this handle can take it back as long as nobody has used it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.end.send(&self.ring) {
            return Err(S::Error::custom(
                "an end of a channel can only be serialised into an argument, result or object of Mobula",
            ));
        }
        (self.ring.board.id(), self.place).serialize(serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for ChannelReader<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let store = transfer::decoding().ok_or_else(|| {
            D::Error::custom(
                "an end of a channel can only be deserialised from an argument, result or object of Mobula",
            )
        })?;
        let (id, place) = <(ObjectId, usize)>::deserialize(deserializer)?;
        ChannelReader::open(&store, id, place).map_err(transfer::refuse)
    }
}
