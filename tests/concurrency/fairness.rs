//! A `&mut self` call that waits is not overtaken for ever by `&self` calls.

use std::collections::VecDeque;
use std::time::Duration;

use mobula::prelude::*;

use super::support::{Gate, get, start};
use super::{Hall, hall};

/// Keeps three readers inside until a writer has run, and a while longer.
fn storm(hall: &ActorHandle<Hall>, group: Option<&str>) {
    let read = || match group {
        Some(group) => hall.meet(1).concurrency_group(group).remote(),
        None => hall.meet(1).remote(),
    };
    let mut readers: VecDeque<_> = (0..3).map(|_| read()).collect();
    let (gate, mut step) = (Gate::new(), 0);
    // One is inside when the writer comes.
    let held = hall.pass(gate.text()).remote();
    let write = hall.write().remote();
    gate.open();
    while mobula::get_timeout(&write, Duration::ZERO).is_err_and(|error| error.is_timeout()) {
        readers.push_back(read());
        get(&readers.pop_front().unwrap()).unwrap();
        step += 1;
        assert!(step < 100_000, "the writer is starved");
    }
    assert_eq!(get(&write).unwrap(), 1);
    get(&held).unwrap();
}

#[mobula::test]
fn by_those_of_its_group() {
    let _runtime = start();
    storm(&hall(4), None);
}

#[mobula::test]
fn by_those_of_another_group() {
    let _runtime = start();
    let hall = Hall::options().max_concurrency(2).concurrency_group("io", 3).remote(None).unwrap();
    storm(&hall, Some("io"));
}

#[mobula::test]
fn a_writer_that_has_a_place_holds_up_what_comes_later_in_any_group() {
    let _runtime = start();
    let hall = Hall::options().max_concurrency(2).concurrency_group("io", 3).remote(None).unwrap();
    let gate = Gate::new();
    let held = hall.pass(gate.text()).remote();
    let write = hall.write().remote();
    // If it overtook the writer it would see none.
    let later = hall.writes().concurrency_group("io").remote();
    assert!(mobula::get_timeout(&later, Duration::from_millis(50)).unwrap_err().is_timeout());
    gate.open();
    assert_eq!(get(&write).unwrap(), 1);
    assert_eq!(get(&later).unwrap(), 1);
    get(&held).unwrap();
}
