//! Arrays that several handles, threads and processes fill, some of which are killed.
//!
//! A child is this test binary again, told by the environment which part to play.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and its children talk")]

mod claims;
mod deaths;

use std::time::{Duration, Instant};

use mobula_store::{SharedArray, Store, StoreOptions, transfer};

fn store() -> Store {
    Store::create(StoreOptions::new(8 << 20)).unwrap()
}

/// Waits until `condition` holds.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} did not come true");
        std::thread::yield_now();
    }
}

/// Encodes a handle; `array` holds the boards until the bytes are decoded.
fn encoded(array: &SharedArray<u64>) -> Vec<u8> {
    transfer::encode(|| postcard::to_stdvec(array).unwrap()).0
}

fn decoded(store: &Store, bytes: &[u8]) -> Result<SharedArray<u64>, String> {
    transfer::decode(store, || postcard::from_bytes(bytes)).map_err(|_| transfer::take_refusal().unwrap().to_string())
}

/// Gives each element its own index.
fn fill(array: &SharedArray<u64>, part: usize) {
    let mut part = array.part(part).unwrap();
    number(&mut part);
    part.finish().unwrap();
}

fn number(part: &mut mobula_store::ArrayPart<u64>) {
    let from = part.range().start as u64;
    part.iter_mut().zip(from..).for_each(|(element, value)| *element = value);
}

/// Seals the array and holds every element against its index.
fn assert_numbered(array: &SharedArray<u64>) {
    let sealed = array.seal().unwrap();
    assert!(sealed.iter().copied().eq(0..sealed.len() as u64), "elements are wrong");
}
