//! `MOBULA_DEBUG=Class`: a worker that waits for a debugger before it makes its actor.
//!
//! It waits as a process that has joined: nothing counts its time, it can be killed, and it goes on if its actor has
//! become useless meanwhile.

use std::fs;
use std::thread;
use std::time::Duration;

use mobula_scheduler::ids::ActorId;

use crate::core::Core;
use crate::sys;

/// Names the classes whose workers wait, with commas between them.
const VARIABLE: &str = "MOBULA_DEBUG";

/// How often a worker looks whether a debugger is there.
const LOOK: Duration = Duration::from_millis(20);

/// Waits for a debugger if the class is one of those whose workers do.
pub(crate) fn wait_if_wanted(core: &Core, actor: ActorId, class: &str) {
    let wanted = std::env::var(VARIABLE).is_ok_and(|names| names.split(',').any(|name| name.trim() == class));
    if !wanted || is_traced() {
        return;
    }
    sys::let_anybody_trace();
    let pid = std::process::id();
    core.say(format!("mobula: the worker process {pid} of {class} waits for a debugger: gdb -p {pid}"), true);
    while !is_traced() && !core.executor().is_ending(actor) {
        thread::sleep(LOOK);
    }
}

fn is_traced() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|pid| pid.trim() != "0")
}
