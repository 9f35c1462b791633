//! One run: clock, the limits of the suite that runs, and where the rows go.

use std::collections::HashMap;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::limits::Limit;
use crate::machine;
use crate::peers::Peers;
use crate::report::{Row, Sink, Skipped, Unit};
use crate::sample::Samples;
use crate::suites;
use crate::watchdog::Watchdog;

/// The suites there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suite {
    /// The store by itself: get, put, delete.
    Store,
    /// Calls and objects of a runtime.
    Calls,
    /// Tasks of a runtime.
    Tasks,
    /// A parameter server and two workers.
    ParameterServer,
    /// Channels between processes.
    Channel,
    /// Queues of messages between processes.
    Queue,
    /// Calls that are bound once and run many times.
    Graph,
    /// Ray's microbenchmark, in Ray's names.
    Ray,
    /// Benchmarks of the Savina suite for actors.
    Savina,
    /// How long a runtime takes to start and end, and what it costs at rest.
    Startup,
}

impl Suite {
    /// All suites, in the order in which they run.
    pub const ALL: [Suite; 10] = [
        Suite::Store,
        Suite::Calls,
        Suite::Tasks,
        Suite::ParameterServer,
        Suite::Channel,
        Suite::Queue,
        Suite::Graph,
        Suite::Ray,
        Suite::Savina,
        Suite::Startup,
    ];

    /// Returns the suite's name.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Store => suites::store::NAME,
            Suite::Calls => suites::calls::NAME,
            Suite::Tasks => suites::tasks::NAME,
            Suite::ParameterServer => suites::ps::NAME,
            Suite::Channel => suites::channel::NAME,
            Suite::Queue => suites::queue::NAME,
            Suite::Graph => suites::graph::NAME,
            Suite::Ray => suites::ray::NAME,
            Suite::Savina => suites::savina::NAME,
            Suite::Startup => suites::startup::NAME,
        }
    }
}

/// A run of suites.
pub struct Session<'a> {
    clock: Clock,
    quick: bool,
    sink: &'a mut dyn Sink,
    /// The values of the suite that runs, by row.
    values: HashMap<&'static str, f64>,
    peers: Peers,
    watchdog: Watchdog,
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("clock", &self.clock).field("quick", &self.quick).finish_non_exhaustive()
    }
}

impl<'a> Session<'a> {
    /// Calibrates the clock; a quick session takes few samples: its figures show that all works and
    /// little more.
    pub fn new(quick: bool, sink: &'a mut dyn Sink) -> Self {
        Session {
            clock: Clock::new(),
            quick,
            sink,
            values: HashMap::new(),
            peers: Peers::default(),
            watchdog: Watchdog::new(),
        }
    }

    /// Puts what others reach beside the rows to come.
    pub fn compare_with(&mut self, peers: Peers) {
        self.peers = peers;
    }

    /// Describes what measures: the version and the clock.
    pub fn instrument(&self) -> String {
        machine::instrument(&self.clock)
    }

    /// Runs a suite.
    ///
    /// # Errors
    ///
    /// At the first operation that fails or gives a wrong result.
    pub fn run(&mut self, suite: Suite) -> Result<()> {
        self.values.clear();
        match suite {
            Suite::Store => suites::store::run(self),
            Suite::Calls => suites::calls::run(self),
            Suite::Tasks => suites::tasks::run(self),
            Suite::ParameterServer => suites::ps::run(self),
            Suite::Channel => suites::channel::run(self),
            Suite::Queue => suites::queue::run(self),
            Suite::Graph => suites::graph::run(self),
            Suite::Ray => suites::ray::run(self),
            Suite::Savina => suites::savina::run(self),
            Suite::Startup => suites::startup::run(self),
        }
    }

    /// Runs a suite of somebody's own: whatever `suite` measures and emits.
    ///
    /// # Errors
    ///
    /// Those of `suite`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use mobula::prelude::*;
    /// use mobula_bench::{Figure, Limit, Session, TableSink, check, singles};
    ///
    /// struct Greeter;
    ///
    /// #[mobula::actor]
    /// impl Greeter {
    ///     pub fn new() -> Self {
    ///         Greeter
    ///     }
    ///
    ///     pub fn greet(&self, name: String) -> String {
    ///         format!("hello, {name}")
    ///     }
    /// }
    ///
    /// fn greetings(session: &mut Session<'_>) -> mobula_bench::Result<()> {
    ///     session.limits("greetings", &[Limit::SpinRtt])?;
    ///     session.begin("greet");
    ///     let _runtime = mobula::init(Config::new())?;
    ///     let greeter = Greeter::remote()?;
    ///     let greet = |_| check("greet", mobula::get(&greeter.greet("you").remote())?, "hello, you".to_owned());
    ///     let samples = singles(session.clock(), session.count(100_000, 1_000), greet)?;
    ///     session.emit("greetings", "greet", Figure::of(&samples), Some("limit_spin_rtt"))
    /// }
    ///
    /// // In `main`, behind `run_child_role`:
    /// # fn measure() -> mobula_bench::Result<()> {
    /// let mut table = TableSink::new(std::io::stdout());
    /// Session::new(false, &mut table).run_own(greetings)
    /// # }
    /// # fn main() {}
    /// ```
    pub fn run_own(&mut self, suite: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.values.clear();
        suite(self)
    }

