//! Starts processes: workers, and the template that workers are copied from (`node/template.rs`).
//!
//! The child is made by `posix_spawn` (no pre-exec hook, nothing that std could not hand to it), so
//! that the host's memory is neither copied nor mapped again, however much of it there is. No
//! descriptor without close-on-exec ever exists in this process, so children that the host starts at
//! the same moment inherit nothing of ours.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group};
use rustix::process::{pidfd_open, waitpid};

use crate::bootstrap::{MARK, MarkText};
use crate::sys;
use crate::template::GPUS;

/// This process's own executable, also after its file was replaced.
const SELF: &str = "/proc/self/exe";

/// The place of the exit code among the fields of `/proc/<pid>/stat` behind the state.
const EXIT_CODE: usize = 48;

/// The variables by which libraries learn how many threads to start.
const THREAD_VARIABLES: [&str; 2] = ["OMP_NUM_THREADS", "RAYON_NUM_THREADS"];

/// What all workers of a crew are started with.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) exe: Option<PathBuf>,
    pub(super) wrapper: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) session_dir: PathBuf,
    pub(super) has_gpus: bool,
    /// Whether workers may be copies of a template.
    pub(super) forks: bool,
    /// What a driver of another process has brought; `None`: the driver is in this one.
    pub(super) home: Option<Home>,
}

/// Where the workers of a driver of another process come from: they are as if that had started them.
#[derive(Debug)]
pub(super) struct Home {
    /// The file that they run.
    pub(super) exe: OwnedFd,
    /// Their working directory.
    pub(super) dir: OwnedFd,
    pub(super) args: Vec<OsString>,
    pub(super) vars: Vec<(OsString, OsString)>,
    /// The name of that file if it is not the driver's own executable.
    pub(super) foreign: Option<String>,
}

/// A process that was just started, with the node's ends of all ways to it.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) stream: UnixStream,
    pub(super) out: PipeReader,
    pub(super) err: PipeReader,
}

impl Home {
    /// Returns a path by which a child finds the executable, which has this process's descriptors until it runs that; or
    /// one for a wrapper, which does not.
    fn exe_path(&self, is_direct: bool) -> String {
        let fd = self.exe.as_raw_fd();
        if is_direct { format!("/proc/self/fd/{fd}") } else { format!("/proc/{}/fd/{fd}", std::process::id()) }
    }
}

impl Recipe {
    /// Starts a worker with further variables and the GPUs of `gpu_ids`, whose work has CPUs for `threads` threads.
    ///
    /// Must be called on the thread that outlives all workers: the kernel kills them when it ends.
    pub(super) fn launch(&self, env: &[(String, String)], gpu_ids: &[u32], threads: u32) -> io::Result<Launched> {
        self.start(false, UnixStream::pair()?, env, gpu_ids, threads)
    }

    /// Starts a template; like [`Recipe::launch`], but with a socket pair in which the page of pids waits.
    pub(super) fn launch_template(&self, streams: (UnixStream, UnixStream)) -> io::Result<Launched> {
        self.start(true, streams, &[], &[], 1)
    }

