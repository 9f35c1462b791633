//! Tasks that have processes of their own.

use super::support::{Gate, Scratch, eventually, get, is_alive, note, start};
use super::{all_cpus_back, exists, hold, is_cancelled, until_noted};

#[mobula::task(max_retries = -1)]
fn spin(diary: String) {
    note(&diary, &std::process::id().to_string());
    loop {
        std::hint::spin_loop();
    }
}

#[mobula::test]
fn one_that_waits_at_the_node_or_is_being_started_never_runs() {
    let _runtime = start();
    let (gate, diary, ran) = (Gate::new(), Scratch::new("diary"), Scratch::new("ran"));
    let all = hold::options().env("OWN", "1").num_cpus(2.0).remote(diary.text(), gate.text());
    until_noted(&diary, "begun");
    let queued = hold::options().env("OWN", "1").remote(ran.text(), gate.text());
    mobula::cancel(&queued, false).unwrap();
    assert!(is_cancelled(&queued));
    gate.open();
    assert!(!get(&all).unwrap());
    all_cpus_back(2.0);
    // Its process is on its way, or it is there already and runs.
    for force in [false, true] {
        let starting = hold::options().env("OWN", "1").remote(ran.text(), gate.text());
        mobula::cancel(&starting, force).unwrap();
        assert!(is_cancelled(&starting));
    }
    all_cpus_back(2.0);
    assert!(!exists(&ran));
}

#[mobula::test]
fn one_that_runs_hears_of_it() {
    let _runtime = start();
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let task = hold::options().env("OWN", "1").remote(diary.text(), gate.text());
    until_noted(&diary, "begun");
    mobula::cancel(&task, false).unwrap();
    assert!(is_cancelled(&task));
    // The node tells it.
    std::thread::sleep(std::time::Duration::from_millis(200));
    gate.open();
    until_noted(&diary, "cancelled");
    all_cpus_back(2.0);
}

#[mobula::test]
fn one_that_does_not_hear_is_killed() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    let task = spin::options().env("OWN", "1").remote(diary.text());
    eventually("it spins", || !diary.lines().is_empty());
    let pid = diary.lines()[0].parse().unwrap();
    mobula::cancel(&task, true).unwrap();
    assert!(is_cancelled(&task));
    eventually("its worker is gone", || !is_alive(pid));
    all_cpus_back(2.0);
    assert_eq!(diary.lines().len(), 1);
}
