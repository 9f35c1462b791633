//! What runs hears of it, waits for nothing any more, and its refs fail at once.

use std::time::Duration;

use mobula::ObjectRef;

use super::support::{Gate, Scratch, all_space_back, get, start, stats};
use super::{all_cpus_back, follow, hold, is_cancelled, note_outcome, until_noted};

#[mobula::task]
fn wait_for(diary: String, manner: u32, of: Vec<ObjectRef<bool>>) {
    super::note(&diary, "begun");
    let later = of[0].clone();
    let got = match manner {
        0 => mobula::wait(&of, 1, None).map(drop),
        1 => mobula::get_all(&of).map(drop),
        2 => mobula::get_timeout(&of[0], Duration::from_secs(1000)).map(drop),
        3 => mobula::as_completed(of).next().unwrap().map(drop),
        _ => mobula::map_unordered(of, |one| one).next().unwrap().map(drop),
    };
    note_outcome(&diary, &got);
    // Not only what was blocked at that moment.
    note_outcome(&diary, &mobula::get(&later).map(drop));
}

#[mobula::task(num_returns = 2)]
fn large(diary: String, gate: String) -> (Vec<u8>, Vec<u8>) {
    super::note(&diary, "begun");
    super::pass(&gate);
    (vec![1; 100_000], vec![2; 10])
}

#[mobula::test]
fn its_context_says_so_and_its_ref_fails_before_it_ends() {
    let _runtime = start();
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let task = hold::remote(diary.text(), gate.text());
    until_noted(&diary, "begun");
    mobula::cancel(&task, false).unwrap();
    assert!(is_cancelled(&task));
    gate.open();
    until_noted(&diary, "cancelled");
    // The next one in that worker is another one.
    let next = Scratch::new("diary");
    assert!(!get(&hold::remote(next.text(), gate.text())).unwrap());
    assert_eq!(diary.lines().len(), 2, "it is not tried again");
    all_cpus_back(2.0);
}

#[mobula::test]
fn a_blocked_wait_returns() {
    let _runtime = start();
    for manner in 0..5 {
        let (gate, held, diary) = (Gate::new(), Scratch::new("held"), Scratch::new("diary"));
        let value = hold::remote(held.text(), gate.text());
        until_noted(&held, "begun");
        let task = wait_for::remote(diary.text(), manner, vec![value.clone()]);
        until_noted(&diary, "begun");
        mobula::cancel(&task, false).unwrap();
        assert!(is_cancelled(&task));
        super::eventually("both waits have ended", || diary.lines() == ["begun", "cancelled", "cancelled"]);
        // What it was given is not its own.
        gate.open();
        assert!(!get(&value).unwrap());
    }
    all_cpus_back(2.0);
}

#[mobula::test]
fn a_get_of_its_own_child_returns() {
    let _runtime = start();
    let (gate, held, diary) = (Gate::new(), Scratch::new("held"), Scratch::new("diary"));
    let value = hold::remote(held.text(), gate.text());
    let task = follow::remote(diary.text(), vec![value]);
    until_noted(&diary, "begun");
    mobula::cancel(&task, false).unwrap();
    until_noted(&diary, "cancelled");
    gate.open();
    all_cpus_back(2.0);
}

#[mobula::test]
fn all_its_refs_fail_and_its_results_are_dropped() {
    let _runtime = start();
    let before = stats();
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let (one, two) = large::remote(diary.text(), gate.text());
    until_noted(&diary, "begun");
    mobula::cancel(&two, false).unwrap();
    assert!(is_cancelled(&one) && is_cancelled(&two));
    gate.open();
    all_cpus_back(2.0);
    drop((one, two));
    all_space_back(before);
}
