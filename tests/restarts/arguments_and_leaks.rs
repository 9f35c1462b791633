//! The constructor's arguments live as long as the actor may come back, and no longer.

use mobula::prelude::*;

use super::support::{Scratch, all_space_back, eventually, get, note, signal, start, stats};
use super::{Nest, Phoenix, until_gone};

/// Has arguments of every kind.
struct Reader {
    array: Array<u64>,
    inner: ObjectRef<Vec<u64>>,
    bird: ActorHandle<Phoenix>,
}

#[mobula::actor]
impl Reader {
    pub fn new(large: Vec<u64>, array: Array<u64>, inner: ObjectRef<Vec<u64>>, bird: ActorHandle<Phoenix>) -> Self {
        assert_eq!(large.len(), 100_000);
        Reader { array, inner, bird }
    }

    pub fn sum(&self) -> Result<u64, mobula::Error> {
        let inner: Vec<u64> = mobula::get(&self.inner)?;
        let by = mobula::get(&self.bird.add(1).remote())?;
        Ok(self.array.iter().sum::<u64>() + inner.iter().sum::<u64>() + by as u64)
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

/// Makes a reader whose arguments nobody else holds.
fn reader(notes: &Scratch, restarts: i32) -> ActorHandle<Reader> {
    let array = Array::from_slice(&vec![1_u64; 100_000]).unwrap();
    let inner = mobula::put(&vec![2_u64; 100_000]).unwrap();
    let bird = Phoenix::remote(notes.text()).unwrap();
    let large = mobula::put(&vec![3_u64; 100_000]).unwrap();
    Reader::options().max_restarts(restarts).remote(&large, &array, &inner, &bird).unwrap()
}

#[mobula::test]
fn the_first_arguments_are_there_again() {
    let _runtime = start();
    let before = stats();
    let notes = Scratch::new("notes");
    let reader = reader(&notes, 2);
    for turn in 1..=3 {
        let sum = get(&reader.sum().max_task_retries(-1).remote()).unwrap();
        assert_eq!(sum, 300_000 + turn);
        let pid = get(&reader.pid().remote()).unwrap();
        signal(pid, "KILL");
        until_gone(pid);
    }
    assert!(get(&reader.pid().max_task_retries(-1).remote()).unwrap_err().is_actor_died());
    drop(reader);
    all_space_back(before);
}

#[mobula::test]
fn nothing_is_left_of_one_that_could_have_come_back() {
    let _runtime = start();
    let before = stats();
    let notes = Scratch::new("notes");
    let killed = reader(&notes, -1);
    get(&killed.sum().remote()).unwrap();
    mobula::kill(&killed).unwrap();
    drop(killed);
    all_space_back(before);
    let dropped = reader(&notes, -1);
    get(&dropped.sum().remote()).unwrap();
    drop(dropped);
    all_space_back(before);
}

#[mobula::test]
fn nothing_is_left_of_one_killed_while_it_is_restarted() {
    let _runtime = start();
    let before = stats();
    let notes = Scratch::new("notes");
    for _ in 0..5 {
        let reader = reader(&notes, -1);
        let pid = get(&reader.pid().remote()).unwrap();
        signal(pid, "KILL");
        mobula::kill(&reader).unwrap();
    }
    all_space_back(before);
}

struct Maker(Vec<ActorHandle<Phoenix>>);

#[mobula::actor]
impl Maker {
    pub fn new() -> Self {
        Maker(Vec::new())
    }

    /// Makes one out of an argument that only this process holds, and lets go of everything.
    pub fn make(&mut self, notes: String) -> Result<ActorHandle<Phoenix>, mobula::Error> {
        let path = mobula::put(&notes)?;
        let bird = Phoenix::options().max_restarts(-1).remote(&path)?;
        self.0.push(bird.clone());
        Ok(bird)
    }

    pub fn abort(&self) {
        std::process::abort()
    }
}

#[mobula::test]
fn an_actor_whose_creator_is_dead_does_not_come_back() {
    let _runtime = start();
    let before = stats();
    let notes = Scratch::new("notes");
    let maker = Maker::remote().unwrap();
    let bird = get(&maker.make(notes.text()).remote()).unwrap();
    // While the creator lives it does.
    let pid = get(&bird.pid().remote()).unwrap();
    signal(pid, "KILL");
    until_gone(pid);
    let pid = get(&bird.pid().max_task_retries(-1).remote()).unwrap();
    assert!(get(&maker.abort().remote()).unwrap_err().is_actor_died());
    until_gone(pid);
    eventually("its death is told", || {
        get(&bird.value().max_task_retries(-1).remote()).is_err_and(|error| error.is_actor_died())
    });
    drop((maker, bird));
    all_space_back(before);
}

#[mobula::test]
fn a_creator_and_its_actor_that_die_at_once_both_stay_dead() {
    let _runtime = start();
    for _ in 0..6 {
        let notes = Scratch::new("notes");
        let maker = Parent::remote(notes.text()).unwrap();
        let (bird, parent, child) = get(&maker.family().remote()).unwrap();
        // The second one may be gone already, with the first.
        let (first, second) = (parent.to_string(), child.to_string());
        std::process::Command::new("kill").args(["-KILL", &first, &second]).output().unwrap();
        // The child may be seen to end before its owner, and come back for that moment.
        eventually("its death is told", || {
            get(&bird.value().max_task_retries(-1).remote()).is_err_and(|error| error.is_actor_died())
        });
    }
}

struct Parent(ActorHandle<Phoenix>);

#[mobula::actor]
impl Parent {
    pub fn new(notes: String) -> Result<Self, mobula::Error> {
        note(&notes, "parent");
        Ok(Parent(Phoenix::options().max_restarts(-1).remote(notes)?))
    }

    pub fn family(&self) -> Result<(ActorHandle<Phoenix>, u32, u32), mobula::Error> {
        let child = mobula::get(&self.0.pid().remote())?;
        Ok((self.0.clone(), std::process::id(), child))
    }
}

#[mobula::test]
fn what_calls_hold_is_let_go_when_they_are_answered() {
    let _runtime = start();
    let before = stats();
    let nest = Nest::new(-1);
    // Too large for a message, so it is an object.
    let gate = format!("/tmp/{}", "x".repeat(200_000));
    let running = nest.bird.pass(gate.clone()).max_task_retries(1).remote();
    let queued = nest.bird.pass(gate.clone()).remote();
    let with_ref = nest.bird.pass(mobula::put(&gate).unwrap()).max_task_retries(-1).remote();
    for passes in 1..=2 {
        nest.until("pass", passes);
        signal(nest.waiting(), "KILL");
    }
    assert!(get(&running).unwrap_err().is_actor_unavailable());
    nest.until("pass", 3);
    signal(nest.waiting(), "KILL");
    assert!(get(&queued).unwrap_err().is_actor_unavailable());
    nest.until("pass", 4);
    mobula::kill(&nest.bird).unwrap();
    assert!(get(&with_ref).unwrap_err().is_actor_died());
    drop(nest);
    all_space_back(before);
}
