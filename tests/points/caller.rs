//! The victim calls another actor.

use mobula::prelude::*;
use mobula::store::crash;

use super::support::{all_space_back, eventually, get, is_alive, start, stats};
use super::{LIVES, Target, call_all, every_point, value_or_death};

/// Calls another actor, and dies of it.
struct Caller;

#[mobula::actor]
impl Caller {
    pub fn new() -> Self {
        Caller
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Calls with so many stores left; says how many stores that were.
    pub fn call(&self, target: ActorHandle<Target>, n: u64) -> u64 {
        crash::arm(n);
        call_all(&target, n).expect("the target lives");
        let left = crash::left();
        crash::arm(0);
        n - left
    }
}

#[mobula::test]
fn a_caller_dies_at_any_store() {
    let _runtime = start();
    let target = Target::remote().unwrap();
    call_all(&target, 0).expect("nobody ends it");
    let before = stats();
    every_point("an actor that calls another one", |n| {
        let victim = Caller::remote().unwrap();
        let pid = get(&victim.pid().remote()).unwrap();
        get(&victim.call(&target, LIVES).remote()).unwrap();
        let stores = value_or_death(&victim.call(&target, n).remote(), n);
        if stores.is_some() {
            mobula::kill(&victim).unwrap();
        }
        eventually("the victim's process ends", || !is_alive(pid));
        drop(victim);
        // What the dead has called runs to its end without it, and others are served.
        call_all(&target, n).expect("the target lives");
        let fresh = Caller::remote().unwrap();
        get(&fresh.call(&target, LIVES).remote()).unwrap();
        mobula::kill(&fresh).unwrap();
        drop(fresh);
        all_space_back(before);
        stores
    });
}
