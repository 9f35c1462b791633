//! What each actor of a graph is sent: its steps, and the channels that it reads and writes.
//!
//! ```text
//!   steps, sorted by number --> by actor --> a channel for each step whose results somebody else wants
//!                                             readers: the other actors that take it, and the driver for an output
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mobula_scheduler::ids::ActorId;
use mobula_store::{ChannelOptions, ChannelReader, ChannelWriter, channel_in};
use serde::{Deserialize, Serialize};

use super::bind::{NodeSource, Step};
use crate::actor::RawHandle;
use crate::core::Core;
use crate::error::{Error, Result};

/// What one actor does in a graph.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) input: ChannelReader<u8>,
    pub(super) imports: Vec<ChannelReader<u8>>,
    pub(super) steps: Vec<PlannedStep>,
    pub(super) room: usize,
}

/// A step as its actor knows it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlannedStep {
    pub(super) method: u16,
    pub(super) bytes: Vec<u8>,
    pub(super) gaps: Vec<(usize, From)>,
    pub(super) export: Option<ChannelWriter<u8>>,
}

/// Where an actor finds an argument.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum From {
    Input(u8),
    /// A step of the same actor, by its place in the plan.
    Step(usize, u8),
    /// A channel.
    Import(usize, u8),
}

/// A graph that is cut into plans.
pub(super) struct Cut {
    pub(super) input: ChannelWriter<u8>,
    pub(super) actors: Vec<(RawHandle, Plan)>,
    pub(super) outputs: Vec<ChannelReader<u8>>,
    /// Which of them, and which of its values, each output is.
    pub(super) order: Vec<(usize, u8)>,
    pub(super) steps: Vec<Arc<Step>>,
}

/// The driver among the readers of a channel.
const DRIVER: usize = usize::MAX;

/// Finds all steps that the outputs need, in the order of their numbers (WK-70).
fn reachable(outputs: &[NodeSource]) -> BTreeMap<u64, Arc<Step>> {
    let mut found = BTreeMap::new();
    let mut left: Vec<&NodeSource> = outputs.iter().collect();
    let mut steps: Vec<Arc<Step>> = Vec::new();
    loop {
        while let Some(source) = left.pop() {
            if let NodeSource::Step { step, .. } = source
                && found.insert(step.number, step.clone()).is_none()
            {
                steps.push(step.clone());
            }
        }
        let Some(step) = steps.pop() else { return found };
        for (_, source) in &step.gaps {
            if let NodeSource::Step { step, .. } = source
                && found.insert(step.number, step.clone()).is_none()
            {
                steps.push(step.clone());
            }
        }
    }
}

/// Cuts a graph into the plans of its actors.
pub(super) fn cut(
    core: &Core,
    graph: u64,
    inputs: u8,
    outputs: &[NodeSource],
    places: usize,
    room: usize,
) -> Result<Cut> {
    let steps = reachable(outputs);
    check(graph, inputs, outputs, &steps)?;
    let mut actors: Vec<(ActorId, RawHandle)> = Vec::new();
    // Each step's actor, and its place in the actor's plan.
    let mut homes: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    let mut counts: Vec<usize> = Vec::new();
    for step in steps.values() {
        let id = step.handle.id();
        let actor = actors.iter().position(|(other, _)| *other == id).unwrap_or_else(|| {
            actors.push((id, step.handle.clone()));
            counts.push(0);
            actors.len() - 1
        });
        homes.insert(step.number, (actor, counts[actor]));
        counts[actor] += 1;
    }
    // Who reads the results of each step over a channel.
    let mut readers: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
    for step in steps.values() {
        let here = homes[&step.number].0;
        for (_, source) in &step.gaps {
            if let NodeSource::Step { step: from, .. } = source
                && homes[&from.number].0 != here
            {
                readers.entry(from.number).or_default().insert(here);
            }
        }
    }
    for output in outputs {
        if let NodeSource::Step { step, .. } = output {
            readers.entry(step.number).or_default().insert(DRIVER);
        }
    }
    let channel = |readers: usize| -> Result<(ChannelWriter<u8>, Vec<ChannelReader<u8>>)> {
        let options = ChannelOptions::new().slots(places).len(room).readers(readers);
        channel_in::<u8>(core.store(), &options).map_err(|error| Error::from_store(&error, "a graph's channel"))
    };
    let (input, input_readers) = channel(actors.len())?;
    let mut plans: Vec<Plan> =
        input_readers.into_iter().map(|input| Plan { input, imports: Vec::new(), steps: Vec::new(), room }).collect();
    let mut imports: BTreeMap<(usize, u64), usize> = BTreeMap::new();
    let mut for_driver: BTreeMap<u64, usize> = BTreeMap::new();
    let mut out = Vec::new();
    let mut exports: BTreeMap<u64, ChannelWriter<u8>> = BTreeMap::new();
    for (&number, who) in &readers {
        let (writer, ends) = channel(who.len())?;
        exports.insert(number, writer);
        for (&reader, end) in who.iter().zip(ends) {
            if reader == DRIVER {
                for_driver.insert(number, out.len());
                out.push(end);
            } else {
                imports.insert((reader, number), plans[reader].imports.len());
                plans[reader].imports.push(end);
            }
        }
    }
    for step in steps.values() {
        let here = homes[&step.number].0;
        let from = |source: &NodeSource| match source {
            NodeSource::Input { index, .. } => From::Input(*index),
            NodeSource::Step { step: from, result } => match homes[&from.number] {
                (actor, place) if actor == here => From::Step(place, *result),
                _ => From::Import(imports[&(here, from.number)], *result),
            },
        };
        plans[here].steps.push(PlannedStep {
            method: step.index,
            bytes: step.bytes.clone(),
            gaps: step.gaps.iter().map(|(at, source)| (*at, from(source))).collect(),
            export: exports.remove(&step.number),
        });
    }
    let order = outputs.iter().filter_map(|output| match output {
        NodeSource::Step { step, result } => Some((for_driver[&step.number], *result)),
        NodeSource::Input { .. } => None,
    });
    let order = order.collect();
    let actors = actors.into_iter().map(|(_, handle)| handle).zip(plans).collect();
    Ok(Cut { input, actors, outputs: out, order, steps: steps.into_values().collect() })
}

/// Refuses what cannot be compiled.
fn check(graph: u64, inputs: u8, outputs: &[NodeSource], steps: &BTreeMap<u64, Arc<Step>>) -> Result<()> {
    if steps.is_empty() {
        return Err(Error::invalid_argument("a graph needs a step: return a node that a bound call gave"));
    }
    if outputs.iter().any(|output| matches!(output, NodeSource::Input { .. })) {
        return Err(Error::invalid_argument("an input of a graph cannot be its output: pass it through a step"));
    }
    for step in steps.values() {
        if let Some(error) = &step.error {
            return Err(error.clone());
        }
        for (_, source) in &step.gaps {
            if let NodeSource::Input { graph: other, index } = source
                && (*other != graph || *index >= inputs)
            {
                return Err(Error::invalid_argument(format!(
                    "{} takes an input of another graph: bind it inside this graph's own closure",
                    step.method.name
                )));
            }
        }
    }
    Ok(())
}
