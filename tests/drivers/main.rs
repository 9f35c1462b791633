//! Several drivers on one node: each a process of its own, with its executable, workers and namespace.
//!
//! The other drivers are `program.rs`, built as the example `drivers`: a crate of the same name and package, so that
//! the class in `counter.rs`, which both have, is one class. A program does what it is told line by line:
//!
//! ```text
//!   test: node and first driver        program: driver
//!     |  -- "create a" --------------->  |   Counter::options().name("a")
//!     |  <-------------- "1234" -------  |   the pid of its process
//! ```

#![allow(unreachable_pub, missing_docs, reason = "remote methods are `pub`")]
#![allow(clippy::print_stdout, reason = "what workers print is looked at")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

pub mod counter;

mod detached;
mod ends;
mod kills;
mod nodes;
mod output;
mod several;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use mobula::prelude::*;

use support::{example, is_alive};

/// Starts the node, with the test as its first driver.
pub(crate) fn node(cpus: f64) -> Runtime {
    mobula::init(support::config(cpus).namespace("first")).unwrap()
}

/// Returns the node's session folder as an address.
pub(crate) fn address(runtime: &Runtime) -> String {
    runtime.info().session_dir.to_str().unwrap().to_owned()
}

/// A program that is a driver and does what it is told; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    error: Option<ChildStderr>,
}

impl Program {
    /// Prepares the start of a driver of the node at an address.
    pub(crate) fn command(address: &str, namespace: &str) -> Command {
        let mut command = Command::new(example("drivers"));
        command.env("MOBULA_ADDRESS", address).env("DRIVER_NAMESPACE", namespace);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts a program that has a node of its own.
    pub(crate) fn with_node() -> Program {
        let mut command = Program::command("", "host");
        command.env("MOBULA_NUM_CPUS", "2").env("MOBULA_OBJECT_STORE_MEMORY", "64M");
        Program::run(&mut command)
    }

    /// Starts a driver and waits until it has attached.
    pub(crate) fn start(address: &str, namespace: &str) -> Program {
        Program::run(&mut Program::command(address, namespace))
    }

    /// Starts a driver that was prepared.
    pub(crate) fn run(command: &mut Command) -> Program {
        let mut child = command.spawn().unwrap();
        let (input, error) = (child.stdin.take(), child.stderr.take());
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut program = Program { child, input, output, error };
        assert_eq!(program.line(), "attached");
        program
    }

    /// Tells it something and returns what it answers.
    pub(crate) fn say(&mut self, what: &str) -> String {
        self.tell(what);
        self.line()
    }

    /// Tells it something.
    pub(crate) fn tell(&mut self, what: &str) {
        writeln!(self.input.as_mut().unwrap(), "{what}").unwrap();
    }

    /// Returns the next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        if line.is_empty() {
            let status = self.child.wait().unwrap();
            let mut text = String::new();
            self.error.take().unwrap().read_to_string(&mut text).unwrap();
            panic!("a driver ended with {status}: {text}");
        }
        line.trim_end().to_owned()
    }

    /// Returns the pids that it answers with.
    pub(crate) fn pids(&mut self, what: &str) -> Vec<u32> {
        let answer = self.say(what);
        answer.split(' ').map(|pid| pid.parse().unwrap_or_else(|_| panic!("{what}: {answer}"))).collect()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in good order; returns what it has printed to stderr.
    pub(crate) fn end(mut self) -> String {
        drop(self.input.take());
        let mut text = String::new();
        self.error.take().unwrap().read_to_string(&mut text).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {text}");
        text
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until all of some processes are gone.
pub(crate) fn all_gone(pids: &[u32]) {
    support::eventually("processes are gone", || pids.iter().all(|&pid| !is_alive(pid)));
}

/// Lists the living children of this process, in which the node is, with what they are called.
pub(crate) fn children() -> Vec<u32> {
    let mut pids = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        pids.extend(text.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
    }
    pids.retain(|&pid| is_alive(pid));
    pids
}
