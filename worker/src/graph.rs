//! Graphs: calls of actors bound to each other once and run many times, over channels.
//!
//! ```text
//!   driver                    actor A                     actor B
//!   execute --input channel--> loop: f(x) --channel--> loop: g(f(x)) --channel--> get
//!        \---------------------------------------------> (every actor reads every input)
//! ```
//!
//! A call is *bound* instead of made: it gives a [`Node`], which can be the argument of another bound call. When the
//! graph is compiled, every actor in it is sent its *plan* ([`plan`]) by one hidden call, which runs it in a loop
//! ([`run`]) until the graph is gone. Values go from actor to actor over channels of bytes ([`wire`]): no node, no
//! frame, no ref, and no system call while both sides are awake.
//!
//! - **WK-70** Every actor runs every execution once, in the order of the executions, and its steps in the order in
//!   which they were bound. What a step takes was bound before it, so no two actors wait for each other.
//! - **WK-71** An execution has as many results as the graph has outputs, values or one error; a step whose argument
//!   failed is not run and fails with the same error. So errors travel, and the next execution is not touched by them.
//! - **WK-72** A graph that cannot go on, since an actor in it is gone, says so to every execution that has no result
//!   yet, and ends the loops of the others, which live on.
//! - **WK-73** What a value on a channel refers to is held by its sender until all readers have given the place of the
//!   value back, and by a reader before it does.

mod bind;
mod driver;
mod plan;
mod run;
mod wire;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Result;

pub use self::bind::{Bind, Inputs, Node, Outputs};
pub(crate) use self::bind::{NodeSource, Step, number};
use self::driver::Driver;
pub(crate) use self::run::{NUMBER, attend};

/// How a graph is compiled.
#[derive(Debug, Clone)]
pub struct GraphOptions {
    in_flight: usize,
    inline: usize,
    unread: usize,
}

impl Default for GraphOptions {
    fn default() -> Self {
        GraphOptions { in_flight: 16, inline: 16 << 10, unread: 1_000 }
    }
}

impl GraphOptions {
    /// Describes a graph with 16 executions in flight whose values travel in place up to 16 KiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many executions may be on their way at once (1 to 1,024, rounded up to a power of two; default 16).
    ///
    /// Each channel has as many places.
    pub fn in_flight(mut self, executions: usize) -> Self {
        self.in_flight = executions;
        self
    }

    /// Sets how many bytes of a step's results a channel has room for (at least 4 KiB; default 16 KiB); larger ones go
    /// through the store.
    pub fn inline_bytes(mut self, bytes: usize) -> Self {
        self.inline = bytes;
        self
    }

    /// Sets how many results may wait to be read (default 1,000).
    pub fn unread(mut self, results: usize) -> Self {
        self.unread = results;
        self
    }

    /// Compiles a graph: `build` gets a node for each input and returns the node or nodes whose values are its results.
    ///
    /// # Errors
    ///
    /// Those of [`Graph::compile`].
    pub fn compile<I: Inputs, O: Outputs>(&self, build: impl FnOnce(I::Nodes) -> O) -> Result<Graph<I, O>> {
        let (graph, nodes) = bind::inputs::<I>();
        let outputs = build(nodes);
        let driver = driver::compile(graph, I::COUNT, outputs.sources(), self)?;
        Ok(Graph { driver: Arc::new(driver), types: PhantomData })
    }
}

/// Calls of actors that are bound to each other, to be run many times.
///
/// Made by [`Graph::compile`]. While it lives its actors belong to it: an actor is in one graph at a time, and one
/// without concurrency ([`max_concurrency`](crate::ActorOptions::max_concurrency) or groups) runs its other calls when
/// the graph is gone. Dropping the graph ends the loops in its actors, which live on.
///
/// # Examples
///
/// ```no_run
/// # use mobula_worker as mobula;
/// # use mobula::{Arg, Call, __private::One};
/// # fn example(double: impl Fn(Arg<u64>) -> Call<One<u64>>, add: impl Fn(Arg<u64>, Arg<u64>) -> Call<One<u64>>)
/// # -> mobula::Result<()> {
/// // `double` and `add` stand for methods of two actors.
/// let graph = mobula::Graph::<(u64,), _>::compile(|(x,)| {
///     let doubled = double(x.into()).bind();
///     add(doubled.into(), 1.into()).bind()
/// })?;
/// assert_eq!(graph.execute((20,))?.get()?, 41);
/// # Ok(())
/// # }
/// ```
pub struct Graph<I: Inputs, O: Outputs> {
    driver: Arc<Driver>,
    types: PhantomData<fn(I) -> O>,
}

