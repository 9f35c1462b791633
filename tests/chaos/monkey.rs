//! Kills a driver's workers at random.

use std::fs;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::driver;
use super::random::Random;
use super::support::is_alive;

/// Kills until its time is over.
pub(crate) struct Monkey(JoinHandle<u32>);

impl Monkey {
    /// The workers of this process are children of its `node`.
    pub(crate) fn start(node: u32, mut random: Random, end: Instant) -> Self {
        Monkey(thread::spawn(move || {
            let mut killed = 0;
            while Instant::now() < end {
                // The pause is the point: between two kills the load has to get somewhere.
                thread::sleep(Duration::from_micros(500 + random.below(60_000)));
                let workers: Vec<_> = children(node).into_iter().filter(|&pid| is_worker(pid)).collect();
                if !workers.is_empty() {
                    let victim = workers[random.below(workers.len() as u64) as usize];
                    kill(victim);
                    killed += 1;
                }
            }
            killed
        }))
    }

    /// Returns how many processes it has killed.
    pub(crate) fn join(self) -> u32 {
        self.0.join().unwrap()
    }
}

/// Tells this driver's workers, and their template, from other drivers and theirs: each has a mark of its own.
fn is_worker(pid: u32) -> bool {
    // A driver that is only being started has no mark yet, but it is no worker either.
    driver::variable_of(pid, "MOBULA_WORKER").is_some() && driver::mark_of(pid) == std::env::var(driver::ROLE).ok()
}

/// Lists the living children of a process.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&pid| parent_of(pid) == Some(parent) && is_alive(pid)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

fn kill(pid: u32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: kill takes numbers and no pointer. The process is a child of this one that nobody else waits for
    // between the look and here but the node; a pid that was given out anew meanwhile would be a child's again.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}
