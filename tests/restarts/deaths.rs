//! Deaths of the actor at any moment: of its start, of its calls, of its restarts.

use std::time::Duration;

use mobula::prelude::*;

use super::support::{eventually, get, signal, start};
use super::{Nest, Phoenix, is_alive, until_gone};

#[mobula::test]
fn killed_again_at_once_it_comes_back_again() {
    let _runtime = start();
    for round in 0..4_u32 {
        let nest = Nest::new(8);
        for turn in 0..3_u32 {
            // As soon as the next process is there, or a little later.
            let pid = nest.pid();
            for _ in 0..(round + turn) * 5_000 {
                std::hint::spin_loop();
            }
            signal(pid, "KILL");
        }
        assert_eq!(get(&nest.bird.value().max_task_retries(-1).remote()).unwrap(), 0);
        assert_eq!(nest.count("new"), 4);
    }
}

#[mobula::test]
fn programs_of_the_process_before_are_gone() {
    let _runtime = start();
    let starter = Starter::options().max_restarts(1).remote().unwrap();
    let (pid, program) = get(&starter.program().remote()).unwrap();
    signal(pid, "KILL");
    until_gone(pid);
    let (next, _) = get(&starter.program().max_task_retries(1).remote()).unwrap();
    assert_ne!(pid, next);
    eventually("its program is gone", || !is_alive(program));
}

/// Starts programs.
struct Starter;

#[mobula::actor]
impl Starter {
    pub fn new() -> Self {
        Starter
    }

    #[expect(clippy::zombie_processes, reason = "that it dies with its worker is what is tested")]
    pub fn program(&self) -> (u32, u32) {
        let program = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        (std::process::id(), program.id())
    }
}

/// Holds the lock of a file as long as its process lives, and much memory, which takes the kernel a while.
struct Holder {
    _file: std::fs::File,
    _memory: Vec<u8>,
}

#[mobula::actor(max_restarts = -1)]
impl Holder {
    pub fn new(path: String) -> Result<Self, String> {
        let file = std::fs::File::create(path).map_err(|error| error.to_string())?;
        file.try_lock().map_err(|error| error.to_string())?;
        Ok(Holder { _file: file, _memory: vec![1; 64 << 20] })
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

#[mobula::test]
fn what_the_process_before_held_is_free() {
    let _runtime = start();
    let file = super::Scratch::new("lock");
    let holder = Holder::remote(file.text()).unwrap();
    for _ in 0..4 {
        let pid = get(&holder.pid().max_task_retries(-1).remote()).unwrap();
        signal(pid, "KILL");
    }
    get(&holder.pid().max_task_retries(-1).remote()).unwrap();
}

#[mobula::test]
fn the_last_handle_can_go_during_a_restart() {
    let _runtime = start();
    for round in 0..6_u32 {
        let nest = Nest::with(Phoenix::options().max_restarts(-1).num_cpus(1.0).name("bird"));
        let pid = nest.pid();
        signal(pid, "KILL");
        std::thread::sleep(Duration::from_micros(u64::from(round) * 400));
        drop(nest);
        eventually("it is gone", || mobula::list_named_actors(true).unwrap().is_empty());
        eventually("its CPU is free", || mobula::available_resources()["CPU"] == 2.0);
    }
}

#[mobula::test]
fn an_actor_that_restarts_has_children_that_do_not() {
    let _runtime = start();
    let parent = Owner::options().max_restarts(1).remote().unwrap();
    let (pid, child) = get(&parent.child().remote()).unwrap();
    let of_child = get(&child.pid().remote()).unwrap();
    signal(pid, "KILL");
    // Children die with the process that made them.
    until_gone(of_child);
    assert!(get(&child.pid().remote()).unwrap_err().is_actor_died());
    let (_, next) = get(&parent.child().max_task_retries(1).remote()).unwrap();
    assert_ne!(get(&next.pid().remote()).unwrap(), of_child);
}

struct Owner(ActorHandle<Phoenix>);

#[mobula::actor]
impl Owner {
    pub fn new() -> Result<Self, mobula::Error> {
        Ok(Owner(Phoenix::remote("/dev/null")?))
    }

    pub fn child(&self) -> (u32, ActorHandle<Phoenix>) {
        (std::process::id(), self.0.clone())
    }
}
