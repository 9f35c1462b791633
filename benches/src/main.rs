//! `mobula-bench`: runs the suites and prints their figures.

use std::io::{self, Write};
use std::process::ExitCode;

use mobula_bench::{Options, Suite, run, run_child_role};

const USAGE: &str = "\
Measures Mobula and, in the same run, what the machine can do.

usage: mobula-bench [store|calls|tasks|ps|channel|queue|graph|ray|savina|startup|all]... [--json] [--quick]
                    [--against NAME|FILE,...] [--html FILE]

  store     the store by itself, alone, shared, crowded and full of objects
  calls     calls and objects of a runtime
  tasks     tasks of a runtime, one by one and queued
  ps        a parameter server and two workers
  channel   channels between processes
  queue     queues of messages between processes
  graph     calls that are bound once and run many times
  ray       the rows of Ray's microbenchmark, in Ray's names
  savina    benchmarks of the Savina suite for actors
  startup   init, shutdown, creation of actors, memory at rest
  all       all of these (the default)

  --json    a line of JSON for each row in place of the table
  --quick   few samples, some seconds: shows that all works
  --against others' figures and how many times better ours are: from files of lines as --json prints
            them, or from the peers in benches/compare (plasma, vineyard, ray,
            multiprocessing, iceoryx2, ipc-channel), if they are installed
  --html    a page with charts, too
  --help    this text
  --version the version
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    Run(Options),
    Print(String),
}

#[mobula::main]
fn main() -> ExitCode {
    if let Some(code) = run_child_role() {
        return code;
    }
    let done = match parse(std::env::args().skip(1)) {
        Ok(Request::Print(text)) => io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string()),
        Ok(Request::Run(options)) => run(&options),
        Err(complaint) => {
            let _ = write!(io::stderr(), "mobula-bench: {complaint}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            let _ = writeln!(io::stderr(), "mobula-bench: {complaint}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Request, String> {
    let mut options = Options::new();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} takes a value"));
        options = match arg.as_str() {
            "--json" => options.json(true),
            "--quick" => options.quick(true),
            "--html" => options.html(value()?),
            "--against" => value()?.split(',').fold(options, Options::against),
            "--help" | "-h" => return Ok(Request::Print(USAGE.to_owned())),
            "--version" => return Ok(Request::Print(format!("mobula-bench {}\n", env!("CARGO_PKG_VERSION")))),
            "all" => Suite::ALL.into_iter().fold(options, Options::suite),
            name => match Suite::ALL.into_iter().find(|suite| suite.name() == name) {
                Some(suite) => options.suite(suite),
                None => return Err(format!("there is no suite or option {name:?}")),
            },
        };
    }
    Ok(Request::Run(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn suites_and_options_in_any_order() {
        let all = Suite::ALL.into_iter().fold(Options::new(), Options::suite);
        assert_eq!(parsed("").unwrap(), Request::Run(Options::new()));
        assert_eq!(parsed("--json all --quick").unwrap(), Request::Run(all.json(true).quick(true)));
        let two = Options::new().suite(Suite::Startup).suite(Suite::Store);
        assert_eq!(parsed("startup store").unwrap(), Request::Run(two));
        let shown = Options::new().against("ray").against("a.jsonl").html("page.html").suite(Suite::Calls);
        assert_eq!(parsed("calls --html page.html --against ray,a.jsonl").unwrap(), Request::Run(shown));
        assert!(matches!(parsed("store --help"), Ok(Request::Print(_))));
        assert!(parsed("stoer").unwrap_err().contains("stoer"));
        assert!(parsed("store --html").unwrap_err().contains("--html"));
    }
}
