//! Concurrency groups: of a class, of a creation, of a method, of a call.

use std::sync::atomic::{AtomicU32, Ordering};

use mobula::prelude::*;

use super::Hall;
use super::support::{Gate, eventually, get, pass, start};

struct Desk {
    inside: AtomicU32,
}

#[mobula::actor(concurrency_groups(io = 2, health = 1))]
impl Desk {
    pub fn new() -> Self {
        Desk { inside: AtomicU32::new(0) }
    }

    #[mobula::method(concurrency_group = "io")]
    pub fn fetch(&self, gate: String) -> u32 {
        self.inside.fetch_add(1, Ordering::SeqCst);
        pass(&gate);
        self.inside.fetch_sub(1, Ordering::SeqCst) - 1
    }

    #[mobula::method(concurrency_group = "health")]
    pub fn inside(&self) -> u32 {
        self.inside.load(Ordering::SeqCst)
    }

    pub fn work(&self, gate: String) -> u32 {
        pass(&gate);
        7
    }

    #[mobula::method(concurrency_group = "health")]
    pub fn change(&mut self) -> u32 {
        self.inside.load(Ordering::SeqCst)
    }
}

/// A method of a group that only a creation can give it.
struct Open;

#[mobula::actor]
impl Open {
    pub fn new() -> Self {
        Open
    }

    #[mobula::method(concurrency_group = "io")]
    pub fn fetch(&self) -> u32 {
        1
    }
}

#[mobula::test]
fn each_runs_up_to_its_limit() {
    let _runtime = start();
    let (desk, gate) = (Desk::remote().unwrap(), Gate::new());
    let fetches: Vec<_> = (0..4).map(|_| desk.fetch(gate.text()).remote()).collect();
    eventually("two are inside", || get(&desk.inside().remote()).unwrap() == 2);
    // Also after some time.
    let works = desk.work(gate.text()).remote();
    for _ in 0..50 {
        assert_eq!(get(&desk.inside().remote()).unwrap(), 2);
    }
    gate.open();
    assert_eq!(get(&works).unwrap(), 7);
    assert!(fetches.iter().all(|fetch| get(fetch).unwrap() <= 1));
}

#[mobula::test]
fn a_creation_sets_the_limit_and_adds_groups() {
    let _runtime = start();
    let (desk, gate) = (Desk::options().concurrency_group("io", 3).remote().unwrap(), Gate::new());
    let fetches: Vec<_> = (0..4).map(|_| desk.fetch(gate.text()).remote()).collect();
    eventually("three are inside", || get(&desk.inside().remote()).unwrap() == 3);
    gate.open();
    mobula::get_all(&fetches).unwrap();
    let open = Open::options().concurrency_group("io", 1).remote().unwrap();
    assert_eq!(get(&open.fetch().remote()).unwrap(), 1);
}

#[mobula::test]
fn a_call_can_be_put_into_another_group() {
    let _runtime = start();
    let (desk, gate) = (Desk::remote().unwrap(), Gate::new());
    // The only place of its own group is taken.
    let stuck = desk.work(gate.text()).remote();
    let other = Gate::new();
    other.open();
    let work = |gate: &Gate| desk.work(gate.text()).concurrency_group("io").remote();
    assert_eq!(get(&work(&other)).unwrap(), 7);
    // Also with an argument that has to be waited for.
    let text = mobula::put(&other.text()).unwrap();
    assert_eq!(get(&desk.work(&text).concurrency_group("io").remote()).unwrap(), 7);
    let late = text_behind::remote(other.text());
    assert_eq!(get(&desk.work(late).concurrency_group("io").remote()).unwrap(), 7);
    // And by who has the handle only.
    assert_eq!(get(&ask::remote(&desk, other.text())).unwrap(), 7);
    gate.open();
    assert_eq!(get(&stuck).unwrap(), 7);
}

#[mobula::task]
fn text_behind(text: String) -> String {
    text
}

#[mobula::task]
fn ask(desk: ActorHandle<Desk>, gate: String) -> Result<u32, mobula::Error> {
    mobula::get(&desk.work(gate).concurrency_group("io").remote())
}

#[mobula::test]
fn a_group_that_is_not_there_is_refused_with_those_that_are() {
    let _runtime = start();
    let desk = Desk::remote().unwrap();
    for (group, shown) in [("oi", "`oi`"), ("", "``")] {
        let error = get(&desk.inside().concurrency_group(group).remote()).unwrap_err();
        assert!(error.is_invalid_argument(), "{error}");
        for word in [shown, "`io`, `health`", "Desk::inside"] {
            assert!(error.to_string().contains(word), "{error}");
        }
    }
    let error = Open::remote().unwrap_err();
    assert!(error.is_invalid_argument(), "{error}");
    assert!(error.to_string().contains("Open::fetch") && error.to_string().contains("`io`"), "{error}");
    // An actor that runs one call at a time has none.
    let hall = Hall::remote(None).unwrap();
    let error = get(&hall.pid().concurrency_group("io").remote()).unwrap_err();
    assert!(error.is_invalid_argument() && error.to_string().contains("none"), "{error}");
    assert!(get(&hall.pid().remote()).is_ok());
}

#[mobula::test]
fn what_runs_alone_runs_alone_in_all_groups() {
    let _runtime = start();
    let (desk, gate) = (Desk::remote().unwrap(), Gate::new());
    let fetch = desk.fetch(gate.text()).remote();
    eventually("it is inside", || get(&desk.inside().remote()).unwrap() == 1);
    let change = desk.change().remote();
    gate.open();
    assert_eq!(get(&change).unwrap(), 0, "it waited for the other group");
    get(&fetch).unwrap();
}
