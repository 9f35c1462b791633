//! What the peers in Rust share: the command line, the other processes, and how rows are taken.
//!
//! ```text
//!   peer_NAME [SUITE..] [--quick]     a line of JSON for each row; the suites that it does not know are left out
//!   peer_NAME --part ARG..            the other side of a row, started by the first
//! ```
//!
//! Clock, samples and lines are those of `mobula-bench`, so that all figures are taken with the same instrument.
//! Warm-up and counts follow its suites as well: a tenth of the operations first, those do not count.

mod part;
mod rows;

use std::io::{self, Write};
use std::process::ExitCode;

use mobula_bench::{Error, JsonSink, Result, Session};

pub use part::Part;
pub use rows::{Call, FEW, MANY, MEGABYTE, asleep, creations, hop, hot, in_turn, pipelined};

/// Another library's way to do what the rows are about.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its name, which the rows have as suite.
    pub name: &'static str,
    /// Its suites.
    pub suites: &'static [(&'static str, Suite)],
    /// The other side: gets the arguments that [`Part::start`] was given.
    pub play: fn(&[String]) -> Result<()>,
}

/// Measures and emits rows.
pub type Suite = fn(&mut Session<'_>) -> Result<()>;

impl Peer {
    /// Does what the command line says.
    pub fn run(self) -> ExitCode {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let done = match args.split_first() {
            Some((first, rest)) if first == part::PART => part::die_with_parent().and_then(|()| (self.play)(rest)),
            _ => self.measure(&args),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(io::stderr(), "{}: {error}", self.name);
                ExitCode::FAILURE
            }
        }
    }

    fn measure(self, args: &[String]) -> Result<()> {
        let (options, named): (Vec<&String>, Vec<&String>) = args.iter().partition(|arg| arg.starts_with('-'));
        let quick = options.iter().any(|option| *option == "--quick");
        let mut sink = JsonSink::new(io::stdout());
        let mut session = Session::new(quick, &mut sink);
        for (suite, measure) in self.suites {
            if named.is_empty() || named.iter().any(|name| name == suite) {
                session.run_own(measure)?;
            }
        }
        Ok(())
    }
}

/// Makes an error of the library that is measured one of ours.
pub fn failed<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Error {
    move |error| Error::Io { what, source: io::Error::other(error.to_string()) }
}
