//! Forking without exec, for what a store promises to those who do.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, getpid, getppid, kill_process, waitpid};

/// What a child that hangs gets.
const LONGEST: Duration = Duration::from_secs(20);

/// Runs `child` in a forked process; the error says how it ended badly.
pub(crate) fn in_child(child: impl FnOnce() -> ExitCode) -> Result<(), String> {
    let parent = getpid();
    // SAFETY: the child runs `child` and leaves by `_exit`; glibc keeps its allocator usable over a fork.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => {
            let dies = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            let orphan = dies.is_err() || getppid() != Some(parent);
            let code = if orphan { 0 } else { i32::from(child() != ExitCode::SUCCESS) };
            // SAFETY: ends the child without running what the parent has registered for its end.
            unsafe { libc::_exit(code) }
        }
        pid => match Pid::from_raw(pid).filter(|_| pid > 0) {
            Some(pid) => wait(pid),
            None => Err(format!("could not be made: {}", std::io::Error::last_os_error())),
        },
    }
}

fn wait(pid: Pid) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) if status.exit_status() == Some(0) => return Ok(()),
            Ok(Some((_, status))) => return Err(format!("ended with {status:?}")),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("cannot be waited for: {error}")),
        }
        if begun.elapsed() > LONGEST {
            // It is our own child and has not been waited for: the pid is its.
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
            return Err(format!("hung for {LONGEST:?}"));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}
