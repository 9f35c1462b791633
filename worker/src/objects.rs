//! `put`, `get`, `wait` and their relatives.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mobula_store::{ObjectId, ObjectView};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context;
use crate::core::{self, Core};
use crate::deferred::{Completions, Dependent};
use crate::error::{Error, Result};
use crate::executor::Lending;
use crate::frames::{self, PUT_INDEX};
use crate::pump::{self, Wait};
use crate::refs::{ObjectRef, Outcome, RefInner};
use crate::value::{self, Bytes, INLINE_LIMIT, TAG_VALUE};

/// How long a thread sleeps in the store before it looks whether its runtime still runs.
const GLANCE: Duration = Duration::from_millis(50);

/// Makes a value available to other processes and returns its ref.
///
/// A small value stays in this process until its ref is sent somewhere; a large one goes into the
/// store at once.
///
/// # Errors
///
/// If no runtime is up, the value cannot be encoded, or the store is full.
///
/// # Examples
///
/// ```no_run
/// let words = mobula_worker::put(&vec!["a".to_string(), "b".to_string()])?;
/// let back: Vec<String> = mobula_worker::get(&words)?;
/// # Ok::<(), mobula_worker::Error>(())
/// ```
pub fn put<T: Serialize>(value: &T) -> Result<ObjectRef<T>> {
    let core = core::current()?;
    let mut bytes = Vec::new();
    let holds = value::encode_into(value, &mut bytes)?;
    let id = frames::object_id(core.nonce(), core.next_call(), PUT_INDEX);
    let inner = if bytes.len() <= INLINE_LIMIT {
        RefInner::settled(Some(&core), id, Outcome::value(Bytes::from(&bytes[..]), holds))
    } else {
        let hold = value::store_bytes(core.store(), id, &bytes, &holds, TAG_VALUE, None)
            .map_err(|error| Error::from_store(&error, "put"))?;
        RefInner::settled(Some(&core), id, Outcome::stored(hold))
    };
    Ok(ObjectRef::new(inner))
}

/// Waits for a value and returns it.
///
/// # Errors
///
/// The error of the call that was to make the value, `is_object_lost` if its maker is gone,
/// `is_not_initialized` after the runtime's end, `is_cancelled` if the call that waits was cancelled.
pub fn get<T: DeserializeOwned>(object: &ObjectRef<T>) -> Result<T> {
    get_until(&object.inner, None)
}

/// Waits for a value for at most `timeout`; zero only looks.
///
/// # Errors
///
/// Those of [`get`], and `is_timeout`.
pub fn get_timeout<T: DeserializeOwned>(object: &ObjectRef<T>, timeout: Duration) -> Result<T> {
    get_until(&object.inner, deadline(timeout))
}

/// Waits for all values and returns them in the order of the refs.
///
/// # Errors
///
/// The first error that comes up, without waiting for the rest; those of [`get`].
pub fn get_all<T: DeserializeOwned>(objects: &[ObjectRef<T>]) -> Result<Vec<T>> {
    get_all_until(objects, None)
}

/// Waits for all values for at most `timeout`.
///
/// # Errors
///
/// Those of [`get_all`], and `is_timeout`.
pub fn get_all_timeout<T: DeserializeOwned>(objects: &[ObjectRef<T>], timeout: Duration) -> Result<Vec<T>> {
    get_all_until(objects, deadline(timeout))
}

/// Waits until `n` of the refs are ready, for at most `timeout`, and returns the ready and the others.
///
/// Never more than `n` are returned as ready, the first ones in the order given; both lists keep
/// that order. A failed call counts as ready, and time that runs out is no error.
///
/// # Errors
///
/// If `n` is 0 or more than there are refs, or a ref is given twice. An empty list gives two empty
/// lists.
#[expect(clippy::type_complexity, reason = "the shape of the public contract")]
pub fn wait<T>(
    objects: &[ObjectRef<T>],
    n: usize,
    timeout: Option<Duration>,
) -> Result<(Vec<ObjectRef<T>>, Vec<ObjectRef<T>>)> {
    check_wait(objects, n)?;
    let Some(first) = objects.first() else {
        return Ok((Vec::new(), Vec::new()));
    };
    let core = first.inner.core()?;
    let mut unready: Vec<_> = objects.iter().map(|object| &object.inner).filter(|inner| !inner.is_ready()).collect();
    let allowed = objects.len() - n;
    let borrowed = unready.iter().any(|inner| inner.is_borrowed());
    await_refs(&core, timeout.and_then(deadline), borrowed, || {
        unready.retain(|inner| !inner.is_ready());
        unready.len() <= allowed
    });
    core.check_open()?;
    if unready.len() > allowed {
        context::check_wanted()?;
    }
    Ok(split(objects, n))
}

