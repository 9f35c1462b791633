//! SIGKILL between any two instructions of a call: a worker of a real runtime is stepped through what a call has it do
//! and killed before the k-th instruction, for many k; then everybody else must get on.
//!
//! ```text
//!   driver                                       victim (a worker)
//!     an actor, warmed up                          waits for calls
//!     trace its executor thread, stop it           (its other threads run on)
//!     the call ------------------------------>     in the ring
//!     step, look for the answer, step ...          takes it, runs it, answers
//!     SIGKILL at the k-th instruction
//!     the call ends: in its value, or in the error that names the death
//!     a bystander has been calling all the time; the store is whole, all its space comes back
//! ```
//!
//! | the victim | rows |
//! |---|---|
//! | is called | `called`, `called_with_objects` (argument and result lie in the store) |
//! | calls another actor and waits for its answer | `calls`, `calls_with_objects` |
//!
//! Callers are workers: the driver has the node in it, and its death ends everybody (`tests/faults/killed_drivers.rs`).
//! One thread is stepped, the others of the victim run on: they have no part in a call while that thread is awake.
//! A first victim is stepped to its answer, for the number of instructions; it differs from run to run, so a later one
//! may have answered before its place.
//!
//! `MOBULA_STEPS` says how many places are taken of each row (default 12), or `all`; `distinct`, which the store's own
//! test of this kind knows, means 2,000 here.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(unsafe_code, reason = "traces processes")]

#[path = "../support/mod.rs"]
mod support;
#[path = "../../store/tests/stepped/tracee.rs"]
mod tracee;
mod victim;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mobula::prelude::*;

use support::{all_space_back, descriptors, eventually, get, is_alive, places, start_with, stats};
use victim::{Ran, Stepped};

/// How many processors there are to give away, and so how many workers may wait for work, which come and go. A place
/// that is lost with each death is noticed after so many.
const IDLE: u64 = 4;

/// How many numbers go through the store.
const LEN: usize = 1_000;

/// Is called.
struct Target;

#[mobula::actor]
impl Target {
    pub fn new() -> Self {
        Target
    }

    /// Says which process this is, and which thread runs calls.
    pub fn thread(&self) -> (u32, u32) {
        victim::this_thread()
    }

    pub fn next(&self, x: u64) -> u64 {
        x + 1
    }

    /// Takes an object and answers with another one.
    pub fn same(&self, numbers: Array<u64>) -> Array<u64> {
        Array::from_slice(&numbers).unwrap()
    }
}

/// Calls another actor.
struct Caller(ActorHandle<Target>);

#[mobula::actor]
impl Caller {
    pub fn new(target: ActorHandle<Target>) -> Self {
        Caller(target)
    }

    pub fn thread(&self) -> (u32, u32) {
        victim::this_thread()
    }

    pub fn next(&self, x: u64) -> u64 {
        get(&self.0.next(x).remote()).unwrap()
    }

    pub fn same(&self, numbers: Array<u64>) -> Array<u64> {
        // Not the one that it got: two objects of its own are under way.
        get(&self.0.same(Array::from_slice(&numbers).unwrap()).remote()).unwrap()
    }
}

/// How many places are taken of a row; `None` for all.
fn wanted() -> Option<u64> {
    match std::env::var("MOBULA_STEPS").as_deref() {
        Ok("all") => None,
        Ok("distinct") => Some(2_000),
        Ok(number) => Some(number.parse().expect("MOBULA_STEPS is a number, distinct or all")),
        Err(_) => Some(12),
    }
}

/// Runs `round` once for each place to die; it gets the place and says how many instructions the victim ran if it
/// came to its answer.
fn every_place(what: &str, mut round: impl FnMut(u64) -> Option<u64>) {
    let total = round(u64::MAX).expect("nobody ends the victim");
    let open = descriptors();
    let (mut killed, mut lived) = (0, 0);
    for place in places(total, wanted()) {
        match round(place) {
            None => killed += 1,
            Some(_) => lived += 1,
        }
    }
    eventually("descriptors of the dead are closed", || descriptors() <= open + 4);
    assert!(killed > 0, "{what}: every victim had answered before its place");
    eprintln!("{what}: {total} instructions, killed before {killed} of them, {lived} had answered before");
}

/// Calls a bystander until it is told to end; every answer must be right and come.
struct Bystander {
    over: &'static AtomicBool,
    calls: &'static AtomicU64,
    thread: std::thread::JoinHandle<()>,
}

