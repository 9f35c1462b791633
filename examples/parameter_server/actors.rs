//! The two kinds of actors: one [`Server`] with the parameters, and [`Worker`]s that compute gradients.
//!
//! ```text
//!   sync     driver --gradient(parameters)--> worker 0..n --gradients--> server.apply --parameters--> next round
//!   async    worker 0..n:  server.params() --> gradient --> server.push(gradient), again and again
//! ```
//!
//! With `--transport channels` both are channels (`wires.rs`), and [`Server::serve`] and [`Worker::follow`] go through them.
//!
//! Without, parameters and gradients are `Array`s: what goes from process to process is the name of an object, the floats stay
//! where they were written.
#![allow(unreachable_pub, reason = "the remote methods of an actor are its `pub` ones")]

use std::error::Error;

use mobula::prelude::*;
use serde::{Deserialize, Serialize};

use crate::digits::Samples;
use crate::model::{Model, Workspace, descend};
use crate::options::Mode;
use crate::sampler::Sampler;
use crate::wires::{self, ServerEnds, WorkerEnds};

/// What a method fails with; the caller gets the message.
type Failure = Box<dyn Error>;

/// Labelled images in the store. Any value with arrays in it is shared without a copy of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SharedDigits {
    /// One row of pixels an image.
    pub features: Array<f32>,
    /// One label an image.
    pub labels: Array<u8>,
}

/// The part of the training that one worker does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Share {
    /// Which worker this is.
    pub index: usize,
    /// How many workers there are.
    pub workers: usize,
    /// Rows a gradient.
    pub batch: usize,
    /// Seed of the order of the rows.
    pub seed: u64,
}

/// Holds the parameters. Each version is an object of its own, sealed once and then shared by all who ask.
#[derive(Debug)]
pub struct Server {
    parameters: Array<f32>,
    rate: f32,
    version: u64,
    ends: Option<ServerEnds>,
}

#[mobula::actor]
impl Server {
    /// Starts with random parameters.
    pub fn new(model: Model, seed: u64, rate: f32) -> mobula::Result<Self> {
        let mut parameters = ArrayMut::<f32>::with_len(model.parameters())?;
        model.initialise(&mut parameters, seed);
        Ok(Server { parameters: parameters.seal()?, rate, version: 0, ends: None })
    }

    /// Gives the current parameters: the array itself, not a copy.
    pub fn params(&self) -> Array<f32> {
        self.parameters.clone()
    }

    /// Counts the updates so far.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Applies one worker's gradient at once and gives the new version's number.
    pub fn push(&mut self, gradient: Array<f32>) -> Result<u64, Failure> {
        self.update(&[&gradient])?;
        Ok(self.version)
    }

    /// Applies the mean of a round's gradients and gives the new parameters.
    ///
    /// It takes references in place of the arrays, so that the driver can order a round before the gradients exist.
    pub fn apply(&mut self, gradients: Vec<ObjectRef<Array<f32>>>) -> Result<Array<f32>, Failure> {
        let gradients = mobula::get_all(&gradients)?;
        let slices: Vec<&[f32]> = gradients.iter().map(|gradient| &gradient[..]).collect();
        self.update(&slices)?;
        Ok(self.params())
    }

    /// Takes the ends of the channels.
    pub fn connect(&mut self, ends: ServerEnds) {
        self.ends = Some(ends);
    }

    /// Leads `rounds` rounds, or takes so many gradients of each worker as they come, and gives the mean losses.
    pub fn serve(&mut self, mode: Mode, rounds: usize) -> Result<Vec<f32>, Failure> {
        let mut ends = self.ends.take().ok_or("the server has no channels")?;
        let losses = self.with_own(|parameters, rate, version| match mode {
            Mode::Sync => wires::lead(&mut ends, rounds, parameters, rate, version),
            Mode::Async => wires::attend(&mut ends, rounds, parameters, rate, version),
        });
        self.ends = Some(ends);
        losses
    }
}

