//! More than one call at once needs an actor that threads may share; one at a time needs nothing.

use std::cell::Cell;
use std::rc::Rc;
use std::thread::ThreadId;

use super::Hall;
use super::support::{get, start};

/// Neither `Send` nor `Sync`.
struct Lonely {
    count: Rc<Cell<u32>>,
    home: ThreadId,
}

#[mobula::actor]
impl Lonely {
    pub fn new() -> Self {
        Lonely { count: Rc::default(), home: std::thread::current().id() }
    }

    pub fn count(&self) -> Option<u32> {
        self.count.set(self.count.get() + 1);
        (self.home == std::thread::current().id()).then(|| self.count.get())
    }
}

/// `Send`, not `Sync`.
struct Movable(Cell<u32>);

#[mobula::actor(max_concurrency = 2)]
impl Movable {
    pub fn new() -> Self {
        Movable(Cell::new(0))
    }

    pub fn count(&self) -> u32 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

/// In a group though it cannot be.
struct Grouped(Rc<u32>);

#[mobula::actor(concurrency_groups(io = 1))]
impl Grouped {
    pub fn new() -> Self {
        Grouped(Rc::new(7))
    }

    pub fn value(&self) -> u32 {
        *self.0
    }
}

#[mobula::test]
fn what_is_not_send_and_sync_is_refused_by_remote() {
    let _runtime = start();
    let refusals = [
        Lonely::options().max_concurrency(2).remote().map(drop),
        Lonely::options().concurrency_group("io", 1).remote().map(drop),
        Movable::remote().map(drop),
        Grouped::remote().map(drop),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert!(error.is_invalid_argument(), "{error}");
        assert!(error.to_string().contains("not Send + Sync"), "{error}");
    }
}

#[mobula::test]
fn one_at_a_time_needs_neither() {
    let _runtime = start();
    let lonely = Lonely::options().max_concurrency(1).remote().unwrap();
    for count in 1..=100 {
        assert_eq!(get(&lonely.count().remote()).unwrap(), Some(count), "always the thread that has made it");
    }
    let movable = Movable::options().max_concurrency(1).remote().unwrap();
    assert_eq!(get(&movable.count().remote()).unwrap(), 1);
}

#[mobula::test]
fn numbers_without_sense_are_refused() {
    let _runtime = start();
    let refusals = [
        Hall::options().max_concurrency(0).remote(None),
        Hall::options().concurrency_group("io", 0).remote(None),
        Hall::options().concurrency_group("", 1).remote(None),
        Hall::options().shutdown_timeout(std::time::Duration::ZERO).remote(None),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert!(error.is_invalid_argument(), "{error}");
    }
    let most = Hall::options().max_concurrency(usize::MAX).concurrency_group("io", usize::MAX).remote(None).unwrap();
    let met = [most.meet(2).remote(), most.meet(2).remote()];
    assert_eq!(mobula::get_all(&met).unwrap(), [2, 2]);
}