    /// Returns the variables that say how many threads to start, but for those that the user has set: in this process's
    /// environment, for all workers, or in `env` for one.
    ///
    /// A process has them from its start, because some libraries read them before anything else of it runs, with what
    /// the work needs that it is started for, otherwise with 1. One that takes other work sets them anew before that
    /// begins (`worker/src/duty.rs`).
    pub(super) fn thread_variables(&self, env: &[(String, String)]) -> impl Iterator<Item = &'static str> {
        let is_set = move |name: &&str| {
            let inherited = match &self.home {
                Some(home) => home.vars.iter().any(|(key, _)| key == name),
                None => std::env::var_os(name).is_some(),
            };
            inherited || self.env.iter().chain(env).any(|(key, _)| key == name)
        };
        THREAD_VARIABLES.into_iter().filter(move |name| !is_set(name))
    }

    /// Returns true if workers without variables of their own may be copies of a template.
    ///
    /// The copies are of this program, and run it from where it found out what it is.
    pub(super) fn forks(&self) -> bool {
        self.forks && self.foreign().is_none() && self.wrapper.is_empty()
    }

    /// Returns the name of the workers' executable if it is not their driver's own.
    pub(super) fn foreign(&self) -> Option<String> {
        match &self.home {
            Some(home) => home.foreign.clone(),
            None => self.exe.as_ref().map(|exe| exe.display().to_string()),
        }
    }

    /// Returns what a process with these GPUs sees of them; `None` without any on this node.
    pub(super) fn gpus(&self, gpu_ids: &[u32]) -> Option<String> {
        let ids = || gpu_ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        self.has_gpus.then(ids)
    }

    fn start(
        &self,
        template: bool,
        (stream, child_stream): (UnixStream, UnixStream),
        env: &[(String, String)],
        gpu_ids: &[u32],
        threads: u32,
    ) -> io::Result<Launched> {
        let (out, child_out) = io::pipe()?;
        let (err, child_err) = io::pipe()?;
        let inode =
            sys::socket_inode(&child_stream).ok_or_else(|| io::Error::other("the bootstrap socket has no inode"))?;
        // A wrapper may stand between this process and the worker, as a debugger does.
        let parent = if self.wrapper.is_empty() { std::process::id() } else { 0 };
        let mark = MarkText { template, parent, inode, session_dir: self.session_dir.clone() };

        let mut command = self.command();
        command.envs(self.thread_variables(env).map(|name| (name, threads.to_string())));
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.envs(env.iter().map(|(key, value)| (key, value)));
        if let Some(gpus) = self.gpus(gpu_ids) {
            command.env(GPUS, gpus);
        }
        command.env(MARK, mark.encode());
        command.stdin(OwnedFd::from(child_stream)).stdout(child_out).stderr(child_err).process_group(0);
        let mut child = sys::with_signals(|| command.spawn())?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let watched =
            pid.ok_or_else(|| io::Error::other("the child has no pid")).and_then(|pid| Ok((pid, watch(pid)?)));
        match watched {
            Ok((pid, pidfd)) => Ok(Launched { pid, pidfd, stream, out, err }),
            Err(error) => {
                // Without a pidfd its end would go unnoticed.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    fn command(&self) -> Command {
        let mut args = match &self.home {
            Some(home) => home.args.clone(),
            None => std::env::args_os().collect(),
        }
        .into_iter();
        let name = args.next();
        let (program, words) = match self.wrapper.split_first() {
            Some((program, words)) => (OsString::from(program), words),
            None => (self.program(), &[][..]),
        };
        let mut command = Command::new(program);
        if self.wrapper.is_empty() {
            if let (None, Some(name)) = (self.foreign(), name) {
                command.arg0(name);
            }
        } else {
            command.args(words).arg(self.program());
        }
        command.args(args);
        if let Some(home) = &self.home {
            command.env_clear().envs(home.vars.iter().map(|(key, value)| (key, value)));
            command.current_dir(format!("/proc/self/fd/{}", home.dir.as_raw_fd()));
        }
        command
    }

    /// Names the executable; below a wrapper `/proc/self` would be the wrapper's.
    fn program(&self) -> OsString {
        if let Some(home) = &self.home {
            return home.exe_path(self.wrapper.is_empty()).into();
        }
        match &self.exe {
            Some(exe) => exe.into(),
            None if self.wrapper.is_empty() => SELF.into(),
            None => match std::env::current_exe() {
                Ok(path) if path.is_file() => path.into(),
                _ => Path::new("/proc").join(std::process::id().to_string()).join("exe").into(),
            },
        }
    }
}

/// Opens a descriptor that becomes readable when a child ends.
///
/// The child has not been waited for, so its pid cannot name another process.
pub(super) fn watch(child: Pid) -> io::Result<OwnedFd> {
    Ok(pidfd_open(child, PidfdFlags::empty())?)
}

/// Kills a worker with every process of its group. Must come before it is waited for: until then
/// its pid, which names the group, is not given to anybody else.
pub(super) fn kill_group(child: Pid) {
    // A group that is gone needs no killing; one that was forked just now may not have its own yet.
    if kill_process_group(child, Signal::KILL).is_err() {
        let _ = kill_process(child, Signal::KILL);
    }
}

/// Takes the status of a child that has ended, so that no zombie stays; `None` if it has not.
pub(super) fn reap(child: Pid) -> io::Result<Option<WaitStatus>> {
    Ok(waitpid(Some(child), WaitOptions::NOHANG)?.map(|(_, status)| status))
}

/// Returns the signal that a child is ending of; `None` if it does not end, of no signal, or is held up in that.
///
/// The kernel reads it under the lock under which it has given all threads of the child their end.
pub(super) fn ending_signal(child: Pid) -> Option<i32> {
    let mut stat = [0; 1024];
    let count = File::open(format!("/proc/{}/stat", child.as_raw_pid())).ok()?.read(&mut stat).ok()?;
    // The name in parentheses may hold anything; the fields start after the last one, with the state.
    let name_end = stat[..count].iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&stat[name_end + 1..count]).ok()?.split_ascii_whitespace();
    if matches!(fields.next()?, "T" | "t") {
        return None;
    }
    // That of the process if it ends or has stopped, otherwise that of its first thread, if that ends.
    let code: i32 = fields.nth(EXIT_CODE)?.parse().ok()?;
    let signal = code & 0x7f;
    (signal != 0 && !sys::is_stop_signal(signal)).then_some(signal)
}

