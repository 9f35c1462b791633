//! A tree of actors: the driver talks to a supervisor, the supervisor to workers that train a model each.
//!
//! ```text
//!   driver --work, state, terminate--> supervisor --work, state--> worker, worker, worker
//! ```

use std::process;

use mobula::prelude::*;

use super::processes::all_gone;
use super::random::choice;
use super::time;

/// The models of the guided tour.
pub(crate) const GUIDED_TOUR: [&str; 3] = ["lr", "cl", "lrn"];
/// Those of "Les Acteurs", spelt as there.
pub(crate) const LES_ACTEURS: [&str; 3] = ["Logical Regression", "Classification", "Neural Metworks"];

const STATES: [&str; 2] = ["RUNNING", "DONE"];

/// An ordinary type: it lives inside of an actor.
struct Model {
    _model: String,
}

impl Model {
    fn train(&self) {
        time::sleep(1.0); // stands for some training
    }
}

fn model_factory(model: &str) -> Model {
    Model { _model: model.to_owned() }
}

pub struct Worker {
    model: String,
}

#[mobula::actor]
impl Worker {
    pub fn new(model: String) -> Self {
        Worker { model }
    }

    pub fn state(&self) -> String {
        choice(STATES).to_owned()
    }

    pub fn work(&self) {
        model_factory(&self.model).train();
    }

    pub fn pid(&self) -> u32 {
        process::id()
    }
}

pub struct Supervisor {
    workers: Vec<ActorHandle<Worker>>,
}

#[mobula::actor]
impl Supervisor {
    /// Makes the workers: they are its children, and end with it at the latest.
    pub fn new(models: Vec<String>) -> mobula::Result<Self> {
        let workers = models.into_iter().map(Worker::remote).collect::<mobula::Result<_>>()?;
        Ok(Supervisor { workers })
    }

    pub fn work(&self) {
        for worker in &self.workers {
            worker.work().remote();
        }
    }

    pub fn terminate(&self) -> mobula::Result<()> {
        self.workers.iter().try_for_each(mobula::kill)
    }

    pub fn state(&self) -> mobula::Result<Vec<String>> {
        let states: Vec<_> = self.workers.iter().map(|worker| worker.state().remote()).collect();
        mobula::get_all(&states)
    }

    /// Gives the processes of the whole tree, for the look at the end.
    pub fn pids(&self) -> mobula::Result<Vec<u32>> {
        let workers: Vec<_> = self.workers.iter().map(|worker| worker.pid().remote()).collect();
        let mut pids = mobula::get_all(&workers)?;
        pids.push(process::id());
        Ok(pids)
    }
}

/// What came of it.
#[allow(dead_code, reason = "for the tests")]
pub(crate) struct Outcome {
    /// The states at each poll.
    pub(crate) polls: Vec<Vec<String>>,
    /// The processes of supervisor and workers.
    pub(crate) pids: Vec<u32>,
    /// Whether all of them ended while the runtime went on.
    pub(crate) gone: bool,
}

pub(crate) fn run(models: [&str; 3]) -> mobula::Result<Outcome> {
    let _runtime = mobula::init(time::scaled(Config::new()))?;

    let sup = Supervisor::remote(models.map(str::to_owned).to_vec())?;
    let pids = mobula::get(&sup.pids().remote())?;
    sup.work().remote();

    let mut polls = Vec::new();
    loop {
        let states = mobula::get(&sup.state().remote())?;
        println!("{states:?}");
        let done = states.iter().all(|state| state == "DONE");
        polls.push(states);
        if done {
            // The kill may come before the supervisor gets to `terminate`; then its workers end as their owner did.
            sup.terminate().remote();
            mobula::kill(&sup)?;
            break;
        }
    }
    let gone = all_gone(&pids);
    println!("supervisor and workers, {} processes: {}", pids.len(), if gone { "all gone" } else { "some are left" });
    Ok(Outcome { polls, pids, gone })
}
