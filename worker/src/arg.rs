//! Arguments: values, or refs whose values are put in their place before the call runs.
//!
//! ```text
//!   encoded:  tag value | tag value | ...      tag 0: the value's bytes follow
//!                                              tag 1: the id of the object that holds them follows
//! ```
//!
//! A value delimits itself (postcard), so inline arguments carry no length. Where a ref stands the
//! position is remembered, and the gap is filled when the ref is settled.
//!
//! - **WK-9** A call whose argument failed is never sent; it fails with the same error.

use std::cell::Cell;
use std::time::Duration;

#[cfg(not(loom))]
use mobula_store::SharedArray;
use mobula_store::{Array, ObjectHold, ObjectId, Store};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::actor::ActorHandle;
use crate::definition::Actor;
use crate::error::Error;
use crate::graph::{Node, NodeSource};
use crate::panics::CallError;
use crate::refs::{ObjectRef, Outcome, RefInner};
use crate::value;

const INLINE: u8 = 0;
const STORED: u8 = 1;

/// An argument of a remote call: a value, or the ref of one.
///
/// Methods take `impl Into<Arg<T>>`, so a `T`, an `ObjectRef<T>` or a `&ObjectRef<T>` can stand in
/// its place. A ref is resolved before the call runs.
#[derive(Debug, Clone)]
pub struct Arg<T>(Source<T>);

#[derive(Debug, Clone)]
enum Source<T> {
    Value(T),
    Ref(ObjectRef<T>),
    Node(NodeSource),
}

/// Names the type of an argument where inference cannot, as after `parse` or `collect`.
///
/// # Examples
///
/// ```
/// let argument = mobula_worker::arg::<i64>("7".parse().unwrap());
/// # let _ = argument;
/// ```
pub fn arg<T>(value: T) -> Arg<T> {
    Arg(Source::Value(value))
}

impl<T> Arg<T> {
    /// Makes the argument of a call that is bound.
    pub(crate) fn of_node(node: &Node<T>) -> Self {
        Arg(Source::Node(node.source().clone()))
    }
}

impl<T> From<T> for Arg<T> {
    fn from(value: T) -> Self {
        Arg(Source::Value(value))
    }
}

impl<T> From<ObjectRef<T>> for Arg<T> {
    fn from(object: ObjectRef<T>) -> Self {
        Arg(Source::Ref(object))
    }
}

impl<T> From<&ObjectRef<T>> for Arg<T> {
    fn from(object: &ObjectRef<T>) -> Self {
        Arg(Source::Ref(object.clone()))
    }
}

impl<T> From<&ObjectRef<T>> for Arg<ObjectRef<T>> {
    fn from(object: &ObjectRef<T>) -> Self {
        Arg(Source::Value(object.clone()))
    }
}

impl From<&str> for Arg<String> {
    fn from(text: &str) -> Self {
        Arg(Source::Value(text.to_owned()))
    }
}

impl From<&String> for Arg<String> {
    fn from(text: &String) -> Self {
        Arg(Source::Value(text.clone()))
    }
}

impl<A: Actor> From<&ActorHandle<A>> for Arg<ActorHandle<A>> {
    fn from(handle: &ActorHandle<A>) -> Self {
        Arg(Source::Value(handle.clone()))
    }
}

impl<T: bytemuck::Pod> From<&Array<T>> for Arg<Array<T>> {
    fn from(array: &Array<T>) -> Self {
        Arg(Source::Value(array.clone()))
    }
}

#[cfg(not(loom))]
impl<T: bytemuck::Pod> From<&SharedArray<T>> for Arg<SharedArray<T>> {
    fn from(array: &SharedArray<T>) -> Self {
        Arg(Source::Value(array.clone()))
    }
}

/// The arguments of a call while they are gathered.
#[derive(Default)]
pub struct Args {
    bytes: Vec<u8>,
    holds: Vec<ObjectHold>,
    gaps: Vec<(usize, RefInner)>,
    /// Where values of a graph go.
    nodes: Vec<(usize, NodeSource)>,
    error: Option<Error>,
}

impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args").field("bytes", &self.bytes.len()).field("refs", &self.gaps.len()).finish()
    }
}

