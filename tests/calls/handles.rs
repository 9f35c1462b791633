//! Handles that are passed on, returned and stored; lifetimes of actors.

use std::time::{Duration, Instant};

use mobula::prelude::*;

use super::{Counter, start};

struct Keeper {
    kept: Option<ActorHandle<Counter>>,
}

#[mobula::actor]
impl Keeper {
    pub fn new() -> Self {
        Keeper { kept: None }
    }

    pub fn keep(&mut self, counter: ActorHandle<Counter>) {
        self.kept = Some(counter);
    }

    pub fn drop_it(&mut self) {
        self.kept = None;
    }

    pub fn add(&self, by: i64) -> Result<i64, mobula::Error> {
        let Some(counter) = &self.kept else {
            return Ok(0);
        };
        mobula::get(&counter.add(by).remote())
    }

    pub fn make(&self, start: i64) -> ActorHandle<Counter> {
        Counter::remote(start).unwrap()
    }

    pub fn myself(&self) -> ActorHandle<Keeper> {
        mobula::context().current_actor()
    }
}

#[mobula::test]
fn a_handle_can_be_passed_and_used_elsewhere() {
    let _runtime = start();
    let (counter, keeper) = (Counter::remote(0).unwrap(), Keeper::remote().unwrap());
    mobula::get(&keeper.keep(&counter).remote()).unwrap();
    assert_eq!(mobula::get(&keeper.add(5).remote()).unwrap(), 5);
    assert_eq!(mobula::get(&counter.value().remote()).unwrap(), 5);
    drop(counter);
    assert_eq!(mobula::get(&keeper.add(1).remote()).unwrap(), 6);
}

#[mobula::test]
fn a_handle_can_be_returned_and_put() {
    let _runtime = start();
    let keeper = Keeper::remote().unwrap();
    let counter = mobula::get(&keeper.make(40).remote()).unwrap();
    assert_eq!(mobula::get(&counter.add(2).remote()).unwrap(), 42);
    let stored = mobula::put(&counter).unwrap();
    drop(counter);
    let again = mobula::get(&stored).unwrap();
    assert_eq!(mobula::get(&again.value().remote()).unwrap(), 42);
}

#[mobula::test]
fn the_handle_of_the_context_is_the_actor_itself_and_weak() {
    let _runtime = start();
    let keeper = Keeper::remote().unwrap();
    let weak = mobula::get(&keeper.myself().remote()).unwrap();
    assert_eq!(ActorHandle::id(&weak), ActorHandle::id(&keeper));
    assert_eq!(mobula::get(&weak.add(0).remote()).unwrap(), 0);
    drop(keeper);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match mobula::get(&weak.add(0).remote()) {
            Ok(_) => assert!(Instant::now() < deadline, "a weak handle keeps the actor alive"),
            Err(error) => {
                assert!(error.is_actor_died(), "{error}");
                break;
            }
        }
    }
}

#[mobula::test]
fn the_last_drop_lets_queued_calls_finish() {
    let _runtime = start();
    let counter = Counter::remote(0).unwrap();
    let pid = mobula::get(&counter.pid().remote()).unwrap();
    let refs: Vec<_> = (0..100).map(|_| counter.add(1).remote()).collect();
    drop(counter);
    assert_eq!(mobula::get_all(&refs).unwrap().last(), Some(&100));
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        assert!(Instant::now() < deadline, "the actor's process does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

struct Loner {
    calls: u32,
}

#[mobula::actor]
impl Loner {
    pub fn new() -> Self {
        Loner { calls: 0 }
    }

    pub fn again(&mut self, left: u32) -> u32 {
        self.calls += 1;
        if left > 0 {
            let myself: ActorHandle<Loner> = mobula::context().current_actor();
            myself.again(left - 1).remote();
        }
        self.calls
    }
}

#[mobula::test]
fn an_actor_can_call_itself() {
    let _runtime = start();
    let loner = Loner::remote().unwrap();
    mobula::get(&loner.again(10).remote()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while mobula::get(&loner.again(0).remote()).unwrap() < 12 {
        assert!(Instant::now() < deadline, "its calls to itself do not run");
    }
}

#[mobula::test]
fn a_handle_may_be_passed_on_before_the_actor_can_be_created() {
    let _runtime = start();
    let (maker, keeper) = (Counter::remote(20).unwrap(), Keeper::remote().unwrap());
    let slow = Sleeper::remote().unwrap().sleep(100).remote();
    let late = Counter::remote(&slow).unwrap();
    mobula::get(&keeper.keep(&late).remote()).unwrap();
    assert_eq!(mobula::get(&keeper.add(5).remote()).unwrap(), 105);
    assert_eq!(mobula::get(&maker.value().remote()).unwrap(), 20);
}

struct Sleeper;

#[mobula::actor]
impl Sleeper {
    pub fn new() -> Self {
        Sleeper
    }

    pub fn sleep(&self, millis: i64) -> i64 {
        std::thread::sleep(Duration::from_millis(millis as u64));
        millis
    }
}

struct Doomed;

#[mobula::actor]
impl Doomed {
    pub fn new() -> Self {
        Doomed
    }

    pub fn fail(&self) -> Result<i64, String> {
        std::thread::sleep(Duration::from_millis(50));
        Err("no argument today".into())
    }

    pub fn promise(&self, to: ActorHandle<Keeper>) -> i64 {
        // The creation waits for a call that does not end; this process ends before.
        let late = Counter::remote(Sleeper::remote().unwrap().sleep(1_000_000).remote()).unwrap();
        mobula::get(&to.keep(&late).remote()).unwrap();
        0
    }

    pub fn exit(&self) -> i64 {
        std::process::abort()
    }
}

#[mobula::test]
fn who_got_a_handle_hears_that_the_actor_could_not_be_created() {
    let _runtime = start();
    let (keeper, doomed) = (Keeper::remote().unwrap(), Doomed::remote().unwrap());
    let late = Counter::remote(doomed.fail().remote()).unwrap();
    mobula::get(&keeper.keep(&late).remote()).unwrap();
    let error = mobula::get(&keeper.add(1).remote()).unwrap_err();
    assert!(error.is_task_failed() && error.to_string().contains("Counter"), "{error}");
    assert!(
        error.to_string().contains("no argument today"),
        "the reason reaches those who only got the handle: {error}"
    );
    assert!(mobula::get(&late.value().remote()).unwrap_err().is_actor_died());
}

#[mobula::test]
fn who_got_a_handle_hears_that_the_creator_died_before_the_creation() {
    let _runtime = start();
    let (keeper, doomed) = (Keeper::remote().unwrap(), Doomed::remote().unwrap());
    mobula::get(&doomed.promise(&keeper).remote()).unwrap();
    let call = keeper.add(1).remote();
    let _ = mobula::get(&doomed.exit().remote());
    assert!(mobula::get(&call).unwrap_err().to_string().contains("died"));
}
