//! Refs: what a caller has of a value that is made elsewhere, or later, or lies in the store.
//!
//! ```text
//!            Done: small            ref leaves the process
//!   Pending ------------> Value ---------------------------> Stored
//!      |  \                                                     ^
//!      |   \ Done: large, or escaped before Done ---------------/
//!      |    \ Done: error, or the callee is gone
//!      |     \-----------> Failed
//!   Borrowed: read from a message; its value arrives in the store
//! ```
//!
//! A pending ref that leaves its process becomes a promise in the store under the ref's id; when
//! the answer arrives, this process keeps the promise. If this process dies first, the store breaks
//! it and every borrower gets `is_object_lost`.
//!
//! - **WK-5** A ref leaves `Pending` once; `ready` is set after the state, Release, and read
//!   Acquire (REF-READY), so who sees it sees the state.
//! - **WK-6** A ref's id is in the store only if the ref has left the process or its value is large;
//!   then this process holds the object as long as the ref lives.
//! - **WK-7** Nothing here blocks or panics when a ref is dropped.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mobula_store::{HoldState, ObjectHold, ObjectId, Promise, transfer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::core::{self, Core};
use crate::deferred::Dependent;
use crate::error::{Error, Result};
use crate::value::{self, Bytes, TAG_ERROR, TAG_VALUE};

/// How long a full store may hold up the answer of a call whose ref has left the process.
const FULFIL_PATIENCE: Duration = Duration::from_millis(50);

/// Refers to a value: the result of a call, or a put object.
///
/// The value may not exist yet; [`get`](crate::get) waits for it. A ref keeps its object alive, in
/// a variable, inside another object or in a queued call. It serialises only while Mobula encodes
/// an argument, a result or an object. Dropping it never blocks, and a call whose ref is dropped
/// still runs.
pub struct ObjectRef<T> {
    pub(crate) inner: Arc<RefInner>,
    value: PhantomData<fn() -> T>,
}

/// What all clones of a ref share.
pub(crate) struct RefInner {
    /// The process's runtime; `None` for a ref that failed because there is none.
    core: Option<Arc<Core>>,
    id: ObjectId,
    /// Set for a ref that was read from a message.
    borrowed: Option<ObjectHold>,
    ready: AtomicBool,
    state: Mutex<State>,
}

enum State {
    Pending { promise: Option<(Promise, ObjectHold)>, dependents: Vec<Dependent> },
    Value { bytes: Bytes, holds: Vec<ObjectHold> },
    Stored(ObjectHold),
    Failed { error: Error, shared: Option<ObjectHold> },
    Borrowed(ObjectHold),
}

/// How a pending ref ends.
pub(crate) enum Settled {
    Value(Bytes, Vec<ObjectHold>),
    Stored(ObjectHold),
    Failed(Error),
}

/// What a ref is at this moment.
pub(crate) enum Look {
    Pending,
    Value(Bytes, Vec<ObjectHold>),
    /// The object may still be promised if the ref is borrowed.
    Stored(ObjectHold),
    Failed(Error),
}

impl RefInner {
    pub(crate) fn pending(core: &Arc<Core>, id: ObjectId) -> Arc<Self> {
        RefInner::make(Some(core.clone()), id, State::Pending { promise: None, dependents: Vec::new() })
    }

    pub(crate) fn value(core: &Arc<Core>, id: ObjectId, bytes: Bytes, holds: Vec<ObjectHold>) -> Arc<Self> {
        RefInner::make(Some(core.clone()), id, State::Value { bytes, holds })
    }

    pub(crate) fn stored(core: &Arc<Core>, hold: ObjectHold) -> Arc<Self> {
        RefInner::make(Some(core.clone()), hold.id(), State::Stored(hold))
    }

    pub(crate) fn failed(core: Option<&Arc<Core>>, id: ObjectId, error: Error) -> Arc<Self> {
        RefInner::make(core.cloned(), id, State::Failed { error, shared: None })
    }

    fn borrowed(core: &Arc<Core>, hold: ObjectHold) -> Arc<Self> {
        Arc::new(RefInner {
            core: Some(core.clone()),
            id: hold.id(),
            borrowed: Some(hold.clone()),
            ready: AtomicBool::new(false),
            state: Mutex::new(State::Borrowed(hold)),
        })
    }

    fn make(core: Option<Arc<Core>>, id: ObjectId, state: State) -> Arc<Self> {
        let ready = !matches!(state, State::Pending { .. });
        Arc::new(RefInner { core, id, borrowed: None, ready: AtomicBool::new(ready), state: Mutex::new(state) })
    }

    pub(crate) fn id(&self) -> ObjectId {
        self.id
    }

    /// Returns the runtime of the ref if it still runs.
    pub(crate) fn core(&self) -> Result<&Arc<Core>> {
        match &self.core {
            Some(core) => {
                core.check_open()?;
                Ok(core)
            }
            None => match self.look() {
                Look::Failed(error) => Err(error),
                _ => Err(core::not_initialized()),
            },
        }
    }

    /// True if the value or error is there.
    pub(crate) fn is_ready(&self) -> bool {
        // REF-READY: Acquire pairs with the Release in `settle`.
        if self.ready.load(Ordering::Acquire) {
            return true;
        }
        match &self.borrowed {
            Some(hold) if hold.state() != HoldState::Pending => {
                self.ready.store(true, Ordering::Release);
                true
            }
            _ => false,
        }
    }

    /// True if nobody in this process hears when the value arrives: it must be looked for.
    pub(crate) fn is_borrowed(&self) -> bool {
        self.borrowed.is_some()
    }

