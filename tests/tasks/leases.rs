//! Workers that a caller has been lent: what waits in them is never held up, lost or run twice, and they go back when
//! others want them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use mobula::prelude::*;

use super::support::{Gate, Scratch, config, eventually, get, note, pass, start_with};

#[mobula::task]
fn square(x: u64) -> u64 {
    x * x
}

/// Waits for something that Mobula does not know of.
#[mobula::task]
fn until_open(gate: String) -> u64 {
    pass(&gate);
    0
}

#[mobula::task]
fn note_until_open(gate: String, diary: String) {
    note(Path::new(&diary), "begun");
    pass(&gate);
}

#[mobula::task]
fn note_and_follow(of: Vec<ObjectRef<u64>>, diary: String) -> u64 {
    note(Path::new(&diary), "begun");
    mobula::get_all(&of).unwrap().into_iter().sum()
}

#[mobula::task]
fn follow(of: Vec<ObjectRef<u64>>) -> u64 {
    mobula::get_all(&of).unwrap().into_iter().sum()
}

#[mobula::task(max_retries = 0)]
fn crash_at(diary: String, number: u64, last: u64) -> u64 {
    note(Path::new(&diary), &number.to_string());
    if number == last {
        std::process::abort();
    }
    number
}

pub struct Busybody {}

#[mobula::actor]
impl Busybody {
    pub fn new() -> Self {
        Busybody {}
    }

    pub fn square(&self, x: u64) -> u64 {
        mobula::get(&square::remote(x)).unwrap()
    }

    pub fn until_open(&self, gate: String) -> u64 {
        pass(&gate);
        0
    }

    /// Submits a task that ends when the gate opens, and waits until it has begun.
    pub fn begin(&self, gate: String, diary: String) {
        let _running = note_until_open::remote(gate, diary.clone());
        eventually("the task begins", || Path::new(&diary).exists());
    }

    /// The same with a task that sleeps until there are values.
    pub fn begin_following(&self, of: Vec<ObjectRef<u64>>, diary: String) {
        let _running = note_and_follow::remote(of, diary.clone());
        eventually("the task begins", || Path::new(&diary).exists());
    }
}

/// Runs so many small tasks that a lease takes many of them ahead.
fn widen() {
    for _ in 0..20 {
        let refs: Vec<_> = (0..500).map(square::remote).collect();
        assert_eq!(mobula::get_all(&refs).unwrap().len(), 500);
    }
}

#[mobula::test]
fn what_waits_behind_a_long_task_runs_elsewhere() {
    let _runtime = start_with(2.0);
    let gate = Gate::new();
    widen();
    let long = until_open::remote(gate.text());
    let others: Vec<_> = (0..100).map(square::remote).collect();
    // They wait for the long one, which waits for them, unless they come back from its worker.
    assert!(mobula::get_all(&others).unwrap().into_iter().eq((0..100).map(|x| x * x)));
    gate.open();
    assert_eq!(get(&long).unwrap(), 0);
}

#[mobula::test]
fn what_waits_behind_a_task_that_sleeps_runs() {
    let _runtime = start_with(1.0);
    widen();
    let unsent = square::remote(7);
    for _ in 0..50 {
        // The first waits for the second, which is behind it in the same worker.
        let gate = Gate::new();
        let later = until_open::remote(gate.text());
        let first = follow::remote(vec![unsent.clone(), later]);
        let second = square::remote(3);
        gate.open();
        assert_eq!((get(&first).unwrap(), get(&second).unwrap()), (49, 9));
    }
}

#[mobula::test]
fn of_a_dead_workers_tasks_the_running_one_is_lost_and_no_other_runs_twice() {
    let _runtime = start_with(1.0);
    for round in 0..5 {
        let diary = Scratch::new("diary");
        std::fs::write(diary.text(), "").unwrap();
        widen();
        let refs: Vec<_> = (0..200).map(|number| crash_at::remote(diary.text(), number, 50 + round)).collect();
        for (number, one) in (0..200).zip(&refs) {
            match mobula::get(one) {
                Ok(value) => assert_eq!(value, number),
                Err(error) => assert!(error.is_worker_crashed() && number == 50 + round, "{number}: {error}"),
            }
        }
        let mut noted: Vec<u64> = diary.lines().iter().map(|line| line.parse().unwrap()).collect();
        noted.sort_unstable();
        assert!(noted.into_iter().eq(0..200), "each has begun once");
    }
}

