//! Queues of messages: one scenario a module. Deaths: `points`, and `tests/queues` of the facade.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod closing;
mod many;
mod order;
mod unbounded;
mod waiting;

use std::time::Duration;

use mobula_store::{MessageQueue, Store, StoreOptions};

/// Long enough for a machine under load.
const LONG: Duration = Duration::from_secs(40);

fn store() -> Store {
    Store::create(StoreOptions::new(8 << 20).max_clients(16)).unwrap()
}

/// The same queue of another client, as another process has it.
fn shared(queue: &MessageQueue, with: &Store) -> MessageQueue {
    let (bytes, holds) = mobula_store::transfer::encode(|| postcard::to_stdvec(queue).unwrap());
    assert_eq!(holds.len(), 1);
    mobula_store::transfer::decode(with, || postcard::from_bytes(&bytes).unwrap())
}

fn number(message: &[u8]) -> u64 {
    u64::from_le_bytes(message[..8].try_into().unwrap())
}