/// Refuses what [`wait`] cannot wait for.
pub(crate) fn check_wait<T>(objects: &[ObjectRef<T>], n: usize) -> Result<()> {
    if objects.is_empty() {
        return Ok(());
    }
    if n == 0 || n > objects.len() {
        return Err(Error::invalid_argument(format!(
            "wait needs a number of refs between 1 and {}, not {n}",
            objects.len()
        )));
    }
    if let Some(twice) = given_twice(objects) {
        return Err(Error::invalid_argument(format!("wait was given the ref {twice} twice")));
    }
    objects.iter().try_for_each(|object| object.inner.core().map(drop))
}

/// Returns the first `n` refs that are ready, and the others.
pub(crate) fn split<T>(objects: &[ObjectRef<T>], n: usize) -> (Vec<ObjectRef<T>>, Vec<ObjectRef<T>>) {
    let (mut ready, mut pending) = (Vec::with_capacity(n), Vec::with_capacity(objects.len().saturating_sub(n)));
    for object in objects {
        if ready.len() < n && object.inner.is_ready() {
            ready.push(object.clone());
        } else {
            pending.push(object.clone());
        }
    }
    (ready, pending)
}

/// Finds a ref that is given more than once. Refs mostly come in the order in which they were made, which leaves
/// nothing to sort.
fn given_twice<T>(objects: &[ObjectRef<T>]) -> Option<ObjectId> {
    let number = |id: ObjectId| u128::from_le_bytes(id.to_bytes()).rotate_left(64);
    let mut numbers: Vec<_> = objects.iter().map(|object| number(object.id())).collect();
    numbers.sort_unstable();
    let twice = numbers.windows(2).find(|pair| pair[0] == pair[1])?;
    Some(ObjectId::from_bytes(twice[0].rotate_left(64).to_le_bytes()))
}

/// Returns an iterator over the refs in the order in which they become ready.
///
/// Each step costs the same, however many refs are left.
///
/// # Errors
///
/// Each item is a ref, or `is_not_initialized` once the runtime has ended; then the iterator ends.
pub fn as_completed<T>(objects: impl IntoIterator<Item = ObjectRef<T>>) -> AsCompleted<T> {
    let completions = Arc::new(Completions::default());
    let waiting: Vec<_> = objects.into_iter().map(Some).collect();
    let mut core = None;
    let mut error = None;
    for (index, object) in waiting.iter().enumerate() {
        let Some(object) = object else { continue };
        match object.inner.core() {
            Ok(own) => {
                let dependent = Dependent::Completions(completions.clone(), index);
                if own.await_ref(&object.inner, dependent).is_some() {
                    completions.push(index);
                }
                core = Some(own);
            }
            Err(failed) => error = Some(failed),
        }
    }
    AsCompleted { left: waiting.len(), waiting, completions, core, error }
}

/// The iterator of [`as_completed`].
pub struct AsCompleted<T> {
    waiting: Vec<Option<ObjectRef<T>>>,
    left: usize,
    completions: Arc<Completions>,
    core: Option<Arc<Core>>,
    /// Why nothing can be waited for.
    error: Option<Error>,
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<T> Iterator for AsCompleted<T> {
    type Item = Result<ObjectRef<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        if self.error.is_none()
            && let Some(core) = &self.core
        {
            let next = self.completions.pop().or_else(|| next_completion(core, &self.completions));
            if let Some(object) = next.and_then(|index| self.waiting.get_mut(index)?.take()) {
                return Some(Ok(object));
            }
        }
        self.left = 0;
        self.waiting.clear();
        Some(Err(self.error.take().unwrap_or_else(no_more)))
    }
}

/// Waits for the next of some refs to become ready; `None` if the runtime ends first, or the call that waits is cancelled.
pub(crate) fn next_completion(core: &Core, completions: &Completions) -> Option<usize> {
    next_completion_until(core, completions, None)
}

/// The same until a deadline, when it is `None`, too.
pub(crate) fn next_completion_until(
    core: &Core,
    completions: &Completions,
    deadline: Option<Instant>,
) -> Option<usize> {
    let mut next = None;
    let mut lending = Lending::none();
    let wait = Wait { deadline, ticking: false, before_sleep: &mut || lending.begin() };
    pump::wait_until(core, wait, || {
        next = completions.pop();
        next.is_some() || core.is_closed() || context::is_cancelled()
    });
    next
}

/// Says why there is nothing more to wait for.
pub(crate) fn no_more() -> Error {
    context::check_wanted().err().unwrap_or_else(core::not_initialized)
}

