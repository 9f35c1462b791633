//! The streams that this process makes: sending their items, and knowing how many were taken.
//!
//! ```text
//!   thread of the call                          leader of the pump
//!     Outflows::open(task) --> [task: count] <-- Taken{task, count}
//!     made - count < window ? items.next(), send : sleep until count moves, or nobody reads
//! ```
//!
//! The count is changed before the threads of this process that wait are woken (WK-12), and who waits looks at it before it
//! sleeps; nothing else hangs on it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mobula_scheduler::ids::TaskId;
use mobula_store::{ObjectHold, ObjectId};
use serde::Serialize;

use crate::call;
use crate::context;
use crate::core::Core;
use crate::error::Error;
use crate::executor::Lending;
use crate::frames::{BODY_LIMIT, Nonce};
use crate::outbox::Peer;
use crate::panics::CallError;
use crate::pump::{self, Wait};
use crate::task;
use crate::value::{self, INLINE_LIMIT, TAG_VALUE};

/// The streams that run here, and how many of their items were taken.
#[derive(Default)]
pub(crate) struct Outflows {
    counts: Mutex<HashMap<TaskId, Arc<AtomicU64>>>,
}

impl Outflows {
    /// A caller has taken so many items of a stream in all.
    pub(crate) fn taken(&self, task: TaskId, count: u64) {
        // A stream that has ended needs no places.
        if let Some(known) = self.lock().get(&task) {
            known.fetch_max(count, Ordering::SeqCst);
        }
    }

    fn open(&self, task: TaskId) -> Open<'_> {
        let taken = Arc::new(AtomicU64::new(0));
        self.lock().insert(task, taken.clone());
        Open { flows: self, task, taken }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<AtomicU64>>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that runs; it is forgotten when this is dropped, also by a panic.
struct Open<'a> {
    flows: &'a Outflows,
    task: TaskId,
    taken: Arc<AtomicU64>,
}

impl Open<'_> {
    fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.flows.lock().remove(&self.task);
    }
}

/// Where the items of one call go.
pub(crate) struct Outlet {
    core: Arc<Core>,
    caller: Arc<Peer>,
    call: u64,
    task: TaskId,
    /// What runs, for errors.
    name: String,
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").field("name", &self.name).field("call", &self.call).finish_non_exhaustive()
    }
}

impl Outlet {
    pub(crate) fn new(core: &Arc<Core>, caller: &Arc<Peer>, nonce: Nonce, call: u64, name: String) -> Self {
        Outlet { core: core.clone(), caller: caller.clone(), call, task: task::task_id(nonce, call), name }
    }

    /// Sends each item as it is made, until there is none left or nobody wants any more. `bytes` is a buffer.
    pub(crate) fn send_all<T: Serialize>(
        self,
        window: u64,
        mut items: impl Iterator<Item = Result<T, CallError>>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), CallError> {
        let open = self.core.outflows().open(self.task);
        let mut made = 0;
        while self.wait_for_place(&open, made, window)
            && let Some(item) = items.next()
        {
            made += 1;
            self.send(item, bytes)?;
        }
        Ok(())
    }

    /// Waits until one more item may be made (STREAM-2); false if none is wanted any more (STREAM-3).
    fn wait_for_place(&self, open: &Open<'_>, made: u64, window: u64) -> bool {
        let is_free = || made.saturating_sub(open.taken()) < window;
        if !is_free() {
            let mut lending = Lending::none();
            let wait = Wait { deadline: None, ticking: false, before_sleep: &mut || lending.begin() };
            pump::wait_until(&self.core, wait, || is_free() || !self.is_wanted());
        }
        self.is_wanted()
    }

    fn is_wanted(&self) -> bool {
        !context::is_cancelled() && !self.caller.is_gone()
    }

    fn send<T: Serialize>(&self, item: Result<T, CallError>, bytes: &mut Vec<u8>) -> Result<(), CallError> {
        bytes.clear();
        let encoded = match item {
            Ok(value) => Ok(value::encode_into(&value, bytes).map_err(|error| CallError::result(&error))?),
            Err(error) => Err(error.into_error(|| self.name.clone())),
        };
        let sent = call::with_writer(|frame| {
            let mut holds = Vec::new();
            match encoded {
                Err(error) => frame.failed_item(self.call, &error.to_bytes()),
                Ok(inside) if bytes.len() <= INLINE_LIMIT && bytes.len() + 16 * inside.len() <= BODY_LIMIT => {
                    frame.item(self.call);
                    frame.inline(bytes, inside.iter().map(ObjectHold::id));
                    holds = inside;
                }
                Ok(inside) => {
                    let object =
                        value::store_bytes(self.core.store(), ObjectId::random(), bytes, &inside, TAG_VALUE, None)
                            .map_err(|error| CallError::passed_on(Error::from_store(&error, "an item of a stream")))?;
                    frame.item(self.call);
                    frame.stored(object.id());
                    holds.push(object);
                }
            }
            Ok::<_, CallError>(self.core.answer(&self.caller, frame.bytes(), holds))
        })?;
        if !sent {
            self.wait_until_sent();
        }
        Ok(())
    }

    /// Waits until the line has room: what is made faster than it is sent would take memory without a bound.
    #[cold]
    fn wait_until_sent(&self) {
        let wait = Wait { deadline: None, ticking: true, before_sleep: &mut || {} };
        pump::wait_until(&self.core, wait, || {
            self.core.flush_stalled();
            self.caller.flush()
        });
    }
}
