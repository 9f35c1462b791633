//! Which of a process's runtimes is up, and how its refs find it.
//!
//! A ref knows its runtime by a number and looks whether that is the one that is up, without a lock; a thread keeps the
//! runtime that it looked for last.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use super::Core;
use crate::error::{Error, Result};

static CURRENT: RwLock<Option<Arc<Core>>> = RwLock::new(None);

/// The number of the runtime that is up; 0 if none is. Refs know their runtime by its number.
static OPEN: AtomicU32 = AtomicU32::new(0);

/// The last number that was given to a runtime.
static NUMBERS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The runtime that this thread looked for last, by its number.
    static NEAR: RefCell<(u32, Weak<Core>)> = const { RefCell::new((0, Weak::new())) };
}

/// Returns a number for a runtime that begins.
pub(super) fn next_number() -> u32 {
    NUMBERS.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
}

/// Returns the core of the runtime that is up.
pub(crate) fn current() -> Result<Arc<Core>> {
    match &*CURRENT.read().unwrap_or_else(PoisonError::into_inner) {
        Some(core) => {
            core.check_open()?;
            Ok(core.clone())
        }
        None => Err(not_initialized()),
    }
}

/// Says whether the runtime of that number is up.
#[inline]
pub(crate) fn is_open(number: u32) -> bool {
    OPEN.load(Ordering::Acquire) == number
}

/// Says whether the runtime of that number has lost its node, and the program has not ended it yet.
pub(crate) fn is_orphan(number: u32) -> bool {
    let current = CURRENT.read().unwrap_or_else(PoisonError::into_inner);
    current.as_ref().is_some_and(|core| core.number == number && core.is_closed())
}

/// Returns the runtime of that number if it is up.
pub(crate) fn numbered(number: u32) -> Result<Arc<Core>> {
    if !is_open(number) {
        return Err(ended());
    }
    let near = NEAR.try_with(|near| {
        let near = near.borrow();
        if near.0 == number { near.1.upgrade() } else { None }
    });
    let core = match near {
        Ok(Some(core)) => core,
        _ => {
            let core = current()?;
            if core.number != number {
                return Err(ended());
            }
            let _ = NEAR.try_with(|near| near.replace((number, Arc::downgrade(&core))));
            core
        }
    };
    core.check_open()?;
    Ok(core)
}

/// Calls `then` with the runtime of that number if it is up and this is its process; waits for nothing.
pub(crate) fn with_open(number: u32, then: impl FnOnce(&Core)) {
    if is_open(number)
        // Locked only while a runtime begins or ends.
        && let Ok(slot) = CURRENT.try_read()
        && let Some(core) = &*slot
        && core.number == number
        && core.pid == std::process::id()
    {
        then(core);
    }
}

pub(super) fn ended() -> Error {
    Error::not_initialized("the runtime that this belongs to has ended")
}

pub(crate) fn not_initialized() -> Error {
    Error::not_initialized("no runtime is up in this process: call mobula::init first")
}

/// Has refs find no runtime of that number any more.
pub(super) fn shut(number: u32) {
    let _ = OPEN.compare_exchange(number, 0, Ordering::SeqCst, Ordering::Relaxed);
}

/// Says whether a core is the one that the process has now, open or not.
pub(super) fn is_current(core: &Arc<Core>) -> bool {
    let current = CURRENT.read().unwrap_or_else(PoisonError::into_inner);
    current.as_ref().is_some_and(|current| Arc::ptr_eq(current, core))
}

/// Makes a core the one that the process has now, or none.
pub(super) fn set_current(core: Option<Arc<Core>>) {
    mobula_store::set_current(core.as_ref().map(|core| core.store.clone()));
    OPEN.store(core.as_ref().map_or(0, |core| core.number), Ordering::SeqCst);
    let before = std::mem::replace(&mut *CURRENT.write().unwrap_or_else(PoisonError::into_inner), core);
    drop(before);
}
