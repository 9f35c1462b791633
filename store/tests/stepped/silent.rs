//! Which operations make system calls (store-api paragraph 17): the parent counts the child's.

use std::time::Duration;

use mobula_store::{ObjectId, Store, StoreOptions};

use crate::trace::{Stepped, stand};

const ROUNDS: usize = 200;

/// Something that a child does `ROUNDS` times, and how many system calls that may take.
pub(crate) struct Silent {
    pub(crate) name: &'static str,
    pub(crate) child: fn(&Store),
    allowed: usize,
}

fn id(n: usize) -> ObjectId {
    ObjectId::from_bytes((n as u128).to_le_bytes())
}

/// The client's first get and put, which may map and commit.
fn warm_up(store: &Store) {
    drop(store.get(id(0), Some(Duration::ZERO)).expect("get"));
    drop(store.put(id(1_000_000), &[0; 1024]).expect("put"));
    store.delete(id(1_000_000)).expect("delete");
}

pub(crate) fn all() -> Vec<Silent> {
    vec![
        Silent {
            name: "get_and_drop_of_what_another_process_sealed",
            child: |store| {
                warm_up(store);
                stand();
                for n in 0..ROUNDS {
                    let view = store.get(id(n), Some(Duration::ZERO)).expect("get");
                    assert!(view.len() > n && store.contains(id(n)));
                    drop(view.clone());
                }
            },
            allowed: 0,
        },
        Silent {
            name: "create_seal_delete_of_1_kb",
            child: |store| {
                warm_up(store);
                stand();
                for n in 0..ROUNDS {
                    drop(store.put(id(5000 + n), &[7; 1024]).expect("put"));
                    store.delete(id(5000 + n)).expect("delete");
                }
            },
            allowed: ROUNDS / 10,
        },
    ]
}

/// Counts the child's system calls and panics if they are too many; returns the count.
pub(crate) fn run(silent: &Silent) -> usize {
    let store = Store::create(StoreOptions::new(256 << 20)).expect("a store");
    for n in 0..ROUNDS {
        // Small ones and one above 256 KiB.
        let len = if n == 7 { 300_000 } else { 300 + n };
        drop(store.put(id(n), &vec![1; len]).expect("put"));
    }
    let name = silent.name;
    let counted = Stepped::start(name, &store).count_calls();
    assert!(counted > 0, "{name}: the child left without a call, so nothing was counted");
    // Leaving is one call, which never returns.
    let calls = counted - 1;
    assert!(calls <= silent.allowed, "{name}: {calls} system calls in {ROUNDS} rounds, {} are allowed", silent.allowed);
    calls
}