thread_local! {
    /// The buffer of the last call that was made here, for the next one.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What a buffer may have of room to be kept.
const SPARE_LIMIT: usize = 4096;

/// Keeps the buffer of arguments that were sent for the thread's next call.
pub(crate) fn recycle(mut bytes: Vec<u8>) {
    if bytes.capacity() <= SPARE_LIMIT {
        bytes.clear();
        let _ = SPARE.try_with(|spare| spare.set(bytes));
    }
}

/// Whether a call can be sent.
pub(crate) enum Readiness {
    Ready,
    Waiting,
    Failed(Error),
}

/// The arguments of a call that is bound.
pub(crate) struct Bound {
    pub(crate) bytes: Vec<u8>,
    /// Where values of the graph go.
    pub(crate) gaps: Vec<(usize, NodeSource)>,
    pub(crate) holds: Vec<ObjectHold>,
    /// Why it cannot be bound.
    pub(crate) error: Option<Error>,
}

impl Args {
    /// Makes an empty list.
    pub fn new() -> Self {
        Args { bytes: SPARE.try_with(Cell::take).unwrap_or_default(), ..Args::default() }
    }

    /// Adds an argument. An error is kept and fails the call.
    pub fn push<T: Serialize + 'static>(&mut self, arg: Arg<T>) {
        match arg.0 {
            Source::Ref(object) => self.gaps.push((self.bytes.len(), object.inner)),
            Source::Node(node) => self.nodes.push((self.bytes.len(), node)),
            Source::Value(value) => {
                self.bytes.push(INLINE);
                match value::encode_into(&value, &mut self.bytes) {
                    Ok(holds) if holds.is_empty() => {}
                    Ok(holds) => self.holds.extend(holds),
                    Err(error) => {
                        self.error.get_or_insert(error);
                    }
                }
            }
        }
    }

    /// Returns the refs that stand for arguments.
    pub(crate) fn refs(&self) -> impl Iterator<Item = &RefInner> {
        self.gaps.iter().map(|(_, inner)| inner)
    }

    /// Says whether all refs have their values. The first argument's error counts.
    pub(crate) fn readiness(&self) -> Readiness {
        if let Some(error) = &self.error {
            return Readiness::Failed(error.clone());
        }
        if !self.nodes.is_empty() {
            return Readiness::Failed(Error::invalid_argument(
                "a node of a graph can only be an argument of a call that is bound: use `bind`, or get the value first",
            ));
        }
        let mut waiting = false;
        for (_, inner) in &self.gaps {
            if !inner.is_ready() {
                waiting = true;
                continue;
            }
            match inner.outcome() {
                Some(Outcome::Failed(error)) => return Readiness::Failed(error.passed_on()),
                Some(Outcome::Stored(hold)) => match value::sealed(hold) {
                    Ok(view) => {
                        if let Some(error) = value::object_error(&view) {
                            return Readiness::Failed(error);
                        }
                    }
                    Err(error) if error.is_object_lost() => {
                        return Readiness::Failed(Error::object_lost(inner.id()));
                    }
                    Err(error) => return Readiness::Failed(error),
                },
                Some(Outcome::Value(_) | Outcome::Holding(_)) | None => {}
            }
        }
        if waiting { Readiness::Waiting } else { Readiness::Ready }
    }

    /// Puts the values in the place of the refs. Only to be called when [`Args::readiness`] says so.
    pub(crate) fn fill(&mut self) {
        if self.gaps.is_empty() {
            return;
        }
        let mut bytes = Vec::with_capacity(self.bytes.len() + 64 * self.gaps.len());
        let mut from = 0;
        for (position, inner) in std::mem::take(&mut self.gaps) {
            bytes.extend_from_slice(&self.bytes[from..position]);
            from = position;
            match inner.outcome() {
                Some(Outcome::Value(value)) => {
                    bytes.push(INLINE);
                    bytes.extend_from_slice(value);
                }
                Some(Outcome::Holding(value)) => {
                    bytes.push(INLINE);
                    bytes.extend_from_slice(&value.0);
                    self.holds.extend_from_slice(&value.1);
                }
                Some(Outcome::Stored(hold)) => {
                    bytes.push(STORED);
                    bytes.extend_from_slice(hold.id().as_bytes());
                    self.holds.push((**hold).clone());
                }
                // Not reached after `readiness`; the callee refuses what is missing.
                Some(Outcome::Failed(_)) | None => {}
            }
        }
        bytes.extend_from_slice(&self.bytes[from..]);
        self.bytes = bytes;
    }

    /// Returns what a bound call keeps.
    pub(crate) fn into_bound(self) -> Bound {
        let refs = || Error::invalid_argument("a ref cannot be an argument of a bound call: get its value first");
        let error = self.error.or_else(|| (!self.gaps.is_empty()).then(refs));
        Bound { bytes: self.bytes, gaps: self.nodes, holds: self.holds, error }
    }

    /// Returns the encoded arguments and the holds of what they refer to, once they are filled.
    pub(crate) fn parts(&self) -> (&[u8], &[ObjectHold]) {
        (&self.bytes, &self.holds)
    }

    /// Returns the same for good.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Vec<ObjectHold>) {
        (self.bytes, self.holds)
    }
}

/// Reads the arguments of a call where it runs.
#[derive(Debug)]
pub struct ArgReader<'a> {
    store: &'a Store,
    rest: &'a [u8],
}

impl<'a> ArgReader<'a> {
    pub(crate) fn new(store: &'a Store, bytes: &'a [u8]) -> Self {
        ArgReader { store, rest: bytes }
    }

    /// Reads the next argument; `what` is the parameter as written, for messages.
    ///
    /// # Errors
    ///
    /// If the bytes are no `T`: the caller gets the message.
    pub fn next<T: DeserializeOwned + 'static>(&mut self, what: &'static str) -> Result<T, CallError> {
        self.read().map_err(|error| CallError::argument(what, &error))
    }

    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let missing = || Error::invalid_argument("it is missing in the message");
        let (tag, rest) = self.rest.split_first().ok_or_else(missing)?;
        match *tag {
            INLINE => {
                let (value, rest) = value::decode_front(self.store, rest)?;
                self.rest = rest;
                Ok(value)
            }
            STORED => {
                let (id, rest) = rest.split_first_chunk::<16>().ok_or_else(missing)?;
                self.rest = rest;
                let id = ObjectId::from_bytes(*id);
                let view = self
                    .store
                    .get(id, Some(Duration::ZERO))
                    .map_err(|error| Error::from_store(&error, "the object that holds it"))?;
                value::decode_object(self.store, &view)
            }
            _ => Err(missing()),
        }
    }
}
