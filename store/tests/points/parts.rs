//! Arrays that several fill together: who dies with a part, or while it seals.

use std::thread;
use std::time::Duration;

use mobula_store::{ArrayPart, SharedArray, Store, transfer};

use crate::oracle::{Waiter, examine};
use crate::places;
use crate::process::{End, Victim, ready, say};
use crate::scripts::{self, Kept, Script, attach, hand_over, nothing, plain, take_over};

/// Parts of an array, and its elements; the last part is shorter.
const PARTS: usize = 8;
const ELEMENTS: usize = 61;
/// Longer than a death can take to be noticed.
const LONG: Duration = Duration::from_secs(20);

fn array(store: &Store) -> SharedArray<u64> {
    SharedArray::new_in(store, &[ELEMENTS], PARTS).expect("an array")
}

/// Gives each element of a part its own index, and finishes it.
fn fill(mut part: ArrayPart<u64>) {
    let from = part.range().start as u64;
    part.iter_mut().zip(from..).for_each(|(element, value)| *element = value);
    part.finish().expect("it is this client's");
}

/// What must be true of an array whose fillers have died: what was said to be filled is, the rest can be, and all of it is
/// what somebody wrote.
pub(crate) fn examine_array(array: &SharedArray<u64>, ends: &[End], context: &dyn Fn(&str) -> String) {
    let failed = |e: mobula_store::Error| -> ! { panic!("{}", context(&e.to_string())) };
    for part in ends.iter().flat_map(|end| end.said("filled")) {
        let again = array.part(usize::from(part)).expect_err("it was filled");
        assert!(again.is_closed(), "{}", context(&again.to_string()));
    }
    let unfilled = array.unfilled();
    if !unfilled.is_empty() {
        let refused = array.seal().expect_err("parts are not filled");
        assert!(refused.is_unfilled(), "{}", context(&refused.to_string()));
    }
    let mut filled = Vec::new();
    while let Some(part) = array.wait_part(Some(LONG)).unwrap_or_else(|e| failed(e)) {
        filled.push(part.index());
        fill(part);
    }
    filled.sort_unstable();
    assert_eq!(filled, unfilled, "{}", context("other parts were free than were unfilled"));
    assert_numbered(array, context);
}

fn assert_numbered(array: &SharedArray<u64>, context: &dyn Fn(&str) -> String) {
    let sealed = array.seal().unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
    assert!(sealed.iter().copied().eq(0..ELEMENTS as u64), "{}", context("elements are wrong"));
    let again = array.seal().unwrap_or_else(|e| panic!("{}", context(&e.to_string())));
    assert_eq!(again.id(), sealed.id(), "{}", context("it was sealed twice"));
}

pub(crate) fn all() -> Vec<Script> {
    vec![
        Script {
            name: "fill_parts",
            options: plain,
            before: |store| {
                let array = array(store);
                hand_over(store, &array);
                Kept { array: Some(array), ..Kept::default() }
            },
            child: |address| {
                let store = attach(address);
                let array: SharedArray<u64> = take_over(&store);
                ready(store.client());
                // One by name, one given back, one that is taken and never filled, and the others as they come.
                fill(array.part(5).expect("free"));
                say("filled", 5);
                drop(array.part(2).expect("free"));
                let kept = array.part_timeout(2, Some(LONG)).expect("free");
                while let Some(part) = array.next_part().expect("a living client") {
                    let n = part.index() as u8;
                    fill(part);
                    say("filled", n);
                }
                assert_eq!(array.unfilled(), [2]);
                std::mem::forget(kept);
            },
        },
        Script {
            name: "seal_an_array",
            options: plain,
            before: |store| {
                let array = array(store);
                hand_over(store, &array);
                (0..PARTS - 1).for_each(|part| fill(array.part(part).expect("free")));
                Kept { array: Some(array), ..Kept::default() }
            },
            child: |address| {
                let store = attach(address);
                let array: SharedArray<u64> = take_over(&store);
                ready(store.client());
                fill(array.wait_part(None).expect("a living client").expect("one is free"));
                let sealed = array.seal().expect("all are filled");
                assert_eq!(array.seal().expect("again").id(), sealed.id());
                assert_eq!(sealed[ELEMENTS - 1], ELEMENTS as u64 - 1);
            },
        },
        Script {
            name: "make_a_shared_array",
            options: plain,
            before: nothing,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                let array = array(&store);
                // A copy of the handle travels, and is never decoded.
                drop(transfer::encode(|| postcard::to_stdvec(&array).expect("encoded")));
                while let Some(part) = array.next_part().expect("a living client") {
                    fill(part);
                }
                let sealed = array.seal().expect("all are filled");
                drop(array);
                assert_eq!(sealed.len(), ELEMENTS);
            },
        },
    ]
}

/// Two processes fill one array beside a survivor and are killed; it fills what they leave, woken by their deaths.
pub(crate) fn fillers_at_once() -> String {
    let stores = both_fill(u64::MAX, u64::MAX).iter().filter_map(End::stores).max().expect("nobody kills them");
    let (mut kills, places) = (0, places(stores));
    for (&n, &m) in places.iter().zip(places.iter().rev()) {
        kills += both_fill(n, m).iter().filter(|end| end.stores().is_none()).count();
    }
    format!("{kills} killed")
}

fn both_fill(n: u64, m: u64) -> [End; 2] {
    let script = scripts::find("fill_beside_others");
    let store = Store::create((script.options)()).expect("a store");
    let array = array(&store);
    let victims = [n, m].map(|_| {
        hand_over(&store, &array);
        Victim::start(script.name, store.address())
    });
    let waiter = Waiter::start(&store);
    let [first, second] = victims;
    let (first, second) = (first.go(n), second.go(m));
    let survivor = {
        let array = array.clone();
        thread::spawn(move || {
            while let Some(part) = array.wait_part(Some(LONG)).expect("the others die or finish") {
                fill(part);
            }
        })
    };
    let ends = [first.wait(), second.wait()];
    let context = |what: &str| format!("fillers killed after {n} and {m} stores: {what}");
    survivor.join().unwrap_or_else(|_| panic!("{}", context("the survivor failed")));
    assert_numbered(&array, &context);
    examine(&store, 1, &ends, waiter, Kept { array: Some(array), ..Kept::default() }, &context);
    ends
}

/// The script of those who fill beside others; it is no script of its own, as it needs somebody beside it.
pub(crate) fn beside_others() -> Script {
    Script {
        name: "fill_beside_others",
        options: plain,
        before: nothing,
        child: |address| {
            let store = attach(address);
            let array: SharedArray<u64> = take_over(&store);
            ready(store.client());
            while let Some(part) = array.wait_part(None).expect("a living client") {
                let n = part.index() as u8;
                fill(part);
                say("filled", n);
            }
            assert_eq!(array.seal().expect("all are filled").len(), ELEMENTS);
        },
    }
}
