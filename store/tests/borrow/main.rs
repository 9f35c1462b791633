//! Objects in the hands of other crates: one crate a module, each behind its feature.

#![cfg(any(feature = "arrow", feature = "bytes", feature = "ndarray", feature = "rkyv"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "arrow")]
mod arrow;
#[cfg(feature = "bytes")]
mod bytes;
#[cfg(feature = "ndarray")]
mod ndarray;
#[cfg(feature = "rkyv")]
mod rkyv;

use mobula_store::{Deleted, ObjectId, Store, StoreOptions};

/// A small store of its own for one test.
fn store() -> Store {
    Store::create(StoreOptions::new(8 << 20)).expect("a store")
}

#[cfg(any(feature = "bytes", feature = "rkyv"))]
fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

/// Fails unless `borrower` alone keeps the object `id` in memory, through its deletion, and only as
/// long as it lives.
fn assert_pins<B>(store: &Store, id: ObjectId, borrower: B) {
    let (pid, info) = (std::process::id(), store.info(id).unwrap());
    assert_eq!(info.holders.iter().map(|holder| (holder.pid, holder.views)).collect::<Vec<_>>(), [(pid, 1)]);
    assert_eq!(store.delete(id).unwrap(), Deleted::AtLastRelease);
    assert!(!store.contains(id));
    assert!(store.stats().used_bytes > 0, "its memory went although it is borrowed");
    drop(borrower);
    assert_empty(store);
}

/// Fails unless the invariants hold and every byte is back.
fn assert_empty(store: &Store) {
    let report = store.check().unwrap();
    assert_eq!((report.objects, report.used_bytes), (0, 0), "left over: {:?}", store.list());
}
