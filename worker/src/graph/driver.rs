//! The process that has compiled a graph: it gives the inputs and takes the results.
//!
//! ```text
//!   execute: number = sent, input --> channel                                (lock: input)
//!   take n:  results of `received`, received + 1, .. n <-- output channels    (lock: output)
//!            those before n wait in `waiting` for whoever asks for them, or are forgotten
//! ```
//!
//! Results come in the order of the executions, so whoever waits for one takes those before it out of the channels,
//! too. Nothing here runs on a thread of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bind::{NodeSource, OutputSource, Step};
use super::wire::{self, Inlet, Message, Outlet, Results};
use super::{GraphOptions, plan, run};
use crate::actor::RawHandle;
use crate::arg::{Arg, Args};
use crate::call::Call;
use crate::context;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::objects;
use crate::refs::ObjectRef;
use crate::returns::{One, ReturnWriter};

/// How long one wait for a channel takes before a look at the actors.
const SLICE: Duration = Duration::from_millis(20);
/// How long is waited for the word of what has ended a graph.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// A compiled graph.
pub(super) struct Driver {
    core: Arc<Core>,
    input: Mutex<Option<Input>>,
    output: Mutex<Output>,
    received: AtomicU64,
    /// The loop of each actor.
    loops: Vec<(RawHandle, ObjectRef<()>)>,
    /// Why there is nothing more to come.
    broken: Mutex<Option<Error>>,
    in_flight: u64,
    unread: usize,
    /// They hold what constant arguments refer to.
    _steps: Vec<Arc<Step>>,
}

struct Input {
    outlet: Outlet,
    values: ReturnWriter,
    sent: u64,
}

struct Output {
    inlets: Vec<Inlet>,
    order: Vec<(usize, u8)>,
    /// What has come of the next execution: the parts of so many of `inlets`.
    messages: Vec<Message>,
    come: usize,
    /// Results that came and were not taken.
    waiting: BTreeMap<u64, Vec<Message>>,
    /// Executions whose results nobody wants, and that have not come.
    unwanted: BTreeSet<u64>,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("actors", &self.loops).field("received", &self.received).finish_non_exhaustive()
    }
}

/// Compiles a graph and starts its actors' loops.
pub(super) fn compile(graph: u64, inputs: u8, outputs: Vec<OutputSource>, options: &GraphOptions) -> Result<Driver> {
    let core = crate::core::current()?;
    if !(1..=1024).contains(&options.in_flight) || options.inline < wire::LEAST || options.inline > 1 << 30 {
        return Err(Error::invalid_argument(format!(
            "a graph has 1 to 1,024 executions in flight and room for {} bytes to 1 GiB, not {} and {}",
            wire::LEAST,
            options.in_flight,
            options.inline
        )));
    }
    let places = options.in_flight.next_power_of_two();
    let outputs: Vec<NodeSource> = outputs.into_iter().map(|output| output.0).collect();
    let cut = plan::cut(&core, graph, inputs, &outputs, places, options.inline)?;
    let mut driver = Driver {
        input: Mutex::new(Some(Input {
            outlet: Outlet::new(cut.input, options.inline),
            values: ReturnWriter::default(),
            sent: 0,
        })),
        output: Mutex::new(Output {
            inlets: cut.outputs.into_iter().map(Inlet::new).collect(),
            order: cut.order,
            messages: Vec::new(),
            come: 0,
            waiting: BTreeMap::new(),
            unwanted: BTreeSet::new(),
        }),
        received: AtomicU64::new(0),
        loops: Vec::new(),
        broken: Mutex::default(),
        in_flight: places as u64,
        unread: options.unread.max(1),
        _steps: cut.steps,
        core,
    };
    for (handle, _) in &cut.actors {
        if !Arc::ptr_eq(handle.core(), &driver.core) {
            return Err(Error::not_initialized("an actor of the graph belongs to a runtime that has ended"));
        }
    }
    for (at, (handle, _)) in cut.actors.iter().enumerate() {
        if !handle.route().enter_graph() {
            cut.actors[..at].iter().for_each(|(entered, _)| entered.route().leave_graph());
            return Err(Error::invalid_argument(format!(
                "{handle:?} is in another graph of this process: drop that one first"
            )));
        }
    }
    let mut actors = cut.actors.into_iter();
    while let Some((handle, plan)) = actors.next() {
        let mut args = Args::new();
        args.push(Arg::from(plan));
        let call = Call::<One<()>>::__new(&handle, &run::METHOD, run::NUMBER, args);
        match call.try_remote() {
            Ok(looping) => driver.loops.push((handle, looping)),
            Err(error) => {
                handle.route().leave_graph();
                actors.for_each(|(other, _)| other.route().leave_graph());
                // The loops that have begun end with their input.
                driver.close();
                return Err(error);
            }
        }
    }
    Ok(driver)
}

