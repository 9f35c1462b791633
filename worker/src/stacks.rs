//! What all threads of all workers are doing: `stack_traces`.
//!
//! The thread that listens to the node asks each other thread of its process by a signal for the return addresses on its
//! stack (`signals.rs`), one after the other, and finds the names of the functions afterwards. Nothing of this exists
//! before the first question.

use std::fs;

use mobula_scheduler::protocol::{Answer, ToNode};
use mobula_scheduler::stacks::{ThreadStack, WorkerStacks};

use crate::core::{self, Core};
use crate::error::{Error, Result};
use crate::signals;

/// Asks every worker for the stacks of its threads, running or stuck.
///
/// A worker that is stopped, or ends meanwhile, has an entry that says so. The first question to a process takes as long
/// as it takes to read the names of functions out of its executable, which can be seconds.
///
/// # Errors
///
/// `is_not_initialized` if no runtime is up.
///
/// # Examples
///
/// ```no_run
/// for worker in mobula_worker::stack_traces()? {
///     eprintln!("{worker}");
/// }
/// # Ok::<(), mobula_worker::Error>(())
/// ```
pub fn stack_traces() -> Result<Vec<WorkerStacks>> {
    let core = core::current()?;
    match core.link().ask(|request| ToNode::AskStacks { request })? {
        Answer::Stacks(stacks) => Ok(stacks),
        other => Err(Error::system(format!("the node answered {other:?} when asked for stacks"))),
    }
}

/// Answers the node's question.
pub(crate) fn tell(core: &Core, inquiry: u64) {
    core.link().send(ToNode::Stacks { inquiry, threads: own() });
}

fn own() -> Vec<ThreadStack> {
    let mut threads: Vec<(u32, String)> = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            Some((entry.file_name().to_str()?.parse().ok()?, name.trim().to_owned()))
        })
        .collect();
    threads.sort_unstable();
    let captured: Vec<_> = threads.iter().map(|(tid, _)| signals::capture(*tid)).collect();
    let stack = |((tid, name), captured): ((u32, String), Result<Vec<usize>, String>)| match captured {
        Ok(addresses) => ThreadStack::new(tid, name, named(&addresses), None),
        Err(trouble) => ThreadStack::new(tid, name, Vec::new(), Some(trouble)),
    };
    threads.into_iter().zip(captured).map(stack).collect()
}

/// Finds the functions that addresses are in; one that was inlined stands above the one that it is part of.
fn named(addresses: &[usize]) -> Vec<String> {
    let mut frames = Vec::new();
    for &address in addresses {
        let before = frames.len();
        backtrace::resolve(std::ptr::without_provenance_mut(address), |symbol| {
            let name = symbol.name().map_or_else(|| "?".to_owned(), |name| format!("{name:#}"));
            frames.push(match (symbol.filename(), symbol.lineno()) {
                (Some(file), Some(line)) => format!("{name} at {}:{line}", file.display()),
                _ => name,
            });
        });
        if frames.len() == before {
            frames.push(format!("{address:#x}"));
        }
    }
    // What brought it here is the same for all.
    match frames.iter().rposition(|frame| frame.contains("signals::on_signal") || frame.contains("__restore_rt")) {
        Some(last) => frames.split_off(last + 1),
        None => frames,
    }
}
