//! Creation, order of calls, calls in parallel.

use std::collections::HashSet;

use mobula::prelude::*;

use super::{Counter, start};

#[mobula::test]
fn ten_counters_count_each_for_itself() {
    let _runtime = start();
    let counters: Vec<ActorHandle<Counter>> = (0..10).map(|_| Counter::remote(0).unwrap()).collect();
    let refs: Vec<_> = counters.iter().map(|counter| counter.add(1).remote()).collect();
    assert_eq!(mobula::get_all(&refs).unwrap(), vec![1; 10]);
    let refs: Vec<_> = (0..5).map(|_| counters[0].add(1).remote()).collect();
    assert_eq!(mobula::get_all(&refs).unwrap(), [2, 3, 4, 5, 6]);
    let pids: Vec<_> = counters.iter().map(|counter| counter.pid().remote()).collect();
    let pids: HashSet<u32> = mobula::get_all(&pids).unwrap().into_iter().collect();
    assert_eq!(pids.len(), 10, "each actor has a process of its own");
    assert!(!pids.contains(&std::process::id()));
}

#[mobula::test]
fn calls_run_in_the_order_made() {
    let _runtime = start();
    let counter = Counter::remote(0).unwrap();
    let refs: Vec<_> = (0..20_000).map(|_| counter.add(1).remote()).collect();
    let values = mobula::get_all(&refs).unwrap();
    assert!(values.iter().copied().eq(1..=20_000));
}

#[mobula::test]
fn calls_from_many_threads_all_arrive() {
    let _runtime = start();
    let counter = Counter::remote(0).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    mobula::get(&counter.add(1).remote()).unwrap();
                }
            });
        }
    });
    assert_eq!(mobula::get(&counter.value().remote()).unwrap(), 2000);
}

#[mobula::test]
fn a_call_whose_ref_is_dropped_still_runs() {
    let _runtime = start();
    let counter = Counter::remote(5).unwrap();
    for _ in 0..100 {
        let _ = counter.add(1).remote();
    }
    assert_eq!(mobula::get(&counter.value().remote()).unwrap(), 105);
}
