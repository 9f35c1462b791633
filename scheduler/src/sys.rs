//! The only place of this crate that calls into the system without a safe wrapper.
//!
//! Each function is safe to call or says in `# Safety` what its caller owes. Everything that
//! rustix or std offer safely is called where it is needed and does not pass here.

pub(crate) mod fork;
mod messages;
pub(crate) mod pids;

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

use rustix::fs::FileType;
use rustix::net::{SocketAddrUnix, getsockname};

pub(crate) use self::messages::{recv_with_fds, send_with_fds};

/// Returns true if this process has exactly one thread.
pub(crate) fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// Sets or removes an environment variable if no other thread exists; returns whether it did.
///
/// With other threads about the environment is left alone: any of them may be reading it.
pub(crate) fn change_env(key: &str, value: Option<&OsStr>) -> bool {
    if !is_single_threaded() {
        return false;
    }
    match value {
        // SAFETY: the calling thread is the only one (checked above, and none can start but by this
        // one), so nobody reads or writes the environment meanwhile.
        Some(value) => unsafe { std::env::set_var(key, value) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var(key) },
    }
    true
}

/// Returns the pid of the parent process, 0 if it is outside of this pid namespace.
pub(crate) fn parent_pid() -> u32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs())
}

/// Returns the inode of the socket behind a descriptor, `None` if it is no socket.
pub(crate) fn socket_inode(fd: impl AsFd) -> Option<u64> {
    let stat = rustix::fs::fstat(fd).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::Socket).then_some(stat.st_ino)
}

/// Returns a descriptor of its own for the socket of this process that is bound to `path`.
pub(crate) fn socket_at(path: &str) -> io::Result<OwnedFd> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        // SAFETY: it was open a moment ago. If another thread has closed it since, the only call that it is used for
        // fails, or copies whatever has its number now, which is looked at below; neither changes anything of others.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let Ok(own) = rustix::io::fcntl_dupfd_cloexec(fd, 3) else {
            continue;
        };
        let bound = getsockname(&own).ok().and_then(|address| SocketAddrUnix::try_from(address).ok());
        if bound.is_some_and(|address| address.path_bytes() == Some(path.as_bytes())) {
            return Ok(own);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no socket of this process is bound to {path}")))
}

/// Makes two pipes this process's standard output and error.
///
/// What C's streams and std's have buffered must have been written before.
pub(crate) fn take_output(out: OwnedFd, err: OwnedFd) -> io::Result<()> {
    rustix::stdio::dup2_stdout(&out)?;
    Ok(rustix::stdio::dup2_stderr(&err)?)
}

/// Writes what standard output has buffered, std's and C's, so that no copy of this process writes it again.
pub(crate) fn flush_output() {
    use std::io::Write;
    let _ = io::stdout().flush();
    // SAFETY: a null stream means all output streams; C's stdio locks each of them itself.
    unsafe { libc::fflush(ptr::null_mut()) };
}

/// Moves standard input to a close-on-exec descriptor and puts `/dev/null` in its place.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let taken = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    let null = std::fs::File::open("/dev/null")?;
    // SAFETY: both descriptors are open, and replacing what stands behind 0 closes nothing that
    // anybody owns: standard input belongs to nobody.
    if unsafe { libc::dup2(null.as_raw_fd(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(taken)
}

/// Blocks every signal in the calling thread, so that the host's handlers never run on it.
pub(crate) fn block_signals() {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is to memory of the right type, which the call initialises.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    // SAFETY: sigfillset above has initialised the set; a null old set asks for nothing back.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), ptr::null_mut()) };
}

/// Runs `start` with no signal blocked, because a new process inherits the mask of the thread that starts it.
pub(crate) fn with_signals<R>(start: impl FnOnce() -> R) -> R {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is to memory of the right type, which the call initialises.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: sigemptyset above has initialised the set; a null old set asks for nothing back.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) };
    let result = start();
    block_signals();
    result
}

/// The real-time signal by which a worker hears of its parent's death: far from those that
/// runtimes and profilers tend to take from the low end.
fn death_signal() -> libc::c_int {
    libc::SIGRTMAX() - 5
}

extern "C" fn end_group(_signal: libc::c_int) {
    // SAFETY: kill is async-signal-safe and takes no pointer; group 0 is the caller's own.
    unsafe { libc::kill(0, libc::SIGKILL) };
}

/// Arranges that this process and its group are killed when the thread that started it ends.
///
/// The kernel binds this to the calling thread: call it on one that lives as long as the process.
pub(crate) fn die_with_parent() -> io::Result<()> {
    let signal = death_signal();
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all-zero bytes are a valid sigaction: no flags, an empty mask, the default handler.
    let action = unsafe { action.assume_init_mut() };
    action.sa_sigaction = end_group as extern "C" fn(libc::c_int) as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the pointer is to a whole sigaction with a handler of the one-argument kind, which
    // only calls what is async-signal-safe; a null old action asks for nothing back.
    if unsafe { libc::sigaction(signal, action, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and no pointer.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Ends this process without running destructors or exit handlers.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}

/// True for a signal that stops a process, and never ends one.
pub(crate) fn is_stop_signal(signal: i32) -> bool {
    matches!(signal, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU)
}

/// Returns the name of a signal, such as `SIGSEGV`.
pub(crate) fn signal_name(signal: i32) -> Option<String> {
    if signal <= 0 || signal >= libc::SIGRTMIN() {
        return None;
    }
    const NAMES: [(i32, &str); 26] = [
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGTRAP, "SIGTRAP"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGUSR1, "SIGUSR1"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGUSR2, "SIGUSR2"),
        (libc::SIGPIPE, "SIGPIPE"),
        (libc::SIGALRM, "SIGALRM"),
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGCHLD, "SIGCHLD"),
        (libc::SIGCONT, "SIGCONT"),
        (libc::SIGSTOP, "SIGSTOP"),
        (libc::SIGTSTP, "SIGTSTP"),
        (libc::SIGURG, "SIGURG"),
        (libc::SIGXCPU, "SIGXCPU"),
        (libc::SIGXFSZ, "SIGXFSZ"),
        (libc::SIGVTALRM, "SIGVTALRM"),
        (libc::SIGPROF, "SIGPROF"),
        (libc::SIGIO, "SIGIO"),
        (libc::SIGSYS, "SIGSYS"),
    ];
    let name = NAMES.iter().find(|(number, _)| *number == signal)?.1;
    Some(name.to_owned())
}
