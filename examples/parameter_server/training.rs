//! The driver's side of the training: starts the actors, then leads rounds or lets the workers run.

use std::collections::{HashMap, VecDeque};
use std::mem::size_of;
use std::time::{Duration, Instant};

use mobula::prelude::*;

use crate::actors::{Server, Share, SharedDigits, Worker};
use crate::curve::Curve;
use crate::digits::{Digits, PIXELS};
use crate::model::Model;
use crate::options::{Mode, Options, Transport};
use crate::progress::Progress;
use crate::wires;

/// Rounds that are ordered before the losses of the oldest are looked at. Two keep every actor busy while the driver
/// looks; more would only hold more gradients in memory.
const AHEAD: usize = 2;
/// Gradients that a worker computes on its own in async mode before it reports a loss.
const STRETCH: usize = 16;
/// Gradients of each worker between two looks at the losses, over channels.
const LONG_STRETCH: usize = 256;

/// What came out of a training.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The last version.
    pub(crate) parameters: Array<f32>,
    /// Updates of the parameters.
    pub(crate) rounds: u64,
    /// Gradients computed and pushed.
    pub(crate) pushes: u64,
    /// Time from the first round to the last, without the start of the processes.
    pub(crate) wall: Duration,
    /// The loss on the way.
    pub(crate) curve: Curve,
}

impl Outcome {
    /// Counts the gradients of a second.
    pub(crate) fn pushes_per_second(&self) -> f64 {
        self.pushes as f64 / self.seconds()
    }

    /// Counts the bytes of a second, in 10^9: each gradient was fetched parameters before and pushed ones after.
    pub(crate) fn gigabytes_per_second(&self) -> f64 {
        let version = self.parameters.len() * size_of::<f32>();
        2.0 * self.pushes as f64 * version as f64 / self.seconds() / 1e9
    }

    /// Gives the training time.
    pub(crate) fn seconds(&self) -> f64 {
        self.wall.as_secs_f64().max(1e-9)
    }
}

/// The actors of a training. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Team {
    server: ActorHandle<Server>,
    workers: Vec<ActorHandle<Worker>>,
}

impl Team {
    /// Puts the digits into the store, starts the server and the workers, and waits until all are there.
    ///
    /// # Errors
    ///
    /// When the store is too small for the model, or an actor does not start.
    pub(crate) fn start(options: &Options, digits: &Digits) -> mobula::Result<Team> {
        let model = Model::new(options.hidden);
        let digits = mobula::put(&SharedDigits {
            features: Array::from_shape(&[digits.labels.len(), PIXELS], &digits.features)?,
            labels: Array::from_slice(&digits.labels)?,
        })?;
        let server = Server::remote(model, options.seed, options.rate())?;
        let workers = (0..options.workers)
            .map(|index| {
                let share = Share { index, workers: options.workers, batch: options.batch, seed: options.seed };
                Worker::remote(&digits, model, share)
            })
            .collect::<mobula::Result<Vec<_>>>()?;
        let ready: Vec<_> = workers.iter().map(|worker| worker.rows().remote()).collect();
        mobula::get_all(&ready)?;
        mobula::get(&server.version().remote())?;
        if options.transport == Transport::Channels {
            let (ends, others) = wires::connect(options.mode, options.workers, model.parameters())?;
            let mut connected = vec![server.connect(ends).remote()];
            connected.extend(workers.iter().zip(others).map(|(worker, ends)| worker.connect(ends).remote()));
            mobula::get_all(&connected)?;
        }
        Ok(Team { server, workers })
    }

