//! Calls that were made and are not answered yet.
//!
//! - **WK-8** A call is in the table from before its first byte leaves the process until its refs
//!   are settled; it keeps its refs, the holds of its arguments and, through a strong handle, its
//!   actor.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mobula_scheduler::ids::ActorId;
use mobula_store::ObjectHold;

use crate::actor::RawHandle;
use crate::refs::RefInner;

/// The refs of one call; one is by far the most common number.
pub(crate) enum CallRefs {
    One(Arc<RefInner>),
    Many(Vec<Arc<RefInner>>),
}

impl CallRefs {
    pub(crate) fn as_slice(&self) -> &[Arc<RefInner>] {
        match self {
            CallRefs::One(one) => std::slice::from_ref(one),
            CallRefs::Many(many) => many,
        }
    }
}

/// Whom a call waits for.
pub(crate) enum Callee {
    Actor(RawHandle),
    Task(&'static str),
}

impl Callee {
    pub(crate) fn is_actor(&self, id: ActorId) -> bool {
        matches!(self, Callee::Actor(handle) if handle.id() == id)
    }
}

/// One unanswered call.
pub(crate) struct PendingCall {
    pub(crate) refs: CallRefs,
    pub(crate) callee: Callee,
    pub(crate) holds: Vec<ObjectHold>,
}

/// Call numbers are drawn in sequence: spreading their bits is enough.
#[derive(Default)]
pub(crate) struct CallHasher(u64);

impl Hasher for CallHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, call: u64) {
        self.0 = (self.0 ^ call).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

type Table = HashMap<u64, PendingCall, BuildHasherDefault<CallHasher>>;

/// The table of unanswered calls of this process.
#[derive(Default)]
pub(crate) struct PendingTable {
    calls: Mutex<Table>,
}

impl PendingTable {
    pub(crate) fn insert(&self, call: u64, pending: PendingCall) {
        self.lock().insert(call, pending);
    }

    pub(crate) fn remove(&self, call: u64) -> Option<PendingCall> {
        self.lock().remove(&call)
    }

    /// Adds holds that the call needs until it is answered; drops them if it is already.
    pub(crate) fn add_holds(&self, call: u64, holds: Vec<ObjectHold>) {
        if holds.is_empty() {
            return;
        }
        if let Some(pending) = self.lock().get_mut(&call) {
            pending.holds.extend(holds);
        }
    }

    /// Takes out every call to one actor, oldest first.
    pub(crate) fn take_actor(&self, id: ActorId) -> Vec<(u64, PendingCall)> {
        self.take_where(|pending| pending.callee.is_actor(id))
    }

    /// Takes out everything, oldest first.
    pub(crate) fn take_all(&self) -> Vec<(u64, PendingCall)> {
        self.take_where(|_| true)
    }

    /// True if somebody outside of this process waits for the answer of a call made here.
    pub(crate) fn has_promises(&self) -> bool {
        self.lock().values().flat_map(|pending| pending.refs.as_slice()).any(|inner| inner.is_promised())
    }

    fn take_where(&self, test: impl Fn(&PendingCall) -> bool) -> Vec<(u64, PendingCall)> {
        let mut taken: Vec<_> = self.lock().extract_if(|_, pending| test(pending)).collect();
        taken.sort_unstable_by_key(|(call, _)| *call);
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
