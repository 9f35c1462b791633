//! Refs: what a caller has of a value that is made elsewhere, or later, or lies in the store.
//!
//! ```text
//!   stage:   OPEN ---------------------------> SETTLED     outcome: value, object or error
//!              |                                 ^
//!              | somebody is to be told: await_by, share
//!              v                                 |
//!           WATCHED -----------------------------+  tell: the promise is kept, dependents go on
//!
//!   BORROWED (read from a message; its value arrives in the store) ---> ARRIVED
//! ```
//!
//! A pending ref that leaves its process becomes a promise in the store under the ref's id; when
//! the answer arrives, this process keeps the promise. If this process dies first, the store breaks
//! it and every borrower gets `is_object_lost`. Most refs never leave and nobody waits for them but
//! `get`: settling one meets no lock, and neither does reading it.
//!
//! - **WK-5** A ref is settled once: by its [`Unanswered`], which that uses up. The outcome comes before
//!   the flag that says so (REF-READY, cell.rs), so who sees it sees the outcome. Whoever is to be told
//!   makes the stage WATCHED under the lock of `rare` before; settling changes the same word, so it
//!   either sees that, and looks into `rare`, or the other finds the ref settled.
//! - **WK-6** A ref's id is in the store only if the ref has left the process or its value is large;
//!   then this process holds the object as long as the ref lives.
//! - **WK-7** Nothing here blocks or panics when a ref is dropped.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use mobula_store::{HoldState, ObjectHold, ObjectId, Promise, transfer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cell::{self, ARRIVED, BORROWED, SET, WATCHED};
use crate::core::{self, Core};
use crate::deferred::{Dependent, Work};
use crate::error::{Error, Result};
use crate::value::{self, Bytes, TAG_ERROR, TAG_VALUE};

pub(crate) use crate::cell::{RefInner, Unanswered};

/// How long a full store may hold up the answer of a call whose ref has left the process.
const FULFIL_PATIENCE: Duration = Duration::from_millis(50);

/// Refers to a value: the result of a call, or a put object.
///
/// The value may not exist yet; [`get`](crate::get) waits for it. A ref keeps its object alive, in
/// a variable, inside another object or in a queued call. It serialises only while Mobula encodes
/// an argument, a result or an object. Dropping it never blocks, and a call whose ref is dropped
/// still runs.
pub struct ObjectRef<T> {
    pub(crate) inner: RefInner,
    value: PhantomData<fn() -> T>,
}

/// What a ref has become.
pub(crate) enum Outcome {
    /// A small value without anything inside.
    Value(Bytes),
    /// A small value, and the holds of what its bytes refer to.
    Holding(Box<(Bytes, Vec<ObjectHold>)>),
    Stored(Box<ObjectHold>),
    Failed(Error),
}

const _: () = assert!(size_of::<Outcome>() <= 24);

impl Outcome {
    #[inline]
    pub(crate) fn value(bytes: Bytes, holds: Vec<ObjectHold>) -> Self {
        if holds.is_empty() { Outcome::Value(bytes) } else { Outcome::Holding(Box::new((bytes, holds))) }
    }

    pub(crate) fn stored(hold: ObjectHold) -> Self {
        Outcome::Stored(Box::new(hold))
    }
}

/// What few refs have.
#[derive(Default)]
pub(crate) struct Rare {
    /// Other processes wait for the value under the ref's id.
    promise: Option<(Promise, ObjectHold)>,
    dependents: Vec<Dependent>,
    /// The object under the ref's id that was made for other processes.
    shared: Option<ObjectHold>,
}

impl RefInner {
    pub(crate) fn pending(core: &Core, id: ObjectId) -> (Self, Unanswered) {
        cell::unanswered(core.number(), id)
    }

    /// Makes a ref that is settled from the beginning; without a core only a failed one.
    pub(crate) fn settled(core: Option<&Core>, id: ObjectId, outcome: Outcome) -> Self {
        cell::settled(core.map_or(0, Core::number), id, outcome, 0)
    }

