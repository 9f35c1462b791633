//! The exercises "Introducing Actors" and "Sharing References to an Actor".

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mobula::prelude::*;

use super::time;

pub struct Example {
    x: i64,
}

#[mobula::actor]
impl Example {
    pub fn new(x: i64) -> Self {
        Example { x }
    }

    pub fn set(&mut self, x: i64) {
        self.x = x;
    }

    pub fn get(&self) -> i64 {
        self.x
    }
}

/// Sets and gets; returns what it got.
pub(crate) fn example() -> mobula::Result<i64> {
    let _runtime = mobula::init(time::scaled(Config::new().num_cpus(4.0)))?;
    let e = Example::remote(1)?;
    let set: ObjectRef<()> = e.set(2).remote(); // `()` is what Python calls None
    mobula::get(&set)?;
    let got = mobula::get(&e.get().remote())?;
    println!("{got}");
    Ok(got)
}

pub struct Foo {
    counter: i64,
}

#[mobula::actor]
impl Foo {
    pub fn new() -> Self {
        Foo { counter: 0 }
    }

    pub fn reset(&mut self) {
        self.counter = 0;
    }

    pub fn increment(&mut self) -> i64 {
        time::sleep(0.5);
        self.counter += 1;
        self.counter
    }
}

/// What exercise 4 gives.
pub(crate) struct Exercise4 {
    pub(crate) results: Vec<i64>,
    pub(crate) duration: f64,
}

/// Increments two counters five times each, both at once.
pub(crate) fn exercise_4() -> mobula::Result<Exercise4> {
    let _runtime = mobula::init(time::scaled(Config::new().num_cpus(4.0)))?;

    let f1 = Foo::remote()?;
    let f2 = Foo::remote()?;

    // The processes still start, which counts.
    let start = Instant::now();
    f1.reset().remote();
    f2.reset().remote();

    // All ten calls are made before the first result is there. Each actor runs its five one after the other.
    let mut results = Vec::new();
    for _ in 0..5 {
        results.push(f1.increment().remote());
        results.push(f2.increment().remote());
    }
    // `results` holds refs; to compare them with numbers would not compile.
    let results = mobula::get_all(&results)?;
    Ok(Exercise4 { results, duration: start.elapsed().as_secs_f64() })
}

impl Exercise4 {
    /// Checks what the exercise checks. Between 2.5 and 3 s: five times half a second, and little for everything else.
    pub(crate) fn verify(&self) -> Result<(), String> {
        let Exercise4 { results, duration } = self;
        let least = 2.5 * time::scale();
        if *results != [1, 1, 2, 2, 3, 3, 4, 4, 5, 5] {
            return Err(format!("the results are {results:?}"));
        }
        if *duration >= least + 0.5 {
            return Err(format!("The experiments ran in {duration:.3} seconds. This is too slow."));
        }
        if *duration <= least {
            return Err(format!("The experiments ran in {duration:.3} seconds. This is too fast."));
        }
        println!("{results:?}\nSuccess! The example took {duration:.3} seconds.");
        Ok(())
    }
}

/// Counts the calls of its method.
pub struct Actor {
    calls: u32,
}

#[mobula::actor]
impl Actor {
    pub fn new() -> Self {
        Actor { calls: 0 }
    }

    pub fn method(&mut self) -> u32 {
        self.calls += 1;
        self.calls
    }
}

#[mobula::task]
fn f(actor: ActorHandle<Actor>) -> mobula::Result<u32> {
    // Inside of a task as anywhere: invoke a method, wait for its result.
    mobula::get(&actor.method().remote())
}

/// Passes one actor to three tasks; returns what the actor told each.
pub(crate) fn shared_actor() -> mobula::Result<Vec<u32>> {
    let _runtime = mobula::init(time::scaled(Config::new().num_cpus(4.0)))?;
    let actor = Actor::remote()?;
    let tasks = [f::remote(&actor), f::remote(&actor), f::remote(&actor)];
    let told = mobula::get_all(&tasks)?;
    println!("the actor's calls as the tasks saw them: {told:?}");
    Ok(told)
}

/// Messages by experiment.
pub(crate) type Logs = HashMap<usize, Vec<String>>;

pub struct LoggingActor {
    logs: Logs,
}

#[mobula::actor]
impl LoggingActor {
    pub fn new() -> Self {
        LoggingActor { logs: HashMap::new() }
    }

    pub fn log(&mut self, index: usize, message: String) {
        self.logs.entry(index).or_default().push(message);
    }

    pub fn get_logs(&self) -> Logs {
        self.logs.clone()
    }
}

#[mobula::task]
fn run_experiment(experiment_index: usize, logging_actor: ActorHandle<LoggingActor>) -> mobula::Result<()> {
    for i in 0..60 {
        time::sleep(1.0);
        // `call` is `remote` and `get` in one: when an experiment is over, all that it told has arrived.
        logging_actor.log(experiment_index, format!("On iteration {i}")).call()?;
    }
    Ok(())
}

/// Runs three experiments that log to one actor; returns the logs at each poll.
pub(crate) fn exercise_5() -> mobula::Result<Vec<Logs>> {
    let _runtime = mobula::init(time::scaled(Config::new().num_cpus(4.0)))?;

    let logging_actor = LoggingActor::remote()?;
    let experiments: Vec<_> = (0..3).map(|i| run_experiment::remote(i, &logging_actor)).collect();

    // The driver reads while the experiments run.
    let mut polls = Vec::new();
    loop {
        // First who is done, then the logs: those of the last round are complete.
        let (_, running) = mobula::wait(&experiments, experiments.len(), Some(Duration::ZERO))?;
        let logs = mobula::get(&logging_actor.get_logs().remote())?;
        println!("lines of each experiment: {:?}", [0_usize, 1, 2].map(|index| logs.get(&index).map_or(0, Vec::len)));
        polls.push(logs);
        if running.is_empty() {
            break;
        }
        time::sleep(1.0);
    }
    mobula::get_all(&experiments)?; // an error of an experiment comes out here
    Ok(polls)
}
