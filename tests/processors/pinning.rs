//! `pin_workers`: what holds whole CPUs has processors of its own.

use mobula::prelude::*;

use super::support::{config, get, start_with};

/// Returns the processors that each thread of this process may use.
fn of_all_threads() -> Vec<String> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let mut all: Vec<_> = threads.filter_map(|thread| of(&thread.path().join("status"))).collect();
    all.sort();
    all.dedup();
    all
}

fn of(status: &std::path::Path) -> Option<String> {
    let status = std::fs::read_to_string(status).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

struct Bound;

#[mobula::actor]
impl Bound {
    pub fn new() -> Self {
        Bound
    }

    pub fn processors(&self) -> Vec<String> {
        // One that is started now runs there, too.
        std::thread::spawn(of_all_threads).join().unwrap()
    }

    /// Calls another one often: who waits moves threads about.
    pub fn call(&self, other: ActorHandle<Bound>, times: u32) -> Vec<String> {
        (0..times).for_each(|_| drop(mobula::get(&other.processors().remote())));
        of_all_threads()
    }
}

#[mobula::task]
fn processors_of_a_task() -> Vec<String> {
    of_all_threads()
}

fn with_cpus(cpus: f64) -> ActorHandle<Bound> {
    Bound::options().num_cpus(cpus).remote().unwrap()
}

/// The processors of this process, as the kernel writes them, and how many there are.
fn own() -> (String, usize) {
    let all = of(std::path::Path::new("/proc/self/status")).unwrap();
    (all, std::thread::available_parallelism().unwrap().get())
}

#[mobula::test]
fn nobody_is_bound_unless_that_is_wanted() {
    let _runtime = start_with(2.0);
    assert_eq!(get(&with_cpus(1.0).processors().remote()).unwrap(), [own().0]);
}

#[mobula::test]
fn actors_have_processors_of_their_own_until_there_are_none() {
    let (all, count) = own();
    let _runtime = mobula::init(config(count as f64 + 1.0).pin_workers(true)).unwrap();
    let bound: Vec<_> = (0..count).map(|_| with_cpus(1.0)).collect();
    let mut found: Vec<_> = bound.iter().flat_map(|actor| get(&actor.processors().remote()).unwrap()).collect();
    assert_eq!(found.len(), count, "each thread of one runs where the others do");
    assert!(found.iter().all(|set| set.parse::<u32>().is_ok()), "{found:?}");
    found.sort();
    found.dedup();
    assert_eq!(found.len(), count, "no two share one");
    let late = with_cpus(1.0);
    assert_eq!(get(&late.processors().remote()).unwrap(), std::slice::from_ref(&all), "more work than processors");
    let none = Bound::remote().unwrap();
    assert_eq!(get(&none.processors().remote()).unwrap(), [all], "it holds no CPU");
    // They come back with what held them.
    mobula::kill(&bound[0]).unwrap();
    mobula::kill(&late).unwrap();
    assert!(get(&with_cpus(1.0).processors().remote()).unwrap()[0].parse::<u32>().is_ok());
}

#[mobula::test]
fn one_worker_runs_where_each_of_its_tasks_may() {
    let (all, count) = own();
    let _runtime = mobula::init(config(count as f64).pin_workers(true).max_processes(1)).unwrap();
    let with_cpus = |cpus| get(&processors_of_a_task::options().num_cpus(cpus).remote()).unwrap();
    for _ in 0..3 {
        assert!(with_cpus(1.0)[0].parse::<u32>().is_ok());
        assert_eq!(with_cpus(0.5), std::slice::from_ref(&all));
        assert_eq!(with_cpus(count as f64), std::slice::from_ref(&all));
    }
}

#[mobula::test]
fn threads_that_are_moved_about_stay_inside() {
    let (_, count) = own();
    let _runtime = mobula::init(config(count as f64).pin_workers(true)).unwrap();
    let (caller, other) = (with_cpus(1.0), Bound::remote().unwrap());
    let before = get(&caller.processors().remote()).unwrap();
    assert_eq!(get(&caller.call(&other, 300).remote()).unwrap(), before);
    for _ in 0..300 {
        get(&caller.processors().remote()).unwrap();
    }
    assert_eq!(get(&caller.processors().remote()).unwrap(), before);
}
