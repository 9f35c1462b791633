//! By force: the worker is killed, and nobody else pays for it.

use super::support::{Gate, Scratch, config, eventually, get, is_alive, note, pass, start, start_with};
use super::{all_cpus_back, follow, is_cancelled, say, until_noted};

/// Never ends, and hears nothing.
#[mobula::task(max_retries = -1)]
fn spin(diary: String) {
    note(&diary, &std::process::id().to_string());
    loop {
        std::hint::spin_loop();
    }
}

pub struct Keeper {}

#[mobula::actor]
impl Keeper {
    pub fn new() -> Self {
        Keeper {}
    }

    pub fn keep(&self, gate: String) -> bool {
        pass(&gate);
        true
    }
}

fn pid_in(diary: &Scratch) -> u32 {
    eventually("it spins", || !diary.lines().is_empty());
    diary.lines()[0].parse().unwrap()
}

#[mobula::test]
fn the_worker_of_one_that_runs_is_killed_and_it_is_not_tried_again() {
    let _runtime = start();
    for _ in 0..5 {
        let diary = Scratch::new("diary");
        let task = spin::remote(diary.text());
        let pid = pid_in(&diary);
        mobula::cancel(&task, true).unwrap();
        assert!(is_cancelled(&task));
        eventually("its worker is gone", || !is_alive(pid));
        all_cpus_back(2.0);
        assert_eq!(diary.lines().len(), 1);
    }
}

#[mobula::test]
fn what_waited_in_that_worker_runs_elsewhere() {
    let _runtime = start_with(1.0);
    let (diary, ran) = (Scratch::new("diary"), Scratch::new("ran"));
    let task = spin::remote(diary.text());
    let others: Vec<_> = (0..100).map(|x| say::options().max_retries(0).remote(ran.text(), x.to_string())).collect();
    let pid = pid_in(&diary);
    mobula::cancel(&task, true).unwrap();
    assert!(others.iter().all(|one| get(one).unwrap()));
    assert_eq!(ran.lines().len(), 100);
    assert!(!is_alive(pid) && is_cancelled(&task));
}

#[mobula::test]
fn first_gently_then_by_force() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    let task = spin::remote(diary.text());
    let pid = pid_in(&diary);
    mobula::cancel(&task, false).unwrap();
    assert!(is_cancelled(&task) && is_alive(pid));
    mobula::cancel(&task, true).unwrap();
    eventually("its worker is gone", || !is_alive(pid));
    all_cpus_back(2.0);
}

/// Sleeps on a child that has to run in the same process; counts its own tries.
#[mobula::task]
fn parent(diary: String, child: String, again: String) -> usize {
    note(&diary, "begun");
    if mobula::get(&spin_or_not::remote(child, again)).is_err() {
        return 0;
    }
    std::fs::read_to_string(&diary).unwrap().lines().count()
}

/// Spins unless it may go.
#[mobula::task(max_retries = 0)]
fn spin_or_not(diary: String, gate: String) {
    note(&diary, &std::process::id().to_string());
    while !std::path::Path::new(&gate).exists() {
        std::hint::spin_loop();
    }
}

#[mobula::test]
fn who_slept_beside_it_is_tried_again_at_no_cost_if_it_may_be() {
    let _runtime = mobula::init(config(1.0).max_processes(1)).unwrap();
    let keeper = Keeper::remote().unwrap();
    for (retries, succeeds) in [(1, true), (0, false)] {
        let (gate, diary, beside) = (Gate::new(), Scratch::new("diary"), Scratch::new("beside"));
        let value = keeper.keep(gate.text()).remote();
        // It sleeps in the only worker, where the other one then runs beside it.
        let sleeper = follow::options().max_retries(retries).remote(diary.text(), vec![value]);
        until_noted(&diary, "begun");
        let task = spin::remote(beside.text());
        pid_in(&beside);
        mobula::cancel(&task, true).unwrap();
        gate.open();
        match succeeds {
            true => get(&sleeper).unwrap(),
            false => {
                let error = get(&sleeper).unwrap_err();
                assert!(error.is_worker_crashed() && error.to_string().contains("cancelled by force"), "{error}");
            }
        }
        assert!(is_cancelled(&task));
        all_cpus_back(1.0);
    }
}

#[mobula::test]
fn the_children_of_a_killed_one_end_with_it() {
    let _runtime = start();
    let (gate, diary, child) = (Gate::new(), Scratch::new("diary"), Scratch::new("child"));
    let task = parent::remote(diary.text(), child.text(), gate.text());
    let pid = pid_in(&child);
    mobula::cancel(&task, true).unwrap();
    eventually("its child is gone", || !is_alive(pid));
    assert!(is_cancelled(&task));
    all_cpus_back(2.0);
}