    /// Trains as the options say.
    ///
    /// # Errors
    ///
    /// The first error of any actor.
    pub(crate) fn train(&self, options: &Options) -> mobula::Result<Outcome> {
        let per_epoch = options.steps_per_epoch() * self.workers.len();
        let mut progress = Progress::new(options.epochs, per_epoch);
        let start = Instant::now();
        match (options.transport, options.mode) {
            (Transport::Channels, mode) => self.over_channels(mode, options.steps(), &mut progress)?,
            (Transport::Calls, Mode::Sync) => self.in_rounds(options.steps(), &mut progress)?,
            (Transport::Calls, Mode::Async) => self.at_their_pace(options.steps(), &mut progress)?,
        }
        let parameters = mobula::get(&self.server.params().remote())?;
        let wall = start.elapsed();
        Ok(Outcome {
            parameters,
            rounds: mobula::get(&self.server.version().remote())?,
            pushes: (options.steps() * self.workers.len()) as u64,
            wall,
            curve: progress.finish(),
        })
    }

    /// Has all workers compute on the same parameters, the server average, and so on.
    ///
    /// The driver orders calls by their references and never touches parameters or gradients itself: a round's
    /// parameters are the not yet existing result of the `apply` before.
    fn in_rounds(&self, rounds: usize, progress: &mut Progress) -> mobula::Result<()> {
        let mut parameters = self.server.params().remote();
        let mut ordered = VecDeque::with_capacity(AHEAD + 1);
        for _ in 0..rounds {
            let (gradients, losses): (Vec<_>, Vec<_>) =
                self.workers.iter().map(|worker| worker.gradient(&parameters).remote()).unzip();
            parameters = self.server.apply(gradients).remote();
            ordered.push_back(losses);
            if ordered.len() > AHEAD
                && let Some(losses) = ordered.pop_front()
            {
                report(&losses, progress)?;
            }
        }
        for losses in ordered {
            report(&losses, progress)?;
        }
        Ok(())
    }

    /// Lets the server and the workers go on by themselves, in stretches, after each of which the losses are shown.
    fn over_channels(&self, mode: Mode, steps: usize, progress: &mut Progress) -> mobula::Result<()> {
        let mut left = steps;
        while left > 0 {
            let stretch = left.min(LONG_STRETCH);
            left -= stretch;
            let losses = self.server.serve(mode, stretch).remote();
            let followed: Vec<_> = self.workers.iter().map(|worker| worker.follow(stretch).remote()).collect();
            // A worker that fails ends the channels, and so the server's part; its own error says more.
            mobula::get_all(&followed)?;
            let losses = mobula::get(&losses)?;
            let each = stretch * self.workers.len() / losses.len().max(1);
            for loss in losses {
                progress.record(each as u64, f64::from(loss));
            }
        }
        Ok(())
    }

    /// Lets every worker go through its steps alone, in stretches, so that the losses of each can be shown.
    fn at_their_pace(&self, steps: usize, progress: &mut Progress) -> mobula::Result<()> {
        let mut left = vec![steps; self.workers.len()];
        let mut running = HashMap::new();
        let mut waiting = Vec::new();
        let mut order = |worker: usize, running: &mut HashMap<_, _>, waiting: &mut Vec<_>| {
            let stretch = left[worker].min(STRETCH);
            if stretch > 0 {
                left[worker] -= stretch;
                let loss = self.workers[worker].run(&self.server, stretch).remote();
                running.insert(loss.id(), (worker, stretch));
                waiting.push(loss);
            }
        };
        for worker in 0..self.workers.len() {
            // Two each: while the driver looks at one, the worker is at the other.
            order(worker, &mut running, &mut waiting);
            order(worker, &mut running, &mut waiting);
        }
        while !waiting.is_empty() {
            let (ready, pending) = mobula::wait(&waiting, 1, None)?;
            waiting = pending;
            for loss in ready {
                let mean = mobula::get(&loss)?;
                if let Some((worker, stretch)) = running.remove(&loss.id()) {
                    progress.record(stretch as u64, f64::from(mean));
                    order(worker, &mut running, &mut waiting);
                }
            }
        }
        Ok(())
    }
}

fn report(losses: &[ObjectRef<f32>], progress: &mut Progress) -> mobula::Result<()> {
    let losses = mobula::get_all(losses)?;
    let mean = losses.iter().copied().map(f64::from).sum::<f64>() / losses.len() as f64;
    progress.record(losses.len() as u64, mean);
    Ok(())
}
