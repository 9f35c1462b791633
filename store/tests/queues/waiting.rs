//! Waiting with and without an end; what cannot be a queue.

use std::time::Duration;

use mobula_store::{MessageQueue, Store};

use crate::{LONG, shared, store};

#[test]
fn nobody_waits_longer_than_asked() {
    let store = store();
    let queue = MessageQueue::new_in(&store, 64, 8).unwrap();
    let (none, short) = (Some(Duration::ZERO), Some(Duration::from_millis(20)));
    assert!(queue.get(none, |_| ()).unwrap_err().is_empty());
    assert!(queue.get(short, |_| ()).unwrap_err().is_timeout());
    (0..64).for_each(|_| queue.put(&[0], none).unwrap());
    assert_eq!(queue.len(), 64);
    assert!(queue.put(&[0], none).unwrap_err().is_full());
    assert!(queue.put(&[0], short).unwrap_err().is_timeout());
    assert!(queue.put_many([&[0][..]], none).unwrap_err().is_full());
    assert_eq!(queue.get_many(100, none, |_| ()).unwrap(), 64);
    assert_eq!(queue.put_many([&[0][..]; 100], none).unwrap(), 64, "as many as fit");
}

#[test]
fn who_sleeps_is_woken_by_a_message_and_by_room() {
    let store = store();
    let other = Store::attach(store.address()).unwrap();
    let queue = MessageQueue::new_in(&store, 64, 8).unwrap();
    let theirs = shared(&queue, &other);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..500u64 {
                if n % 100 == 0 {
                    // Long enough for the other side to be asleep, mostly.
                    std::thread::sleep(Duration::from_millis(3));
                }
                theirs.put(&n.to_le_bytes(), Some(LONG)).unwrap();
            }
        });
        for n in 0..500u64 {
            if n % 150 == 0 {
                std::thread::sleep(Duration::from_millis(3));
            }
            assert_eq!(queue.get(Some(LONG), crate::number).unwrap(), n);
        }
    });
}

#[test]
fn sizes_without_sense() {
    let store = store();
    for (capacity, bytes) in [(0, 8), (usize::MAX, 8), (64, usize::MAX), (1 << 20, usize::MAX / 4)] {
        assert!(MessageQueue::new_in(&store, capacity, bytes).unwrap_err().is_invalid_argument());
    }
    assert!(MessageQueue::new_in(&store, 1 << 20, 64).unwrap_err().is_store_full());
    let tiny = MessageQueue::new_in(&store, 1, 0).unwrap();
    tiny.put(&[], None).unwrap();
    assert_eq!(tiny.get(None, <[u8]>::len).unwrap(), 0);
    let read_only = Store::attach_read_only(store.address()).unwrap();
    assert!(MessageQueue::new_in(&read_only, 64, 8).unwrap_err().is_read_only());
}
