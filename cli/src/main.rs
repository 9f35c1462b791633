//! `mobula`: starts nodes; serves, looks into, checks, measures and tortures stores.
//!
//! ```text
//!   args.rs ---> commands/*.rs ---> mobula-store       one client, attached for the call
//!      |             |        \---> mobula-scheduler   a node without a driver of its own, or a look at one
//!      |             |        \---> mobula-bench       the figures
//!      |             v
//!      |         output.rs                             what is printed, for people and programs
//!      +-------> torture.rs                            many processes, this executable started again
//! ```
//!
//! Exit codes: 0 done, 1 it failed or something is wrong with the store, 2 the command line made no
//! sense. A reader that closes the pipe early ends a command quietly.

#![deny(unsafe_code)]

mod args;
mod commands;
mod failure;
mod output;
mod size;
mod torture;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::failure::Failure;
use crate::output::Output;

#[mobula::main]
fn main() -> ExitCode {
    // Both roles come before the arguments, which are not theirs.
    if let Some(code) = mobula_bench::run_child_role() {
        return code;
    }
    if let Some(code) = torture::run_child_role() {
        return code;
    }
    let cli = Cli::parse();
    let mut out = Output::stdout();
    let done = run(cli.command, &mut out).and_then(|()| out.flush());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads on: nothing is wrong.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(Failure::Reported) => {
            let _ = out.flush();
            ExitCode::FAILURE
        }
        Err(failure) => {
            let _ = out.flush();
            let _ = writeln!(std::io::stderr(), "mobula: {}", failure.chain());
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, out: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Start(args) => commands::start::run(&args, out),
        Command::Stop(args) => commands::stop::run(&args),
        Command::Status(args) => commands::status::run(&args, out),
        Command::Stack(args) => commands::stack::run(&args, out),
        Command::Store(command) => commands::store::run(command, out),
        Command::Fsck(args) => commands::fsck::run(&args, out),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Torture(args) => torture::run(&args, out),
    }
}
