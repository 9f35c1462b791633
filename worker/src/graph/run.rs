//! The loop of an actor in a graph.
//!
//! ```text
//!   input? --> for each step: arguments from input, earlier steps, channels --> method --> kept, and sent if wanted
//!     ^                                                                                        |
//!     +----------------------------------------------------------------------------------------+
//! ```
//!
//! The loop is one call of the actor as far as the executor knows, so that it has a context, can be cancelled, and ends
//! the actor by `exit_actor`. It ends when its input is closed, when somebody it sends to is gone, or when the graph's
//! driver cancels it.
//!
//! Nobody waits for somebody who is gone: a wait for a value or for room is cut into slices, and between two of them the
//! loop looks whether the graph still is.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use mobula_store::ObjectHold;

use super::plan::{From, Plan, PlannedStep};
use super::wire::{Inlet, Message, Outlet};
use crate::arg::ArgReader;
use crate::context;
use crate::core::Core;
use crate::definition::{ActorClass, MethodDef, Run};
use crate::error::{Error, Result};
use crate::panics::{self, CallError};
use crate::returns::ReturnWriter;

/// The number of the method that an actor's loop goes by; no class has so many.
pub(crate) const NUMBER: u16 = u16::MAX;

/// The method by which an actor is sent its plan.
pub(crate) static METHOD: MethodDef = MethodDef {
    name: "graph",
    num_returns: 1,
    max_task_retries: Some(0),
    retry_errors: Some(false),
    concurrency_group: None,
    streams: false,
    stream_backpressure: None,
    run: Run::Shared(|_, _, _| Err(CallError::wrong_state())),
};

/// How long a loop waits before it looks whether the graph still is.
const SLICE: Duration = Duration::from_millis(100);

/// Runs a method of the actor.
pub(crate) type Invoke<'a> = &'a mut dyn FnMut(&Run, &mut ArgReader<'_>, &mut ReturnWriter) -> Result<(), CallError>;

/// A step with what it needs to run.
struct Stage {
    step: PlannedStep,
    outlet: Option<Outlet>,
    /// What it has given in this execution.
    given: Message,
}

/// The graph is over, as far as this actor goes.
struct Over;

/// Runs an actor's part of a graph until that is over. `args` is its plan.
pub(crate) fn attend(
    core: &Arc<Core>,
    class: &'static ActorClass,
    args: &[u8],
    exiting: &Cell<bool>,
    invoke: Invoke<'_>,
) -> Result<()> {
    let plan: Plan = ArgReader::new(core.store(), args).read()?;
    let Plan { input, imports, steps, room } = plan;
    let mut stages: Vec<Stage> = steps
        .into_iter()
        .map(|mut step| {
            let outlet = step.export.take().map(|writer| Outlet::new(writer, room));
            Stage { step, outlet, given: Message::default() }
        })
        .collect();
    let mut input = (Inlet::new(input), Message::default());
    let mut imports: Vec<_> = imports.into_iter().map(|end| (Inlet::new(end), Message::default(), false)).collect();
    let (mut arguments, mut values) = (Vec::new(), ReturnWriter::default());
    loop {
        let (inlet, message) = &mut input;
        if receive(core, inlet, message, || false).is_err() {
            return Ok(());
        }
        imports.iter_mut().for_each(|import| import.2 = false);
        for at in 0..stages.len() {
            let (before, rest) = stages.split_at_mut(at);
            let Some(stage) = rest.first_mut() else { continue };
            // Every channel is read once an execution, whatever becomes of the step.
            for (_, from) in &stage.step.gaps {
                if let From::Import(index, _) = from
                    && let Some((inlet, message, here)) = imports.get_mut(*index)
                    && !*here
                {
                    if receive(core, inlet, message, || input.0.is_closed()).is_err() {
                        return Ok(());
                    }
                    *here = true;
                }
            }
            let find = |from: &From| match *from {
                From::Input(value) => Some((&input.1, value)),
                From::Step(step, value) => before.get(step).map(|stage| (&stage.given, value)),
                From::Import(import, value) => imports.get(import).map(|import| (&import.1, value)),
            };
            let outcome = gather(&stage.step, find, &mut arguments)
                .and_then(|()| call(core, class, &stage.step, &arguments, &mut values, invoke));
            if exiting.get() {
                return Ok(());
            }
            if give(core, stage, outcome, &mut values, &|| input.0.is_closed()).is_err() {
                return Ok(());
            }
        }
    }
}

/// Puts a step's arguments together, or gives the error of the first one that failed.
fn gather<'a>(
    step: &PlannedStep,
    find: impl Fn(&From) -> Option<(&'a Message, u8)>,
    arguments: &mut Vec<u8>,
) -> Result<()> {
    arguments.clear();
    let mut from = 0;
    for (at, source) in &step.gaps {
        let (message, value) = find(source).ok_or_else(|| Error::system("a graph's plan makes no sense"))?;
        if let Some(error) = message.error() {
            return Err(error.clone());
        }
        arguments.extend_from_slice(step.bytes.get(from..*at).unwrap_or_default());
        arguments.extend_from_slice(message.argument(value.into()));
        from = *at;
    }
    arguments.extend_from_slice(step.bytes.get(from..).unwrap_or_default());
    Ok(())
}

/// Runs a step's method.
fn call(
    core: &Core,
    class: &'static ActorClass,
    step: &PlannedStep,
    arguments: &[u8],
    values: &mut ReturnWriter,
    invoke: Invoke<'_>,
) -> Result<()> {
    let Some(method) = class.methods.get(usize::from(step.method)) else {
        return Err(Error::not_found(format!("class {} has no method number {}", class.name, step.method)));
    };
    values.clear();
    panics::catch(|| invoke(&method.run, &mut ArgReader::new(core.store(), arguments), values))
        .flatten()
        .map_err(|error| error.into_error(|| format!("{}::{}", class.name, method.name)))
}

/// Keeps what a step has given for later ones, and sends it to whoever wants it.
fn give(
    core: &Core,
    stage: &mut Stage,
    outcome: Result<()>,
    values: &mut ReturnWriter,
    is_over: &dyn Fn() -> bool,
) -> Result<(), Over> {
    let mut holds: Vec<ObjectHold> = Vec::new();
    let mut outcome = outcome;
    if let Some(outlet) = &mut stage.outlet {
        let written = outcome.and_then(|()| outlet.values(core, values));
        match written {
            Ok(refers) => {
                holds = refers;
                outcome = Ok(());
            }
            Err(error) => {
                outlet.failed(&error);
                outcome = Err(error);
            }
        }
    }
    match outcome {
        Ok(()) => stage.given.set(values),
        Err(error) => stage.given.set_failed(error),
    }
    let Some(outlet) = &mut stage.outlet else { return Ok(()) };
    loop {
        match outlet.send(&mut holds, SLICE) {
            Ok(()) => return Ok(()),
            Err(error) if error.is_timeout() && !is_over() && !context::is_cancelled() => {}
            Err(_) => return Err(Over),
        }
    }
}

/// Waits for a message.
fn receive(core: &Core, inlet: &mut Inlet, message: &mut Message, is_over: impl Fn() -> bool) -> Result<(), Over> {
    loop {
        match inlet.receive(core, message, SLICE) {
            Ok(()) => return Ok(()),
            Err(error) if error.is_timeout() && !is_over() && !context::is_cancelled() && !core.is_closed() => {}
            Err(_) => return Err(Over),
        }
    }
}
