//! What the store does with one process: one scenario a module (store-api paragraphs in the names).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ahead;
mod arrays;
mod attach;
mod counted;
mod delete;
mod evict;
mod forked;
mod full;
mod lifecycle;
mod memory;
mod model;
mod named;
mod nested;
mod queue;
mod readers;
mod report;
mod rings;
mod spill;
mod thaw;
mod waiting;

use mobula_store::{ObjectId, Store, StoreOptions};

/// A small store of its own for one test.
fn store() -> Store {
    Store::create(StoreOptions::new(8 << 20)).expect("a store")
}

/// Fails unless the invariants hold and every byte is back.
fn assert_empty(store: &Store) {
    let report = store.check().expect("invariants hold");
    assert_eq!((report.objects, report.used_bytes), (0, 0), "left over: {:?}", store.list());
    let stats = store.stats();
    assert_eq!(stats.largest_free_bytes, stats.capacity_bytes);
}

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}
