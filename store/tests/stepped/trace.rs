//! Tracing a child, one instruction at a time, or from one system call to the next at full speed.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use mobula_store::Store;

use crate::memory::SharedMemory;
use crate::tracee::{Tracee, Until};
use crate::{ADDRESS, OPERATION};

/// A place in an operation: after so many system calls, and then so many instructions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) calls: usize,
    pub(crate) steps: usize,
}

/// A child that stands before, in or behind its operation.
pub(crate) struct Stepped {
    child: Child,
    ended: bool,
}

impl Stepped {
    /// Starts a child and waits until it stands before its operation.
    pub(crate) fn start(operation: &str, store: &Store) -> Stepped {
        let child = Command::new(std::env::current_exe().expect("this binary"))
            .env(OPERATION, operation)
            .env(ADDRESS, store.address())
            .spawn()
            .expect("a child");
        let mut stepped = Stepped { child, ended: false };
        let status = stepped.wait();
        assert!(libc::WIFSTOPPED(status), "{operation}: the child did not stop but ended with {status:#x}");
        stepped
    }

    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    fn tracee(&self) -> Tracee {
        Tracee::child(self.child.id())
    }

    fn wait(&mut self) -> i32 {
        let status = self.tracee().wait();
        self.ended = !libc::WIFSTOPPED(status);
        status
    }

    /// Lets the child run `steps` instructions, or to its end.
    pub(crate) fn step(&mut self, steps: usize) {
        for _ in 0..steps {
            if !self.step_once() {
                return;
            }
        }
    }

    /// Lets the child come to a place, or to its end.
    pub(crate) fn go_to(&mut self, place: Place) {
        for _ in 0..place.calls {
            // It stops at the entry of a call and at its return.
            if !(self.run_to_call() && self.run_to_call()) {
                return;
            }
        }
        self.step(place.steps);
    }

    /// Lets the child run to its end, counts its instructions and lists the places before them: all, or one for each
    /// stretch in which nothing changes that others can see.
    pub(crate) fn places(&mut self, all: bool) -> (usize, Vec<Place>) {
        let mut memory = (!all).then(|| SharedMemory::of(self.pid()));
        let mut place = Place { calls: 0, steps: 0 };
        let (mut total, mut places) = (1, vec![place]);
        loop {
            let calls = self.is_at_call();
            if !self.step_once() {
                return (total, places);
            }
            place = match calls {
                true => Place { calls: place.calls + 1, steps: 0 },
                false => Place { steps: place.steps + 1, ..place },
            };
            total += 1;
            assert!(total < 5_000_000, "the operation does not end");
            let changed = memory.as_mut().is_none_or(|memory| {
                if calls {
                    memory.list();
                }
                memory.has_changed() || calls
            });
            if changed {
                places.push(place);
            }
        }
    }

    /// Says whether the child's next instruction is a system call.
    fn is_at_call(&self) -> bool {
        const SYSCALL: libc::c_long = 0x050f;
        let at = std::mem::offset_of!(libc::user_regs_struct, rip);
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: reads a register of our own stopped child; no memory of ours is involved.
        let rip = unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, self.pid(), at, none) };
        // SAFETY: reads a word of our own stopped child; no memory of ours is involved.
        let code = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, self.pid(), rip, none) };
        code & 0xffff == SYSCALL
    }

    /// Lets the child run to the entry or the return of a system call; false at its end.
    fn run_to_call(&mut self) -> bool {
        self.tracee().resume(Until::Call, 0);
        libc::WIFSTOPPED(self.wait())
    }

    /// Says whether the child has come to its end.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Lets the child run to its end and counts the instructions.
    pub(crate) fn step_to_end(&mut self) -> usize {
        let mut steps = 0;
        while self.step_once() {
            steps += 1;
            assert!(steps < 5_000_000, "the operation does not end");
        }
        steps
    }

    fn step_once(&mut self) -> bool {
        if self.ended {
            return false;
        }
        self.tracee().resume(Until::Step, 0);
        libc::WIFSTOPPED(self.wait())
    }

    /// Lets the child run to its end and counts its system calls.
    pub(crate) fn count_calls(mut self) -> usize {
        let mut stops = 0;
        while !self.ended {
            stops += usize::from(self.run_to_call());
        }
        // One stop at the entry and one at the return of each call; the last call does not return.
        stops.div_ceil(2)
    }

    /// Kills the child where it stands.
    pub(crate) fn kill(mut self) {
        if !self.ended {
            self.child.kill().expect("SIGKILL");
            self.wait();
        }
    }
}

impl Drop for Stepped {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Called by the child right before its operation: from here on the parent steps.
pub(crate) fn stand() {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: asks to be traced by the parent; touches no memory.
    let traced = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, none, none) };
    assert_eq!(traced, 0, "ptrace is not allowed here");
    // SAFETY: stops this process until the parent goes on with it.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Ends this process as a death does: no destructor runs.
pub(crate) fn exit_now() -> ! {
    // SAFETY: `_exit` never returns and runs nothing of ours.
    unsafe { libc::_exit(0) }
}

/// Attaches; a machine that is too busy to answer at once is asked again.
pub(crate) fn attach(address: &str) -> Store {
    let mut attached = None;
    eventually(&format!("no store answers at {address}"), || {
        attached = Store::attach(address).ok();
        attached.is_some()
    });
    attached.expect("it came true")
}

/// Waits until a condition holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}
