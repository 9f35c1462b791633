//! Calls of actor methods, from the builder to the ring.
//!
//! ```text
//!   c.add(5)  ->  Call<One<i64>>  -- .remote() -->  pending entry, frame, ring   (the usual case)
//!                                              \->  queue of the actor's route   (anything missing)
//! ```

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use mobula_scheduler::ids::ActorId;
use mobula_store::{ObjectHold, ObjectId};

use crate::actor::RawHandle;
use crate::arg::{self, Args, Bound, Readiness};
use crate::attempts::Attempts;
use crate::context;
use crate::core::Core;
use crate::definition::MethodDef;
use crate::error::{Error, Result};
use crate::frames::{BODY_LIMIT, FrameWriter, Method};
use crate::graph::{self, Step};
use crate::pending::{Callee, PendingCall};
use crate::pump;
use crate::returns::{Birth, Fetch, Returns};
use crate::stream;
use crate::value::{self, TAG_VALUE};

/// A call that is ready to be made; it borrows from nothing.
///
/// Methods of an [`ActorHandle`](crate::ActorHandle) give it.
#[must_use = "a call is made by `.remote()`"]
pub struct Call<R> {
    handle: RawHandle,
    method: &'static MethodDef,
    target: Method,
    args: Args,
    max_task_retries: Option<i32>,
    retry_errors: Option<bool>,
    pub(crate) stream_backpressure: Option<usize>,
    returns: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("method", &self.method.name).field("args", &self.args).finish_non_exhaustive()
    }
}

impl<R: Returns> Call<R> {
    #[doc(hidden)]
    pub fn __new(handle: &RawHandle, method: &'static MethodDef, index: u16, args: Args) -> Self {
        Call {
            handle: handle.clone(),
            method,
            target: Method { index, group: None },
            args,
            max_task_retries: method.max_task_retries,
            retry_errors: method.retry_errors,
            stream_backpressure: None,
            returns: PhantomData,
        }
    }

    /// Sets how often the call is tried again after its actor's process died; -1 is always.
    ///
    /// It runs at most once more than that. What is known not to have begun costs nothing.
    pub fn max_task_retries(mut self, times: i32) -> Self {
        self.max_task_retries = Some(times);
        self
    }

    /// Sets whether an `Err` or a panic is tried again, too, out of the same number of times.
    pub fn retry_errors(mut self, yes: bool) -> Self {
        self.retry_errors = Some(yes);
        self
    }

    /// Puts the call into a concurrency group, whatever group its method is in.
    ///
    /// If the actor does not have it, `get` is `is_invalid_argument`.
    pub fn concurrency_group(mut self, name: impl Into<String>) -> Self {
        self.target.group = Some(name.into().into());
        self
    }

    /// Makes the call and returns at once; whatever goes wrong comes out of `get`.
    pub fn remote(self) -> R::Refs {
        match self.check() {
            Ok(()) => self.submit(false),
            Err(error) => {
                let core = self.handle.core();
                R::make(Birth::Failed(Some(core), core.next_call(), &error)).0
            }
        }
    }

    /// Makes the call and waits for its result: `get(&call.remote())` in one step.
    ///
    /// Knowing that the caller waits, this is faster where the actor sleeps, or where there are more actors than
    /// processors.
    ///
    /// # Errors
    ///
    /// Those of [`Call::try_remote`] and of [`get`](crate::get).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use mobula_worker as mobula;
    /// # fn example<C>(add: impl Fn(i64) -> mobula::Call<mobula::__private::One<i64>>) -> mobula::Result<()> {
    /// let sum: i64 = add(5).call()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn call(self) -> Result<R::Values>
    where
        R: Fetch,
    {
        self.check()?;
        R::fetch(self.submit(true))
    }

    /// Makes the call, or says why it cannot be made.
    ///
    /// # Errors
    ///
    /// What is known at once: the runtime has ended, the actor is known to be dead, or to be restarted
    /// while the call has no retries, an option makes no sense, an argument cannot be encoded, this process has as many
    /// unanswered calls there as the actor's `max_pending_calls` allows.
    pub fn try_remote(self) -> Result<R::Refs> {
        if let Some(death) = self.handle.route().death() {
            return Err(Error::actor_died(death));
        }
        if let Some(error) = self.handle.route().unavailable(self.attempts()) {
            return Err(error);
        }
        self.check()?;
        Ok(self.submit(false))
    }

    /// Refuses what can never be made; what passes is counted as made.
    fn check(&self) -> Result<()> {
        self.handle.core().check_open()?;
        if let Some(times) = self.max_task_retries {
            check_times("max_task_retries", times)?;
        }
        if self.method.streams {
            stream::check_retries("max_task_retries", self.max_task_retries, self.retry_errors)?;
            self.window()?;
        }
        match self.args.readiness() {
            Readiness::Failed(error) => Err(error),
            Readiness::Ready | Readiness::Waiting => self.handle.route().count(),
        }
    }

    /// Returns how many items of the stream may wait.
    fn window(&self) -> Result<u64> {
        stream::window(self.stream_backpressure, self.method.stream_backpressure)
    }

