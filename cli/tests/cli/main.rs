//! The command line from outside: real processes, their output and their exit codes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unreachable_pub, reason = "remote methods are `pub`")]

mod driving;
mod fsck;
mod help;
mod lookups;
mod nodes;
mod objects;
mod serving;
mod torturing;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What must happen soon may take this long on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Prepares a call of `mobula` that finds no store by itself.
fn mobula(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mobula"));
    command.args(args).env_remove("MOBULA_STORE").stdin(Stdio::null());
    command
}

/// Calls `mobula` and returns what it did.
fn call(args: &[&str]) -> Output {
    mobula(args).output().unwrap()
}

/// Calls `mobula` with something to read.
fn feed(args: &[&str], input: &[u8]) -> Output {
    let mut child = mobula(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Returns the text of a call that worked.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {text}{}", output.status, complaint(output));
    assert!(output.stderr.is_empty(), "{}", complaint(output));
    text
}

/// Returns what a call complained about.
fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns the complaint of a call that failed.
fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", complaint(output));
    assert!(output.stdout.is_empty());
    complaint(output)
}

/// Waits until something holds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// `mobula store serve` in a folder of its own; dropping it ends it as a user would.
struct Served {
    child: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Served {
    fn start(args: &[&str]) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let mut command = mobula(&["store", "serve", "--capacity", "4MiB"]);
        command.args(args).env("XDG_RUNTIME_DIR", folder.path()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
        let served = Served { child, address: address.trim_end().to_owned(), folder };
        assert!(address.ends_with('\n') && !served.address.is_empty(), "{address:?}");
        served
    }

    /// Calls a subcommand on this store.
    fn call(&self, args: &[&str]) -> Output {
        mobula(args).env("MOBULA_STORE", &self.address).env("XDG_RUNTIME_DIR", self.folder.path()).output().unwrap()
    }

    /// Sends a signal and waits for the end.
    fn end(mut self, signal: rustix::process::Signal) -> std::process::ExitStatus {
        self.signal(signal);
        self.child.wait().unwrap()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn runtime(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(rustix::process::Signal::TERM);
            let status = self.child.wait().unwrap();
            let mut rest = String::new();
            self.child.stdout.as_mut().unwrap().read_to_string(&mut rest).unwrap();
            assert!(status.success() && rest.is_empty(), "{status}: {rest}");
        }
    }
}
