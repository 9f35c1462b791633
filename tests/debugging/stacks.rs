//! What all workers are doing, on request.

use mobula::WorkerStacks;

use super::support::{Gate, Scratch, config, eventually, get, is_alive, note, pass, signal, start};

struct Stuck;

#[mobula::actor]
impl Stuck {
    pub fn new() -> Self {
        Stuck
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Never returns, nor sleeps.
    pub fn turn(&self, notes: String) {
        note(&notes, "begun");
        turning_round_and_round();
    }

    pub fn sleep_behind(&self, notes: String, gate: String) {
        note(&notes, "begun");
        sleeping_at_a_gate(&gate);
    }
}

#[inline(never)]
fn turning_round_and_round() {
    let mut turns = 0_u64;
    while std::hint::black_box(turns) < u64::MAX {
        turns = std::hint::black_box(turns.wrapping_add(1) >> 1);
    }
}

#[inline(never)]
fn sleeping_at_a_gate(gate: &str) {
    pass(gate);
    std::hint::black_box(());
}

fn of(all: &[WorkerStacks], pid: u32) -> &WorkerStacks {
    all.iter().find(|stacks| stacks.pid == pid).unwrap()
}

#[mobula::test]
fn a_stuck_worker_tells_where_it_is() {
    let _runtime = start();
    let (notes, gate) = (Scratch::new("notes"), Gate::new());
    let (turning, sleeping) = (Stuck::remote().unwrap(), Stuck::remote().unwrap());
    let (first, second) = (get(&turning.pid().remote()).unwrap(), get(&sleeping.pid().remote()).unwrap());
    let _never = turning.turn(notes.text()).remote();
    let slept = sleeping.sleep_behind(notes.text(), gate.text()).remote();
    eventually("both are at it", || notes.lines().len() == 2);
    let all = mobula::stack_traces().unwrap();
    let (turning, sleeping) = (of(&all, first), of(&all, second));
    assert_eq!((turning.name.as_str(), turning.trouble.as_deref()), ("Stuck", None));
    for (stacks, function) in [(turning, "turning_round_and_round"), (sleeping, "sleeping_at_a_gate")] {
        let text = stacks.to_string();
        assert!(
            stacks.threads.iter().flat_map(|thread| &thread.frames).any(|frame| frame.contains(function)),
            "{text}"
        );
        assert!(text.contains("debugging/stacks.rs:") && text.contains("mobula-control"), "{text}");
        let silent: Vec<_> = stacks.threads.iter().filter(|thread| thread.trouble.is_some()).collect();
        assert!(silent.iter().all(|thread| thread.name == "mobula-guard"), "{text}");
    }
    // Nobody notices that he was asked.
    gate.open();
    get(&slept).unwrap();
    assert_eq!(mobula::stack_traces().unwrap().len(), all.len());
}

#[mobula::test]
fn a_stopped_worker_says_so() {
    let _runtime = start();
    let (stopped, other) = (Stuck::remote().unwrap(), Stuck::remote().unwrap());
    let (first, second) = (get(&stopped.pid().remote()).unwrap(), get(&other.pid().remote()).unwrap());
    signal(first, "STOP");
    eventually("it is stopped", || {
        let stat = std::fs::read_to_string(format!("/proc/{first}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    });
    let all = mobula::stack_traces().unwrap();
    assert_eq!(of(&all, first).trouble.as_deref(), Some("it is stopped"));
    assert!(of(&all, second).trouble.is_none() && !of(&all, second).threads.is_empty());
    signal(first, "CONT");
    mobula::kill(&stopped).unwrap();
    assert!(!is_alive(first) && mobula::stack_traces().unwrap().iter().all(|stacks| stacks.pid != first));
}

#[mobula::test]
fn without_workers_there_is_nothing_to_tell() {
    assert!(mobula::stack_traces().unwrap_err().is_not_initialized());
    let _runtime = mobula::init(config(0.0)).unwrap();
    let all = mobula::stack_traces().unwrap();
    assert!(all.iter().all(|stacks| stacks.name == "worker"), "{all:?}");
}
