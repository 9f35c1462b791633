//! Waiting for objects that come later (paragraph 8).

use std::thread;
use std::time::{Duration, Instant};

use crate::{id, store};

#[test]
fn get_waits_for_the_seal() {
    let store = store();
    let other = store.clone();
    let reader = thread::spawn(move || other.get(id(1), Some(Duration::from_secs(20))).unwrap().to_vec());
    let mut buffer = store.create_object(id(1), 3).unwrap();
    buffer.copy_from_slice(b"abc");
    buffer.seal().unwrap();
    assert_eq!(reader.join().unwrap(), b"abc");
}

#[test]
fn waiters_wait_on_over_an_abort() {
    let store = store();
    let other = store.clone();
    let reader = thread::spawn(move || other.get(id(1), Some(Duration::from_secs(20))).unwrap()[0]);
    drop(store.create_object(id(1), 3).unwrap());
    store.put(id(1), &[9; 3]).unwrap();
    assert_eq!(reader.join().unwrap(), 9);
}

#[test]
fn the_time_is_never_shorter_than_asked() {
    let store = store();
    let asked = Duration::from_millis(30);
    let start = Instant::now();
    assert!(store.get(id(1), Some(asked)).unwrap_err().is_timeout());
    assert!(start.elapsed() >= asked);
}

#[test]
fn get_many_leaves_holes_where_time_ran_out() {
    let store = store();
    store.put(id(1), b"1").unwrap();
    let found = store.get_many(&[id(1), id(2), id(1)], Some(Duration::from_millis(5))).unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn wait_returns_the_first_n_in_order() {
    let store = store();
    for n in [3, 1] {
        store.put(id(n), b"x").unwrap();
    }
    let ids = [id(1), id(2), id(3)];
    let (ready, pending) = store.wait(&ids, 1, None).unwrap();
    assert_eq!((ready, pending), (vec![id(1)], vec![id(2), id(3)]));
    let (ready, pending) = store.wait(&ids, 3, Some(Duration::from_millis(5))).unwrap();
    assert_eq!((ready, pending), (vec![id(1), id(3)], vec![id(2)]));
    for (ids, n) in [(&ids[..0], 0), (&ids[..], 0), (&ids[..], 4)] {
        assert!(store.wait(ids, n, None).unwrap_err().is_invalid_argument());
    }
    assert!(store.wait(&[id(1), id(1)], 1, None).unwrap_err().is_invalid_argument());
}

#[test]
fn wait_wakes_when_enough_are_sealed() {
    let store = store();
    let other = store.clone();
    let waiter = thread::spawn(move || other.wait(&[id(1), id(2)], 2, Some(Duration::from_secs(20))).unwrap().0.len());
    store.put(id(1), b"x").unwrap();
    store.put(id(2), b"x").unwrap();
    assert_eq!(waiter.join().unwrap(), 2);
}

#[test]
fn many_threads_create_the_same_id_and_one_wins() {
    let store = store();
    for round in 0..50 {
        let wins: usize = thread::scope(|s| {
            let threads: Vec<_> =
                (0..4).map(|_| s.spawn(|| usize::from(store.put(id(round), &[round; 32]).is_ok()))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(wins, 1);
    }
    store.check().unwrap();
}
