//! The store that arrays of this process are made in.

use std::sync::{PoisonError, RwLock};

use crate::error::{ErrorKind, Result};
use crate::store::Store;

static CURRENT: RwLock<Option<Store>> = RwLock::new(None);

/// Sets the store that [`Array::from_slice`](crate::Array::from_slice) and its like use, or takes it away.
pub fn set_current(store: Option<Store>) {
    let old = {
        let mut current = CURRENT.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, store)
    };
    // Dropped outside of the lock: the last handle of a client detaches it.
    drop(old);
}

/// Returns the store that arrays of this process are made in.
///
/// # Errors
///
/// [`is_disconnected`](crate::Error::is_disconnected) if none was set.
pub fn current() -> Result<Store> {
    let current = CURRENT.read().unwrap_or_else(PoisonError::into_inner);
    current.clone().ok_or_else(|| {
        ErrorKind::Disconnected("no store is in use in this process; initialise the runtime first".to_owned()).into()
    })
}
