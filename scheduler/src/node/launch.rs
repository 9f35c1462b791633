//! Starts worker processes.
//!
//! The child is made by `posix_spawn` (no pre-exec hook, nothing that std could not hand to it), so
//! that the host's memory is neither copied nor mapped again, however much of it there is. No
//! descriptor without close-on-exec ever exists in this process, so children that the host starts at
//! the same moment inherit nothing of ours.

use std::ffi::OsString;
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::bootstrap::{MARK, MarkText};
use crate::sys;

/// This process's own executable, also after its file was replaced.
const SELF: &str = "/proc/self/exe";

/// The variable that says which GPUs a process may see.
const GPUS: &str = "CUDA_VISIBLE_DEVICES";

/// What all workers of a node are started with.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) exe: Option<PathBuf>,
    pub(super) wrapper: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) session_dir: PathBuf,
    pub(super) has_gpus: bool,
}

/// A process that was just started, with the node's ends of all ways to it.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) child: Child,
    pub(super) pidfd: OwnedFd,
    pub(super) stream: UnixStream,
    pub(super) out: PipeReader,
    pub(super) err: PipeReader,
}

impl Recipe {
    /// Starts a worker with further variables and the GPUs of `gpu_ids`.
    ///
    /// Must be called on the thread that outlives all workers: the kernel kills them when it ends.
    pub(super) fn launch(&self, env: &[(String, String)], gpu_ids: &[u32]) -> io::Result<Launched> {
        let (stream, child_stream) = UnixStream::pair()?;
        let (out, child_out) = io::pipe()?;
        let (err, child_err) = io::pipe()?;
        let inode =
            sys::socket_inode(&child_stream).ok_or_else(|| io::Error::other("the bootstrap socket has no inode"))?;
        // A wrapper may stand between this process and the worker, as a debugger does.
        let parent = if self.wrapper.is_empty() { std::process::id() } else { 0 };
        let mark = MarkText { parent, inode, session_dir: self.session_dir.clone() };

        let mut command = self.command();
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.envs(env.iter().map(|(key, value)| (key, value)));
        if self.has_gpus {
            let ids: Vec<_> = gpu_ids.iter().map(u32::to_string).collect();
            command.env(GPUS, ids.join(","));
        }
        command.env(MARK, mark.encode());
        command.stdin(OwnedFd::from(child_stream)).stdout(child_out).stderr(child_err).process_group(0);
        let mut child = sys::with_signals(|| command.spawn())?;
        match open_pidfd(&child) {
            Ok(pidfd) => Ok(Launched { child, pidfd, stream, out, err }),
            Err(error) => {
                // Without a pidfd its end would go unnoticed.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    fn command(&self) -> Command {
        let mut args = std::env::args_os();
        let name = args.next();
        let (program, words) = match self.wrapper.split_first() {
            Some((program, words)) => (OsString::from(program), words),
            None => (self.program(), &[][..]),
        };
        let mut command = Command::new(program);
        if self.wrapper.is_empty() {
            if let (None, Some(name)) = (&self.exe, name) {
                command.arg0(name);
            }
        } else {
            command.args(words).arg(self.program());
        }
        command.args(args);
        command
    }

    /// Names the executable; below a wrapper `/proc/self` would be the wrapper's.
    fn program(&self) -> OsString {
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

fn open_pidfd(child: &Child) -> io::Result<OwnedFd> {
    let pid = process_id(child).ok_or_else(|| io::Error::other("the child has no pid"))?;
    // The child has not been waited for, so its pid cannot name another process.
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

fn process_id(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// Kills a worker with every process of its group. Must come before it is waited for: until then
/// its pid, which names the group, is not given to anybody else.
pub(super) fn kill_group(child: &Child) {
    if let Some(pid) = process_id(child) {
        // A group that is gone needs no killing.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

/// Describes how a process ended: `exit status 3`, `signal 11 (SIGSEGV)`.
pub(super) fn describe(status: io::Result<Option<std::process::ExitStatus>>) -> String {
    use std::os::unix::process::ExitStatusExt;
    let Ok(Some(status)) = status else {
        // Somebody else in the host has waited for it, or told the system not to keep it.
        return "an exit status that somebody else has taken".to_owned();
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => match sys::signal_name(signal) {
            Some(name) => format!("signal {signal} ({name})"),
            None => format!("signal {signal}"),
        },
        (None, None) => status.to_string(),
    }
}
