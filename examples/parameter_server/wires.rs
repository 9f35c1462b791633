//! The transport `channels`: parameters and gradients in channels that are made once.
//!
//! ```text
//!   sync     server --parameters--> all workers         one write, however many read it
//!            worker i --gradient, loss--> server
//!   async    server --parameters--> worker i, for each  each worker gets the version that its own gradient led to
//! ```
//!
//! A version or gradient is written where the other side reads it; no object is made, sealed or dropped, and nobody
//! makes a call. The server keeps the parameters for itself and writes each version into the channel.
#![allow(unreachable_pub, reason = "remote methods take these, and they are `pub`")]

use std::time::Duration;

use mobula::{ChannelOptions, ChannelReader, ChannelWriter};
use serde::{Deserialize, Serialize};

use crate::model::descend;
use crate::options::Mode;

/// Versions or gradients that a channel has room for: one is read while the next is written.
const PLACES: usize = 2;
/// How long the server waits for one worker before it looks at the others.
const GLANCE: Duration = Duration::from_micros(100);

/// The server's ends.
#[derive(Debug, Serialize, Deserialize)]
pub struct ServerEnds {
    /// Towards all workers, or towards each.
    pub parameters: Vec<ChannelWriter<f32>>,
    /// From each worker: a gradient, and behind it the loss.
    pub gradients: Vec<ChannelReader<f32>>,
}

/// A worker's ends.
#[derive(Debug, Serialize, Deserialize)]
pub struct WorkerEnds {
    /// From the server.
    pub parameters: ChannelReader<f32>,
    /// Towards the server: a gradient, and behind it the loss.
    pub gradient: ChannelWriter<f32>,
}

/// Makes the channels between a server and its workers for a model of so many parameters.
pub fn connect(mode: Mode, workers: usize, parameters: usize) -> mobula::Result<(ServerEnds, Vec<WorkerEnds>)> {
    let options = ChannelOptions::new().slots(PLACES);
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    match mode {
        Mode::Sync => {
            let (writer, all) = mobula::channel(&options.clone().len(parameters).readers(workers))?;
            writers.push(writer);
            readers.extend(all);
        }
        Mode::Async => {
            for _ in 0..workers {
                let (writer, one) = mobula::channel(&options.clone().len(parameters))?;
                writers.push(writer);
                readers.extend(one);
            }
        }
    }
    let (mut gradients, mut ends) = (Vec::new(), Vec::new());
    for parameters in readers {
        let (gradient, reader) = mobula::channel(&options.clone().len(parameters.max_len() + 1))?;
        gradients.extend(reader);
        ends.push(WorkerEnds { parameters, gradient });
    }
    Ok((ServerEnds { parameters: writers, gradients }, ends))
}

impl ServerEnds {
    /// Sends a version to all workers, or to one.
    pub fn publish(&mut self, to: Option<usize>, parameters: &[f32]) -> mobula::Result<()> {
        let writers = match to {
            Some(worker) => &mut self.parameters[worker..=worker],
            None => &mut self.parameters[..],
        };
        for writer in writers {
            writer.write(|slot| slot.copy_from_slice(parameters))?;
        }
        Ok(())
    }

    /// Takes one gradient of every worker, in their order.
    pub fn collect<R>(&mut self, then: impl FnOnce(&[&[f32]]) -> R) -> mobula::Result<R> {
        let guards = self.gradients.iter_mut().map(ChannelReader::read).collect::<Result<Vec<_>, _>>()?;
        let slices: Vec<&[f32]> = guards.iter().map(|guard| &guard[..]).collect();
        Ok(then(&slices))
    }

    /// Takes the next gradient of whichever worker in `left` has one.
    pub fn next<R>(&mut self, left: &[bool], then: impl FnOnce(usize, &[f32]) -> R) -> mobula::Result<R> {
        loop {
            for (worker, reader) in self.gradients.iter_mut().enumerate().filter(|(worker, _)| left[*worker]) {
                match reader.read_timeout(GLANCE) {
                    Ok(gradient) => return Ok(then(worker, &gradient)),
                    Err(error) if error.is_timeout() => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

/// Has all workers compute on the same parameters, applies the mean of their gradients, and so on; gives the mean losses.
pub fn lead(
    ends: &mut ServerEnds,
    rounds: usize,
    parameters: &mut Vec<f32>,
    rate: f32,
    version: &mut u64,
) -> mobula::Result<Vec<f32>> {
    let mut losses = Vec::with_capacity(rounds);
    let mut next = parameters.clone();
    for _ in 0..rounds {
        ends.publish(None, parameters)?;
        let loss = ends.collect(|slices| {
            let (gradients, losses): (Vec<&[f32]>, Vec<f32>) = slices.iter().map(|slice| split(slice)).unzip();
            descend(&mut next, parameters, &gradients, rate);
            losses.iter().sum::<f32>() / losses.len() as f32
        })?;
        std::mem::swap(parameters, &mut next);
        losses.push(loss);
        *version += 1;
    }
    Ok(losses)
}

/// Applies each worker's gradient as it comes, and sends that worker the next version; gives the losses.
pub fn attend(
    ends: &mut ServerEnds,
    rounds: usize,
    parameters: &mut Vec<f32>,
    rate: f32,
    version: &mut u64,
) -> mobula::Result<Vec<f32>> {
    let workers = ends.gradients.len();
    let mut left = vec![rounds; workers];
    let mut losses = Vec::with_capacity(rounds * workers);
    let mut next = parameters.clone();
    (0..workers).filter(|_| rounds > 0).try_for_each(|worker| ends.publish(Some(worker), parameters))?;
    while left.iter().any(|&left| left > 0) {
        let waits: Vec<bool> = left.iter().map(|&left| left > 0).collect();
        let worker = ends.next(&waits, |worker, slice| {
            let (gradient, loss) = split(slice);
            descend(&mut next, parameters, &[gradient], rate);
            losses.push(loss);
            worker
        })?;
        std::mem::swap(parameters, &mut next);
        *version += 1;
        left[worker] -= 1;
        if left[worker] > 0 {
            ends.publish(Some(worker), parameters)?;
        }
    }
    Ok(losses)
}

/// Takes what came over a channel apart: a gradient, and the loss behind it.
fn split(slice: &[f32]) -> (&[f32], f32) {
    slice.split_last().map_or((&[], 0.0), |(&loss, gradient)| (gradient, loss))
}
