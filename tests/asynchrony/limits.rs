//! How many run at once: a thousand by default, `max_concurrency`, groups.

use std::sync::atomic::{AtomicU32, Ordering};

use mobula::prelude::*;

use super::support::{Gate, eventually, get, start};
use super::{Hall, opens};

struct Desk {
    inside: AtomicU32,
}

#[mobula::actor(concurrency_groups(io = 2))]
impl Desk {
    pub fn new() -> Self {
        Desk { inside: AtomicU32::new(0) }
    }

    #[mobula::method(concurrency_group = "io")]
    pub async fn fetch(&self, gate: String) -> u32 {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        opens(&gate).await;
        self.inside.fetch_sub(1, Ordering::SeqCst);
        inside
    }

    pub async fn inside(&self) -> u32 {
        self.inside.load(Ordering::SeqCst)
    }
}

/// Lets so many in that one more finds no place, and looks how many are inside.
fn fill(hall: &ActorHandle<Hall>, limit: u32) {
    let gate = Gate::new();
    // The last place is for the one who looks.
    let entered: Vec<_> = (0..limit - 1).map(|_| hall.enter(gate.text()).remote()).collect();
    eventually("all are inside", || get(&hall.inside().remote()).unwrap() == limit - 1);
    let last = hall.enter(gate.text()).remote();
    let outside = hall.inside().remote();
    let (ready, _) =
        mobula::wait(std::slice::from_ref(&outside), 1, Some(std::time::Duration::from_millis(20))).unwrap();
    assert!(ready.is_empty(), "there was a place beyond {limit}");
    gate.open();
    assert_eq!(get(&last).unwrap(), limit);
    get(&outside).unwrap();
    mobula::get_all(&entered).unwrap();
}

#[mobula::test]
fn a_thousand_run_by_default() {
    let _runtime = start();
    fill(&Hall::remote().unwrap(), 1_000);
}

#[mobula::test]
fn an_option_says_otherwise() {
    let _runtime = start();
    fill(&Hall::options().max_concurrency(3).remote().unwrap(), 3);
    // One at a time, in their order.
    let hall = Hall::options().max_concurrency(1).remote().unwrap();
    let gate = Gate::new();
    let entered: Vec<_> = (0..20).map(|_| hall.enter(gate.text()).remote()).collect();
    gate.open();
    assert!(entered.iter().all(|one| get(one).unwrap() == 1));
}

#[mobula::test]
fn groups_hold_for_them_too() {
    let _runtime = start();
    let (desk, gate) = (Desk::remote().unwrap(), Gate::new());
    let fetches: Vec<_> = (0..6).map(|_| desk.fetch(gate.text()).remote()).collect();
    eventually("two are inside", || get(&desk.inside().remote()).unwrap() == 2);
    for _ in 0..50 {
        assert_eq!(get(&desk.inside().remote()).unwrap(), 2);
    }
    gate.open();
    assert!(fetches.iter().all(|fetch| get(fetch).unwrap() <= 2));
}