impl Driver {
    fn lock_output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the inputs of the next execution; returns its number.
    pub(super) fn execute(&self, encode: impl FnOnce(&mut ReturnWriter) -> Result<()>) -> Result<u64> {
        self.core.check_open()?;
        let mut slot = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(input) = &mut *slot else { return Err(self.why()) };
        input.values.clear();
        encode(&mut input.values)?;
        let mut holds = input.outlet.values(&self.core, &mut input.values)?;
        while input.sent - self.received.load(Ordering::Acquire) >= self.in_flight {
            // Room is made by whoever takes results out, here or elsewhere.
            let mut output = self.lock_output();
            if input.sent - self.received.load(Ordering::Acquire) < self.in_flight {
                break;
            }
            if output.waiting.len() >= self.unread {
                return Err(Error::full(format!("{} results of the graph were not read: get some first", self.unread)));
            }
            match self.receive(&mut output, SLICE) {
                Ok(()) => self.keep(&mut output),
                Err(error) if error.is_timeout() => context::check_wanted()?,
                Err(error) => return Err(error),
            }
        }
        loop {
            match input.outlet.send(&mut holds, SLICE) {
                Ok(()) => break,
                Err(error) if error.is_timeout() => {
                    context::check_wanted()?;
                    self.look()?;
                }
                Err(_) => return Err(self.end(&mut slot)),
            }
        }
        let number = input.sent;
        input.sent += 1;
        Ok(number)
    }

