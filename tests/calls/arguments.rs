//! Refs as arguments, refs inside values, large arguments.

use mobula::prelude::*;

use super::{Counter, start};

struct Echo;

#[mobula::actor]
impl Echo {
    pub fn new() -> Self {
        Echo
    }

    pub fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    pub fn sum(&self, refs: Vec<ObjectRef<i64>>) -> Result<i64, mobula::Error> {
        Ok(mobula::get_all(&refs)?.into_iter().sum())
    }

    pub fn inner(&self, object: ObjectRef<String>) -> String {
        mobula::get(&object).unwrap()
    }

    pub fn text(&self, text: String) -> usize {
        text.len()
    }

    pub fn slow(&self, millis: u64) -> i64 {
        std::thread::sleep(std::time::Duration::from_millis(millis));
        millis as i64
    }

    pub fn first(&self, array: Array<f64>) -> f64 {
        array[0]
    }

    pub fn make(&self, len: usize) -> Array<f64> {
        Array::from_slice(&vec![1.5; len]).unwrap()
    }
}

#[mobula::test]
fn a_ref_is_resolved_before_the_call_runs() {
    let _runtime = start();
    let (a, b) = (Counter::remote(1).unwrap(), Counter::remote(10).unwrap());
    let r1 = a.add(1).remote();
    let r2 = b.add(&r1).remote();
    let r3 = a.add(r2).remote();
    assert_eq!(mobula::get(&r3).unwrap(), 14);
    let put = mobula::put(&100i64).unwrap();
    assert_eq!(mobula::get(&a.add(&put).remote()).unwrap(), 114);
}

#[mobula::test]
fn calls_behind_an_unresolved_argument_keep_their_order() {
    let _runtime = start();
    let (counter, echo) = (Counter::remote(0).unwrap(), Echo::remote().unwrap());
    let late = echo.slow(50).remote();
    let first = counter.add(&late).remote();
    let second = counter.add(1).remote();
    assert_eq!(mobula::get(&second).unwrap(), 51);
    assert_eq!(mobula::get(&first).unwrap(), 50);
}

#[mobula::test]
fn refs_travel_inside_values() {
    let _runtime = start();
    let (counter, echo) = (Counter::remote(0).unwrap(), Echo::remote().unwrap());
    let refs: Vec<_> = (0..10).map(|_| counter.add(1).remote()).collect();
    assert_eq!(mobula::get(&echo.sum(refs).remote()).unwrap(), 55);
    let text = mobula::put(&"inside".to_string()).unwrap();
    assert_eq!(mobula::get(&echo.inner(&text).remote()).unwrap(), "inside");
}

#[mobula::test]
fn a_pending_ref_travels_and_its_owner_keeps_the_promise() {
    let _runtime = start();
    let (slow, echo) = (Echo::remote().unwrap(), Echo::remote().unwrap());
    let late = slow.slow(100).remote();
    assert_eq!(mobula::get(&echo.sum(vec![late.clone()]).remote()).unwrap(), 100);
    assert_eq!(mobula::get(&late).unwrap(), 100);
}

#[mobula::test]
fn arguments_and_results_of_every_size_arrive() {
    let _runtime = start();
    let echo = Echo::remote().unwrap();
    for len in [0, 1, 1000, 1024, 1025, 3000, 4096, 5000, 1 << 20] {
        let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
        assert_eq!(mobula::get(&echo.bytes(bytes.clone()).remote()).unwrap(), bytes, "{len} bytes");
        let put = mobula::put(&bytes).unwrap();
        assert_eq!(mobula::get(&echo.bytes(&put).remote()).unwrap(), bytes, "{len} bytes put");
    }
    assert_eq!(mobula::get(&echo.text("four").remote()).unwrap(), 4);
}

#[mobula::test]
fn arrays_cross_without_a_copy() {
    let _runtime = start();
    let echo = Echo::remote().unwrap();
    let array = Array::from_slice(&[2.5f64; 10_000]).unwrap();
    assert_eq!(mobula::get(&echo.first(&array).remote()).unwrap(), 2.5);
    let made = mobula::get(&echo.make(100_000).remote()).unwrap();
    assert_eq!((made.len(), made[99_999]), (100_000, 1.5));
    let stored = echo.make(10).remote();
    assert_eq!(mobula::get(&echo.first(&stored).remote()).unwrap(), 1.5);
    let put = mobula::put(&array).unwrap();
    drop(array);
    assert_eq!(mobula::get(&put).unwrap()[9_999], 2.5);
}
