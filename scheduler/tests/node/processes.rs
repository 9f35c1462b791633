//! What runs below this process, as the kernel tells.

use rustix::process::{Pid, Signal};

use super::driver::until;

/// The name of a template's thread.
const TEMPLATE: &str = "mobula-template\n";

pub(super) fn is_gone(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    // A process that nobody of ours has to wait for may stay a zombie until its new parent does.
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']))
}

pub(super) fn children() -> Vec<u32> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1).map(str::to_owned));
        if parent.as_ref() == Some(&own) {
            found.push(pid);
        }
    }
    found
}

/// Returns the children that are no templates.
pub(super) fn workers() -> Vec<u32> {
    children().into_iter().filter(|&pid| !is_template(pid)).collect()
}

pub(super) fn is_template(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == TEMPLATE)
}

/// Waits for the template and returns its pid.
pub(super) fn template() -> u32 {
    until("the template", || children().into_iter().find(|&pid| is_template(pid)))
}

pub(super) fn signal(pid: u32, signal: Signal) {
    // One that is gone needs none.
    let _ = rustix::process::kill_process(Pid::from_raw(pid as i32).unwrap(), signal);
}
