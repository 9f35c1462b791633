//! How arrays and refs cross processes: out of band, by id.
//!
//! While a value is encoded, everything in it that stands for an object *notes* a hold of it; the
//! encoder gets the list and sends the ids beside the bytes, so that whoever receives, stores or
//! drops the message can take or release holds without decoding it. While a value is decoded, the
//! receiver's store is at hand to look the ids up.
//!
//! Outside of both, such a value refuses to be serialised: an id that nobody holds would be a
//! promise that nobody keeps.
//!
//! Formats such as postcard keep no text of an error that is not theirs, so a value that cannot be
//! decoded also leaves its error here, and whoever runs the decoder takes it out.

use std::cell::{Cell, RefCell};

use scoped_tls::scoped_thread_local;

use crate::current;
use crate::error::Error;
use crate::object::ObjectHold;
use crate::store::Store;

scoped_thread_local!(static ENCODING: RefCell<Vec<ObjectHold>>);
scoped_thread_local!(static DECODING: Store);

thread_local! {
    /// Inside [`decode_current`].
    static CURRENT: Cell<bool> = const { Cell::new(false) };
    static REFUSAL: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Runs an encoder and returns the holds that values noted meanwhile, in order.
pub fn encode<R>(f: impl FnOnce() -> R) -> (R, Vec<ObjectHold>) {
    let holds = RefCell::default();
    let result = ENCODING.set(&holds, f);
    (result, holds.into_inner())
}

/// Runs a decoder that looks ids up in `store`.
pub fn decode<R>(store: &Store, f: impl FnOnce() -> R) -> R {
    DECODING.set(store, f)
}

/// Runs a decoder that looks ids up in the process's [`current`] store, which is asked for
/// by the first id: a value without any costs neither a lock nor a handle.
pub fn decode_current<R>(f: impl FnOnce() -> R) -> R {
    /// Puts the flag back, also when the decoder unwinds.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            let _ = CURRENT.try_with(|flag| flag.set(self.0));
        }
    }
    let _before = Before(CURRENT.try_with(|flag| flag.replace(true)).unwrap_or(true));
    f()
}

/// Notes a hold of an object that the value being encoded refers to.
///
/// Returns false, and drops the hold, if nobody is encoding: the caller then refuses to serialise.
pub fn note(hold: ObjectHold) -> bool {
    let encoding = is_encoding();
    if encoding {
        ENCODING.with(|holds| holds.borrow_mut().push(hold));
    }
    encoding
}

/// Says whether this thread is inside [`encode`].
pub fn is_encoding() -> bool {
    ENCODING.is_set()
}

/// Returns the store that ids are looked up in, inside [`decode`] or [`decode_current`].
pub fn decoding() -> Option<Store> {
    if DECODING.is_set() {
        return Some(DECODING.with(Store::clone));
    }
    if CURRENT.try_with(Cell::get).unwrap_or(false) { current().ok() } else { None }
}

/// Leaves the error of a value that cannot be decoded, and makes the format's error of it.
pub(crate) fn refuse<E: serde::de::Error>(error: Error) -> E {
    let text = error.to_string();
    let _ = REFUSAL.try_with(|slot| slot.replace(Some(error)));
    E::custom(text)
}

/// Takes the error that the last value left which could not be decoded on this thread.
///
/// A decoder calls it before it starts, too: a value that was refused may have had a substitute.
pub fn take_refusal() -> Option<Error> {
    REFUSAL.try_with(RefCell::take).ok().flatten()
}
