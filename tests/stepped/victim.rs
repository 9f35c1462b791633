//! A worker of which one thread is stepped.

use std::time::{Duration, Instant};

use crate::support::signal;
use crate::tracee::{Tracee, Until};

/// How long one instruction, a system call perhaps that waits for another process, may take.
const DEADLINE: Duration = Duration::from_secs(40);

/// After how many instructions the answer is looked for.
const STRIDE: u64 = 64;

/// Returns the pid of this process and the id of this thread.
pub(crate) fn this_thread() -> (u32, u32) {
    let path = std::fs::read_link("/proc/thread-self").unwrap();
    let tid = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
    (std::process::id(), tid)
}

/// How the way to a place ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ran {
    /// Killed at the place.
    Killed,
    /// The answer was there before, after about so many instructions; the victim goes on.
    Answered(u64),
}

/// A worker's thread, traced and stopped.
pub(crate) struct Stepped {
    pid: u32,
    tid: u32,
    tracee: Tracee,
    /// The signal that it is to get when it goes on.
    signal: i32,
}

impl Stepped {
    /// Stops a thread of a worker.
    pub(crate) fn seize(pid: u32, tid: u32) -> Stepped {
        Stepped { pid, tid, tracee: Tracee::seize(tid), signal: 0 }
    }

    /// Lets the thread run `place` instructions and kills its process there, unless `answered` comes true before.
    pub(crate) fn run(mut self, place: u64, mut answered: impl FnMut() -> bool) -> Ran {
        for steps in 0..place {
            if steps % STRIDE == STRIDE - 1 && answered() {
                self.tracee.let_go();
                return Ran::Answered(steps);
            }
            if !self.step(&mut answered) {
                // It sleeps, and has nothing to do any more.
                self.tracee.stop();
                self.tracee.let_go();
                return Ran::Answered(steps);
            }
        }
        self.kill();
        Ran::Killed
    }

    /// Lets it run one instruction; false if that waits for ever, the answer being there.
    fn step(&mut self, answered: &mut impl FnMut() -> bool) -> bool {
        self.tracee.resume(Until::Step, std::mem::take(&mut self.signal));
        let start = Instant::now();
        let mut looks = 0_u32;
        loop {
            if let Some(status) = self.tracee.try_wait() {
                assert!(libc::WIFSTOPPED(status), "the victim ended by itself: {status:#x}");
                let signal = libc::WSTOPSIG(status);
                self.signal = if signal == libc::SIGTRAP { 0 } else { signal };
                return true;
            }
            looks += 1;
            // An instruction is over at once; what is not over is a system call that sleeps.
            if looks > 1_000 {
                if answered() {
                    return false;
                }
                assert!(start.elapsed() < DEADLINE, "an instruction of the victim never ends");
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }

    fn kill(self) {
        signal(self.pid, "KILL");
        // The node waits for the process, which has not ended before its tracer has seen its threads end.
        if self.pid != self.tid {
            let status = self.tracee.wait();
            assert!(libc::WIFSIGNALED(status), "the victim was killed: {status:#x}");
        }
    }
}
