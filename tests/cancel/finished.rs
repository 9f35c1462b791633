//! What is over cannot be cancelled, and cancelling twice is cancelling once.

use super::support::{Gate, Scratch, get, start};
use super::{hold, is_cancelled, say, until_noted};

#[mobula::test]
fn a_value_stays_a_value() {
    let runtime = start();
    let diary = Scratch::new("diary");
    let done = say::remote(diary.text(), "one".to_string());
    assert!(get(&done).unwrap());
    let put = mobula::put(&7).unwrap();
    for force in [false, true] {
        mobula::cancel(&done, force).unwrap();
        mobula::cancel(&put, force).unwrap();
    }
    assert!(get(&done).unwrap() && get(&put).unwrap() == 7);
    runtime.shutdown();
    assert!(mobula::cancel(&done, false).unwrap_err().is_not_initialized());
}

#[mobula::test]
fn twice_is_once() {
    let _runtime = start();
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let task = hold::remote(diary.text(), gate.text());
    until_noted(&diary, "begun");
    for _ in 0..3 {
        mobula::cancel(&task, false).unwrap();
    }
    assert!(is_cancelled(&task));
    gate.open();
    until_noted(&diary, "cancelled");
    mobula::cancel(&task, true).unwrap();
    assert!(!get(&hold::remote(Scratch::new("diary").text(), gate.text())).unwrap());
}

#[mobula::test]
fn options_say_how() {
    let _runtime = start();
    let options = mobula::CancelOptions::default();
    assert!(!options.force && options.recursive);
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let task = hold::remote(diary.text(), gate.text());
    until_noted(&diary, "begun");
    mobula::cancel_with(&task, options).unwrap();
    assert!(is_cancelled(&task));
    gate.open();
}