    /// Waits for the results of an execution and decodes them.
    pub(super) fn take<R>(
        &self,
        number: u64,
        deadline: Option<Instant>,
        decode: impl FnOnce(&mut Results<'_>) -> Result<R>,
    ) -> Result<R> {
        let mut output = self.lock_output();
        loop {
            let next = self.received.load(Ordering::Relaxed);
            if number < next {
                let messages = output.waiting.remove(&number);
                let messages = messages.ok_or_else(|| Error::not_found("the results of this execution were taken"))?;
                return decode_all(&self.core, &output.order, &messages, decode);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match self.receive(&mut output, left.unwrap_or(SLICE).min(SLICE)) {
                Ok(()) if next == number => {
                    let decoded = decode_all(&self.core, &output.order, &output.messages, decode);
                    self.next(&mut output);
                    return decoded;
                }
                Ok(()) => self.keep(&mut output),
                Err(error) if error.is_timeout() => {
                    context::check_wanted()?;
                    if left.is_some_and(|left| left.is_zero()) {
                        return Err(Error::timeout("the graph has no results of this execution yet"));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Drops the results of an execution, now or when they come.
    pub(super) fn forget(&self, number: u64) {
        let mut output = self.lock_output();
        if output.waiting.remove(&number).is_none() && number >= self.received.load(Ordering::Relaxed) {
            output.unwanted.insert(number);
        }
    }

    /// Receives the results of the next execution into `output.messages`; what has come of it stays there if the time
    /// runs out.
    fn receive(&self, output: &mut Output, timeout: Duration) -> Result<()> {
        let Output { inlets, messages, come, .. } = output;
        messages.resize_with(inlets.len(), Message::default);
        for (inlet, message) in inlets.iter_mut().zip(messages).skip(*come) {
            match inlet.receive(&self.core, message, timeout) {
                Ok(()) => *come += 1,
                Err(error) if error.is_timeout() => {
                    self.look()?;
                    return Err(error);
                }
                Err(_) => return Err(self.ended()),
            }
        }
        Ok(())
    }

    /// Keeps what was received for whoever wants it.
    fn keep(&self, output: &mut Output) {
        let number = self.received.load(Ordering::Relaxed);
        if !output.unwanted.remove(&number) {
            let messages = std::mem::take(&mut output.messages);
            output.waiting.insert(number, messages);
        }
        self.next(output);
    }

    /// The execution that was received is done with; under the lock of `output`.
    fn next(&self, output: &mut Output) {
        output.come = 0;
        self.received.fetch_add(1, Ordering::Release);
    }

    /// Ends the graph if one of the loops is over.
    fn look(&self) -> Result<()> {
        self.core.check_open()?;
        if self.loops.iter().any(|(_, looping)| looping.inner.is_ready()) {
            return Err(self.ended());
        }
        Ok(())
    }

    /// Ends the graph, which cannot go on, and returns why.
    fn ended(&self) -> Error {
        // Whoever has the lock is in `execute` and finds out by itself.
        match self.input.try_lock() {
            Ok(mut input) => self.end(&mut input),
            Err(_) => self.why(),
        }
    }

    /// Closes the input, by which the loops end that still run, and returns why.
    fn end(&self, input: &mut Option<Input>) -> Error {
        *input = None;
        self.why()
    }

    /// Returns why the graph is over: what an actor's loop has ended with, if that is an error.
    fn why(&self) -> Error {
        if let Some(error) = &*self.lock_broken() {
            return error.clone();
        }
        let deadline = Instant::now() + LAST_WORDS;
        let refs: Vec<_> = self.loops.iter().map(|(_, looping)| looping.clone()).collect();
        let mut found = None;
        // A death is told within milliseconds; those whose loops are over in good order only follow.
        while found.is_none() && Instant::now() < deadline && self.core.check_open().is_ok() {
            let over = refs.iter().filter(|looping| looping.inner.is_ready());
            found = over.clone().find_map(|looping| objects::get_timeout(looping, Duration::ZERO).err());
            let count = over.count();
            if found.is_some() || count == refs.len() {
                break;
            }
            let _ = objects::wait(&refs, count + 1, Some(SLICE));
        }
        let error = found.unwrap_or_else(|| match self.core.check_open() {
            Err(error) => error,
            Ok(()) => Error::closed("the graph was ended"),
        });
        self.leave();
        self.lock_broken().get_or_insert(error).clone()
    }

    fn lock_broken(&self) -> MutexGuard<'_, Option<Error>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The actors may be in other graphs from now on.
    fn leave(&self) {
        for (handle, _) in &self.loops {
            handle.route().leave_graph();
        }
    }

    /// Ends the graph: the actors' loops end as soon as they have nothing more to do.
    pub(super) fn close(&self) {
        let first = self.lock_broken().replace(Error::closed("the graph was ended")).is_none();
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if first {
            self.leave();
        }
    }

    /// Ends the graph and waits for its actors.
    pub(super) fn teardown(&self) -> Result<()> {
        let broken = self.lock_broken().clone();
        self.close();
        // Whoever waits for room on the way to here is let go.
        self.lock_output().inlets.clear();
        for (_, looping) in &self.loops {
            objects::get(looping)?;
        }
        broken.map_or(Ok(()), Err)
    }
}

/// Decodes the outputs of one execution, or gives the error of the first that failed.
fn decode_all<R>(
    core: &Core,
    order: &[(usize, u8)],
    messages: &[Message],
    decode: impl FnOnce(&mut Results<'_>) -> Result<R>,
) -> Result<R> {
    for &(message, _) in order {
        if let Some(error) = messages.get(message).and_then(Message::error) {
            return Err(error.read());
        }
    }
    decode(&mut Results::new(core, messages, order))
}