    fn borrowed(core: &Core, hold: ObjectHold) -> Self {
        let id = hold.id();
        cell::settled(core.number(), id, Outcome::stored(hold), BORROWED)
    }

    /// Returns the runtime of the ref if it still runs. What a call failed with when its node died is told until the
    /// program has ended that runtime, too.
    pub(crate) fn core(&self) -> Result<Arc<Core>> {
        match (self.runtime(), self.outcome()) {
            (0, Some(Outcome::Failed(error))) => Err(error.clone()),
            (0, _) => Err(core::not_initialized()),
            (number, outcome) => core::numbered(number).map_err(|ended| match outcome {
                Some(Outcome::Failed(error)) if core::is_orphan(number) => error.read(),
                _ => ended,
            }),
        }
    }

    /// True if the value or error is there.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        match self.flags() & (SET | BORROWED | ARRIVED) {
            0 => false,
            flags if flags == SET | BORROWED => self.has_arrived(),
            _ => true,
        }
    }

    #[cold]
    fn has_arrived(&self) -> bool {
        let arrived = match self.outcome() {
            Some(Outcome::Stored(hold)) => hold.state() != HoldState::Pending,
            _ => false,
        };
        if arrived {
            self.arrive();
        }
        arrived
    }

    /// True if nobody in this process hears when the value arrives: it must be looked for.
    #[inline]
    pub(crate) fn is_borrowed(&self) -> bool {
        self.flags() & BORROWED != 0
    }

    /// True if other processes wait for the value.
    pub(crate) fn is_promised(&self) -> bool {
        self.flags() & WATCHED != 0 && self.rare().as_ref().is_some_and(|rare| rare.promise.is_some())
    }

    /// Notes who waits for this ref; gives it back if there is nothing to wait for.
    pub(crate) fn await_by(&self, dependent: Dependent) -> Option<Dependent> {
        let mut rare = self.rare();
        if !self.watch() {
            return Some(dependent);
        }
        let dependents = &mut rare.get_or_insert_default().dependents;
        let mut left = Vec::new();
        if dependents.len() == dependents.capacity() {
            left.extend(dependents.extract_if(.., |dependent| dependent.is_left()));
        }
        dependents.push(dependent);
        drop(rare);
        drop(left);
        None
    }

    /// Keeps the promise to other processes and returns who waited in this one.
    #[cold]
    pub(crate) fn tell(&self) -> Vec<Dependent> {
        let mut rare = self.rare();
        let Some(rare) = rare.as_mut() else { return Vec::new() };
        if let Some((promise, hold)) = rare.promise.take()
            && let Some(outcome) = self.outcome()
            && keep(promise, outcome)
        {
            rare.shared = Some(hold);
        }
        std::mem::take(&mut rare.dependents)
    }

    /// Makes the value reachable for other processes under the ref's id and returns a hold of it.
    fn share(&self) -> Result<ObjectHold> {
        let core = self.core()?;
        let store = core.store();
        let store_error = |error| Error::from_store(&error, "a ref inside a value");
        let mut guard = self.rare();
        if let Some(rare) = guard.as_ref()
            && let Some(hold) = rare.promise.as_ref().map(|(_, hold)| hold).or(rare.shared.as_ref())
        {
            return Ok(hold.clone());
        }
        if self.watch() {
            let promise = store.promise(self.id()).map_err(store_error)?;
            let hold = promise.hold();
            guard.get_or_insert_default().promise = Some((promise, hold.clone()));
            return Ok(hold);
        }
        let make = |bytes: &[u8], children: &[ObjectHold], tag| {
            value::store_bytes(store, self.id(), bytes, children, tag, None).map_err(store_error)
        };
        let hold = match self.outcome() {
            Some(Outcome::Stored(hold)) if hold.id() == self.id() => return Ok((**hold).clone()),
            // What was made under another id is copied, and the copy keeps it and what is inside it.
            Some(Outcome::Stored(hold)) => {
                let view = value::sealed(hold)?;
                make(&view, std::slice::from_ref(&**hold), value::tag(&view))?
            }
            Some(Outcome::Value(bytes)) => make(bytes, &[], TAG_VALUE)?,
            Some(Outcome::Holding(value)) => make(&value.0, &value.1, TAG_VALUE)?,
            Some(Outcome::Failed(error)) => make(&error.read().to_bytes(), &[], TAG_ERROR)?,
            None => return Err(Error::system(format!("ref {} is settled without an outcome", self.id()))),
        };
        guard.get_or_insert_default().shared = Some(hold.clone());
        Ok(hold)
    }
}