/// Describes how a process ended: `exit status 3`, `signal 11 (SIGSEGV)`.
pub(super) fn describe(status: io::Result<Option<WaitStatus>>) -> String {
    let Ok(Some(status)) = status else {
        // Somebody else in the host has waited for it, or told the system not to keep it.
        return "an exit status that somebody else has taken".to_owned();
    };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => describe_signal(signal),
        (None, None) => format!("the status {:#x}", status.as_raw()),
    }
}

/// True if a process was ended by SIGKILL: by somebody else, whatever it did.
pub(super) fn was_killed(status: &io::Result<Option<WaitStatus>>) -> bool {
    let signal = status.as_ref().ok().and_then(|status| status.as_ref()?.terminating_signal());
    signal == Some(Signal::KILL.as_raw())
}

/// Describes the end of a process that a signal ended.
pub(super) fn describe_signal(signal: i32) -> String {
    match sys::signal_name(signal) {
        Some(name) => format!("signal {signal} ({name})"),
        None => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Starts a child, lets something happen to it, and waits until `/proc` shows it in one of `states`.
    fn child(script: &str, signals: &[Signal], states: &str) -> (std::process::Child, Pid) {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        signals.iter().for_each(|signal| kill_process(pid, *signal).unwrap());
        let deadline = Instant::now() + Duration::from_secs(20);
        let state = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
        };
        while !states.contains(state()) {
            assert!(Instant::now() < deadline, "it is {} and not {states}", state());
            std::thread::yield_now();
        }
        (child, pid)
    }

    #[test]
    fn only_who_ends_of_a_signal_does() {
        for (script, signals, states, expected) in [
            ("exec sleep 1000", &[][..], "RSD", None),
            ("exec sleep 1000", &[Signal::STOP], "T", None),
            ("exec sleep 1000", &[Signal::TERM], "Z", Some(15)),
            ("exec sleep 1000", &[Signal::STOP, Signal::KILL], "Z", Some(9)),
            ("exit 3", &[], "Z", None),
        ] {
            let (mut child, pid) = child(script, signals, states);
            assert_eq!(ending_signal(pid), expected, "{script}, {signals:?}");
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(ending_signal(pid), None, "it is gone");
        }
        assert_eq!((describe_signal(9), describe_signal(60)), ("signal 9 (SIGKILL)".into(), "signal 60".into()));
    }
}
