//! Names of actors: who gets one, who finds it, when it is free again.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod deaths;
mod exists;
mod freed;
mod lists;
mod races;
mod unique;

use mobula::prelude::*;

use self::support::{Gate, eventually, get, is_alive, pass};

/// Counts, and can do all that the scenarios need.
pub(crate) struct Counter {
    value: i64,
    kept: Vec<ActorHandle<Counter>>,
}

#[mobula::actor]
impl Counter {
    pub fn new(start: i64) -> Result<Self, String> {
        if start < 0 {
            return Err("no number to start with".into());
        }
        Ok(Counter { value: start, kept: Vec::new() })
    }

    pub fn add(&mut self, by: i64) -> i64 {
        self.value += by;
        self.value
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Waits in front of a gate.
    pub fn pass(&self, gate: String) -> i64 {
        pass(&gate);
        self.value
    }

    pub fn exit(&self) {
        mobula::exit_actor()
    }

    pub fn abort(&self) {
        std::process::abort()
    }

    pub fn namespace(&self) -> String {
        mobula::context().namespace()
    }

    /// Creates one of a name, and keeps its handle.
    pub fn make(&mut self, name: String, start: i64) -> Result<(), mobula::Error> {
        self.kept.push(Counter::options().name(name).remote(start)?);
        Ok(())
    }

    /// Takes one of a name or creates it, and keeps its handle.
    pub fn take(&mut self, name: String, start: i64) -> Result<u32, mobula::Error> {
        let counter = Counter::options().name(name).get_if_exists(true).remote(start)?;
        let pid = mobula::get(&counter.pid().remote());
        self.kept.push(counter);
        pid
    }

    /// Begins to create one of a name whose argument never comes, and keeps its handle.
    pub fn begin(&mut self, name: String) -> Result<(), mobula::Error> {
        self.kept.push(Counter::options().name(name).remote(never::remote())?);
        Ok(())
    }

    /// Begins to create one of a name for which there are too few CPUs while it lives itself, and keeps its handle.
    pub fn begin_large(&mut self, name: String) -> Result<(), mobula::Error> {
        self.kept.push(Counter::options().num_cpus(2.0).remote(0)?);
        mobula::get(&self.kept[0].pid().remote())?;
        self.kept.push(Counter::options().name(name).num_cpus(2.0).remote(0)?);
        Ok(())
    }

    pub fn keep(&mut self, counter: ActorHandle<Counter>) {
        self.kept.push(counter);
    }

    pub fn add_there(&self, by: i64) -> Result<i64, mobula::Error> {
        mobula::get(&self.kept[0].add(by).remote())
    }

    pub fn let_go(&mut self) {
        self.kept.clear();
    }

    /// Finds one by its name and gives its handle away.
    pub fn find(&self, name: String) -> Result<ActorHandle<Counter>, mobula::Error> {
        mobula::get_actor(&name)
    }

    /// Takes its own name although it is about to end.
    pub fn take_own(&self, gate: String, name: String) -> Result<String, mobula::Error> {
        pass(&gate);
        match Counter::options().name(name).get_if_exists(true).remote(0) {
            Ok(_) => Ok("taken".into()),
            Err(error) if error.is_name_taken() => Ok(error.to_string()),
            Err(error) => Err(error),
        }
    }
}

/// Never returns.
#[mobula::task]
pub(crate) fn never() -> i64 {
    loop {
        std::thread::park();
    }
}

/// Drops the last handle of an actor while it waits in front of a gate in a call, which no handle that counts has made.
pub(crate) fn end_behind(counter: ActorHandle<Counter>, name: &str, gate: &Gate) -> ObjectRef<i64> {
    let weak: ActorHandle<Counter> = mobula::get_actor(name).unwrap();
    get(&weak.pid().remote()).unwrap();
    let held_up = weak.pass(gate.text()).remote();
    drop(counter);
    held_up
}

/// Waits until nobody has a name.
pub(crate) fn until_free(name: &str) {
    eventually("the name is free", || mobula::get_actor::<Counter>(name).is_err_and(|error| error.is_not_found()));
}

/// Returns the process of the actor that has a name.
pub(crate) fn pid_of(name: &str) -> u32 {
    get(&mobula::get_actor::<Counter>(name).unwrap().pid().remote()).unwrap()
}

/// Waits until a process is gone.
pub(crate) fn until_gone(pid: u32) {
    eventually("the process is gone", || !is_alive(pid));
}
