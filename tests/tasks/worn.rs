//! `max_calls`: a worker ends when a function has run in it so often.

use std::collections::HashMap;

use mobula::ObjectRef;

use super::support::{config, eventually, get, is_alive, start, start_with};

#[mobula::task(max_calls = 3, max_retries = 0)]
fn thrice(number: u64) -> (u64, u32, Vec<u8>) {
    (number, std::process::id(), vec![7; if number.is_multiple_of(2) { 50_000 } else { 1 }])
}

#[mobula::task(max_calls = 0, max_retries = 0)]
fn often(number: u64) -> (u64, u32) {
    (number, std::process::id())
}

#[mobula::task(max_calls = 1)]
fn once(depth: u64) -> u64 {
    if depth == 0 { 0 } else { 1 + mobula::get(&once::remote(depth - 1)).unwrap() }
}

/// Waits for several of its kind, one after the other.
#[mobula::task(max_calls = 1)]
fn several(count: u64) -> u64 {
    (0..count).map(|_| mobula::get(&several::remote(0)).unwrap() + 1).sum()
}

#[mobula::task(max_calls = 1)]
fn make() -> ObjectRef<u64> {
    mobula::put(&7).unwrap()
}

#[mobula::test]
fn no_process_runs_it_more_often_and_every_result_arrives() {
    let _runtime = start();
    let refs: Vec<_> = (0..60).map(thrice::remote).collect();
    let others: Vec<_> = (0..200).map(often::remote).collect();
    let mut runs: HashMap<u32, u32> = HashMap::new();
    for (number, one) in (0..).zip(&refs) {
        let (value, pid, bytes) = get(one).unwrap();
        assert!(value == number && bytes.iter().all(|&byte| byte == 7));
        *runs.entry(pid).or_default() += 1;
    }
    assert!(runs.len() >= 20 && runs.values().all(|&count| count <= 3), "{runs:?}");
    for (number, one) in (0..).zip(&others) {
        assert_eq!(get(one).unwrap().0, number);
    }
    // All that have run it three times end.
    for (&pid, _) in runs.iter().filter(|(_, count)| **count == 3) {
        eventually("a worn worker ends", || !is_alive(pid));
    }
    eventually("the CPUs are free", || mobula::available_resources()["CPU"] == 2.0);
}

#[mobula::test]
fn without_a_bound_a_worker_stays() {
    let _runtime = start_with(1.0);
    let pid = get(&often::remote(0)).unwrap().1;
    for number in 0..100 {
        assert_eq!(get(&often::remote(number)).unwrap(), (number, pid));
    }
}

#[mobula::test]
fn those_that_wait_for_each_other_come_to_an_end() {
    let _runtime = mobula::init(config(1.0).max_processes(1)).unwrap();
    assert_eq!(get(&once::remote(20)).unwrap(), 20);
    assert_eq!(get(&several::remote(10)).unwrap(), 10);
    eventually("the CPU is free", || mobula::available_resources()["CPU"] == 1.0);
}

#[mobula::test]
fn what_it_has_put_outlives_it() {
    let _runtime = start();
    for _ in 0..5 {
        let made = get(&make::remote()).unwrap();
        assert_eq!(get(&made).unwrap(), 7);
    }
}
