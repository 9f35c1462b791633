//! Channels: one scenario a module. Deaths of processes: `points`, and `tests/channels` of the facade.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broadcast;
mod ends;
mod handles;
mod order;
mod refused;
mod waiting;

use std::time::Duration;

use bytemuck::Pod;
use mobula_store::{ChannelOptions, ChannelReader, ChannelWriter, Store, StoreOptions, channel_in};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Long enough for a machine under load.
const LONG: Duration = Duration::from_secs(40);

fn store() -> Store {
    Store::create(StoreOptions::new(8 << 20).max_clients(16)).unwrap()
}

/// Another client of the same store, as another process would have.
fn another(store: &Store) -> Store {
    Store::attach(store.address()).unwrap()
}

/// A channel with one reader.
fn pair<T: Pod>(store: &Store, slots: usize, len: usize) -> (ChannelWriter<T>, ChannelReader<T>) {
    let (writer, readers) = channel_in(store, &ChannelOptions::new().slots(slots).len(len)).unwrap();
    (writer, readers.into_iter().next().unwrap())
}

/// Moves a handle to another client, as a message does.
fn moved<T: Serialize + DeserializeOwned>(handle: T, to: &Store) -> T {
    let (bytes, holds) = mobula_store::transfer::encode(|| postcard::to_stdvec(&handle).unwrap());
    assert_eq!(holds.len(), 2, "the channel and the end");
    drop(handle);
    mobula_store::transfer::decode(to, || postcard::from_bytes(&bytes).unwrap())
}

/// All memory is free again, and nothing contradicts itself.
fn all_gone(store: &Store) {
    assert_eq!(store.stats().objects, 0);
    store.check().unwrap();
}
