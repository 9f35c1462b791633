//! One CPU is enough for tasks that wait for their children, however they do it.

use futures::executor;
use futures::future;

use super::support::{eventually, get, start_with};

#[mobula::task]
fn leaf(x: u64) -> u64 {
    x
}

/// On this crate's executor.
#[mobula::task]
fn blocks_on(depth: u64) -> mobula::Result<u64> {
    match depth {
        0 => Ok(0),
        _ => mobula::block_on(async { Ok(blocks_on::remote(depth - 1).await? + leaf::remote(1).await?) }),
    }
}

/// On one that knows nothing of Mobula.
#[mobula::task]
fn awaits(depth: u64) -> mobula::Result<u64> {
    match depth {
        0 => Ok(0),
        _ => executor::block_on(async {
            let children = [awaits::remote(depth - 1), leaf::remote(1)];
            Ok(future::try_join_all(children.iter().map(mobula::get_async)).await?.iter().sum())
        }),
    }
}

/// Waits for some of its children, with others still in the making.
#[mobula::task]
fn waits() -> mobula::Result<usize> {
    let children: Vec<_> = (0..5).map(leaf::remote).collect();
    let (ready, others) = executor::block_on(mobula::wait_async(&children, 5, None))?;
    Ok(ready.len() + others.len())
}

/// Leaves a future behind that has lent, on a thread of its own.
#[mobula::task]
fn leaves_behind(gate: String) -> u64 {
    let mut future = Box::pin(mobula::get_async(&super::after::remote(gate, 1)));
    assert!(super::poll_once(future.as_mut()).is_pending());
    std::thread::spawn(move || executor::block_on(future));
    5
}

#[mobula::task]
fn sleeps(gate: String) -> u64 {
    mobula::block_in_place(|| super::support::pass(&gate));
    1
}

fn all_cpus_back() {
    eventually("the CPU is free", || mobula::available_resources()["CPU"] == 1.0);
}

#[mobula::test]
fn tasks_await_their_children() {
    let _runtime = start_with(1.0);
    assert_eq!(get(&blocks_on::remote(5_u64)).unwrap(), 5);
    assert_eq!(get(&awaits::remote(5_u64)).unwrap(), 5);
    assert_eq!(get(&waits::remote()).unwrap(), 5);
    all_cpus_back();
}

#[mobula::test]
fn what_a_task_leaves_behind_lends_nothing_after_its_end() {
    let _runtime = start_with(1.0);
    let gates: Vec<_> = (0..20).map(|_| super::support::Gate::new()).collect();
    for gate in &gates {
        assert_eq!(get(&leaves_behind::remote(gate.text())).unwrap(), 5);
        gate.open();
    }
    all_cpus_back();
    assert_eq!(get(&blocks_on::remote(2_u64)).unwrap(), 2);
    all_cpus_back();
}

#[mobula::test]
fn who_blocks_in_place_lends_too() {
    let _runtime = start_with(1.0);
    let gate = super::support::Gate::new();
    let sleeper = sleeps::remote(gate.text());
    assert_eq!(get(&leaf::remote(7)).unwrap(), 7);
    gate.open();
    assert_eq!(get(&sleeper).unwrap(), 1);
    all_cpus_back();
}
