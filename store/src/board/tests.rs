use std::time::Duration;

use super::*;
use crate::options::StoreOptions;

const KIND_A: u64 = u64::from_le_bytes(*b"boardA01");

fn store() -> Store {
    Store::create(StoreOptions::new(4 << 20)).expect("a store")
}

fn board(store: &Store, len: usize) -> Board {
    Board::create(store, KIND_A, len, 64, &[(8, 7)], ObjectOptions::new()).expect("a board")
}

#[test]
fn words_are_the_same_for_all_clients() {
    let store = store();
    let mine = board(&store, 4096);
    let other = Store::attach(store.address()).unwrap();
    let theirs = Board::open(&other, mine.id(), KIND_A).unwrap();
    assert_eq!((theirs.len(), theirs.u64(8).load(Ordering::Relaxed)), (4096, 7));
    theirs.u64(16).store(5, Ordering::Release);
    assert_eq!(mine.u64(16).load(Ordering::Acquire), 5);
    assert_eq!(mine.me(), store.client());
    assert!(mine.is_attached(theirs.me()));
    store.check().unwrap();
}

#[test]
fn it_goes_with_the_last_handle() {
    let store = store();
    let first = board(&store, 100_000);
    let id = first.id();
    let second = Board::open(&store, id, KIND_A).unwrap();
    let hold = second.hold();
    drop(first);
    drop(second);
    assert!(store.contains(id));
    drop(hold);
    assert!(!store.exists(id));
    assert!(Board::open(&store, id, KIND_A).unwrap_err().is_not_found());
    assert_eq!(store.stats().objects, 0);
}

#[test]
fn nobody_views_it() {
    let store = store();
    let board = board(&store, 100);
    let refused = store.get(board.id(), Some(Duration::ZERO)).unwrap_err();
    assert!(refused.is_invalid_argument(), "{refused}");
    assert!(board.hold().get(Some(Duration::ZERO)).unwrap_err().is_invalid_argument());
    let view = store.put(ObjectId::random(), &[0; 64]).unwrap();
    assert!(Board::open(&store, view.id(), KIND_A).unwrap_err().is_invalid_argument());
    assert!(Board::open(&store, board.id(), KIND_A + 1).unwrap_err().is_invalid_argument());
}

#[test]
fn a_frozen_one_is_an_object() {
    let store = store();
    let board = board(&store, 16);
    assert!(board.freeze());
    assert!(!board.freeze());
    let view = store.get(board.id(), None).unwrap();
    assert_eq!(view[8], 7);
    drop(board);
    assert_eq!(view.len(), 16);
    store.check().unwrap();
}

#[test]
fn numbers_beyond_the_end_are_brought_inside() {
    let store = store();
    let board = board(&store, 20);
    for at in [0, 13, 16, 20, usize::MAX - 3, usize::MAX] {
        board.u64(at).load(Ordering::Relaxed);
        board.u32(at).load(Ordering::Relaxed);
    }
    assert!(board.bytes(0, 20).is_some() && board.bytes(1, 20).is_none() && board.bytes(usize::MAX, 2).is_none());
}

#[test]
fn who_waits_is_woken() {
    let store = store();
    let board = board(&store, 64);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let seen = board.wait(None, || (board.u64(16).load(Ordering::Acquire) == 9).then_some(9));
            assert_eq!(seen, Some(9));
        });
        board.u64(16).store(9, Ordering::Release);
        board.wake();
    });
    assert_eq!(board.wait(Some(Instant::now()), || None::<()>), None);
}

#[test]
fn it_stays_in_memory_when_memory_is_short() {
    let folder = std::env::temp_dir().join(format!("mobula-board-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    {
        let store = Store::create(StoreOptions::new(2 << 20).spill_dir(&folder)).unwrap();
        let board = board(&store, 512 << 10);
        board.u64(1024).store(3, Ordering::Relaxed);
        let (id, hold) = (board.id(), board.hold());
        drop(board);
        for _ in 0..16 {
            store.put(ObjectId::random(), &vec![1; 256 << 10]).unwrap();
        }
        assert!(store.stats().spilled_objects > 0);
        let again = Board::open(&store, id, KIND_A).unwrap();
        assert_eq!(again.u64(1024).load(Ordering::Relaxed), 3);
        drop(hold);
        store.check().unwrap();
    }
    let _ = std::fs::remove_dir_all(&folder);
}
