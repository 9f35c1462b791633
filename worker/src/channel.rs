//! Channels of values: what [`ChannelWriter`] and [`ChannelReader`] do for arrays, for all that serde knows.
//!
//! ```text
//!   Sender<T> --postcard--> place of a channel of bytes --> Receiver<T>, one or several
//! ```
//!
//! A value is encoded and copied into its place, which has a fixed size: no object is made, and nothing has to be held
//! or freed. So values with refs, handles or arrays in them are refused: those belong to objects, which somebody has
//! to hold, and a channel outlives who has written into it. Numbers in bulk go through a [`channel`] of their own type,
//! where nothing is encoded.
//!
//! [`ChannelWriter`]: mobula_store::ChannelWriter
//! [`ChannelReader`]: mobula_store::ChannelReader
//! [`channel`]: mobula_store::channel

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use mobula_store::{ChannelGuard, ChannelOptions, ChannelReader, ChannelWriter, channel_in};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::core;
use crate::error::{Error, Result};
use crate::value;

/// The fewest bytes that a place has room for.
const LEAST: usize = 256;

/// Makes a channel of values: its sender and its receivers.
///
/// [`ChannelOptions::len`] is how many bytes an encoded value may have (at least 256); the rest is as for
/// [`channel`](mobula_store::channel).
///
/// # Errors
///
/// `is_not_initialized`, `is_invalid_argument` for options without sense, `is_store_full`.
///
/// # Examples
///
/// ```no_run
/// use mobula_worker::{self as mobula, ChannelOptions};
///
/// let (mut sender, mut receivers) = mobula::value_channel::<(u32, String)>(&ChannelOptions::new().len(1000))?;
/// sender.send(&(7, "seven".to_owned()))?;
/// assert_eq!(receivers[0].recv()?, (7, "seven".to_owned()));
/// # Ok::<(), mobula::Error>(())
/// ```
pub fn value_channel<T: Serialize + DeserializeOwned>(
    options: &ChannelOptions,
) -> Result<(Sender<T>, Vec<Receiver<T>>)> {
    let core = core::current()?;
    let options = options.clone().at_least(LEAST);
    let (writer, readers) = channel_in(core.store(), &options).map_err(|error| failed(&error))?;
    let readers = readers.into_iter().map(|reader| Receiver { reader, value: PhantomData }).collect();
    Ok((Sender { writer, bytes: Vec::new(), value: PhantomData }, readers))
}

fn failed(error: &mobula_store::Error) -> Error {
    Error::from_store(error, "a channel")
}

/// The sending end of a channel of values.
///
/// There is one; it belongs to the process that uses it first, or to the next one after it was sent there. Dropping it
/// closes the channel: the receivers take what is there, then they are told.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Sender<T> {
    writer: ChannelWriter<u8>,
    #[serde(skip)]
    bytes: Vec<u8>,
    #[serde(skip)]
    value: PhantomData<fn(T)>,
}

impl<T: Serialize> Sender<T> {
    /// Sends a value; waits for room.
    ///
    /// # Errors
    ///
    /// `is_closed` if all receivers have ended, `is_peer_died` if none is left and one has died; `is_invalid_argument` for a
    /// value that is too long, cannot be encoded or refers to objects.
    pub fn send(&mut self, value: &T) -> Result<()> {
        self.encode(value)?;
        self.writer.write_slice(&self.bytes).map_err(|error| failed(&error))
    }

    /// Sends a value if there is room within `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and `is_timeout`.
    pub fn send_timeout(&mut self, value: &T, timeout: Duration) -> Result<()> {
        self.encode(value)?;
        let bytes = &self.bytes;
        let sent = self.writer.write_timeout(bytes.len(), timeout, |place| place.copy_from_slice(bytes));
        sent.map_err(|error| failed(&error))
    }

    /// Sends a value if there is room now.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and `is_full`.
    pub fn try_send(&mut self, value: &T) -> Result<()> {
        self.send_timeout(value, Duration::ZERO)
    }

    fn encode(&mut self, value: &T) -> Result<()> {
        self.bytes.clear();
        let name = std::any::type_name::<T>();
        if !value::encode_into(value, &mut self.bytes)?.is_empty() {
            return Err(Error::invalid_argument(format!(
                "a value of type {name} refers to an object, which a channel does not hold: send it as an argument"
            )));
        }
        let (len, most) = (self.bytes.len(), self.writer.max_len());
        if len > most {
            return Err(Error::invalid_argument(format!(
                "a value of type {name} takes {len} bytes, the channel has room for {most}: raise `len`"
            )));
        }
        Ok(())
    }

    /// Closes the channel.
    pub fn close(self) {}
}

/// A receiving end of a channel of values; each receives every value.
///
/// It belongs to the process that uses it first, or to the next one after it was sent there. Dropping it lets the sender
/// go on without it.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Receiver<T> {
    reader: ChannelReader<u8>,
    #[serde(skip)]
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Receiver<T> {
    /// Waits for the next value.
    ///
    /// # Errors
    ///
    /// When all that was sent is received: `is_closed` if the sender has closed the channel, `is_peer_died` if its process
    /// has died. `is_invalid_argument` for bytes that are no `T`.
    pub fn recv(&mut self) -> Result<T> {
        taken(self.reader.read())
    }

    /// The same for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv), and `is_timeout`.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T> {
        taken(self.reader.read_timeout(timeout))
    }

    /// Takes the next value if there is one.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv), and `is_empty`.
    pub fn try_recv(&mut self) -> Result<T> {
        taken(self.reader.try_read())
    }

    /// Says whether the sender has ended: nothing comes behind what is there.
    pub fn is_closed(&self) -> bool {
        self.reader.is_closed()
    }

    /// Ends this receiver.
    pub fn close(self) {}
}

fn taken<T: DeserializeOwned>(place: mobula_store::Result<ChannelGuard<'_, u8>>) -> Result<T> {
    value::decode_here(&place.map_err(|error| failed(&error))?)
}

/// The values until the channel ends; a last error if it was not closed.
impl<T: DeserializeOwned> Iterator for Receiver<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        match self.recv() {
            Err(error) if error.is_closed() => None,
            other => Some(other),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender<{}>({:?})", std::any::type_name::<T>(), self.writer)
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver<{}>({:?})", std::any::type_name::<T>(), self.reader)
    }
}
