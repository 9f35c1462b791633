//! The victim is called.

use super::support::{all_space_back, eventually, get, is_alive, start, stats};
use super::{Target, call_all, every_point, value_or_death};

#[mobula::test]
fn a_callee_dies_at_any_store() {
    let _runtime = start();
    let other = Target::remote().unwrap();
    call_all(&other, 0).expect("nobody ends it");
    let before = stats();
    every_point("an actor that is called", |n| {
        let victim = Target::remote().unwrap();
        let pid = get(&victim.pid().remote()).unwrap();
        call_all(&victim, 0).expect("it is not armed");
        let armed = value_or_death(&victim.arm(n).remote(), n);
        let all = armed.and_then(|()| call_all(&victim, n));
        let left = all.and_then(|()| value_or_death(&victim.disarm().remote(), n));
        let killed = mobula::kill(&victim);
        assert!(left.is_none() || killed.is_ok(), "killed after {n} stores: {killed:?}");
        assert!(get(&victim.next(1).remote()).unwrap_err().is_actor_died(), "killed after {n} stores");
        eventually("the victim's process ends", || !is_alive(pid));
        drop(victim);
        call_all(&other, n).expect("the other one lives");
        all_space_back(before);
        left.map(|left| n - left)
    });
}
