//! `wait_async`: some of many refs, or as long as one likes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::support::{Gate, eventually, get, start_with};
use super::{DEADLINE, Hall, Wakes, after, fails, run};

#[mobula::test]
fn it_is_ready_when_enough_are_and_woken_once() {
    let _runtime = start_with(4.0);
    let hall = Hall::remote().unwrap();
    let gates: Vec<_> = (0..3).map(|_| Gate::new()).collect();
    let refs: Vec<_> = gates.iter().map(|gate| hall.enter(gate.text()).remote()).collect();
    let wakes = Arc::new(Wakes::default());
    let mut two = pin!(mobula::wait_async(&refs, 2, None));
    assert!(wakes.poll(two.as_mut()).is_pending());
    gates[2].open();
    get(&refs[2]).unwrap();
    assert!(wakes.poll(two.as_mut()).is_pending());
    assert_eq!(wakes.count(), 0, "one of two is nothing to wake for");
    gates[0].open();
    get(&refs[0]).unwrap();
    eventually("it is woken", || wakes.count() == 1);
    let (ready, others) = run(two).unwrap();
    assert_eq!((ready, others), (vec![refs[0].clone(), refs[2].clone()], vec![refs[1].clone()]));
    gates[1].open();
    let (ready, others) = run(mobula::wait_async(&refs, 3, Some(DEADLINE))).unwrap();
    assert_eq!((ready.len(), others.len()), (3, 0));
}

#[mobula::test]
fn what_is_ready_from_the_beginning_and_what_failed_count() {
    let _runtime = start_with(2.0);
    let gate = Gate::new();
    let refs = [fails::remote(gate.text()), after::remote("/nowhere".to_owned(), 1), mobula::put(&5).unwrap()];
    gate.open();
    let (ready, others) = run(mobula::wait_async(&refs, 2, None)).unwrap();
    assert_eq!((ready, others), (vec![refs[0].clone(), refs[2].clone()], vec![refs[1].clone()]));
    mobula::cancel(&refs[1], true).unwrap();
    assert_eq!(run(mobula::wait_async(&refs, 3, None)).unwrap().0.len(), 3);
}

#[mobula::test]
fn time_that_runs_out_is_no_error() {
    let _runtime = start_with(1.0);
    let gate = Gate::new();
    let refs = [after::remote(gate.text(), 1)];
    for after in [Duration::ZERO, Duration::from_millis(20)] {
        let (ready, others) = run(mobula::wait_async(&refs, 1, Some(after))).unwrap();
        assert_eq!((ready.len(), others.len()), (0, 1));
    }
    gate.open();
    assert_eq!(run(mobula::wait_async(&refs, 1, Some(DEADLINE))).unwrap().0.len(), 1);
}

#[mobula::test]
fn what_makes_no_sense_is_refused_as_by_wait() {
    let _runtime = start_with(1.0);
    let object = mobula::put(&1).unwrap();
    let refs = [object.clone(), object];
    for n in [0, 3, 1] {
        assert!(run(mobula::wait_async(&refs, n, None)).unwrap_err().is_invalid_argument());
    }
    let none: [mobula::ObjectRef<u64>; 0] = [];
    assert_eq!(run(mobula::wait_async(&none, 1, None)).unwrap(), (Vec::new(), Vec::new()));
}
