//! What the kernel tells about processes: descendants, rest, memory.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::getpid;
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

use crate::error::{Error, Result};

/// How long everything must have been quiet.
const QUIET: Duration = Duration::from_millis(20);

/// Returns the pids of this process's children, their children, and so on.
pub(crate) fn descendants() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![std::process::id()];
    let mut next = 0;
    while let Some(&ancestor) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == ancestor).map(|(pid, _)| pid));
        next += 1;
    }
    found.split_off(1)
}

/// Waits until this process has `count` descendants or more and neither they nor this process's other
/// threads do anything; false if that did not come in time.
pub(crate) fn wait_until_quiet(count: usize, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    let mut before = None;
    while Instant::now() < deadline {
        let pids = descendants();
        let now = (pids.len() >= count).then(|| activity(&pids)).flatten();
        if now.is_some() && now == before {
            return true;
        }
        before = now;
        std::thread::sleep(QUIET);
    }
    false
}

/// Returns the proportional share of memory of a process, in bytes.
pub(crate) fn pss(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).map_err(Error::io("read smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    let missing = || Error::Io { what: "find Pss in smaps_rollup", source: std::io::ErrorKind::InvalidData.into() };
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(missing)
}

/// Returns the nanoseconds for which the threads of processes have run so far.
///
/// A thread that ends takes its time with it: this is for processes that start and end none.
pub(crate) fn cpu_ns(pids: &[u32]) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(Error::io("list threads"))?;
        for task in tasks.flatten() {
            // A thread that has ended in between has no time to read.
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            sum += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(sum)
}

/// Keeps this thread and a child on chosen processors; dropping it sets this thread free.
#[derive(Debug)]
pub(crate) struct Pinned {
    before: CpuSet,
}

impl Pinned {
    /// Puts this thread on the first allowed processor and `child` on the one with the given number
    /// among the allowed ones.
    pub(crate) fn new(child: u32, number: usize) -> Result<Self> {
        let what = "pin to a processor";
        let before = sched_getaffinity(None).map_err(Error::os(what))?;
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| before.is_set(cpu)).collect();
        let only = |number: usize| {
            let mut set = CpuSet::new();
            set.set(allowed.get(number).copied().unwrap_or(0));
            set
        };
        let child = i32::try_from(child).ok().and_then(rustix::process::Pid::from_raw);
        sched_setaffinity(child, &only(number)).map_err(Error::os(what))?;
        let pinned = Pinned { before };
        sched_setaffinity(None, &only(0)).map_err(Error::os(what))?;
        Ok(pinned)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was allowed before, so it is again.
        let _ = sched_setaffinity(None, &self.before);
    }
}

fn parent(pid: u32) -> Option<u32> {
    // The name in parentheses may hold anything, the last parenthesis ends it.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// Returns the processor time of all threads but this one, by thread; `None` if one of them runs or
/// wants to.
fn activity(others: &[u32]) -> Option<Vec<(u32, String)>> {
    let (process, thread) = (getpid().as_raw_nonzero().get() as u32, gettid().as_raw_nonzero().get() as u32);
    let mut times = Vec::new();
    for &pid in others.iter().chain([&process]) {
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            let Some(tid) = task.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if tid == thread {
                continue;
            }
            let stat = fs::read_to_string(task.path().join("stat")).ok()?;
            if stat.rsplit(')').next()?.trim_start().starts_with('R') {
                return None;
            }
            times.push((tid, fs::read_to_string(task.path().join("schedstat")).ok()?));
        }
    }
    Some(times)
}