impl Unanswered {
    /// Ends a pending ref; who waited for it is added to `work`.
    #[inline]
    pub(crate) fn end(self, outcome: Outcome, work: &mut Work) {
        if let Some(inner) = self.settle(outcome) {
            work.add(inner.tell());
        }
    }
}

/// Gives a promised object its value; false if the store has no room: then the promise breaks,
/// borrowers get `is_object_lost`, and this process still has the value.
fn keep(promise: Promise, outcome: &Outcome) -> bool {
    let id = promise.id();
    let fulfil = |bytes: &[u8], children: &[ObjectHold], tag| {
        let options = value::object_options(tag, children).timeout(FULFIL_PATIENCE);
        let mut buffer = promise.fulfil(bytes.len(), &options)?;
        buffer.copy_from_slice(bytes);
        buffer.seal().map(drop)
    };
    let kept = match outcome {
        Outcome::Value(bytes) => fulfil(bytes, &[], TAG_VALUE),
        Outcome::Holding(value) => fulfil(&value.0, &value.1, TAG_VALUE),
        // The callee could not use the promised id: the value is copied, and the copy keeps the
        // callee's object, which holds whatever is inside it.
        Outcome::Stored(made) => match made.get(Some(Duration::ZERO)) {
            Ok(view) => fulfil(&view, std::slice::from_ref(&**made), value::tag(&view)),
            Err(error) => Err(error),
        },
        Outcome::Failed(error) => fulfil(&error.read().to_bytes(), &[], TAG_ERROR),
    };
    if let Err(error) = &kept {
        tracing::warn!(%id, %error, "a promised value found no room");
    }
    kept.is_ok()
}

impl<T> ObjectRef<T> {
    pub(crate) fn new(inner: RefInner) -> Self {
        ObjectRef { inner, value: PhantomData }
    }

    /// Returns the id of the object.
    ///
    /// It is the store's id; a small result may never be in the store.
    pub fn id(&self) -> ObjectId {
        self.inner.id()
    }
}

impl<T> Clone for ObjectRef<T> {
    fn clone(&self) -> Self {
        ObjectRef::new(self.inner.clone())
    }
}

impl<T> fmt::Debug for ObjectRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectRef({})", self.inner.id())
    }
}

impl<T> fmt::Display for ObjectRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner.id(), f)
    }
}

impl<T> PartialEq for ObjectRef<T> {
    fn eq(&self, other: &Self) -> bool {
        self.inner.id() == other.inner.id()
    }
}

impl<T> Eq for ObjectRef<T> {}

impl<T> Hash for ObjectRef<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.id().hash(state);
    }
}

impl<T> Serialize for ObjectRef<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !transfer::is_encoding() {
            return Err(serde::ser::Error::custom(
                "an ObjectRef serialises only while Mobula encodes an argument, a result or an object",
            ));
        }
        let hold = self.inner.share().map_err(value::refuse_encoding)?;
        transfer::note(hold);
        self.inner.id().serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for ObjectRef<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(store) = transfer::decoding() else {
            return Err(serde::de::Error::custom(
                "an ObjectRef deserialises only while Mobula decodes an argument, a result or an object",
            ));
        };
        let id = ObjectId::deserialize(deserializer)?;
        let core = core::current().map_err(value::refuse)?;
        let hold = store.hold(id).map_err(|error| {
            value::refuse(if error.is_not_found() {
                Error::object_lost(id)
            } else {
                Error::from_store(&error, "a ref inside a value")
            })
        })?;
        Ok(ObjectRef::new(RefInner::borrowed(&core, hold)))
    }
}
