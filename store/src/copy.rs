//! Copies of many bytes, at the speed of the memory.
//!
//! ```text
//!   below 16 MiB     one memcpy
//!   from 16 MiB on   pieces of 2 MiB, drawn in turn by the caller and one helper thread
//!   from 32 MiB on   ... each by the kernel of kernel.rs that has proved fastest in this process
//! ```
//!
//! Which way of storing is fastest differs between processors by a factor of two and in both
//! directions: on one, streaming stores that take turns on several pages move twice what memcpy does
//! and straight ones a third more; on another the straight ones win and taking turns gains nothing.
//! No table of processors would stay true, so that choice.rs lets the first large copies of a process
//! decide, on pieces that have to be copied anyway.
//!
//! The helper is the one thread of a pool of the store's own (never the program's global one), made at
//! the first large copy. A forked child has no such thread and copies alone, and so does everybody
//! while no processor is idle: on a busy machine the caller would wait for a thread whose turn does
//! not come.

mod choice;
#[allow(unsafe_code, reason = "stores that go round the caches")]
mod kernel;

use std::sync::{Mutex, OnceLock, PoisonError};

use choice::Choice;
use kernel::Kernel;
use rayon::ThreadPool;

use crate::sys::fork;

/// From this size on a second thread pays for its start.
const PARALLEL: usize = 16 << 20;
/// From this size on the caches do not hold what is copied, and going round them may pay.
const STREAM: usize = 32 << 20;
/// What one thread copies at a time.
const PIECE: usize = 2 << 20;

static CHOICE: Choice = Choice::new();

/// Copies `from` into `to`, which has the same length.
///
/// # Panics
///
/// As `copy_from_slice`, if the lengths differ.
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    if from.len() < PARALLEL || to.len() != from.len() {
        return to.copy_from_slice(from);
    }
    let is_long = from.len() >= STREAM;
    let pieces = Mutex::new(to.chunks_mut(PIECE).zip(from.chunks(PIECE)));
    side_by_side(&|_| {
        loop {
            let piece = pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((to, from)) = piece else { return };
            if is_long { CHOICE.copy(to, from) } else { Kernel::Plain.copy(to, from) }
        }
    });
}

/// Who works on something that two threads share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The thread that asked.
    Caller,
    /// The thread that lends a hand.
    Helper,
}

/// Runs `work` in this thread and, if a processor is idle, in a second one at the same time.
///
/// Either may find that the other has left nothing to do.
pub(crate) fn side_by_side(work: &(dyn Fn(Who) + Sync)) {
    if !has_idle_processor() {
        return work(Who::Caller);
    }
    match pool() {
        Some(pool) => pool.in_place_scope(|scope| {
            scope.spawn(|_| work(Who::Helper));
            work(Who::Caller);
        }),
        // Without a helper the caller does it all.
        None => work(Who::Caller),
    }
}

/// Returns the pool of this process; none in a forked child, where its thread is not.
fn pool() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<(u32, Option<ThreadPool>)> = OnceLock::new();
    let make = || rayon::ThreadPoolBuilder::new().num_threads(1).thread_name(|_| "mobula-copy".to_owned()).build();
    let (stamp, pool) = POOL.get_or_init(|| (fork::stamp(), make().ok()));
    pool.as_ref().filter(|_| *stamp == fork::current())
}

/// Says whether fewer threads can run at this moment than there are processors for this process.
fn has_idle_processor() -> bool {
    // Asked once: the answer takes several system calls.
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    let processors = *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from));
    // "0.20 0.18 0.12 1/80 11206": one thread of 80, this one, can run.
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let running = load.split(' ').nth(3).and_then(|threads| threads.split('/').next()?.parse().ok());
    running.unwrap_or(1) < processors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_and_offset_arrives_whole() {
        for len in [0, 1, 4097, PARALLEL - 1, PARALLEL, PARALLEL + 1, STREAM + PIECE + 12_345] {
            for shift in [0, 1, 63] {
                let from: Vec<u8> = (0..len + shift).map(|i| (i * 7 + i / 4096) as u8).collect();
                let mut to = vec![0; len + shift];
                copy(&mut to[shift..], &from[shift..]);
                assert!(to[shift..] == from[shift..], "{len} bytes at {shift}");
                assert!(to[..shift].iter().all(|&b| b == 0), "{len} bytes at {shift}: wrote before the start");
            }
        }
    }

    #[test]
    fn both_sides_draw_from_the_same_work() {
        let left = Mutex::new(0..1000_u32);
        let seen = Mutex::new(Vec::new());
        side_by_side(&|_| {
            loop {
                let Some(n) = left.lock().unwrap().next() else { return };
                seen.lock().unwrap().push(n);
            }
        });
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    }
}
