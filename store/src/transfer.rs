//! How arrays and refs cross processes: out of band, by id.
//!
//! While a value is encoded, everything in it that stands for an object *notes* a hold of it; the
//! encoder gets the list and sends the ids beside the bytes, so that whoever receives, stores or
//! drops the message can take or release holds without decoding it. While a value is decoded, the
//! receiver's store is at hand to look the ids up.
//!
//! Outside of both, such a value refuses to be serialised: an id that nobody holds would be a
//! promise that nobody keeps.

use std::cell::RefCell;

use crate::object::ObjectHold;
use crate::store::Store;

thread_local! {
    static ENCODING: RefCell<Vec<Vec<ObjectHold>>> = const { RefCell::new(Vec::new()) };
    static DECODING: RefCell<Vec<Store>> = const { RefCell::new(Vec::new()) };
}

/// Runs an encoder and returns the holds that values noted meanwhile, in order.
pub fn encode<R>(f: impl FnOnce() -> R) -> (R, Vec<ObjectHold>) {
    struct Frame;
    impl Drop for Frame {
        fn drop(&mut self) {
            ENCODING.with(|stack| stack.borrow_mut().pop());
        }
    }
    ENCODING.with(|stack| stack.borrow_mut().push(Vec::new()));
    let frame = Frame;
    let result = f();
    let holds = ENCODING.with(|stack| stack.borrow_mut().last_mut().map(std::mem::take).unwrap_or_default());
    drop(frame);
    (result, holds)
}

/// Runs a decoder that looks ids up in `store`.
pub fn decode<R>(store: &Store, f: impl FnOnce() -> R) -> R {
    struct Frame;
    impl Drop for Frame {
        fn drop(&mut self) {
            DECODING.with(|stack| stack.borrow_mut().pop());
        }
    }
    DECODING.with(|stack| stack.borrow_mut().push(store.clone()));
    let _frame = Frame;
    f()
}

/// Notes a hold of an object that the value being encoded refers to.
///
/// Returns false, and drops the hold, if nobody is encoding: the caller then refuses to serialise.
pub fn note(hold: ObjectHold) -> bool {
    ENCODING.with(|stack| match stack.borrow_mut().last_mut() {
        Some(holds) => {
            holds.push(hold);
            true
        }
        None => false,
    })
}

/// Says whether this thread is inside [`encode`].
pub fn is_encoding() -> bool {
    ENCODING.with(|stack| !stack.borrow().is_empty())
}

/// Returns the store that ids are looked up in, inside [`decode`].
pub fn decoding() -> Option<Store> {
    DECODING.with(|stack| stack.borrow().last().cloned())
}
