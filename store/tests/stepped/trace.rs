//! Tracing a child, one instruction at a time.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use mobula_store::Store;

use crate::{ADDRESS, OPERATION};

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

    fn wait(&mut self) -> i32 {
        let mut status = 0;
        // SAFETY: waits for our own child; the status is a local.
        let got = unsafe { libc::waitpid(self.pid(), &raw mut status, 0) };
        assert_eq!(got, self.pid(), "waitpid");
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
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: steps our own stopped child; no memory of ours is involved.
        let stepped = unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, self.pid(), none, none) };
        assert_eq!(stepped, 0, "ptrace: {}", std::io::Error::last_os_error());
        let status = self.wait();
        libc::WIFSTOPPED(status)
    }

    /// Lets the child run to its end and counts its system calls.
    pub(crate) fn count_calls(mut self) -> usize {
        let none = std::ptr::null_mut::<libc::c_void>();
        let mut stops = 0;
        while !self.ended {
            // SAFETY: lets our own stopped child run to its next system call; no memory of ours is involved.
            let resumed = unsafe { libc::ptrace(libc::PTRACE_SYSCALL, self.pid(), none, none) };
            assert_eq!(resumed, 0, "ptrace: {}", std::io::Error::last_os_error());
            let status = self.wait();
            stops += usize::from(libc::WIFSTOPPED(status));
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

/// Waits until a condition holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}