    /// Returns the clock that all rows are measured with.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Chooses how many samples to take.
    pub fn count(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// Says which row comes next, to whom it may concern if it hangs.
    pub fn begin(&self, row: &'static str) {
        self.watchdog.begin(row);
    }

    /// Measures limits and emits them as rows of the suite.
    ///
    /// Every suite measures its own: a virtual machine's processors may be neighbours in one minute and
    /// far apart in the next.
    ///
    /// # Errors
    ///
    /// If a limit cannot be measured, or its row not be written.
    pub fn limits(&mut self, suite: &'static str, limits: &[Limit]) -> Result<()> {
        for &limit in limits {
            if let Some(why) = limit.obstacle() {
                self.skip(suite, limit.name(), why)?;
                continue;
            }
            self.begin(limit.name());
            let figure = limit.measure(self.clock, self.quick)?;
            self.emit(suite, limit.name(), figure, None)?;
        }
        Ok(())
    }

    /// Measures a limit of nanoseconds and emits it as a row of rates, for suites whose rows are rates.
    ///
    /// # Errors
    ///
    /// As [`limits`](Self::limits).
    pub fn rate_limit(&mut self, suite: &'static str, limit: Limit) -> Result<()> {
        if let Some(why) = limit.obstacle() {
            return self.skip(suite, limit.name(), why);
        }
        self.begin(limit.name());
        let figure = limit.measure(self.clock, self.quick)?.as_rate();
        self.emit(suite, limit.name(), figure, None)
    }

    /// Emits a row beside another one of this suite that says what it could be at best.
    ///
    /// That one comes first, and counts in the same unit; without it the row stands alone.
    ///
    /// # Errors
    ///
    /// If the row cannot be written.
    pub fn emit(
        &mut self,
        suite: &'static str,
        row: &'static str,
        figure: Figure,
        limit: Option<&'static str>,
    ) -> Result<()> {
        let measured = limit.and_then(|name| Some((name, *self.values.get(name)?)));
        self.values.insert(row, figure.value);
        let mut row = Row {
            suite,
            row,
            unit: figure.unit,
            p50: figure.p50,
            p99: figure.p99,
            value: figure.value,
            limit: measured.map(|(_, value)| value),
            limit_row: measured.map(|(name, _)| name),
            against: Vec::new(),
        };
        row.against = self.peers.about(&row);
        self.sink.row(&row).map_err(Error::io("write a row"))
    }

    /// Says why there is no such row.
    ///
    /// # Errors
    ///
    /// If that cannot be written.
    pub fn skip(&mut self, suite: &'static str, row: &'static str, why: &'static str) -> Result<()> {
        self.sink.skipped(&Skipped::new(suite, row, why)).map_err(Error::io("write a row"))
    }
}

/// What was found out about a row.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Figure {
    /// What `value` is counted in.
    pub unit: Unit,
    /// Half of the operations took no longer, in nanoseconds; `None` where nothing was timed.
    pub p50: Option<f64>,
    /// 99 of 100 operations took no longer, in nanoseconds.
    pub p99: Option<f64>,
    /// The figure.
    pub value: f64,
}

impl Figure {
    /// Times of single operations; the value is their median.
    pub fn of(samples: &Samples) -> Self {
        let p50 = samples.median();
        Figure { unit: Unit::Nanoseconds, p50: Some(p50), p99: Some(samples.percentile(99.0)), value: p50 }
    }

    /// A time that is no sample of many.
    pub fn nanoseconds(value: f64) -> Self {
        Figure { unit: Unit::Nanoseconds, p50: None, p99: None, value }
    }

    /// Another value than the median.
    pub fn with_value(self, value: f64) -> Self {
        Figure { value, ..self }
    }

    /// Times of operations that move `bytes`; the value is the median bandwidth.
    pub fn rate(samples: &Samples, bytes: usize) -> Self {
        let times = Self::of(samples);
        // Bytes a nanosecond are gigabytes a second.
        Figure { unit: Unit::GigabytesPerSecond, value: bytes as f64 / times.value.max(1.0), ..times }
    }

    /// The same as another figure, counted in how many fit into a second.
    pub fn as_rate(self) -> Self {
        Figure { unit: Unit::PerSecond, value: 1e9 / self.value.max(1e-3), ..self }
    }

    /// Times of single operations; the value is how many fit into a second.
    pub fn per_second(samples: &Samples) -> Self {
        Self::of(samples).as_rate()
    }

    /// Bytes that nobody timed.
    pub fn bytes(bytes: f64) -> Self {
        Figure { unit: Unit::Megabytes, p50: None, p99: None, value: bytes / 1e6 }
    }

    /// A share of a processor's time.
    pub fn percent(value: f64) -> Self {
        Figure { unit: Unit::Percent, p50: None, p99: None, value }
    }
}