impl<I: Inputs, O: Outputs> Graph<I, O> {
    /// Compiles a graph: `build` gets a node for each input and returns the node or nodes whose values are its results.
    ///
    /// # Errors
    ///
    /// `is_invalid_argument` for a graph without steps, an actor that is in another graph of this process, a node of
    /// another graph, an input as an output, or arguments that cannot be encoded; `is_actor_died`; `is_store_full`.
    pub fn compile(build: impl FnOnce(I::Nodes) -> O) -> Result<Self> {
        GraphOptions::new().compile(build)
    }

    /// Begins an execution; waits while as many are on their way as the graph takes.
    ///
    /// Executions run in order, one behind the other through the actors.
    ///
    /// # Errors
    ///
    /// If an input cannot be encoded; `is_full` if 1,000 results ([`GraphOptions::unread`]) were not read; what has ended
    /// the graph, as `is_actor_died`.
    pub fn execute(&self, inputs: I) -> Result<GraphRef<O>> {
        let number = self.driver.execute(|out| inputs.encode(out))?;
        Ok(GraphRef { driver: self.driver.clone(), number, taken: false, types: PhantomData })
    }

    /// Ends the graph and waits until its actors are free of it.
    ///
    /// # Errors
    ///
    /// That of an actor that has died.
    pub fn teardown(self) -> Result<()> {
        self.driver.teardown()
    }
}

impl<I: Inputs, O: Outputs> Drop for Graph<I, O> {
    fn drop(&mut self) {
        self.driver.close();
    }
}

impl<I: Inputs, O: Outputs> fmt::Debug for Graph<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("driver", &self.driver).finish()
    }
}

/// The results of one execution of a [`Graph`], to be read once.
///
/// Dropping it drops the results.
#[must_use = "results that nobody reads are dropped"]
pub struct GraphRef<O: Outputs> {
    driver: Arc<Driver>,
    number: u64,
    taken: bool,
    types: PhantomData<fn() -> O>,
}

impl<O: Outputs> GraphRef<O> {
    /// Waits for the results and takes them.
    ///
    /// # Errors
    ///
    /// The error of the first step that failed; what has ended the graph, as `is_actor_died`, or `is_closed` if it was
    /// dropped.
    pub fn get(mut self) -> Result<O::Values> {
        self.take(None)
    }

    /// The same for at most `timeout`; zero only looks.
    ///
    /// # Errors
    ///
    /// Those of [`GraphRef::get`], and `is_timeout`: then the results are still to come. `is_not_found` if they were taken.
    pub fn get_timeout(&mut self, timeout: Duration) -> Result<O::Values> {
        self.take(Some(Instant::now() + timeout.min(Duration::from_secs(1 << 32))))
    }

    fn take(&mut self, deadline: Option<Instant>) -> Result<O::Values> {
        if self.taken {
            return Err(crate::Error::not_found("the results of this execution were taken"));
        }
        let taken = self.driver.take(self.number, deadline, |results| O::decode(results));
        self.taken = !taken.as_ref().is_err_and(crate::Error::is_timeout);
        taken
    }
}

impl<O: Outputs> Drop for GraphRef<O> {
    fn drop(&mut self) {
        if !self.taken {
            self.driver.forget(self.number);
        }
    }
}

impl<O: Outputs> fmt::Debug for GraphRef<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphRef").field("number", &self.number).finish_non_exhaustive()
    }
}
