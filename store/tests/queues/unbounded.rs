//! Queues without a bound: they grow, keep their order, give memory back, and say when there is none.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mobula_store::{MessageQueue, Store};

use crate::{LONG, number, shared, store};

const EACH: u64 = 20_000;

fn put(queue: &MessageQueue, numbers: std::ops::Range<u64>) {
    for n in numbers {
        queue.put(&n.to_le_bytes(), Some(Duration::ZERO)).unwrap();
    }
}

fn take(queue: &MessageQueue, numbers: std::ops::Range<u64>) {
    for n in numbers {
        assert_eq!(queue.get(Some(LONG), number).unwrap(), n);
    }
}

fn used(store: &Store) -> u64 {
    store.stats().used_bytes
}

#[test]
fn it_grows_as_long_as_messages_wait_and_keeps_their_order() {
    let store = store();
    let queue = MessageQueue::unbounded_in(&store, 8).unwrap();
    assert_eq!((queue.capacity(), queue.max_len(), queue.len()), (usize::MAX, 8, 0));
    put(&queue, 0..10_000);
    assert_eq!(queue.len(), 10_000);
    let other = Store::attach(store.address()).unwrap();
    let theirs = shared(&queue, &other);
    assert_eq!(theirs.len(), 10_000);
    take(&queue, 0..3_000);
    take(&theirs, 3_000..7_000);
    put(&theirs, 10_000..20_000);
    take(&queue, 7_000..20_000);
    assert!(queue.is_empty() && theirs.is_empty());
    assert!(queue.get(Some(Duration::ZERO), |_| ()).unwrap_err().is_empty());
    assert!(queue.put(&[0; 9], None).unwrap_err().is_invalid_argument());
    store.check().unwrap();
}

#[test]
fn handles_that_lag_behind_find_the_rings_in_use() {
    let store = store();
    let queue = MessageQueue::unbounded_in(&store, 8).unwrap();
    // It has seen the first ring only, which is gone long since when it looks again.
    let lagging = queue.clone();
    put(&lagging, 0..1);
    take(&lagging, 0..1);
    for round in 0..20 {
        put(&queue, round * 1_000..(round + 1) * 1_000);
        take(&queue, round * 1_000..(round + 1) * 1_000);
    }
    put(&lagging, 0..500);
    take(&queue, 0..100);
    take(&lagging, 100..500);
    let copy = lagging.clone();
    put(&copy, 500..501);
    take(&queue, 500..501);
}

#[test]
fn memory_comes_back_when_messages_are_taken_and_all_of_it_at_the_end() {
    let store = store();
    let before = used(&store);
    let queue = MessageQueue::unbounded_in(&store, 120).unwrap();
    let message = [1; 120];
    (0..20_000).for_each(|_| queue.put(&message, None).unwrap());
    let most = used(&store) - before;
    assert!(most >= 20_000 * 120);
    (0..20_000).for_each(|_| queue.get(None, |_| ()).unwrap());
    // The next ring is found when this one is full, and the full one goes when it is drained.
    (0..20_000).for_each(|_| {
        queue.put(&message, None).unwrap();
        queue.get(None, |_| ()).unwrap();
    });
    let left = used(&store) - before;
    assert!(left <= most * 2 / 3, "{left} of {most} bytes stay");
    drop(queue);
    assert_eq!(used(&store), before);
    store.check().unwrap();
}

#[test]
fn a_full_store_is_an_error_and_the_queue_goes_on() {
    let store = Store::create(mobula_store::StoreOptions::new(1 << 20)).unwrap();
    let before = used(&store);
    let queue = MessageQueue::unbounded_in(&store, 1_000).unwrap();
    let mut count = 0u64;
    let error = loop {
        let mut message = [0; 1_000];
        message[..8].copy_from_slice(&count.to_le_bytes());
        match queue.put(&message, None) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(error.is_store_full(), "{error}");
    assert!(count > 500, "smaller rings fill what is left: {count}");
    take(&queue, 0..count);
    // There is memory again.
    (0..100).for_each(|_| queue.put(&[2; 1_000], Some(Duration::ZERO)).unwrap());
    drop(queue);
    assert_eq!(used(&store), before);
    store.check().unwrap();
}

#[test]
fn four_to_four_across_rings() {
    let store = store();
    let queue = MessageQueue::unbounded_in(&store, 16).unwrap();
    let clients: Vec<_> = (0..4).map(|_| Store::attach(store.address()).unwrap()).collect();
    let seen = Mutex::new(vec![0u8; 4 * EACH as usize]);
    let producing = AtomicUsize::new(4);
    std::thread::scope(|scope| {
        for (producer, client) in (0u64..).zip(&clients) {
            let (queue, producing) = (shared(&queue, client), &producing);
            scope.spawn(move || {
                for n in 0..EACH {
                    let mut message = [0; 16];
                    message[..8].copy_from_slice(&n.to_le_bytes());
                    message[8..].copy_from_slice(&producer.to_le_bytes());
                    queue.put(&message, None).unwrap();
                }
                if producing.fetch_sub(1, Ordering::SeqCst) == 1 {
                    queue.close();
                }
            });
        }
        for client in &clients {
            let (queue, seen) = (shared(&queue, client), &seen);
            scope.spawn(move || {
                let mut own = Vec::new();
                let end = loop {
                    match queue.get(None, |m| (number(m), number(&m[8..]))) {
                        Ok(message) => own.push(message),
                        Err(error) => break error,
                    }
                };
                assert!(end.is_closed(), "{end}");
                let mut last = [None; 4];
                let mut seen = seen.lock().unwrap();
                for (n, producer) in own {
                    assert!(last[producer as usize] < Some(n), "of one producer in order");
                    last[producer as usize] = Some(n);
                    seen[(producer * EACH + n) as usize] += 1;
                }
            });
        }
    });
    assert!(seen.into_inner().unwrap().iter().all(|&times| times == 1));
    store.check().unwrap();
}

#[test]
fn nothing_is_put_into_a_closed_queue_and_lost_while_it_grows() {
    let store = store();
    for _ in 0..200 {
        let queue = MessageQueue::unbounded_in(&store, 8).unwrap();
        std::thread::scope(|scope| {
            let putting =
                [0, 1].map(|_| scope.spawn(|| (0..900).take_while(|_| queue.put(&[1], None).is_ok()).count()));
            let taking = [0, 1].map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while queue.get(None, |_| ()).is_ok() {
                        count += 1;
                    }
                    count
                })
            });
            while queue.is_empty() && !putting.iter().all(|thread| thread.is_finished()) {
                std::hint::spin_loop();
            }
            queue.close();
            let put: usize = putting.map(|thread| thread.join().unwrap()).iter().sum();
            assert_eq!(taking.map(|thread| thread.join().unwrap()).iter().sum::<usize>(), put);
        });
        assert!(queue.put(&[1], None).unwrap_err().is_closed());
        assert!(queue.get(None, |_| ()).unwrap_err().is_closed());
    }
    store.check().unwrap();
}
