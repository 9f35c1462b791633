//! The other sides: this executable started again to play one part of a measurement.
//!
//! ```text
//!   argv[1] = CHILD, argv[2] = role, argv[3..] = its arguments
//!   fd 0 = shared memory (spin, futex, stream, store-sleeper), or a pipe whose end ends the child and
//!          that brings orders, a line each (idle, store-peer)
//!   fd 1 = a byte when it is ready, its report, or answers, a line each
//! ```
//!
//! A child dies with its parent, even one that spins.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child as Process, Command, ExitCode, Stdio};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::error::{Error, Result};
use crate::limits::rounds;
use crate::shared::Lines;
use crate::suites;

/// The first argument of a process that plays a part; the role follows.
pub const CHILD: &str = "__mobula-bench-child";

/// The parts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Says hello and ends.
    Hello,
    /// Answers in a word, spinning.
    Spin,
    /// Answers in a word, sleeping on it.
    Futex,
    /// Answers in a ring of words, spinning.
    Stream,
    /// Does nothing.
    Idle,
    /// Does to a store what it is told.
    StorePeer,
    /// Sleeps until it is woken, on a word and in a store.
    StoreSleeper,
    /// Starts a runtime and tells how long everything took.
    StartupProbe,
}

impl Role {
    const ALL: [Role; 8] = [
        Role::Hello,
        Role::Spin,
        Role::Futex,
        Role::Stream,
        Role::Idle,
        Role::StorePeer,
        Role::StoreSleeper,
        Role::StartupProbe,
    ];

    /// Returns the role's name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Hello => "hello",
            Role::Spin => "spin",
            Role::Futex => "futex",
            Role::Stream => "stream",
            Role::Idle => "idle",
            Role::StorePeer => "store-peer",
            Role::StoreSleeper => "store-sleeper",
            Role::StartupProbe => "startup-probe",
        }
    }
}

/// Plays a part if this process was started for one; then `main` returns the exit code at once.
///
/// It comes before anything else in `main` but the worker check: parts may start a runtime of their
/// own, and their workers have the same arguments.
pub fn run_child_role() -> Option<ExitCode> {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some(CHILD) {
        return None;
    }
    let name = args.next().unwrap_or_default();
    let role = Role::ALL.into_iter().find(|role| role.name() == name);
    let args: Vec<String> = args.collect();
    let played = die_with_parent().and_then(|()| match role {
        Some(role) => play(role, &args),
        None => Err(Error::Child { role: "nothing", what: format!("knows no part {name:?}") }),
    });
    Some(match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    })
}

fn play(role: Role, args: &[String]) -> Result<()> {
    match role {
        Role::Hello => ready(),
        Role::Spin => rounds::spin_echo(&lines()?),
        Role::Futex => rounds::futex_echo(&lines()?),
        Role::Stream => rounds::stream_echo(&lines()?),
        Role::Idle => ready().and_then(|()| wait_for_end()),
        Role::StorePeer => suites::store::peer::play(args),
        Role::StoreSleeper => suites::store::wake::sleep(args, &lines()?),
        Role::StartupProbe => suites::startup::probe(args),
    }
}

/// Tells the parent that this child is ready.
pub(crate) fn ready() -> Result<()> {
    report("+")
}

/// Tells the parent something.
pub(crate) fn report(text: &str) -> Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::io("write to the parent"))
}

/// Waits until the parent closes its end of standard input.
pub(crate) fn wait_for_end() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop).map_err(Error::io("read from the parent"))
}

fn lines() -> Result<Lines> {
    let fd = io::stdin().as_fd().try_clone_to_owned().map_err(Error::io("take shared memory"))?;
    Lines::of(File::from(fd))
}

fn die_with_parent() -> Result<()> {
    let parent = getppid();
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(Error::os("ask to die with the parent"))?;
    // It may have died before that was in place.
    if getppid() != parent {
        Err(Error::Child { role: "a part", what: "has lost its parent".to_owned() })
    } else {
        Ok(())
    }
}

/// A running child; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Child {
    role: Role,
    process: Process,
}

impl Child {
    /// Starts a child.
    pub(crate) fn start(role: Role, args: &[String], stdin: Stdio) -> Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.arg(CHILD).arg(role.name()).args(args).stdin(stdin).stdout(Stdio::piped());
        let process = command.spawn().map_err(Error::io("start a child process"))?;
        Ok(Child { role, process })
    }

    /// Starts a child that shares `lines`, and waits until it is ready.
    pub(crate) fn with_lines(role: Role, args: &[String], lines: &Lines) -> Result<Self> {
        let mut child = Self::start(role, args, lines.file()?.into())?;
        child.wait_ready()?;
        Ok(child)
    }

    /// Waits for the child's first byte.
    pub(crate) fn wait_ready(&mut self) -> Result<()> {
        let mut byte = [0];
        let Some(out) = &mut self.process.stdout else { return Err(self.failed("has no output")) };
        match out.read_exact(&mut byte) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failed("ended before it was ready")),
        }
    }

    /// Sends a line.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let Some(input) = &mut self.process.stdin else { return Err(self.failed("has no input")) };
        input.write_all(format!("{line}\n").as_bytes()).map_err(Error::io("write to a child"))
    }

    /// Waits for the child's next line.
    pub(crate) fn answer(&mut self) -> Result<String> {
        let Some(out) = &mut self.process.stdout else { return Err(self.failed("has no output")) };
        let (mut line, mut byte) = (Vec::new(), [0]);
        // Lines are short and rare: a buffer would only have to be kept.
        while out.read_exact(&mut byte).is_ok() {
            if byte == [b'\n'] {
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            line.extend(byte);
        }
        Err(self.failed("ended before it answered"))
    }

    /// Kills the child and does not wait for its end.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill().map_err(Error::io("kill a child"))
    }

    /// Returns all that the child says until it ends by itself.
    pub(crate) fn report(mut self) -> Result<String> {
        let mut text = String::new();
        if let Some(mut out) = self.process.stdout.take() {
            out.read_to_string(&mut text).map_err(Error::io("read from a child"))?;
        }
        let status = self.process.wait().map_err(Error::io("wait for a child"))?;
        if status.success() { Ok(text) } else { Err(self.failed(&format!("ended with {status}"))) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn failed(&self, what: &str) -> Error {
        Error::Child { role: self.role.name(), what: what.to_owned() }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only if it has ended and been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