#[mobula::test]
fn an_actor_that_needs_the_cpus_gets_them_from_a_long_queue() {
    let runtime = start_with(2.0);
    let refs: Vec<_> = (0..50_000).map(square::remote).collect();
    let greedy = Busybody::options().num_cpus(1.0).remote().unwrap();
    assert_eq!(get(&greedy.square(5).remote()).unwrap(), 25);
    assert_eq!(mobula::get_all(&refs).unwrap().len(), 50_000);
    drop(runtime);
}

#[mobula::test]
fn a_caller_with_a_queue_that_never_ends_lets_others_in() {
    let _runtime = start_with(1.0);
    let other = Busybody::remote().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut refs = std::collections::VecDeque::new();
            while !done.load(Ordering::SeqCst) {
                while refs.len() < 2_000 {
                    refs.push_back(square::remote(3));
                }
                let oldest: ObjectRef<u64> = refs.pop_front().unwrap();
                assert_eq!(get(&oldest).unwrap(), 9);
            }
        });
        for x in 0..20 {
            assert_eq!(get(&other.square(x).remote()).unwrap(), x * x);
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[mobula::test]
fn a_dead_callers_task_keeps_nothing_when_it_has_ended() {
    let _runtime = mobula::init(config(1.0).max_processes(1)).unwrap();
    let (orphans, last, diary) = (Gate::new(), Gate::new(), Scratch::new("diary"));
    // The only worker sleeps for the driver, and runs another caller's task meanwhile.
    let keeper = Busybody::remote().unwrap();
    let sleeper = follow::remote(vec![keeper.until_open(last.text()).remote()]);
    let caller = Busybody::remote().unwrap();
    get(&caller.begin(orphans.text(), diary.text()).remote()).unwrap();
    mobula::kill(&caller).unwrap();
    orphans.open();
    assert_eq!(get(&square::remote(3)).unwrap(), 9);
    last.open();
    assert_eq!(get(&sleeper).unwrap(), 0);
    all_cpus_back();
}

#[mobula::test]
fn a_dead_callers_task_that_slept_keeps_nothing_when_it_has_ended() {
    let _runtime = mobula::init(config(1.0).max_processes(1)).unwrap();
    let (orphans, own, diaries) = (Gate::new(), Gate::new(), [Scratch::new("diary"), Scratch::new("diary")]);
    let keeper = Busybody::remote().unwrap();
    let caller = Busybody::remote().unwrap();
    // The only worker sleeps for a caller, and runs a task of the driver meanwhile.
    let values = vec![keeper.until_open(orphans.text()).remote()];
    get(&caller.begin_following(values, diaries[0].text()).remote()).unwrap();
    let beside = note_until_open::remote(own.text(), diaries[1].text());
    eventually("the driver's task begins", || diaries[1].path().exists());
    mobula::kill(&caller).unwrap();
    orphans.open();
    own.open();
    get(&beside).unwrap();
    all_cpus_back();
}

/// Waits until no task holds a CPU of the one that there is.
fn all_cpus_back() {
    eventually("the CPU is free", || mobula::available_resources()["CPU"] == 1.0);
}

#[mobula::test]
fn a_callers_death_leaves_its_worker_to_others() {
    let _runtime = start_with(1.0);
    for x in 0..10 {
        let caller = Busybody::remote().unwrap();
        // Its lease is quiet and still with it when it dies.
        assert_eq!(get(&caller.square(x).remote()).unwrap(), x * x);
        mobula::kill(&caller).unwrap();
        assert_eq!(get(&square::remote(x)).unwrap(), x * x);
    }
}
