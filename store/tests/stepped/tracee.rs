//! A thread that another process lets run one instruction at a time. Also used by the tests of calls
//! (`tests/stepped` of the workspace's root).

use std::io;

/// A traced thread; whoever began to trace it makes every call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tracee {
    tid: i32,
}

/// How far a stopped thread runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// One instruction; a system call is one.
    Step,
    /// To the entry or the return of a system call.
    #[allow(dead_code, reason = "not every test runs from call to call")]
    Call,
}

#[allow(dead_code, reason = "each test uses its part")]
impl Tracee {
    /// Names a thread that has asked to be traced by its parent.
    pub(crate) fn child(pid: u32) -> Tracee {
        Tracee { tid: pid.cast_signed() }
    }

    /// Begins to trace a thread of a process below this one, and stops it wherever it is; other threads run on.
    pub(crate) fn seize(tid: u32) -> Tracee {
        let tracee = Tracee { tid: tid.cast_signed() };
        tracee.ask(libc::PTRACE_SEIZE, 0);
        tracee.stop();
        tracee
    }

    /// Stops a running or sleeping thread that was seized.
    pub(crate) fn stop(self) {
        self.ask(libc::PTRACE_INTERRUPT, 0);
        let status = self.wait();
        assert!(libc::WIFSTOPPED(status), "thread {} did not stop but ended with {status:#x}", self.tid);
    }

    /// Lets a stopped thread go, for good.
    pub(crate) fn let_go(self) {
        self.ask(libc::PTRACE_DETACH, 0);
    }

    /// Lets a stopped thread run, with a signal if that is not 0.
    pub(crate) fn resume(self, until: Until, signal: i32) {
        let request = match until {
            Until::Step => libc::PTRACE_SINGLESTEP,
            Until::Call => libc::PTRACE_SYSCALL,
        };
        self.ask(request, signal);
    }

    /// Waits until it has stopped or ended; returns its status.
    pub(crate) fn wait(self) -> i32 {
        self.wait_with(0).expect("a wait without an end ends with a status")
    }

    /// Returns its status if it has stopped or ended.
    pub(crate) fn try_wait(self) -> Option<i32> {
        self.wait_with(libc::WNOHANG)
    }

    fn wait_with(self, options: i32) -> Option<i32> {
        let mut status = 0;
        // SAFETY: waits for a thread that this one traces; the status is a local.
        let got = unsafe { libc::waitpid(self.tid, &raw mut status, options | libc::__WALL) };
        assert!(got == self.tid || got == 0, "waitpid: {}", io::Error::last_os_error());
        (got != 0).then_some(status)
    }

    fn ask(self, request: libc::c_uint, data: i32) {
        let none = std::ptr::null_mut::<libc::c_void>();
        let data = std::ptr::without_provenance_mut::<libc::c_void>(data as usize);
        // SAFETY: one of the requests above, none of which touches memory of ours.
        let answer = unsafe { libc::ptrace(request, self.tid, none, data) };
        assert_eq!(answer, 0, "ptrace of thread {}: {}", self.tid, io::Error::last_os_error());
    }
}
