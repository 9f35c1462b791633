//! Who is killed when memory is short, and who hears of it.

use std::fs;

use mobula::prelude::*;

use super::support::{Gate, Scratch, config, eventually, get, is_alive, note, pass};

/// Figures that the runtime takes for the machine's.
struct Figures(Scratch);

impl Figures {
    fn new() -> Self {
        let scratch = Scratch::new("figures");
        fs::create_dir_all(scratch.path().join("proc")).unwrap();
        let figures = Figures(scratch);
        figures.show(50);
        figures
    }

    /// So much of the memory is in use from now on.
    fn show(&self, percent: u64) {
        let text = format!("MemTotal: 100000 kB\nMemAvailable: {} kB\n", 100_000 - percent * 1000);
        let proc = self.0.path().join("proc");
        fs::write(proc.join("new"), text).unwrap();
        fs::rename(proc.join("new"), proc.join("meminfo")).unwrap();
    }

    fn start(&self) -> Runtime {
        mobula::init(config(4.0).memory_root(self.0.path()).memory_usage_threshold(0.9)).unwrap()
    }
}

struct Holder {
    kept: Vec<u8>,
}

#[mobula::actor]
impl Holder {
    pub fn new(mebibytes: usize) -> Self {
        Holder { kept: vec![1; mebibytes << 20] }
    }

    pub fn pid(&self) -> u32 {
        assert!(self.kept.len() < 1 << 40);
        std::process::id()
    }
}

/// Notes its process, fills memory and waits.
#[mobula::task]
fn hold(mebibytes: usize, notes: String, gate: String) -> usize {
    let kept = vec![1_u8; mebibytes << 20];
    note(&notes, &std::process::id().to_string());
    pass(&gate);
    kept.len()
}

fn pid(holder: &ActorHandle<Holder>) -> u32 {
    get(&holder.pid().remote()).unwrap()
}

#[mobula::test]
fn the_newest_dies_alone_and_its_callers_hear_why() {
    let figures = Figures::new();
    let _runtime = figures.start();
    let (old, small) = (Holder::remote(64).unwrap(), Holder::remote(0).unwrap());
    let old_pid = pid(&old);
    let new = Holder::remote(64).unwrap();
    let new_pid = pid(&new);
    let small_pid = pid(&small);
    figures.show(95);
    eventually("the newest large one is killed", || !is_alive(new_pid));
    figures.show(50);
    let error = get(&new.pid().remote()).unwrap_err();
    assert!(error.is_out_of_memory() && !error.is_actor_died(), "{error}");
    let text = error.to_string();
    for part in ["Holder", &new_pid.to_string(), "MiB of its own", "95.0 %", "threshold of 90 %"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!((pid(&old), pid(&small)), (old_pid, small_pid));
}

#[mobula::test]
fn an_actor_that_may_be_restarted_is() {
    let figures = Figures::new();
    let _runtime = figures.start();
    let holder = Holder::options().max_restarts(1).remote(64).unwrap();
    let once = Holder::remote(64).unwrap();
    let (first, other) = (pid(&holder), pid(&once));
    figures.show(95);
    // Though it is not the newest one.
    eventually("it is killed", || !is_alive(first));
    figures.show(50);
    eventually("it has another process", || get(&holder.pid().remote()).is_ok_and(|pid| pid != first));
    assert_eq!(pid(&once), other);
}

#[mobula::test]
fn who_has_little_is_spared() {
    let figures = Figures::new();
    let _runtime = figures.start();
    let (large, small) = (Holder::remote(64).unwrap(), Holder::remote(0).unwrap());
    let (large_pid, small_pid) = (pid(&large), pid(&small));
    figures.show(99);
    eventually("the large one is killed", || !is_alive(large_pid));
    // Memory stays short, and nobody is left who could give any back: a third one comes and goes after it.
    let next = Holder::remote(64).unwrap();
    eventually("the next large one is killed", || {
        get(&next.pid().remote()).is_err_and(|error| error.is_out_of_memory())
    });
    assert_eq!(pid(&small), small_pid);
}

#[mobula::test]
fn a_task_goes_before_an_actor_and_runs_again() {
    let figures = Figures::new();
    let _runtime = figures.start();
    let (notes, gate) = (Scratch::new("notes"), Gate::new());
    let task = hold::options().max_retries(1).remote(64, notes.text(), gate.text());
    eventually("the task runs", || notes.lines().len() == 1);
    let actor = Holder::remote(64).unwrap();
    let actor_pid = pid(&actor);
    // More often than it may be tried after crashes.
    for times in 2..4 {
        figures.show(95);
        let first: u32 = notes.lines().last().unwrap().parse().unwrap();
        eventually("its worker is killed", || !is_alive(first));
        figures.show(50);
        eventually("it runs again", || notes.lines().len() == times);
    }
    gate.open();
    assert_eq!(get(&task).unwrap(), 64 << 20);
    assert_eq!(pid(&actor), actor_pid);
}

#[mobula::test]
fn a_task_that_must_not_run_again_fails() {
    let figures = Figures::new();
    let _runtime = figures.start();
    let (notes, gate) = (Scratch::new("notes"), Gate::new());
    let task = hold::options().max_retries(0).remote(64, notes.text(), gate.text());
    eventually("the task runs", || notes.lines().len() == 1);
    figures.show(95);
    let error = get(&task).unwrap_err();
    assert!(error.is_out_of_memory() && error.to_string().contains("hold was lost"), "{error}");
}

#[mobula::test]
fn one_is_no_threshold() {
    let figures = Figures::new();
    let _runtime = mobula::init(config(2.0).memory_root(figures.0.path()).memory_usage_threshold(1.0)).unwrap();
    let holder = Holder::remote(64).unwrap();
    let first = pid(&holder);
    figures.show(100);
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(pid(&holder), first);
}
