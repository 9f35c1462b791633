//! The calls to the operating system that the standard library has no safe form of.
//!
//! One of the two rooms of this crate with `unsafe` in it (the other is `test_support`).

use std::io::Write;

/// Ends this process at once: no destructors, no exit handlers; what the standard streams and C's
/// streams have buffered is written first.
///
/// Other threads of the process still run, so exit handlers of linked libraries must not.
pub(crate) fn exit_now(status: i32) -> ! {
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    // SAFETY: a null stream means all output streams; C's stdio locks each of them itself.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    // SAFETY: ends the process; nothing of it is used afterwards.
    unsafe { libc::_exit(status) }
}

/// Says on stderr why this process ends, and ends it.
///
/// `eprintln!` would panic: if the driver is gone, nobody reads there.
pub(crate) fn exit_saying(text: std::fmt::Arguments<'_>) -> ! {
    let _ = writeln!(std::io::stderr(), "mobula: {text}");
    exit_now(1)
}

/// Ends the process when a thread that it cannot do without unwinds.
#[derive(Debug)]
pub(crate) struct EndWithMe;

impl Drop for EndWithMe {
    fn drop(&mut self) {
        if std::thread::panicking() {
            exit_now(101);
        }
    }
}

/// Kills this process and every process of its group, at once.
pub(crate) fn kill_own_group() -> ! {
    // SAFETY: pid 0 names the caller's own process group; the call touches no memory.
    unsafe { libc::kill(0, libc::SIGKILL) };
    // SAFETY: only reached if the kill failed; ends the process.
    unsafe { libc::_exit(137) }
}

/// Blocks all signals for this thread.
pub(crate) fn block_signals() {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `set` is a valid place for a signal set; the call initialises it.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    // SAFETY: `set` was initialised above; the old set is not wanted.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) };
}

/// Lets all signals through to this thread.
///
/// For threads of user code that a thread of the runtime starts, and whose mask they inherit.
pub(crate) fn unblock_signals() {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `set` is a valid place for a signal set; the call initialises it.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: `set` was initialised above; the old set is not wanted.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut()) };
}
