//! The other side of a row: this executable, started again.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mobula_bench::{Error, Result};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// The first argument of a process that is the other side.
pub(crate) const PART: &str = "--part";

/// How long a part may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running part; dropping it waits until it has ended, and kills it if that takes too long.
#[derive(Debug)]
pub struct Part {
    process: Child,
}

impl Part {
    /// Starts a part and does not wait for it.
    ///
    /// # Errors
    ///
    /// If there can be no other process.
    pub fn start(args: &[&str]) -> Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.arg(PART).args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        let process = command.spawn().map_err(|source| Error::Io { what: "start a process", source })?;
        Ok(Part { process })
    }

    /// Waits until the part has called [`ready`](Self::ready).
    ///
    /// # Errors
    ///
    /// If it ended before.
    pub fn wait_ready(&mut self) -> Result<()> {
        let mut byte = [0];
        let read = self.process.stdout.as_mut().map(|out| out.read_exact(&mut byte));
        match read {
            Some(Ok(())) => Ok(()),
            _ => Err(Error::Child { role: "the other side", what: "ended before it was ready".to_owned() }),
        }
    }

    /// Tells who started this part that it is ready.
    ///
    /// # Errors
    ///
    /// If nobody listens.
    pub fn ready() -> Result<()> {
        let mut out = io::stdout();
        out.write_all(b"+").and_then(|()| out.flush()).map_err(|source| Error::Io { what: "say ready", source })
    }

    /// Kills the part and does not wait for its end.
    ///
    /// # Errors
    ///
    /// If it has been waited for already.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill().map_err(|source| Error::Io { what: "kill the other side", source })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Both fail only if it has ended and been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn die_with_parent() -> Result<()> {
    let parent = getppid();
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|errno| Error::Io { what: "ask to die with the parent", source: errno.into() })?;
    // It may have died before that was in place.
    let orphan = || Error::Child { role: "the other side", what: "has lost its parent".to_owned() };
    if getppid() == parent { Ok(()) } else { Err(orphan()) }
}