/// The deadline of a timeout; one that is too far away to be told is none.
fn deadline(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

fn get_all_until<T: DeserializeOwned>(objects: &[ObjectRef<T>], deadline: Option<Instant>) -> Result<Vec<T>> {
    let Some(first) = objects.first() else {
        return Ok(Vec::new());
    };
    let core = first.inner.core()?;
    let inners: Vec<_> = objects.iter().map(|object| &object.inner).collect();
    // The first error ends the wait, wherever in the list it comes up; errors are looked for only
    // when a call has failed, so that a long list is gone through once.
    let mut ready = 0;
    let mut seen = None;
    let mut failed = None;
    let borrowed = inners.iter().any(|inner| inner.is_borrowed());
    await_refs(&core, deadline, borrowed, || {
        let failures = core.failures();
        if borrowed || seen != Some(failures) {
            seen = Some(failures);
            let settled = inners[ready..].iter().filter(|inner| inner.is_ready());
            let mut errors = settled.filter_map(|inner| failure(inner));
            failed = errors.next();
            // They all count as read.
            errors.for_each(drop);
        }
        while inners.get(ready).is_some_and(|inner| inner.is_ready()) {
            ready += 1;
        }
        ready == inners.len() || failed.is_some()
    });
    if let Some(error) = failed {
        return Err(error);
    }
    objects.iter().map(|object| take(&core, &object.inner, deadline)).collect()
}

/// Returns the error that a settled ref stands for, if it does.
fn failure(inner: &RefInner) -> Option<Error> {
    match inner.outcome()? {
        Outcome::Failed(error) => Some(error.read()),
        Outcome::Stored(hold) => match value::sealed(hold) {
            Ok(view) => value::object_error(&view),
            Err(error) => Some(lost(inner, error)),
        },
        Outcome::Value(_) | Outcome::Holding(_) => None,
    }
}

fn lost(inner: &RefInner, error: Error) -> Error {
    if error.is_object_lost() { Error::object_lost(inner.id()) } else { error }
}

fn get_until<T: DeserializeOwned>(inner: &RefInner, deadline: Option<Instant>) -> Result<T> {
    // A value that is here needs no more of its runtime than that it is up.
    if let Some(Outcome::Value(bytes)) = inner.outcome()
        && core::is_open(inner.runtime())
    {
        return value::decode_here(bytes);
    }
    let core = inner.core()?;
    if !inner.is_ready() && !inner.is_borrowed() {
        await_refs(&core, deadline, inner.is_borrowed(), || inner.is_ready());
    }
    take(&core, inner, deadline)
}

/// Decodes a ref's value; a borrowed one is waited for in the store.
fn take<T: DeserializeOwned>(core: &Core, inner: &RefInner, deadline: Option<Instant>) -> Result<T> {
    match inner.outcome() {
        Some(Outcome::Value(bytes)) => value::decode_here(bytes),
        Some(Outcome::Holding(value)) => value::decode(core.store(), &value.0),
        Some(Outcome::Failed(error)) => Err(error.read()),
        Some(Outcome::Stored(hold)) => {
            let mut lending = Lending::none();
            let view = await_object(core, inner, hold, deadline, &mut lending)?;
            drop(lending);
            value::decode_object(core.store(), &view)
        }
        None => {
            core.check_open()?;
            context::check_wanted()?;
            Err(timed_out(inner))
        }
    }
}

fn timed_out(inner: &RefInner) -> Error {
    Error::timeout(format!("the value of object {} did not arrive in time", inner.id()))
}

fn await_object(
    core: &Core,
    inner: &RefInner,
    hold: &mobula_store::ObjectHold,
    deadline: Option<Instant>,
    lending: &mut Lending,
) -> Result<ObjectView> {
    let mut patience = Duration::ZERO;
    loop {
        let error = match hold.get(Some(patience)) {
            Ok(view) => return Ok(view),
            Err(error) => error,
        };
        if error.is_not_found() {
            return Err(Error::object_lost(inner.id()));
        }
        if !error.is_timeout() {
            return Err(Error::from_store(&error, "get"));
        }
        core.check_open()?;
        context::check_wanted()?;
        let left = match deadline {
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None => GLANCE,
        };
        if left.is_zero() {
            return Err(timed_out(inner));
        }
        lending.begin();
        patience = left.min(GLANCE);
    }
}

/// Waits as the thread that drains the rings, if it can be that.
/// `borrowed` says that one of the refs rings no bell.
fn await_refs(core: &Core, deadline: Option<Instant>, borrowed: bool, mut done: impl FnMut() -> bool) {
    if done() {
        return;
    }
    let mut lending = Lending::none();
    let wait = Wait { deadline, ticking: borrowed, before_sleep: &mut || lending.begin() };
    pump::wait_until(core, wait, || core.is_closed() || done() || context::is_cancelled());
}
