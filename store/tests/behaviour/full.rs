//! A store without room (paragraphs 2, 4, 9).

use std::thread;
use std::time::{Duration, Instant};

use mobula_store::{ObjectId, ObjectOptions, Store, StoreOptions};

use crate::{assert_empty, id};

#[test]
fn seven_eighths_fit_an_empty_store_even_after_small_objects() {
    for capacity in [1 << 20, 8 << 20, 5_000_000] {
        let store = Store::create(StoreOptions::new(capacity)).unwrap();
        for n in 0..100 {
            store.put(id(n), &vec![0; usize::from(n) * 50]).unwrap();
        }
        for n in 0..100 {
            store.delete(id(n)).unwrap();
        }
        store.put(id(1), &vec![1; capacity / 8 * 7]).unwrap();
        store.delete(id(1)).unwrap();
        assert_empty(&store);
    }
}

#[test]
fn what_can_never_fit_fails_at_once() {
    let store = Store::create(StoreOptions::new(1 << 20)).unwrap();
    let start = Instant::now();
    for len in [(1 << 20) + (16 << 10) + 1, 1 << 40, usize::MAX - 7, usize::MAX] {
        let error = store.create_object(id(1), len).unwrap_err();
        assert!(error.is_store_full(), "{error}");
        assert!(error.to_string().contains("can never fit"), "{error}");
    }
    assert!(start.elapsed() < Duration::from_secs(2), "nobody waited");
}

#[test]
fn a_full_store_refuses_at_the_deadline_and_names_the_figures() {
    let store = Store::create(StoreOptions::new(1 << 20).create_timeout(Duration::from_millis(50))).unwrap();
    let _held = store.put(id(1), &vec![1; 900_000]).unwrap();
    let start = Instant::now();
    let error = store.create_object(id(2), 500_000).unwrap_err();
    assert!(error.is_store_full() && start.elapsed() >= Duration::from_millis(50));
    let text = error.to_string();
    for part in [&id(2).to_string(), "500000 bytes", "capacity 1048576", &format!("pid {} holds", std::process::id())] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    let at_once = ObjectOptions::new().timeout(Duration::ZERO);
    assert!(store.create_object_with(id(2), 500_000, &at_once).unwrap_err().is_store_full());
}

#[test]
fn a_creation_waits_for_memory_that_comes_back() {
    let store = Store::create(StoreOptions::new(1 << 20).create_timeout(Duration::from_secs(20))).unwrap();
    let view = store.put(id(1), &vec![1; 900_000]).unwrap();
    let other = store.clone();
    let creator = thread::spawn(move || other.put(id(2), &vec![2; 900_000]).unwrap()[0]);
    while store.stats().queued_creates == 0 {
        thread::yield_now();
    }
    store.delete(id(1)).unwrap();
    drop(view);
    assert_eq!(creator.join().unwrap(), 2);
    assert_eq!(store.stats().queued_creates, 0);
}

#[test]
fn a_full_object_table_says_so() {
    let options = StoreOptions::new(1 << 20).max_objects(64).create_timeout(Duration::from_millis(5));
    let store = Store::create(options).unwrap();
    let mut made = 0;
    let error = loop {
        match store.put(ObjectId::random(), b"") {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
    };
    assert!(made >= 60, "{made}");
    assert!(error.is_store_full() && error.to_string().contains("object table"), "{error}");
}

#[test]
fn freed_memory_is_reused_and_merges() {
    let store = Store::create(StoreOptions::new(4 << 20).create_timeout(Duration::ZERO)).unwrap();
    for round in 0..200u32 {
        let sizes = [100, 3_000, 20_000, 900_000, 17];
        for (n, size) in sizes.into_iter().enumerate() {
            store.put(id(n as u8), &vec![round as u8; size + round as usize]).unwrap();
        }
        for n in 0..sizes.len() {
            store.delete(id(((n as u32 + round) % 5) as u8)).unwrap();
        }
    }
    assert_empty(&store);
}