    /// Returns how often the call can be made again; `None` if it need not be kept for that.
    #[inline]
    fn attempts(&self) -> Option<Attempts> {
        let route = self.handle.route();
        if self.method.streams {
            return if route.keeps() { route.attempts(Some(0), false) } else { None };
        }
        if self.retry_errors == Some(true) || route.keeps() {
            route.attempts(self.max_task_retries, self.retry_errors == Some(true))
        } else {
            None
        }
    }

    /// Takes the call apart, to be bound.
    pub(crate) fn into_step(self) -> Step {
        let Call { handle, method, target, args, .. } = self;
        let Bound { bytes, gaps, holds, error } = args.into_bound();
        let group = || Error::invalid_argument("a bound call runs in no concurrency group");
        let error = error.or_else(|| target.group.is_some().then(group));
        Step { number: graph::number(), handle, method, index: target.index, bytes, gaps, _holds: holds, error }
    }

    fn submit(self, waits: bool) -> R::Refs {
        let attempts = self.attempts();
        // Checked before.
        let window = if self.method.streams { self.window().ok() } else { None };
        let Call { handle, target, mut args, .. } = self;
        if let Some(window) = window {
            // The last argument, for the worker.
            args.push(window.into());
        }
        let (core, route) = (handle.core(), handle.route());
        let (depth, parent) = context::origin();
        let (call, refs) = core.pending().enter(|call| {
            let (mut refs, call_refs) = R::make(Birth::Pending(core, call));
            if let Some(window) = window {
                R::bound(&mut refs, window);
            }
            let callee = Callee::Actor(handle.clone());
            (refs, PendingCall::new(call_refs, callee, parent))
        });
        if args.refs().next().is_some() {
            route.send_later(core, call, attempts, target, depth, args);
            return refs;
        }
        let (bytes, mut holds) = args.into_parts();
        let sent = with_writer(|writer| {
            let spilled = write(writer, core, call, route.id(), &target, depth, (&bytes, &holds), None)?;
            holds.extend(spilled);
            core.pending().add_holds(call, holds);
            Ok(match (attempts, waits) {
                (Some(attempts), _) => route.send_kept(core, call, attempts, writer.bytes()),
                (None, true) => route.send_to_wait(core, call, writer.bytes()),
                (None, false) => route.send(core, call, writer.bytes()),
            })
        });
        arg::recycle(bytes);
        match sent {
            Ok(full) => {
                if full {
                    pump::turn(core);
                }
                refs
            }
            Err(error) => {
                if let Some(pending) = core.pending().remove(call) {
                    pending.callee.answered();
                }
                R::make(Birth::Failed(Some(core), call, &error)).0
            }
        }
    }
}

/// Refuses a number of retries or restarts that makes no sense.
pub(crate) fn check_times(name: &str, times: i32) -> Result<()> {
    if times < -1 {
        return Err(Error::invalid_argument(format!("{name} must be -1 (always), 0 or more, not {times}")));
    }
    Ok(())
}

/// The error of a frame that no ring takes.
pub(crate) fn too_long() -> Error {
    Error::invalid_argument("the call refers to more objects than one message can name; put them into one object")
}

thread_local! {
    static WRITER: RefCell<FrameWriter> = RefCell::new(FrameWriter::default());
}

/// Lends the thread's frame buffer; a fresh one while it is in use further out.
pub(crate) fn with_writer<R>(f: impl FnOnce(&mut FrameWriter) -> R) -> R {
    let mut writer = WRITER.try_with(|slot| slot.take()).unwrap_or_default();
    let result = f(&mut writer);
    let _ = WRITER.try_with(|slot| slot.replace(writer));
    result
}

/// Writes a call's frame; returns it with the hold of the arguments if they went into the store.
pub(crate) fn frame(
    core: &Core,
    call: u64,
    actor: ActorId,
    method: &Method,
    depth: u32,
    args: &Args,
    patience: Duration,
) -> Result<(Vec<u8>, Option<ObjectHold>)> {
    with_writer(|writer| {
        let spilled = write(writer, core, call, actor, method, depth, args.parts(), Some(patience))?;
        Ok((writer.bytes().to_vec(), spilled))
    })
}

/// Puts arguments that fit into no frame into the store.
#[inline]
pub(crate) fn spill(
    core: &Core,
    bytes: &[u8],
    holds: &[ObjectHold],
    patience: Option<Duration>,
) -> Result<Option<ObjectHold>> {
    if bytes.len() + 16 * holds.len() <= BODY_LIMIT {
        return Ok(None);
    }
    value::store_bytes(core.store(), ObjectId::random(), bytes, holds, TAG_VALUE, patience)
        .map(Some)
        .map_err(|error| Error::from_store(&error, "the arguments of a call"))
}

#[expect(clippy::too_many_arguments, reason = "the fields of one frame")]
fn write(
    writer: &mut FrameWriter,
    core: &Core,
    call: u64,
    actor: ActorId,
    method: &Method,
    depth: u32,
    (bytes, holds): (&[u8], &[ObjectHold]),
    patience: Option<Duration>,
) -> Result<Option<ObjectHold>> {
    let spilled = spill(core, bytes, holds, patience)?;
    writer.call(call, core.nonce(), actor, method, depth);
    writer.args(spilled.as_ref(), bytes, holds);
    Ok(spilled)
}
