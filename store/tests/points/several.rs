//! More than one victim: who undoes a death may die of it, the store's creator may, and two may at once.

use mobula_store::{ClientKey, Store};

use crate::oracle::{Waiter, eventually, examine};
use crate::parts;
use crate::places;
use crate::process::{End, NODE, REAPER, Victim};
use crate::scripts::{self, Kept, Script};

/// A case, and what it says at its end.
type Case = fn() -> String;

pub(crate) const ALL: &[(&str, Case)] = &[
    ("reaper_as_victim", reaper_as_victim),
    ("node_as_victim", node_as_victim),
    ("two_victims_at_once", two_victims_at_once),
    ("fillers_at_once", parts::fillers_at_once),
];

/// Scripts whose victims leave something in every room of the store, and where they are killed.
const MESSES: &[(&str, u64)] = &[
    ("children", 150),
    ("children", 260),
    ("create_write_seal", 110),
    ("delete_in_use", 3),
    ("full_store", 62),
    ("receive", 8),
    ("promise", 60),
];

/// A store whose creator is a process of its own, and this process a client of it.
struct Away {
    node: Victim,
    store: Store,
    kept: Kept,
    waiter: Waiter,
}

impl Away {
    fn new(mess: &Script) -> Away {
        let node = Victim::start(NODE, "");
        let store = scripts::attach(&node.said);
        let kept = (mess.before)(&store);
        let waiter = Waiter::start(&store);
        Away { node, store, kept, waiter }
    }
}

/// A client that reaps a dead one is killed at each of its stores; the next reaper goes on.
///
/// The node, which would reap at once, is stopped until both are dead.
fn reaper_as_victim() -> String {
    let mut kills = 0;
    for &(mess, at) in MESSES {
        let mess = scripts::find(mess);
        let stores = reaped_by_one_killed(&mess, at, u64::MAX).expect("nobody kills it");
        for n in places(stores) {
            reaped_by_one_killed(&mess, at, n);
            kills += 1;
        }
    }
    format!("{kills} reapers killed")
}

fn reaped_by_one_killed(mess: &Script, at: u64, n: u64) -> Option<u64> {
    let Away { node, store, kept, waiter } = Away::new(mess);
    let dead = Victim::start(mess.name, store.address());
    let mut reaper = Victim::start(REAPER, store.address());
    node.stop(true);
    let whom = dead.client();
    let first = dead.go(at).wait();
    reaper.tell(&format!("{} {}", whom.index, whom.generation));
    let second = reaper.go(n).wait();
    node.stop(false);
    let stores = second.stores();
    let context = |what: &str| format!("{}, its reaper killed after {n} stores: {what}", mess.name);
    examine(&store, 2, &[first, second], waiter, kept, &context);
    stores
}

/// The store's creator is killed at each store of reaping a dead client; a survivor undoes both.
fn node_as_victim() -> String {
    let mut kills = 0;
    for &(mess, at) in MESSES {
        let mess = scripts::find(mess);
        let stores = reaped_by_the_node_killed(&mess, at, u64::MAX).expect("nobody kills it");
        for n in places(stores) {
            reaped_by_the_node_killed(&mess, at, n);
            kills += 1;
        }
    }
    format!("{kills} nodes killed")
}

fn reaped_by_the_node_killed(mess: &Script, at: u64, n: u64) -> Option<u64> {
    let Away { node, store, kept, waiter } = Away::new(mess);
    let dead = Victim::start(mess.name, store.address());
    let whom = dead.client();
    let mut node = node.go(n);
    node.expect("armed");
    let first = dead.go(at).wait();
    let context = |what: &str| format!("{}, the node killed after {n} stores: {what}", mess.name);
    eventually(|| context("the node neither dies nor reaps"), || !node.lives() || store.stats().clients <= 2);
    // One reaper at a time: behind this the node is done, or it died and this one has taken over.
    store.reap(whom);
    node.tell("end");
    let second = node.wait();
    let stores = second.stores();
    // Nobody is told of deaths any more: the survivor asks for each place.
    for index in 0..8 {
        store.reap(ClientKey { index, generation: 0 });
    }
    examine(&store, 1, &[first, second], waiter, kept, &context);
    stores
}

/// Two clients work on the same store and die, each somewhere.
fn two_victims_at_once() -> String {
    const PAIRS: &[(&str, &str)] = &[
        ("create_write_seal", "put"),
        ("delete", "put"),
        ("get_and_release", "counted"),
        ("children", "counted"),
        ("seal_all", "abort"),
        ("promise", "children"),
        ("many_small_ones", "children"),
        ("many_small_ones", "create_write_seal"),
    ];
    let mut kills = 0;
    for &(one, other) in PAIRS {
        for round in 0..20 {
            let ends = both_killed(&scripts::find(one), &scripts::find(other), 1 + round * 7 % 90, 1 + round * 13 % 70);
            kills += ends.iter().filter(|end| end.stores().is_none()).count();
        }
    }
    format!("{kills} killed")
}

fn both_killed(one: &Script, other: &Script, n: u64, m: u64) -> [End; 2] {
    let store = Store::create(scripts::plain()).expect("a store");
    let kept = [(one.before)(&store), (other.before)(&store)];
    let (first, second) = (Victim::start(one.name, store.address()), Victim::start(other.name, store.address()));
    let waiter = Waiter::start(&store);
    let (first, second) = (first.go(n), second.go(m));
    let ends = [first.wait(), second.wait()];
    let context = |what: &str| format!("{} killed after {n} stores, {} after {m}: {what}", one.name, other.name);
    let [kept, more] = kept;
    more.examine(&store, &ends, &context);
    examine(&store, 1, &ends, waiter, kept, &context);
    ends
}
