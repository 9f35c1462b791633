//! A run from the command line: notes, then the rows of every suite as a table or as lines of JSON.

use std::io::{self, Write};

use crate::machine::Machine;
use crate::report::{JsonSink, Sink, TableSink};
use crate::session::{Session, Suite};

/// Runs suites (all if none is named) and prints their rows; `quick` takes few samples.
///
/// Rows go to standard output: a table, or with `json` a line of JSON each. What the figures were taken on
/// comes before the table, or goes to standard error. Suites behind one that fails run as well.
///
/// The program's `main` is a `#[mobula::main]` and calls [`run_child_role`](crate::run_child_role) first:
/// workers and the other sides of measurements are this executable, started again.
///
/// # Errors
///
/// If a suite fails; the text says all that went wrong, a line for each suite.
///
/// # Examples
///
/// ```no_run
/// # fn main() -> Result<(), String> {
/// mobula_bench::run(&[mobula_bench::Suite::Store], false, true)
/// # }
/// ```
pub fn run(suites: &[Suite], json: bool, quick: bool) -> Result<(), String> {
    let mut sink: Box<dyn Sink> =
        if json { Box::new(JsonSink::new(io::stdout())) } else { Box::new(TableSink::new(io::stdout())) };
    let machine = Machine::look();
    let mut session = Session::new(quick, &mut *sink);
    // Programs read standard output when it is JSON.
    let mut notes: Box<dyn Write> = if json { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    let head = format!("{machine}\n{}\n", session.instrument());
    let warnings = machine.warnings().into_iter().map(|warning| format!("warning: {warning}\n"));
    let text = head + &warnings.collect::<String>() + "\n";
    notes.write_all(text.as_bytes()).map_err(|error| format!("cannot write: {error}"))?;
    let mut failures = Vec::new();
    for suite in Suite::ALL {
        if !suites.is_empty() && !suites.contains(&suite) {
            continue;
        }
        if let Err(error) = session.run(suite) {
            failures.push(format!("suite {}: {}", suite.name(), chain(&error)));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
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
