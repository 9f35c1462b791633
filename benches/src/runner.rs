//! A run from the command line: notes, then the rows of every suite as a table or as lines of JSON.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::html::HtmlSink;
use crate::machine::Machine;
use crate::peers::Peers;
use crate::report::{JsonSink, Row, Sink, Skipped, TableSink, VERSION};
use crate::session::{Session, Suite};

/// What is measured and how it is shown.
///
/// # Examples
///
/// ```no_run
/// use mobula_bench::{Options, Suite};
///
/// # fn main() -> Result<(), String> {
/// mobula_bench::run(&Options::new().suite(Suite::Calls).quick(true).html("figures.html"))
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Options {
    suites: Vec<Suite>,
    json: bool,
    quick: bool,
    html: Option<PathBuf>,
    against: Vec<String>,
}

impl Options {
    /// Asks for all suites, as a table.
    pub fn new() -> Self {
        Options::default()
    }

    /// Asks for a suite; without any all are run.
    pub fn suite(mut self, suite: Suite) -> Self {
        self.suites.push(suite);
        self
    }

    /// Sets whether a line of JSON for each row is printed in place of the table.
    pub fn json(mut self, yes: bool) -> Self {
        self.json = yes;
        self
    }

    /// Sets whether few samples are taken.
    pub fn quick(mut self, yes: bool) -> Self {
        self.quick = yes;
        self
    }

    /// Asks for a page with charts, too.
    pub fn html(mut self, path: impl AsRef<Path>) -> Self {
        self.html = Some(path.as_ref().to_owned());
        self
    }

    /// Asks for another system's figures beside ours: a file of them, or a peer of `benches/compare`
    /// ([`Peers::gather`]).
    pub fn against(mut self, source: impl Into<String>) -> Self {
        self.against.push(source.into());
        self
    }
}

/// Runs suites and prints their rows.
///
/// Rows go to standard output: a table, or a line of JSON each. What the figures were taken on comes before the
/// table, or goes to standard error. Suites behind one that fails run as well.
///
/// The program's `main` is a `#[mobula::main]` and calls [`run_child_role`](crate::run_child_role) first:
/// workers and the other sides of measurements are this executable, started again.
///
/// # Errors
///
/// If a suite fails; the text says all that went wrong, a line for each suite.
pub fn run(options: &Options) -> Result<(), String> {
    let Options { suites, json, quick, html, against } = options;
    let machine = Machine::look();
    let asked = |suite: &Suite| suites.is_empty() || suites.contains(suite);
    let suites: Vec<Suite> = Suite::ALL.into_iter().filter(asked).collect();
    let (peers, complaints) = Peers::gather(against, &suites, *quick);
    let mut sinks = Sinks(match json {
        true => vec![Box::new(JsonSink::new(io::stdout()))],
        false => vec![Box::new(TableSink::new(io::stdout()))],
    });
    let mut head = format!("{machine}\n");
    head.extend(machine.warnings().into_iter().map(|warning| format!("warning: {warning}\n")));
    head.extend(complaints.into_iter().map(|complaint| format!("no figures of {complaint}\n")));
    if let Some(path) = html {
        sinks.0.push(Box::new(HtmlSink::new(path, format!("mobula {VERSION}\n{head}"))));
    }
    let mut session = Session::new(*quick, &mut sinks);
    session.compare_with(peers);
    // Programs read standard output when it is JSON.
    let mut notes: Box<dyn Write> = if *json { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    let text = format!("{head}{}\n\n", session.instrument());
    notes.write_all(text.as_bytes()).map_err(|error| format!("cannot write: {error}"))?;
    let mut failures = Vec::new();
    for suite in suites {
        if let Err(error) = session.run(suite) {
            failures.push(format!("suite {}: {}", suite.name(), chain(&error)));
        }
    }
    drop(session);
    if let Err(error) = sinks.finish() {
        failures.push(format!("cannot write the page of figures: {error}"));
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// Several sinks as one.
struct Sinks(Vec<Box<dyn Sink>>);

impl Sink for Sinks {
    fn row(&mut self, row: &Row) -> io::Result<()> {
        self.0.iter_mut().try_for_each(|sink| sink.row(row))
    }

    fn skipped(&mut self, skipped: &Skipped) -> io::Result<()> {
        self.0.iter_mut().try_for_each(|sink| sink.skipped(skipped))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.iter_mut().try_for_each(|sink| sink.finish())
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
