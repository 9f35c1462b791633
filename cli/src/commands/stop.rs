//! `mobula stop`: ends a node, and returns when it and its workers are gone.

use std::path::Path;
use std::time::{Duration, Instant};

use mobula_scheduler::attach;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::args::StopArgs;
use crate::failure::Failure;

/// How long a node may take to end.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &StopArgs) -> Result<(), Failure> {
    let dir = attach::find(&args.at.address)?;
    if args.force { kill(&dir) } else { ask(&dir) }
}

/// Has the node end in good order: it waits for its workers itself.
fn ask(dir: &Path) -> Result<(), Failure> {
    let status = attach::status(&dir.to_string_lossy())?;
    let pid = status.pid;
    if status.embedded {
        return Err(Failure::Other(format!(
            "the node at {} lives inside the driver with pid {pid}: end that, or kill it with --force",
            dir.display()
        )));
    }
    signal(pid, Signal::TERM)?;
    if !wait(&[pid]) {
        return Err(Failure::Other(format!("the node with pid {pid} does not end: kill it with --force")));
    }
    Ok(())
}

/// Kills the node, with which its workers die; its folder goes, too.
fn kill(dir: &Path) -> Result<(), Failure> {
    if !attach::is_living(dir) {
        return Err(Failure::Other(format!("no node lives at {}", dir.display())));
    }
    let pid = pid_in(dir).ok_or_else(|| Failure::Other(format!("{} is no session folder", dir.display())))?;
    // Only for the workers' pids, so one that is stuck is not waited for.
    let mut pids = attach::status_within(dir, Duration::from_secs(2)).map(|status| status.workers).unwrap_or_default();
    pids.push(pid);
    signal(pid, Signal::KILL)?;
    if !wait(&pids) {
        return Err(Failure::Other(format!("the node with pid {pid}, or a worker of it, does not end")));
    }
    std::fs::remove_dir_all(dir).map_err(Failure::io(format!("could not remove {}", dir.display())))
}

/// Returns the pid in the name of a session folder.
fn pid_in(dir: &Path) -> Option<u32> {
    dir.file_name()?.to_str()?.split('-').nth(1)?.parse().ok()
}

fn signal(pid: u32, signal: Signal) -> Result<(), Failure> {
    let failed = || Failure::io(format!("could not send a signal to the node with pid {pid}"));
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH);
    match raw.and_then(|pid| kill_process(pid, signal)) {
        // It has ended by itself.
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(failed()(error.into())),
    }
}

/// Waits until processes have ended; false if that takes too long.
fn wait(pids: &[u32]) -> bool {
    let deadline = Instant::now() + PATIENCE;
    pids.iter().all(|&pid| {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(pidfd) = raw.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            return true;
        };
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    })
}
