//! Messages come whole, in order and once.

use mobula_store::{MessageQueue, Store};

use crate::{number, shared, store};

#[test]
fn one_to_one() {
    let store = store();
    let other = Store::attach(store.address()).unwrap();
    let queue = MessageQueue::new_in(&store, 64, 64).unwrap();
    let theirs = shared(&queue, &other);
    std::thread::scope(|scope| {
        scope.spawn(move || (0..200_000u64).for_each(|n| theirs.put(&n.to_le_bytes(), None).unwrap()));
        for n in 0..200_000 {
            assert_eq!(queue.get(None, number).unwrap(), n);
        }
    });
    assert!(queue.is_empty());
    drop(queue);
    assert_eq!(store.stats().objects, 0);
    store.check().unwrap();
}

#[test]
fn batches() {
    let store = store();
    let queue = MessageQueue::new_in(&store, 100, 8).unwrap();
    assert_eq!((queue.capacity(), queue.max_len()), (128, 8));
    let messages: Vec<[u8; 8]> = (0..1_000u64).map(u64::to_le_bytes).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..50 {
                assert_eq!(queue.put_many(messages.iter().map(|m| &m[..]), None).unwrap(), 1_000);
            }
        });
        let mut expected = 0;
        while expected < 50_000 {
            let count = queue.get_many(300, None, |m| {
                assert_eq!(number(m), expected % 1_000);
                expected += 1;
            });
            assert!((1..=300).contains(&count.unwrap()));
        }
    });
    assert_eq!(queue.get_many(0, None, |_| ()).unwrap(), 0);
}

#[test]
fn lengths_differ() {
    let store = store();
    let queue = MessageQueue::new_in(&store, 64, 1_000).unwrap();
    let message = |n: usize| (0..n % 1_001).map(|i| (i ^ n) as u8).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..5_000).for_each(|n| queue.put(&message(n), None).unwrap()));
        for n in 0..5_000 {
            assert!(queue.get(None, |m| m == message(n)).unwrap(), "{n}");
        }
    });
    assert!(queue.put(&[0; 1_001], None).unwrap_err().is_invalid_argument());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        queue.put(b"x", None).unwrap();
        queue.get(None, |_| panic!("half way")).unwrap()
    }));
    assert!(panicked.is_err());
    queue.put(b"y", None).unwrap();
    assert!(queue.get(None, |m| m == b"y").unwrap());
}
