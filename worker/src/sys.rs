//! The calls to the operating system that the standard library has no safe form of.
//!
//! One of the two rooms of this crate with `unsafe` in it (the other is `test_support`).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The runtime's own threads of a worker, by the names that they give themselves first of all.
const OWN_THREADS: [&str; 4] = ["mobula-control", "mobula-service", "mobula-letters", "mobula-guard"];

/// How long a thread may take from its start until it has its name.
const NAMING: Duration = Duration::from_millis(100);

/// The process's first thread does nothing but wait for its end.
static PARKED_MAIN: AtomicBool = AtomicBool::new(false);

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

/// Notes that the process's first thread does nothing from now on.
pub(crate) fn note_parked_main() {
    PARKED_MAIN.store(true, Ordering::Relaxed);
}

/// Sets an environment variable if no thread of anybody else is there; returns whether it did.
pub(crate) fn set_variable(name: &str, value: &str) -> bool {
    let deadline = Instant::now() + NAMING;
    while !only_own_threads() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    // SAFETY: besides the calling thread there are only threads of the runtime, which reach the environment through
    // std alone, and std locks it; they start no others meanwhile but of their own kind.
    unsafe { std::env::set_var(name, value) };
    true
}

/// Says whether all other threads of this process are the runtime's own.
fn only_own_threads() -> bool {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return false;
    };
    let own = fs::read_link("/proc/thread-self").ok();
    let own = own.as_deref().and_then(|path| path.file_name());
    let main = std::process::id().to_string();
    threads.flatten().all(|thread| {
        let number = thread.file_name();
        let is_parked = || PARKED_MAIN.load(Ordering::Relaxed) && number == OsStr::new(&main);
        let is_named = || match fs::read_to_string(thread.path().join("comm")) {
            Ok(name) => OWN_THREADS.contains(&name.trim_end()),
            // It has ended.
            Err(_) => true,
        };
        Some(&*number) == own || is_parked() || is_named()
    })
}

/// Returns the processors that the calling thread may use.
pub(crate) fn processors() -> Vec<u32> {
    // SAFETY: all-zero bytes are a set of processors, the empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole set, and the size is its size.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } != 0 {
        return Vec::new();
    }
    let numbers = 0..libc::CPU_SETSIZE as usize;
    // SAFETY: every number is below the size of the set.
    let numbers = numbers.filter(|&number| unsafe { libc::CPU_ISSET(number, &set) });
    numbers.map(|number| number as u32).collect()
}

/// Binds all threads of this process to some processors, and so those that they will start.
pub(crate) fn bind_all_threads(processors: &[u32]) -> io::Result<()> {
    // SAFETY: all-zero bytes are a set of processors, the empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for number in processors.iter().map(|&number| number as usize).filter(|&n| n < libc::CPU_SETSIZE as usize) {
        // SAFETY: the number is below the size of the set.
        unsafe { libc::CPU_SET(number, &mut set) };
    }
    let mut bound = HashSet::new();
    loop {
        let before = bound.len();
        for thread in fs::read_dir("/proc/self/task")?.flatten() {
            let Some(number) = thread.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if bound.insert(number) {
                // SAFETY: the pointer is to a whole set, and the size is its size. A thread that is gone is an error.
                let done = unsafe { libc::sched_setaffinity(number, size_of_val(&set), &raw const set) };
                let error = io::Error::last_os_error();
                if done != 0 && error.raw_os_error() != Some(libc::ESRCH) {
                    return Err(error);
                }
            }
        }
        // One that was not bound yet may have started another meanwhile.
        if bound.len() == before {
            return Ok(());
        }
    }
}

/// Lets any process of this user attach as a debugger, where the system lets only a parent.
pub(crate) fn let_anybody_trace() {
    // SAFETY: this request takes a number and no pointer. A system without it refuses, which is no matter.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY, 0, 0, 0) };
}

/// The real-time signal by which a thread is asked for its stack: next to that of the parent's death.
pub(crate) fn stack_signal() -> libc::c_int {
    libc::SIGRTMAX() - 6
}

/// Blocks all signals for this thread, but for that by which it is asked for its stack.
pub(crate) fn block_signals() {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `set` is a valid place for a signal set; the call initialises it.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    // SAFETY: `set` was initialised above, and the number is that of a signal.
    unsafe { libc::sigdelset(set.as_mut_ptr(), stack_signal()) };
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
