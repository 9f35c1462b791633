//! Cancelling: a future that waits is dropped where it stands, what has not begun never does.

use mobula::ObjectRef;

use super::support::{Gate, Scratch, eventually, get, note, start};
use super::{Noted, lines, opens, until_noted};

struct Clerk;

#[mobula::actor]
impl Clerk {
    pub fn new() -> Self {
        Clerk
    }

    /// Notes how it begins and ends.
    pub async fn waits(&self, diary: String, gate: String) -> u64 {
        note(&diary, "begun");
        let _noted = Noted(diary.clone());
        opens(&gate).await;
        note(&diary, "done");
        1
    }

    /// Waits for a task, which is cancelled with it.
    pub async fn follows(&self, diary: String) -> mobula::Result<u64> {
        let _noted = Noted(diary.clone());
        held::remote(diary).await
    }

    /// Blocks.
    pub async fn blocks(&self, diary: String, gate: String) {
        let got = mobula::get(&super::after::remote(gate, 1));
        note(&diary, if got.is_err_and(|error| error.is_cancelled()) { "cancelled" } else { "not cancelled" });
    }

    /// Comes back to life again and again without ever waiting for anybody.
    pub async fn spins(&self, diary: String) {
        note(&diary, "begun");
        let _noted = Noted(diary);
        loop {
            mobula::sleep(std::time::Duration::ZERO).await;
            futures::pending!();
        }
    }

    pub async fn answers(&self) -> u64 {
        7
    }
}

#[mobula::task]
fn held(diary: String) -> u64 {
    note(&diary, "held");
    let context = mobula::context();
    eventually("it is cancelled", || context.is_cancelled());
    note(&diary, "held and cancelled");
    1
}

fn is_cancelled<T: serde::de::DeserializeOwned>(object: &ObjectRef<T>) -> bool {
    get(object).is_err_and(|error| error.is_cancelled())
}

#[mobula::test]
fn a_future_that_waits_is_dropped() {
    let _runtime = start();
    let (clerk, gate) = (Clerk::remote().unwrap(), Gate::new());
    let diaries: Vec<_> = (0..10).map(|_| Scratch::new("diary")).collect();
    let calls: Vec<_> = diaries.iter().map(|diary| clerk.waits(diary.text(), gate.text()).remote()).collect();
    diaries.iter().for_each(|diary| until_noted(diary, "begun"));
    for call in calls.iter().step_by(2) {
        mobula::cancel(call, false).unwrap();
        assert!(is_cancelled(call));
    }
    diaries.iter().step_by(2).for_each(|diary| until_noted(diary, "dropped"));
    // The gate is shut, and those that were not cancelled wait.
    assert!(diaries.iter().skip(1).step_by(2).all(|diary| lines(diary, "dropped") == 0));
    assert_eq!(get(&clerk.answers().remote()).unwrap(), 7);
    gate.open();
    assert!(calls.iter().skip(1).step_by(2).all(|call| get(call).unwrap() == 1));
    assert!(diaries.iter().step_by(2).all(|diary| lines(diary, "done") == 0));
    assert!(diaries.iter().all(|diary| lines(diary, "dropped") == 1));
}

#[mobula::test]
fn what_has_no_place_yet_never_begins() {
    let _runtime = start();
    let (clerk, gate) = (Clerk::options().max_concurrency(1).remote().unwrap(), Gate::new());
    let (first, second) = (Scratch::new("diary"), Scratch::new("diary"));
    let runs = clerk.waits(first.text(), gate.text()).remote();
    until_noted(&first, "begun");
    let waits = clerk.waits(second.text(), gate.text()).remote();
    mobula::cancel(&waits, false).unwrap();
    assert!(is_cancelled(&waits));
    gate.open();
    assert_eq!(get(&runs).unwrap(), 1);
    assert_eq!(get(&clerk.answers().remote()).unwrap(), 7);
    assert!(second.lines().is_empty());
}

#[mobula::test]
fn what_it_has_submitted_is_cancelled_with_it() {
    let _runtime = start();
    let (clerk, diary) = (Clerk::remote().unwrap(), Scratch::new("diary"));
    let call = clerk.follows(diary.text()).remote();
    until_noted(&diary, "held");
    mobula::cancel(&call, false).unwrap();
    assert!(is_cancelled(&call));
    until_noted(&diary, "dropped");
    until_noted(&diary, "held and cancelled");
}

#[mobula::test]
fn who_blocks_hears_of_it() {
    let _runtime = start();
    let (clerk, gate, diary) = (Clerk::remote().unwrap(), Gate::new(), Scratch::new("diary"));
    let call = clerk.blocks(diary.text(), gate.text()).remote();
    assert_eq!(get(&clerk.answers().remote()).unwrap(), 7);
    mobula::cancel(&call, false).unwrap();
    assert!(is_cancelled(&call));
    eventually("it has ended", || !diary.lines().is_empty() || get(&clerk.answers().remote()).unwrap() != 7);
    assert_eq!(diary.lines(), ["cancelled"]);
    gate.open();
}

#[mobula::test]
fn one_that_nobody_wakes_is_dropped_too() {
    let _runtime = start();
    let (clerk, diary) = (Clerk::remote().unwrap(), Scratch::new("diary"));
    for round in 1..=50 {
        let call = clerk.spins(diary.text()).remote();
        if round % 2 == 0 {
            eventually("it has begun", || lines(&diary, "begun") > lines(&diary, "dropped"));
        }
        mobula::cancel(&call, false).unwrap();
        assert!(is_cancelled(&call));
        if round % 2 == 0 {
            eventually("it is dropped", || lines(&diary, "dropped") == lines(&diary, "begun"));
        }
    }
}
