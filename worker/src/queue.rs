//! `Queue`: values from any number of producers to any number of consumers.
//!
//! ```text
//!   drivers, actors, tasks --put--> cells in shared memory --get--> drivers, actors, tasks
//! ```
//!
//! No actor stands in the middle. Values are encoded into cells of a fixed size ([`MessageQueue`]), which nobody holds
//! anything for: so a value that refers to objects, as refs and arrays do, is refused.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use mobula_store::MessageQueue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::core;
use crate::error::{Error, Result};
use crate::value;

/// The bytes that a value may take unless somebody says otherwise.
const MESSAGE_BYTES: usize = 1024;

/// A queue of values between any processes of a runtime.
///
/// Clones, and copies inside arguments, results and objects, are the same queue; it lives as long as any of them does,
/// whoever has made it and whoever has died. A value goes to one consumer. A process that is killed while it takes a value
/// takes that one with it, and never anything else.
///
/// # Examples
///
/// ```no_run
/// # use mobula_worker as mobula;
/// let queue = mobula::Queue::<(u32, String)>::new(100)?;
/// queue.put(&(1, "one".to_owned()))?;
/// assert_eq!(queue.get()?, (1, "one".to_owned()));
/// queue.close();
/// assert!(queue.get().is_err_and(|error| error.is_closed()));
/// # Ok::<(), mobula::Error>(())
/// ```
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Queue<T> {
    messages: MessageQueue,
    value: PhantomData<fn(T) -> T>,
}

impl<T> Queue<T> {
    /// Makes a queue for `capacity` values (64 at least, rounded up to a power of two) that take up to 1 KiB each.
    ///
    /// # Errors
    ///
    /// Those of [`Queue::with_value_bytes`].
    pub fn new(capacity: usize) -> Result<Self> {
        Self::with_value_bytes(capacity, MESSAGE_BYTES)
    }

    /// Makes a queue for `capacity` values that take up to `bytes` bytes each when they are encoded.
    ///
    /// All of its memory is taken now.
    ///
    /// # Errors
    ///
    /// `is_not_initialized`, `is_invalid_argument` for a capacity of 0 or beyond 2^24, `is_store_full`.
    pub fn with_value_bytes(capacity: usize, bytes: usize) -> Result<Self> {
        let core = core::current()?;
        let messages = MessageQueue::new_in(core.store(), capacity, bytes).map_err(|error| failed(&error))?;
        Ok(Queue { messages, value: PhantomData })
    }

    /// Makes a queue without a bound for values that take up to 1 KiB each.
    ///
    /// # Errors
    ///
    /// Those of [`Queue::unbounded_with_value_bytes`].
    pub fn unbounded() -> Result<Self> {
        Self::unbounded_with_value_bytes(MESSAGE_BYTES)
    }

    /// Makes a queue without a bound for values that take up to `bytes` bytes each when they are encoded.
    ///
    /// A put never waits: it takes memory as long as the store has some, and fails with `is_store_full` when there is none.
    /// What was taken gives its memory back, but for room for about as many as ever waited at once, and what each handle
    /// used last.
    ///
    /// # Errors
    ///
    /// `is_not_initialized`, `is_store_full`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use mobula_worker as mobula;
    /// let queue = mobula::Queue::<u64>::unbounded_with_value_bytes(16)?;
    /// (0..100_000).try_for_each(|n| queue.put(&n))?;
    /// # Ok::<(), mobula::Error>(())
    /// ```
    pub fn unbounded_with_value_bytes(bytes: usize) -> Result<Self> {
        let core = core::current()?;
        let messages = MessageQueue::unbounded_in(core.store(), bytes).map_err(|error| failed(&error))?;
        Ok(Queue { messages, value: PhantomData })
    }

    /// Returns how many values there is room for; `usize::MAX` if it has no bound.
    pub fn capacity(&self) -> usize {
        self.messages.capacity()
    }

    /// Returns about how many values wait: others put and take them meanwhile.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Says whether about no value waits.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Says whether the queue was closed.
    pub fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }

    /// Closes the queue for all: nothing more is put, and once what is there is taken, consumers are told.
    pub fn close(&self) {
        self.messages.close();
    }
}

impl<T: Serialize> Queue<T> {
    /// Puts a value; waits for room.
    ///
    /// # Errors
    ///
    /// `is_closed`; `is_invalid_argument` for a value that is too long, cannot be encoded or refers to objects;
    /// `is_store_full` if it has no bound, and there is no memory.
    pub fn put(&self, value: &T) -> Result<()> {
        self.put_within(value, None)
    }

