//! `mobula start`: a process whose only duty is to be a node.
//!
//! ```text
//!   mobula start -- this executable again, with --detach --> a session of its own, no terminal
//!      |  <---------- its stdout: the session folder ---------- |  the node runs
//!      |  <---------- or its end, with its stderr ------------- |
//!   prints it, returns                                          serves until SIGTERM; its output goes nowhere
//! ```
//!
//! It has no driver: workers exist for those that attach, and run their executables.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use mobula_scheduler::config::Config;
use mobula_scheduler::node::Node;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::StartArgs;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(args: &StartArgs, out: &mut Output) -> Result<(), Failure> {
    if args.block || args.detach { serve(args, out) } else { background(out) }
}

/// Is the node.
fn serve(args: &StartArgs, out: &mut Output) -> Result<(), Failure> {
    if args.detach {
        rustix::process::setsid().map_err(|error| Failure::io("could not leave the terminal")(error.into()))?;
        std::env::set_current_dir("/").map_err(Failure::io("could not leave the folder"))?;
    }
    let mut options = config(args).resolve().map_err(|error| Failure::Other(error.to_string()))?.node;
    options.embedded = false;
    // Before the folder is printed: whoever reads it may send a signal at once.
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::io("could not wait for signals"))?;
    let node = Node::start(options)?;
    let told = out.line(node.info().session_dir.to_string_lossy()).and_then(|()| out.flush());
    // A script that only wants a node may have closed the pipe.
    told.or_else(|failure| if failure.is_broken_pipe() { Ok(()) } else { Err(failure) })?;
    if args.detach {
        // Whoever started it waits for the end of its output.
        let null =
            || std::fs::File::options().write(true).open("/dev/null").map_err(Failure::io("could not open /dev/null"));
        let lost = |error: rustix::io::Errno| Failure::io("could not close its output")(error.into());
        rustix::stdio::dup2_stdout(null()?).map_err(lost)?;
        rustix::stdio::dup2_stderr(null()?).map_err(lost)?;
    }
    signals.forever().next();
    node.shutdown();
    Ok(())
}

fn config(args: &StartArgs) -> Config {
    let mut config = Config::new();
    if let Some(amount) = args.num_cpus {
        config = config.num_cpus(amount);
    }
    if let Some(amount) = args.num_gpus {
        config = config.num_gpus(amount);
    }
    for (name, amount) in &args.resource {
        config = config.resource(name, *amount);
    }
    if let Some(bytes) = args.object_store_memory {
        config = config.object_store_memory(bytes);
    }
    if let Some(count) = args.max_processes {
        config = config.max_processes(count);
    }
    config
}

/// Starts the node in another process, and returns when it runs or has failed.
fn background(out: &mut Output) -> Result<(), Failure> {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let mut command = Command::new("/proc/self/exe");
    command.arg0(name).args(arguments).arg("--detach");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(Failure::io("could not start the node's process"))?;
    let (mut said, mut complaint) = (String::new(), String::new());
    let failed = || Failure::io("could not hear from the node's process");
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut said).map_err(failed())?;
    }
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut complaint).map_err(failed())?;
    }
    // What it has to say goes to the caller, whatever came of it.
    let _ = io::stderr().write_all(complaint.as_bytes());
    if said.ends_with('\n') {
        return out.bytes(said.as_bytes());
    }
    let status = child.wait().map_err(failed())?;
    if complaint.is_empty() {
        return Err(Failure::Other(format!("the node's process ended before the node ran: {status}")));
    }
    Err(Failure::Reported)
}
