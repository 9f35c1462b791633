//! This executable started again to play a part: started, stopped, killed and waited for.
//!
//! A child dies with the thread that started it, so all are started by the supervisor's own.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal, set_parent_process_death_signal,
};
use serde::{Deserialize, Serialize};

use crate::torture::plan::Plan;
use crate::torture::worker::Cast;

/// The variable that tells a child its part; whoever has it belongs to a run.
pub(crate) const ROLE: &str = "MOBULA_TORTURE_ROLE";

/// A part, and which run and which process it belongs to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) supervisor: u32,
    pub(crate) part: Part,
}

/// What a child plays.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Part {
    Node(Plan),
    Worker(Cast),
}

/// Reads this process's part, if it has one, and binds its life to its supervisor's.
pub(crate) fn role() -> Option<Result<Part, String>> {
    let text = std::env::var(ROLE).ok()?;
    Some(serde_json::from_str(&text).map_err(|error| format!("{ROLE} makes no sense: {error}")).and_then(
        |role: Role| {
            set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| format!("cannot be bound: {e}"))?;
            let parent = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
            // It may have died before that was in place.
            if parent == role.supervisor as i32 { Ok(role.part) } else { Err("has lost its supervisor".to_owned()) }
        },
    ))
}

/// A child; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    pidfd: Arc<OwnedFd>,
}

impl Process {
    /// Starts a child and returns its output, too.
    pub(crate) fn start(part: Part) -> io::Result<(Process, ChildStdout)> {
        let role = Role { supervisor: std::process::id(), part };
        let role = serde_json::to_string(&role).map_err(io::Error::other)?;
        let mut command = Command::new("/proc/self/exe");
        command.env(ROLE, role).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let taken = child.stdout.take().ok_or_else(|| io::Error::other("a child has no output"));
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pidfd = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty()));
        match (taken, pidfd) {
            (Ok(stdout), Some(Ok(pidfd))) => Ok((Process { child, stdin, pidfd: Arc::new(pidfd) }, stdout)),
            (taken, pidfd) => {
                let _ = child.kill();
                let _ = child.wait();
                let refused = pidfd.and_then(Result::err).map(io::Error::from);
                Err(taken.err().or(refused).unwrap_or_else(|| io::Error::other("a child has no pid")))
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the child to end by itself.
    pub(crate) fn ask_to_leave(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        // It fails if the child has died meanwhile.
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }

    /// Returns the descriptor of the child, for those who send signals later.
    pub(crate) fn pidfd(&self) -> &Arc<OwnedFd> {
        &self.pidfd
    }

    /// Says how the child ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for the end of the child.
    pub(crate) fn wait(&mut self, most: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if begun.elapsed() > most {
                return None;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Describes what the threads of a process are doing at the moment.
pub(crate) fn describe(pid: u32) -> String {
    let mut text = format!("pid {pid}:");
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return text + " gone" };
    for task in tasks.flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let status = read("status");
        let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or("?").trim().to_owned();
        let call = read("syscall").split_whitespace().next().unwrap_or("?").to_owned();
        text.push_str(&format!(" [{} {state}, in {}, system call {call}]", read("comm").trim(), read("wchan")));
    }
    text
}

/// Finds processes that belong to the run of this supervisor and are not its own.
pub(crate) fn leftovers() -> Vec<u32> {
    let mark = format!("{ROLE}={{\"supervisor\":{},", std::process::id());
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let ours = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&b| b == 0).any(|variable| variable.starts_with(mark.as_bytes()))
    };
    pids.filter(ours).collect()
}
