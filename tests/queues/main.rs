//! Queues between drivers, actors and tasks.

#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use mobula::{Array, Queue};

use self::support::{all_space_back, eventually, get, signal, start, stats};

/// What comes behind all others.
const LAST: u64 = 1_000;

/// Puts and takes.
struct Hand;

#[mobula::actor]
impl Hand {
    pub fn new() -> Self {
        Hand
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn put(&self, queue: Queue<u64>, from: u64, count: u64) -> mobula::Result<()> {
        (from..from + count).try_for_each(|n| queue.put(&n))
    }

    /// Takes until the queue is closed.
    pub fn take(&self, queue: Queue<u64>) -> mobula::Result<Vec<u64>> {
        let mut taken = Vec::new();
        loop {
            match queue.get_many(10) {
                Ok(values) => taken.extend(values),
                Err(error) if error.is_closed() => return Ok(taken),
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts what it takes back, for ever.
    pub fn stir(&self, queue: Queue<u64>) -> mobula::Result<()> {
        loop {
            let value = queue.get()?;
            queue.put(&value)?;
        }
    }
}

/// Puts numbers, without an end, into a queue that has none either.
struct Fountain;

#[mobula::actor]
impl Fountain {
    pub fn new() -> Self {
        Fountain
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn flow(&self, queue: Queue<(u8, u64)>, name: u8) -> mobula::Result<()> {
        (0..).try_for_each(|n| queue.put(&(name, n)))
    }
}

#[mobula::task]
fn make() -> mobula::Result<Queue<u64>> {
    let queue = Queue::new(64)?;
    queue.put(&7)?;
    Ok(queue)
}

#[mobula::test]
fn many_put_and_many_take() {
    let _runtime = start();
    let hands: Vec<_> = (0..4).map(|_| Hand::remote().unwrap()).collect();
    mobula::get_all(&hands.iter().map(|hand| hand.pid().remote()).collect::<Vec<_>>()).unwrap();
    let before = stats();
    let queue = Queue::<u64>::new(64).unwrap();
    let taking: Vec<_> = hands[..2].iter().map(|hand| hand.take(queue.clone()).remote()).collect();
    let putting: Vec<_> =
        hands[2..].iter().zip([0, 10_000]).map(|(hand, from)| hand.put(queue.clone(), from, 10_000).remote()).collect();
    (20_000..30_000).for_each(|n| queue.put(&n).unwrap());
    mobula::get_all(&putting).unwrap();
    queue.close();
    let taken: Vec<u64> = taking.iter().flat_map(|taken| get(taken).unwrap()).collect();
    assert_eq!(taken.len(), 30_000);
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), (0..30_000).collect());
    drop((queue, putting, taking));
    all_space_back(before);
}

#[mobula::test]
fn it_outlives_its_maker_and_the_death_of_any_user() {
    let _runtime = start();
    let queue = mobula::get(&make::remote()).unwrap();
    assert_eq!(queue.get().unwrap(), 7);
    for round in 0..10u64 {
        (0..8).for_each(|n| queue.put(&n).unwrap());
        let hands: Vec<_> = (0..2).map(|_| Hand::remote().unwrap()).collect();
        let pids: Vec<_> = hands.iter().map(|hand| hand.pid().call().unwrap()).collect();
        let stirring: Vec<_> = hands.iter().map(|hand| hand.stir(queue.clone()).remote()).collect();
        // They are at it when others, too, have had what was put.
        (0..round).for_each(|_| queue.put(&queue.get().unwrap()).unwrap());
        pids.iter().for_each(|&pid| signal(pid, "KILL"));
        for stirred in &stirring {
            assert!(get(stirred).unwrap_err().is_actor_died());
        }
        // Each may have taken one value with it; the others are there, and nothing stands still.
        queue.put(&LAST).unwrap();
        let left: Vec<_> = std::iter::from_fn(|| queue.get().ok().filter(|&value| value != LAST)).collect();
        assert!(left.len() >= 6, "{left:?}");
        assert_eq!(left.iter().collect::<BTreeSet<_>>().len(), left.len(), "{left:?}");
        for n in 0..200 {
            queue.put(&n).unwrap();
            assert_eq!(queue.get().unwrap(), n);
        }
    }
}

#[mobula::test]
fn without_a_bound_nobody_waits_for_room() {
    let _runtime = start();
    let before = stats();
    let queue = Queue::<u64>::unbounded_with_value_bytes(8).unwrap();
    assert_eq!(queue.capacity(), usize::MAX);
    (0..50_000).for_each(|n| queue.try_put(&n).unwrap());
    assert_eq!(queue.len(), 50_000);
    let hands: Vec<_> = (0..2).map(|_| Hand::remote().unwrap()).collect();
    let taking: Vec<_> = hands.iter().map(|hand| hand.take(queue.clone()).remote()).collect();
    assert_eq!(queue.try_put_many(&[50_000; 10]).unwrap(), 10);
    queue.close();
    let taken: Vec<u64> = taking.iter().flat_map(|taken| get(taken).unwrap()).collect();
    assert_eq!(taken.len(), 50_010);
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), (0..=50_000).collect());
    drop((queue, taking, hands));
    all_space_back(before);
}

#[mobula::test]
fn without_a_bound_the_store_is_the_bound() {
    let _runtime = start();
    let queue = Queue::<Vec<u8>>::unbounded_with_value_bytes(101_000).unwrap();
    let values = vec![vec![1; 100_000]; 700];
    assert!(queue.put_many(&values).unwrap_err().is_store_full());
    let put = queue.len();
    assert!((300..700).contains(&put), "{put}");
    (0..put).for_each(|_| assert_eq!(queue.get().unwrap(), values[0]));
    queue.put_many(&values[..64]).unwrap();
}

#[mobula::test]
fn what_dead_producers_have_put_into_a_growing_queue_is_there() {
    let _runtime = start();
    let before = stats();
    for round in 0..6 {
        let queue = Queue::<(u8, u64)>::unbounded_with_value_bytes(16).unwrap();
        let fountains: Vec<_> = (0..2).map(|_| Fountain::remote().unwrap()).collect();
        let pids: Vec<_> = fountains.iter().map(|fountain| fountain.pid().call().unwrap()).collect();
        let flows: Vec<_> =
            fountains.iter().zip(0..).map(|(fountain, name)| fountain.flow(queue.clone(), name).remote()).collect();
        eventually("it has grown", || queue.len() > 70 << (2 * round));
        pids.iter().for_each(|&pid| signal(pid, "KILL"));
        for flow in &flows {
            let error = get(flow).unwrap_err();
            // On a slow machine the store may have been full before.
            assert!(error.is_actor_died() || error.is_store_full() || error.is_task_failed(), "{error}");
        }
        // Of each all that came before the last one, in its order. That the actors died is known before the store has let
        // go of what their processes had: a look that does not wait may find nothing behind such a cell until then.
        let last = (2, 1);
        queue.put(&last).unwrap();
        let mut next = [0, 0];
        let mut taken = 0;
        for (name, n) in std::iter::from_fn(|| Some(queue.get().unwrap()).filter(|&value| value != last)) {
            assert_eq!(n, next[usize::from(name)], "round {round}, producer {name}");
            next[usize::from(name)] += 1;
            taken += 1;
        }
        assert!(taken > 70 << (2 * round));
        assert!(queue.try_get().unwrap_err().is_empty());
    }
    all_space_back(before);
}

#[mobula::test]
fn values_of_any_type() {
    let _runtime = start();
    let queue = Queue::<(u32, String)>::with_value_bytes(10, 100).unwrap();
    assert_eq!(queue.capacity(), 64);
    let values: Vec<_> = (0..50).map(|n| (n, "x".repeat(n as usize))).collect();
    queue.put_many(&values).unwrap();
    assert_eq!(queue.len(), 50);
    assert_eq!(queue.get_many(20).unwrap(), values[..20]);
    assert_eq!(queue.try_get_many(100).unwrap(), values[20..]);
    assert!(queue.try_get_many(100).unwrap_err().is_empty() && queue.is_empty());
    let refused = queue.put(&(1, "x".repeat(100))).unwrap_err();
    assert!(refused.is_invalid_argument() && refused.to_string().contains("102 bytes"), "{refused}");
    let arrays = Queue::<Array<u8>>::new(1).unwrap();
    assert!(arrays.put(&Array::from_slice(&[1u8]).unwrap()).unwrap_err().is_invalid_argument());
    assert!(Queue::<u8>::new(0).unwrap_err().is_invalid_argument());
}

#[mobula::test]
fn nobody_waits_longer_than_asked() {
    let _runtime = start();
    let queue = Queue::<u64>::new(64).unwrap();
    let short = Duration::from_millis(10);
    assert!(queue.try_get().unwrap_err().is_empty());
    assert!(queue.get_timeout(short).unwrap_err().is_timeout());
    assert_eq!(queue.try_put_many(&[3; 100]).unwrap(), 64);
    assert!(queue.try_put(&3).unwrap_err().is_full());
    assert!(queue.put_timeout(&3, short).unwrap_err().is_timeout());
    queue.close();
    assert!(queue.is_closed() && queue.put(&3).unwrap_err().is_closed());
    assert!(queue.put_many(&[3]).unwrap_err().is_closed());

    assert_eq!(queue.get_many(100).unwrap().len(), 64);
    assert!(queue.get().unwrap_err().is_closed());
}
