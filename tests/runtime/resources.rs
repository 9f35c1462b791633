//! CPUs, GPUs and custom resources: who gets what, to the ten-thousandth.

use std::collections::BTreeMap;

use mobula::prelude::*;

use super::config;
use super::support::{Gate, eventually, get, pass};

struct Holder;

#[mobula::actor]
impl Holder {
    pub fn new() -> Self {
        Holder
    }

    pub fn held(&self) -> (Vec<u32>, BTreeMap<String, f64>, Option<String>) {
        let context = mobula::context();
        (context.gpu_ids(), context.assigned_resources(), std::env::var("CUDA_VISIBLE_DEVICES").ok())
    }
}

#[mobula::task]
fn held_behind(gate: String) -> (Vec<u32>, Option<String>) {
    pass(&gate);
    (mobula::context().gpu_ids(), std::env::var("CUDA_VISIBLE_DEVICES").ok())
}

#[mobula::task]
fn nothing() {}

fn gpus(amount: f64) -> ActorHandle<Holder> {
    Holder::options().num_gpus(amount).remote().unwrap()
}

#[mobula::test]
fn gpus_are_given_out_by_the_lowest_free_number_and_parts_share_one() {
    let _runtime = mobula::init(config().num_gpus(4.0)).unwrap();
    assert_eq!(mobula::cluster_resources()["GPU"], 4.0);
    let half = gpus(0.5);
    let (ids, amounts, visible) = get(&half.held().remote()).unwrap();
    assert_eq!((ids, visible.as_deref()), (vec![0], Some("0")));
    assert_eq!(amounts["GPU"], 0.5);
    let two = gpus(2.0);
    assert_eq!(get(&two.held().remote()).unwrap().2.as_deref(), Some("1,2"));
    let other_half = gpus(0.5);
    assert_eq!(get(&other_half.held().remote()).unwrap().0, [0], "parts are packed");
    let none = Holder::remote().unwrap();
    let (ids, _, visible) = get(&none.held().remote()).unwrap();
    assert!(ids.is_empty() && visible.unwrap_or_default().is_empty());
    assert_eq!(mobula::available_resources()["GPU"], 1.0);
    mobula::kill(&two).unwrap();
    assert_eq!(mobula::available_resources()["GPU"], 3.0);
    assert_eq!(get(&gpus(1.0).held().remote()).unwrap().0, [1]);
}

#[mobula::test]
fn tasks_with_gpus_wait_their_turn() {
    let _runtime = mobula::init(config().num_gpus(1.0)).unwrap();
    let (first, second) = (Gate::new(), Gate::new());
    let wide = held_behind::options().num_gpus(1.0);
    let running = wide.remote(first.text());
    let waiting = wide.remote(second.text());
    first.open();
    assert_eq!(get(&running).unwrap(), (vec![0], Some("0".to_owned())));
    second.open();
    assert_eq!(get(&waiting).unwrap(), (vec![0], Some("0".to_owned())));
    eventually("the device comes back", || mobula::available_resources()["GPU"] == 1.0);
}

#[mobula::test]
fn fractions_add_up_exactly() {
    let _runtime = mobula::init(config().resource("licence", 1.0)).unwrap();
    let tenths: Vec<_> = (0..10).map(|_| Holder::options().resource("licence", 0.1).remote().unwrap()).collect();
    for holder in &tenths {
        assert_eq!(get(&holder.held().remote()).unwrap().1["licence"], 0.1);
    }
    assert_eq!(mobula::available_resources()["licence"], 0.0);
    drop(tenths);
    eventually("all comes back", || mobula::available_resources()["licence"] == 1.0);
    let third = nothing::options().num_cpus(0.3333);
    for _ in 0..30 {
        get(&third.remote()).unwrap();
    }
    eventually("all comes back", || mobula::available_resources() == mobula::cluster_resources());
}
