//! Models of cells: an outcome is seen whole or not at all, and goes once, with the memory.
//!
//! Loom sees each access of an outcome: one that is read before it is written, or dropped while it is read, is a
//! race. It sees a memory that nobody ends; one that ends twice, or is touched after its end, fails too.
//!
//! Faults put in on purpose, each found by two models at least: any of the orders that REF-READY and REF-DROP name
//! weakened to `Relaxed`, the fence of a drop left out; a settle that keeps its count, does not see WATCHED, or leaves
//! SET out when it is the last; a watch that does not see SET; a drop that does not look whether it was the last.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use loom::thread;

use super::*;
use crate::proof::explore;
use crate::value::Bytes;

fn id() -> ObjectId {
    ObjectId::from_bytes([7; 16])
}

/// An outcome whose end can be seen.
fn seen() -> (Arc<[u8]>, Outcome) {
    let bytes: Arc<[u8]> = vec![7; 30].into();
    (bytes.clone(), Outcome::Value(Bytes::Shared(bytes)))
}

/// Looks for the outcome: it is whole, or not there.
fn read(inner: &RefInner) -> bool {
    match inner.outcome() {
        Some(Outcome::Value(bytes)) => {
            assert_eq!(bytes[..], [7; 30]);
            true
        }
        Some(_) => panic!("another outcome"),
        None => false,
    }
}

#[test]
fn who_sees_an_outcome_sees_it_whole_and_the_last_one_drops_it() {
    explore(|| {
        let (bytes, outcome) = seen();
        let (inner, unanswered) = unanswered(1, id());
        let settles = thread::spawn(move || assert!(unanswered.settle(outcome).is_none()));
        let clone = inner.clone();
        let reads = thread::spawn(move || {
            let before = read(&clone);
            assert!(read(&clone) || !before, "an outcome went");
        });
        read(&inner);
        drop(inner);
        settles.join().unwrap();
        reads.join().unwrap();
        assert_eq!(Arc::strong_count(&bytes), 1);
    });
}

/// Two refs go while the third one, made of one of them, is read; the outcome was there before.
#[test]
fn clones_made_and_dropped_at_once_end_the_cell_once() {
    explore(|| {
        let (bytes, outcome) = seen();
        let first = settled(1, id(), outcome, 0);
        let second = first.clone();
        let other = thread::spawn(move || {
            let third = second.clone();
            drop(second);
            assert!(read(&third));
        });
        assert!(read(&first));
        drop(first);
        other.join().unwrap();
        assert_eq!(Arc::strong_count(&bytes), 1);
    });
}

#[test]
fn an_outcome_that_nobody_wants_any_more_goes_with_the_cell() {
    explore(|| {
        let (bytes, outcome) = seen();
        let (inner, unanswered) = unanswered(1, id());
        let settles = thread::spawn(move || assert!(unanswered.settle(outcome).is_none()));
        let clone = inner.clone();
        let drops = thread::spawn(move || drop(clone));
        drop(inner);
        settles.join().unwrap();
        drops.join().unwrap();
        assert_eq!(Arc::strong_count(&bytes), 1);
    });
}

#[test]
fn a_cell_that_is_never_settled_ends_once() {
    explore(|| {
        let (inner, unanswered) = unanswered(1, id());
        let clone = inner.clone();
        let gives_up = thread::spawn(move || drop(unanswered));
        let drops = thread::spawn(move || drop(clone));
        assert!(!read(&inner));
        drop(inner);
        gives_up.join().unwrap();
        drops.join().unwrap();
    });
}

/// Watches as `await_by` does: what is noted under the lock is found by who settles, or the outcome is there.
fn watch(inner: &RefInner) -> bool {
    let mut rare = inner.rare();
    let watched = inner.watch();
    if watched {
        rare.get_or_insert_default();
    } else {
        assert!(read(inner), "neither told nor settled");
    }
    watched
}

/// Settles as `Unanswered::end` does, and says whether somebody was to be told.
fn settle(unanswered: Unanswered, outcome: Outcome) -> bool {
    let told = unanswered.settle(outcome);
    told.is_some_and(|inner| {
        assert!(read(&inner));
        inner.rare().is_some()
    })
}

#[test]
fn who_watches_is_told_or_finds_the_outcome() {
    explore(|| {
        let (bytes, outcome) = seen();
        let (inner, unanswered) = unanswered(1, id());
        let told = Arc::new(AtomicBool::new(false));
        let settles = {
            let told = Arc::clone(&told);
            thread::spawn(move || told.store(settle(unanswered, outcome), Relaxed))
        };
        let watched = watch(&inner);
        drop(inner);
        settles.join().unwrap();
        assert_eq!(watched, told.load(Relaxed));
        assert_eq!(Arc::strong_count(&bytes), 1);
    });
}

/// Two watch, each a clone that is dropped afterwards: if one waits, who settles learns of it.
#[test]
fn two_watch_while_a_cell_is_settled() {
    explore(|| {
        let (bytes, outcome) = seen();
        let (inner, unanswered) = unanswered(1, id());
        let (told, other_watched) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let settles = {
            let told = Arc::clone(&told);
            thread::spawn(move || told.store(settle(unanswered, outcome), Relaxed))
        };
        let clone = inner.clone();
        let watches = {
            let watched = Arc::clone(&other_watched);
            thread::spawn(move || watched.store(watch(&clone), Relaxed))
        };
        let watched = watch(&inner);
        drop(inner);
        settles.join().unwrap();
        watches.join().unwrap();
        assert_eq!(watched || other_watched.load(Relaxed), told.load(Relaxed));
        assert_eq!(Arc::strong_count(&bytes), 1);
    });
}
