//! Tasks that wait for tasks.

use mobula::prelude::*;

use super::start;

#[mobula::task]
fn depth(left: u32) -> u32 {
    if left == 0 { 0 } else { 1 + mobula::get(&depth::remote(left - 1)).unwrap() }
}

#[mobula::task]
fn sum(refs: Vec<ObjectRef<u32>>) -> u32 {
    mobula::get_all(&refs).unwrap().into_iter().sum()
}

#[mobula::task]
fn fan(width: u32) -> u32 {
    let refs: Vec<_> = (0..width).map(|_| depth::remote(1)).collect();
    mobula::get_all(&refs).unwrap().into_iter().sum()
}

#[mobula::test]
fn a_chain_of_tasks_completes() {
    let _runtime = start();
    assert_eq!(mobula::get(&depth::remote(50)).unwrap(), 50);
}

#[mobula::test]
fn a_chain_completes_on_one_cpu() {
    let _runtime = mobula::init(Config::new().num_cpus(1.0).object_store_memory(64 << 20)).unwrap();
    assert_eq!(mobula::get(&depth::remote(20)).unwrap(), 20);
}

#[mobula::test]
fn tasks_fan_out_inside_tasks() {
    let _runtime = start();
    let refs: Vec<_> = (0..10).map(|_| fan::remote(5)).collect();
    assert_eq!(mobula::get_all(&refs).unwrap(), vec![5; 10]);
    assert_eq!(mobula::get(&sum::remote(refs)).unwrap(), 50);
}

#[mobula::task]
fn slow(x: u32) -> u32 {
    std::thread::sleep(std::time::Duration::from_millis(300));
    x
}

#[mobula::task]
fn pass_on(x: u32) -> Vec<ObjectRef<u32>> {
    vec![slow::remote(x)]
}

#[mobula::test]
fn a_pending_ref_outlives_the_worker_that_was_started_for_its_maker() {
    let _runtime = start();
    let refs = mobula::get(&pass_on::options().env("OWN_WORKER", "1").remote(7)).unwrap();
    assert_eq!(mobula::get(&refs[0]).unwrap(), 7);
}
