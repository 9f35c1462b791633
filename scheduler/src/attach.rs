//! How a process joins a node that runs in another one.
//!
//! ```text
//!   "auto" -----> the newest session folder of this user whose node lives
//!   a folder ---> its control socket -- [kind], descriptors, hello --> node            (`node/door.rs`)
//!                 <-- Welcome through a one-shot server, then ADMIT -- node
//!                 -- Lead: what this driver's workers are started with --> node        over the control link
//! ```
//!
//! The driver's executable, its folder and the way to its stderr travel as descriptors: what its workers run is the file
//! that it runs itself, whatever happens to the name, and the node keeps all three for as long as it starts workers for it.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use crate::bootstrap::{ADMIT, BootstrapError, Link, say_hello};
use crate::config::DriverOptions;
use crate::node::door::{DRIVE, LOOK, STACKS};
use crate::protocol::{Envelope, Leader, NodeStatus, PROTOCOL, ToNode, Welcome};
use crate::session;
use crate::stacks::WorkerStacks;
use crate::sys;

/// How long a node may take to let somebody in.
const PATIENCE: Duration = Duration::from_secs(30);

/// The address of the newest node of this user.
pub const AUTO: &str = "auto";

/// Why a node could not be joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// No node of this user lives.
    #[error("no node of this user runs (looked in {}): start one with `mobula start`, or leave address unset", .0.display())]
    NoNode(PathBuf),
    /// The folder is none of a node that lives.
    #[error("no node is reached at {}: it has ended, or this is not its session folder", .address.display())]
    NotThere {
        /// The session folder.
        address: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The node belongs to another user.
    #[error("the node at {} belongs to another user", .0.display())]
    OtherUser(PathBuf),
    /// A system call failed.
    #[error("this process could not {step}")]
    Io {
        /// What it was about to do.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The node does not want this process.
    #[error("the node refused this process: {0}")]
    Refused(String),
    /// The node ended, or does not answer.
    #[error("the node at {} has ended or does not answer", .0.display())]
    Silent(PathBuf),
}

impl AttachError {
    fn io(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| AttachError::Io { step, source }
    }
}

/// A driver that a node has let in.
#[derive(Debug)]
pub struct Attached {
    /// What the node said.
    pub welcome: Welcome,
    /// Shows the lines of this driver's workers.
    pub lines: Lines,
}

/// Joins the node at `address` as a driver.
///
/// # Errors
///
/// Fails if there is no such node, it belongs to another user, speaks another version of the protocol or refuses, and if
/// the system refuses what is needed.
pub fn attach(address: &str, options: &DriverOptions) -> Result<Attached, AttachError> {
    let dir = find(address)?;
    let exe = match &options.worker_exe {
        Some(exe) => exe.clone(),
        None => "/proc/self/exe".into(),
    };
    let open = |path: &Path| rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let exe = open(&exe).map_err(|error| AttachError::io("open the executable of its workers")(error.into()))?;
    let folder = open(Path::new(".")).map_err(|error| AttachError::io("open its working directory")(error.into()))?;
    let (reader, writer) = io::pipe().map_err(AttachError::io("make a pipe for its workers' lines"))?;
    let fds = [exe.as_fd(), folder.as_fd(), writer.as_fd()];
    let mut welcome: Welcome = call(&dir, DRIVE, &fds, PATIENCE)?;
    drop(writer);
    if let Some(namespace) = &options.namespace {
        welcome.namespace.clone_from(namespace);
    }
    if let Some(count) = options.max_processes {
        welcome.most_leases = count;
    }
    let leader = Leader {
        namespace: welcome.namespace.clone(),
        args: std::env::args_os().collect(),
        vars: std::env::vars_os().collect::<Vec<(OsString, OsString)>>(),
        env: options.env.clone(),
        wrapper: options.worker_wrapper.clone(),
        foreign: options.worker_exe.as_ref().map(|exe| exe.display().to_string()),
        forks: options.fork_workers,
        log_to_driver: options.log_to_driver,
        max_processes: options.max_processes,
    };
    let lines = Lines::start(reader).map_err(AttachError::io("start the thread that shows its workers' lines"))?;
    let lead = Envelope::new((welcome.process, ToNode::Lead(Box::new(leader))));
    welcome.node.send(lead).map_err(|_| AttachError::Silent(dir))?;
    Ok(Attached { welcome, lines })
}

/// Asks the node at `address` how it does.
///
/// # Errors
///
/// As [`attach`].
pub fn status(address: &str) -> Result<NodeStatus, AttachError> {
    status_within(&find(address)?, PATIENCE)
}

/// Asks the node of a session folder how it does, and waits no longer than that for the answer.
///
/// # Errors
///
/// As [`attach`].
pub fn status_within(dir: &Path, patience: Duration) -> Result<NodeStatus, AttachError> {
    call(dir, LOOK, &[], patience)
}

/// Asks the node at `address` what the threads of all of its workers are doing.
///
/// # Errors
///
/// As [`attach`].
pub fn stacks(address: &str) -> Result<Vec<WorkerStacks>, AttachError> {
    call(&find(address)?, STACKS, &[], PATIENCE)
}

/// Returns the session folder that an address means.
///
/// # Errors
///
/// Fails for [`AUTO`] if no node of this user lives.
pub fn find(address: &str) -> Result<PathBuf, AttachError> {
    if address != AUTO {
        return Ok(PathBuf::from(address));
    }
    let base = session::base();
    let connects = |dir: &PathBuf| UnixStream::connect(session::control_path(dir)).is_ok();
    session::living(&base).into_iter().find(connects).ok_or(AttachError::NoNode(base))
}

/// Says something at a node's door and waits for the answer.
fn call<T>(dir: &Path, kind: u8, descriptors: &[BorrowedFd<'_>], patience: Duration) -> Result<T, AttachError>
where
    T: for<'de> Deserialize<'de> + Serialize,
{
    let not_there = |source| AttachError::NotThere { address: dir.to_path_buf(), source };
    let mut stream = UnixStream::connect(session::control_path(dir)).map_err(not_there)?;
    match socket_peercred(&stream) {
        Ok(peer) if peer.uid == geteuid() => {}
        _ => return Err(AttachError::OtherUser(dir.to_path_buf())),
    }
    stream.set_read_timeout(Some(patience)).map_err(AttachError::io("set a deadline"))?;
    let silent = |_| AttachError::Silent(dir.to_path_buf());
    sys::send_with_fds(&stream, &[kind], descriptors).map_err(silent)?;
    // Named before it is made, so that the node removes it whenever this process ends.
    let folder = session::short_name();
    stream.write_all(folder.as_bytes()).map_err(silent)?;
    let folder = session::boot_dir(dir).join(folder);
    DirBuilder::new().mode(0o700).create(&folder).map_err(AttachError::io("make a folder for the node's answer"))?;
    let (server, name, bound) = Link::<T>::one_shot(&folder).map_err(|error| match error {
        BootstrapError::Io { step, source } => AttachError::Io { step, source },
        _ => AttachError::Silent(dir.to_path_buf()),
    })?;
    say_hello(&stream, &name, &bound).map_err(silent)?;
    let mut answer = [0];
    stream.read_exact(&mut answer).map_err(silent)?;
    if answer[0] != ADMIT {
        let mut text = String::new();
        // A node that dies while it speaks leaves a shorter text.
        let _ = stream.take(64 * 1024).read_to_string(&mut text);
        return Err(AttachError::Refused(text));
    }
    // It is there already: the node has said so.
    let (_, envelope) = server.accept().map_err(|error| AttachError::Refused(error.to_string()))?;
    if envelope.version != PROTOCOL {
        return Err(AttachError::Refused(format!(
            "the node speaks version {} of the control protocol and this process version {PROTOCOL}; build both from the same release of mobula",
            envelope.version
        )));
    }
    Ok(envelope.body)
}

/// Shows what the workers of an attached driver print, until its node closes the pipe.
#[derive(Debug)]
pub struct Lines {
    thread: JoinHandle<()>,
    ended: crossbeam::channel::Receiver<std::convert::Infallible>,
}

impl Lines {
    fn start(mut pipe: PipeReader) -> io::Result<Self> {
        let (alive, ended) = crossbeam::channel::bounded(0);
        let thread = thread::Builder::new().name("mobula-lines".into()).spawn(move || {
            let _alive = alive;
            sys::block_signals();
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match pipe.read(&mut buffer) {
                    Ok(0) => return,
                    // What cannot be printed is lost: there is nowhere to say so.
                    Ok(count) => drop(io::stderr().lock().write_all(&buffer[..count])),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        })?;
        Ok(Lines { thread, ended })
    }

    /// Waits for the last lines, but no longer than for stderr to take them within `patience`.
    pub fn finish(self, patience: Duration) {
        if self.ended.recv_timeout(patience) == Err(crossbeam::channel::RecvTimeoutError::Disconnected) {
            let _ = self.thread.join();
        }
    }
}

/// Says whether the node of a session folder lives, whatever it does.
pub fn is_living(dir: &Path) -> bool {
    File::open(session::lock_path(dir)).is_ok_and(|lock| session::is_locked(&lock))
}