impl Bystander {
    fn start(target: ActorHandle<Target>) -> Self {
        let (over, calls) = (&*Box::leak(Box::default()), &*Box::leak(Box::default()));
        let run = move || {
            let (over, calls): (&AtomicBool, &AtomicU64) = (over, calls);
            while !over.load(Ordering::Relaxed) {
                let n = calls.fetch_add(1, Ordering::Relaxed);
                assert_eq!(get(&target.next(n).remote()).expect("nobody ends it"), n + 1);
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        Bystander { over, calls, thread: std::thread::spawn(run) }
    }

    /// Waits for some calls that begin after this.
    fn goes_on(&self) {
        let before = self.calls.load(Ordering::Relaxed);
        eventually("a bystander's calls go on", || self.calls.load(Ordering::Relaxed) > before + 2);
    }

    fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("a bystander's calls are answered");
    }
}

/// Steps one victim through a call; kills it at a place, and looks at all that must hold then.
fn step_through<A, T>(
    victim: ActorHandle<A>,
    thread: (u32, u32),
    place: u64,
    call: impl Fn(&ActorHandle<A>) -> ObjectRef<T>,
    right: impl Fn(&T) -> bool,
) -> Option<u64>
where
    A: mobula::Actor,
    T: serde::de::DeserializeOwned,
{
    let (pid, tid) = thread;
    for _ in 0..3 {
        assert!(right(&get(&call(&victim)).unwrap()));
    }
    let stepped = Stepped::seize(pid, tid);
    let answer = call(&victim);
    let ran = stepped
        .run(place, || mobula::wait(std::slice::from_ref(&answer), 1, Some(Duration::ZERO)).unwrap().0.len() == 1);
    match (get(&answer), ran) {
        (Ok(value), _) => assert!(right(&value), "place {place}: another value"),
        (Err(error), Ran::Killed) => {
            let death = error.actor_death().unwrap_or_else(|| panic!("place {place}: {error:?}"));
            assert!(death.pid == pid && error.to_string().contains("SIGKILL"), "place {place}: {error}");
        }
        (Err(error), Ran::Answered(_)) => panic!("place {place}: nobody ended it: {error}"),
    }
    match ran {
        Ran::Killed => {
            let error = get(&call(&victim)).err().unwrap_or_else(|| panic!("place {place}: the dead answers"));
            assert!(error.is_actor_died(), "place {place}: {error:?}");
        }
        Ran::Answered(_) => mobula::kill(&victim).unwrap(),
    }
    eventually("the victim's process ends", || !is_alive(pid));
    match ran {
        Ran::Killed => None,
        Ran::Answered(steps) => Some(steps),
    }
}

/// A row: victims made by `make`, called by `call`.
fn row<A, T>(
    what: &str,
    make: impl Fn(&ActorHandle<Target>) -> (ActorHandle<A>, (u32, u32)),
    call: impl Fn(&ActorHandle<A>) -> ObjectRef<T>,
    right: impl Fn(&T) -> bool,
) where
    A: mobula::Actor,
    T: serde::de::DeserializeOwned,
{
    let _runtime = start_with(IDLE as f64);
    let target = Target::remote().unwrap();
    assert_eq!(get(&target.next(1).remote()).unwrap(), 2);
    assert!(is_same(&get(&target.same(numbers()).remote()).unwrap()));
    let before = stats();
    let bystander = Bystander::start(target.clone());
    every_place(what, |place| {
        let (victim, thread) = make(&target);
        let ran = step_through(victim, thread, place, &call, &right);
        bystander.goes_on();
        // What the dead has called answers others.
        assert!(is_same(&get(&target.same(numbers()).remote()).unwrap()));
        all_space_back(before);
        eventually("the dead client's place is free", || stats().clients <= before.clients + IDLE);
        ran
    });
    bystander.end();
}

fn target(_: &ActorHandle<Target>) -> (ActorHandle<Target>, (u32, u32)) {
    let victim = Target::remote().unwrap();
    let thread = get(&victim.thread().remote()).unwrap();
    (victim, thread)
}

fn caller(target: &ActorHandle<Target>) -> (ActorHandle<Caller>, (u32, u32)) {
    let victim = Caller::remote(target).unwrap();
    let thread = get(&victim.thread().remote()).unwrap();
    (victim, thread)
}

fn numbers() -> Array<u64> {
    Array::from_slice(&(0..LEN as u64).collect::<Vec<_>>()).unwrap()
}

fn is_same(numbers: &Array<u64>) -> bool {
    numbers.len() == LEN && numbers.iter().zip(0..).all(|(number, n)| *number == n)
}

#[mobula::test]
fn called() {
    row("an actor that is called", target, |victim| victim.next(41).remote(), |value| *value == 42);
}

#[mobula::test]
fn called_with_objects() {
    let call = |victim: &ActorHandle<Target>| victim.same(numbers()).remote();
    row("an actor that is called with an object and answers with one", target, call, is_same);
}

#[mobula::test]
fn calls() {
    row("an actor that calls another one", caller, |victim| victim.next(41).remote(), |value| *value == 42);
}

#[mobula::test]
fn calls_with_objects() {
    let call = |victim: &ActorHandle<Caller>| victim.same(numbers()).remote();
    row("an actor that calls another one with an object and gets one", caller, call, is_same);
}