impl Server {
    /// The parameters as this process's own, to be changed in place, and back.
    fn with_own<R>(
        &mut self,
        change: impl FnOnce(&mut Vec<f32>, f32, &mut u64) -> mobula::Result<R>,
    ) -> Result<R, Failure> {
        let mut own = self.parameters.to_vec();
        let done = change(&mut own, self.rate, &mut self.version)?;
        self.parameters = Array::from_slice(&own)?;
        Ok(done)
    }

    fn update(&mut self, gradients: &[&[f32]]) -> Result<(), Failure> {
        let expected = self.parameters.len();
        if let Some(other) = gradients.iter().find(|gradient| gradient.len() != expected) {
            return Err(format!("a gradient has {} values, the model {expected}", other.len()).into());
        }
        // Readers may hold the current version, so the next one is written beside it.
        let mut next = ArrayMut::<f32>::with_len(expected)?;
        descend(&mut next, &self.parameters, gradients, self.rate);
        self.parameters = next.seal()?;
        self.version += 1;
        Ok(())
    }
}

/// Computes gradients on its share of the rows.
#[derive(Debug)]
pub struct Worker {
    digits: SharedDigits,
    model: Model,
    sampler: Sampler,
    workspace: Workspace,
    ends: Option<WorkerEnds>,
}

#[mobula::actor]
impl Worker {
    /// Takes every `share.workers`-th row from `share.index` on.
    pub fn new(digits: SharedDigits, model: Model, share: Share) -> Self {
        let rows = digits.labels.len();
        Worker {
            digits,
            model,
            sampler: Sampler::new(rows, share.index, share.workers, share.batch, share.seed),
            workspace: Workspace::default(),
            ends: None,
        }
    }

    /// Counts the rows of the share.
    pub fn rows(&self) -> usize {
        self.sampler.rows()
    }

    /// Computes the gradient and the mean loss of the next batch.
    #[mobula::method(num_returns = 2)]
    pub fn gradient(&mut self, parameters: Array<f32>) -> Result<(Array<f32>, f32), Failure> {
        self.compute(&parameters)
    }

    /// Takes the ends of the channels.
    pub fn connect(&mut self, ends: WorkerEnds) {
        self.ends = Some(ends);
    }

    /// Computes `steps` gradients, each on the parameters that come over the channel and into the place where the server
    /// reads it.
    pub fn follow(&mut self, steps: usize) -> Result<(), Failure> {
        let Worker { digits, model, sampler, workspace, ends } = self;
        let ends = ends.as_mut().ok_or("the worker has no channels")?;
        let samples = Samples { features: &digits.features, labels: &digits.labels };
        for _ in 0..steps {
            let parameters = ends.parameters.read()?;
            ends.gradient.write(|place| {
                if let Some((loss, gradient)) = place.split_last_mut() {
                    *loss = model.gradient(&parameters, samples, sampler.batch(), gradient, workspace);
                }
            })?;
        }
        Ok(())
    }

    /// Trains for `steps` batches at its own pace and gives their mean loss.
    pub fn run(&mut self, server: ActorHandle<Server>, steps: usize) -> Result<f32, Failure> {
        let mut sum = 0.0;
        let mut pushed = None;
        for _ in 0..steps {
            let parameters = server.params().remote();
            // Calls of one caller run in their order: the push before is done when these parameters are here, and
            // asking how it went costs no wait.
            let parameters = mobula::get(&parameters)?;
            if let Some(pushed) = pushed.take() {
                mobula::get(&pushed)?;
            }
            let (gradient, loss) = self.compute(&parameters)?;
            pushed = Some(server.push(gradient).remote());
            sum += loss;
        }
        if let Some(pushed) = pushed {
            mobula::get(&pushed)?;
        }
        Ok(sum / steps.max(1) as f32)
    }
}

impl Worker {
    fn compute(&mut self, parameters: &[f32]) -> Result<(Array<f32>, f32), Failure> {
        // Its contents do not matter: the model overwrites all of it.
        let mut gradient = ArrayMut::<f32>::with_len(self.model.parameters())?;
        let samples = Samples { features: &self.digits.features, labels: &self.digits.labels };
        let rows = self.sampler.batch();
        let loss = self.model.gradient(parameters, samples, rows, &mut gradient, &mut self.workspace);
        Ok((gradient.seal()?, loss))
    }
}