    /// The same for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), and `is_timeout`.
    pub fn put_timeout(&self, value: &T, timeout: Duration) -> Result<()> {
        self.put_within(value, Some(timeout))
    }

    /// Puts a value if there is room now.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), and `is_full`.
    pub fn try_put(&self, value: &T) -> Result<()> {
        self.put_within(value, Some(Duration::ZERO))
    }

    /// Puts values one behind the other, waiting for room for each.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put); all values before the one that has it were put.
    pub fn put_many(&self, values: &[T]) -> Result<()> {
        let mut left = values;
        while !left.is_empty() {
            // What could not be put is the first one of the next round, so its error is told.
            left = &left[self.put_some(left, None)?..];
        }
        Ok(())
    }

    /// Puts as many of the values as there is room for now, from the first on; returns how many.
    ///
    /// # Errors
    ///
    /// Those of [`try_put`](Self::try_put), if not even the first was put.
    pub fn try_put_many(&self, values: &[T]) -> Result<usize> {
        self.put_some(values, Some(Duration::ZERO))
    }

    fn put_some(&self, values: &[T], timeout: Option<Duration>) -> Result<usize> {
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(values.len());
        for value in values {
            self.encode(value, &mut bytes)?;
            ends.push(bytes.len());
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let messages = starts.zip(&ends).map(|(start, &end)| &bytes[start..end]);
        if values.is_empty() {
            return Ok(0);
        }
        self.messages.put_many(messages, timeout).map_err(|error| failed(&error))
    }

    fn put_within(&self, value: &T, timeout: Option<Duration>) -> Result<()> {
        let mut bytes = Vec::new();
        self.encode(value, &mut bytes)?;
        self.messages.put(&bytes, timeout).map_err(|error| failed(&error))
    }

    /// Appends a value's bytes.
    fn encode(&self, value: &T, bytes: &mut Vec<u8>) -> Result<()> {
        let (start, name) = (bytes.len(), std::any::type_name::<T>());
        if !value::encode_into(value, bytes)?.is_empty() {
            return Err(Error::invalid_argument(format!(
                "a value of type {name} refers to an object, which a queue does not hold: send it as an argument"
            )));
        }
        let (len, most) = (bytes.len() - start, self.messages.max_len());
        if len > most {
            return Err(Error::invalid_argument(format!(
                "a value of type {name} takes {len} bytes, the queue has room for {most}: make it `with_value_bytes`"
            )));
        }
        Ok(())
    }
}

impl<T: DeserializeOwned> Queue<T> {
    /// Takes the next value; waits for one.
    ///
    /// # Errors
    ///
    /// `is_closed` if the queue was closed and all is taken; `is_invalid_argument` for bytes that are no `T`.
    pub fn get(&self) -> Result<T> {
        self.get_within(None)
    }

    /// The same for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), and `is_timeout`.
    pub fn get_timeout(&self, timeout: Duration) -> Result<T> {
        self.get_within(Some(timeout))
    }

    /// Takes the next value if there is one.
    ///
    /// One that is being put right now hides those behind it: also that of a process that has just been killed, until the
    /// store has let go of what that had, which the forms that wait do wait for.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), and `is_empty`.
    pub fn try_get(&self) -> Result<T> {
        self.get_within(Some(Duration::ZERO))
    }

    /// Takes up to `most` values: waits for the first, not for the others.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), if there is not even a first.
    pub fn get_many(&self, most: usize) -> Result<Vec<T>> {
        self.get_some(most, None)
    }

    /// Takes up to `most` values of those that are there.
    ///
    /// # Errors
    ///
    /// Those of [`try_get`](Self::try_get), if there is none.
    pub fn try_get_many(&self, most: usize) -> Result<Vec<T>> {
        self.get_some(most, Some(Duration::ZERO))
    }

    fn get_some(&self, most: usize, timeout: Option<Duration>) -> Result<Vec<T>> {
        let mut values = Vec::new();
        let taken = self.messages.get_many(most, timeout, |message| values.push(value::decode_here(message)));
        taken.map_err(|error| failed(&error))?;
        values.into_iter().collect()
    }

    fn get_within(&self, timeout: Option<Duration>) -> Result<T> {
        self.messages.get(timeout, value::decode_here).map_err(|error| failed(&error))?
    }
}

fn failed(error: &mobula_store::Error) -> Error {
    Error::from_store(error, "a queue")
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue { messages: self.messages.clone(), value: PhantomData }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue<{}>({:?})", std::any::type_name::<T>(), self.messages)
    }
}