    /// True if other processes wait for the value.
    pub(crate) fn is_promised(&self) -> bool {
        matches!(&*self.lock(), State::Pending { promise: Some(_), .. })
    }

    pub(crate) fn look(&self) -> Look {
        match &*self.lock() {
            State::Pending { .. } => Look::Pending,
            State::Value { bytes, holds } => Look::Value(bytes.clone(), holds.clone()),
            State::Stored(hold) | State::Borrowed(hold) => Look::Stored(hold.clone()),
            State::Failed { error, .. } => Look::Failed(error.clone()),
        }
    }

    /// Notes who waits for this ref; gives it back if there is nothing to wait for.
    pub(crate) fn await_by(&self, dependent: Dependent) -> Option<Dependent> {
        match &mut *self.lock() {
            State::Pending { dependents, .. } => {
                dependents.push(dependent);
                None
            }
            _ => Some(dependent),
        }
    }

    /// Ends a pending ref and returns who waited for it. A second end is ignored.
    pub(crate) fn settle(&self, settled: Settled) -> Vec<Dependent> {
        let mut state = self.lock();
        let (promise, dependents) = match &mut *state {
            State::Pending { promise, dependents } => (promise.take(), std::mem::take(dependents)),
            _ => return Vec::new(),
        };
        *state = match promise {
            None => match settled {
                Settled::Value(bytes, holds) => State::Value { bytes, holds },
                Settled::Stored(hold) => State::Stored(hold),
                Settled::Failed(error) => State::Failed { error, shared: None },
            },
            Some((promise, hold)) => keep(promise, hold, settled),
        };
        // REF-READY: Release pairs with the Acquire in `is_ready`.
        self.ready.store(true, Ordering::Release);
        dependents
    }

    /// Makes the value reachable for other processes under the ref's id and returns a hold of it.
    fn share(&self) -> Result<ObjectHold> {
        let core = self.core()?;
        let mut state = self.lock();
        let store_error = |error| Error::from_store(&error, "a ref inside a value");
        match &mut *state {
            State::Pending { promise: Some((_, hold)), .. } | State::Stored(hold) | State::Borrowed(hold) => {
                Ok(hold.clone())
            }
            State::Pending { promise, .. } => {
                let made = core.store().promise(self.id).map_err(store_error)?;
                let hold = made.hold();
                *promise = Some((made, hold.clone()));
                Ok(hold)
            }
            State::Value { bytes, holds } => {
                let hold =
                    value::store_bytes(core.store(), self.id, bytes, holds, TAG_VALUE, None).map_err(store_error)?;
                *state = State::Stored(hold.clone());
                Ok(hold)
            }
            State::Failed { error, shared } => match shared {
                Some(hold) => Ok(hold.clone()),
                None => {
                    let hold = value::store_bytes(core.store(), self.id, &error.to_bytes(), &[], TAG_ERROR, None)
                        .map_err(store_error)?;
                    *shared = Some(hold.clone());
                    Ok(hold)
                }
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a promised object its value. If the store has no room the promise breaks: borrowers get
/// `is_object_lost`, and this process still has the value.
fn keep(promise: Promise, hold: ObjectHold, settled: Settled) -> State {
    let fulfil = |promise: Promise, bytes: &[u8], children: &[ObjectHold], tag| {
        let options = value::object_options(tag, children).timeout(FULFIL_PATIENCE);
        let mut buffer = promise.fulfil(bytes.len(), &options)?;
        buffer.copy_from_slice(bytes);
        buffer.seal().map(drop)
    };
    match settled {
        Settled::Value(bytes, holds) => match fulfil(promise, &bytes, &holds, TAG_VALUE) {
            Ok(()) => State::Stored(hold),
            Err(error) => {
                tracing::warn!(id = %hold.id(), %error, "a promised value found no room");
                State::Value { bytes, holds }
            }
        },
        // The callee could not use the promised id: the value is copied, and the copy keeps the
        // callee's object, which holds whatever is inside it.
        Settled::Stored(made) => match value::sealed(&made) {
            Ok(view) => {
                let tag = view.metadata().first().copied().unwrap_or(TAG_VALUE);
                match fulfil(promise, &view, std::slice::from_ref(&made), tag) {
                    Ok(()) => State::Stored(hold),
                    Err(error) => {
                        tracing::warn!(id = %hold.id(), %error, "a promised value found no room");
                        State::Stored(made)
                    }
                }
            }
            Err(error) => State::Failed { error, shared: None },
        },
        Settled::Failed(error) => {
            let kept = fulfil(promise, &error.to_bytes(), &[], TAG_ERROR);
            State::Failed { error, shared: kept.is_ok().then_some(hold) }
        }
    }
}

impl<T> ObjectRef<T> {
    pub(crate) fn new(inner: Arc<RefInner>) -> Self {
        ObjectRef { inner, value: PhantomData }
    }

    /// Returns the id of the object.
    ///
    /// It is the store's id; a small result may never be in the store.
    pub fn id(&self) -> ObjectId {
        self.inner.id
    }
}

impl<T> Clone for ObjectRef<T> {
    fn clone(&self) -> Self {
        ObjectRef::new(self.inner.clone())
    }
}

impl<T> fmt::Debug for ObjectRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectRef({})", self.inner.id)
    }
}

impl<T> fmt::Display for ObjectRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner.id, f)
    }
}

impl<T> PartialEq for ObjectRef<T> {
    fn eq(&self, other: &Self) -> bool {
        self.inner.id == other.inner.id
    }
}

impl<T> Eq for ObjectRef<T> {}

impl<T> Hash for ObjectRef<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.id.hash(state);
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
        self.inner.id.serialize(serializer)
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
