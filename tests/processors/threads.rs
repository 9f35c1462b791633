//! `OMP_NUM_THREADS` and `RAYON_NUM_THREADS` say how many CPUs the work of a process holds, unless the user has spoken.

use std::process::Command;

use mobula::prelude::*;

use super::support::{config, get, run};

/// What both variables say.
type Threads = (Option<String>, Option<String>);

fn threads() -> Threads {
    (std::env::var("OMP_NUM_THREADS").ok(), std::env::var("RAYON_NUM_THREADS").ok())
}

fn both(count: &str) -> Threads {
    (Some(count.to_owned()), Some(count.to_owned()))
}

/// Remembers what the variables said when it was made.
struct Library {
    first: Threads,
}

#[mobula::actor]
impl Library {
    pub fn new() -> Self {
        Library { first: threads() }
    }

    pub fn threads(&self) -> (Threads, Threads) {
        (self.first.clone(), threads())
    }
}

#[mobula::task]
fn threads_of_a_task() -> Threads {
    threads()
}

fn of_an_actor(library: &ActorHandle<Library>) -> Threads {
    let (first, now) = get(&library.threads().remote()).unwrap();
    assert_eq!(first, now);
    first
}

fn with_cpus(cpus: f64) -> Threads {
    of_an_actor(&Library::options().num_cpus(cpus).remote().unwrap())
}

#[mobula::test]
fn actors_have_as_many_as_cpus_rounded_up() {
    let _runtime = mobula::init(config(8.0)).unwrap();
    assert_eq!(of_an_actor(&Library::remote().unwrap()), both("1"), "it holds none");
    assert_eq!(with_cpus(4.0), both("4"));
    assert_eq!(with_cpus(1.5), both("2"));
    assert_eq!(with_cpus(0.5), both("1"));
}

#[mobula::test]
fn workers_that_wait_for_work_learn_it_before_any_of_it_runs() {
    let _runtime = mobula::init(config(8.0)).unwrap();
    // All of the pool's first workers are up.
    get(&threads_of_a_task::remote()).unwrap();
    let libraries: Vec<_> = (0..4).map(|_| Library::options().num_cpus(2.0).remote().unwrap()).collect();
    libraries.iter().for_each(|library| assert_eq!(of_an_actor(library), both("2")));
}

#[mobula::test]
fn tasks_have_as_many_as_cpus_one_after_the_other_in_one_worker() {
    let _runtime = mobula::init(config(4.0).max_processes(1)).unwrap();
    let with_cpus = |cpus| get(&threads_of_a_task::options().num_cpus(cpus).remote()).unwrap();
    assert_eq!(with_cpus(1.0), both("1"));
    assert_eq!(with_cpus(3.0), both("3"));
    assert_eq!(with_cpus(2.0), both("2"));
    assert_eq!(get(&threads_of_a_task::remote()).unwrap(), both("1"));
}

#[mobula::test]
fn processes_of_their_own_have_them_too() {
    let _runtime = mobula::init(config(4.0).num_gpus(1.0)).unwrap();
    let alone = threads_of_a_task::options().num_cpus(2.0).env("ALONE", "1");
    assert_eq!(get(&alone.remote()).unwrap(), both("2"));
    let library = Library::options().num_cpus(3.0).num_gpus(1.0).remote().unwrap();
    assert_eq!(of_an_actor(&library), both("3"));
}

#[mobula::test]
fn what_the_user_sets_for_all_workers_stays() {
    let _runtime = mobula::init(config(4.0).env("OMP_NUM_THREADS", "7")).unwrap();
    assert_eq!(with_cpus(2.0), (Some("7".to_owned()), Some("2".to_owned())));
    let task = threads_of_a_task::options().num_cpus(3.0);
    assert_eq!(get(&task.remote()).unwrap(), (Some("7".to_owned()), Some("3".to_owned())));
}

#[mobula::test]
fn what_the_user_sets_for_one_stays() {
    let _runtime = mobula::init(config(4.0)).unwrap();
    // The same value as if nobody had set it: it is the user's all the same.
    let library = Library::options().num_cpus(3.0).env("RAYON_NUM_THREADS", "1").remote().unwrap();
    assert_eq!(of_an_actor(&library), (Some("3".to_owned()), Some("1".to_owned())));
}

/// Tells a test of this binary that it was started by another one.
const ROLE: &str = "MOBULA_TEST_OWN_ENVIRONMENT";

#[test]
fn what_the_driver_s_own_environment_says_stays() {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "threads::in_an_environment_of_its_own", "--test-threads=1"]);
    let ran = run(command.env("OMP_NUM_THREADS", "5").env(ROLE, "1"));
    assert!(ran.succeeded().contains("1 passed"));
}

#[mobula::test]
fn in_an_environment_of_its_own() {
    if std::env::var_os(ROLE).is_some() {
        let _runtime = mobula::init(config(4.0)).unwrap();
        assert_eq!(with_cpus(2.0), (Some("5".to_owned()), Some("2".to_owned())));
    }
}
