//! The room of the signal by which a thread tells the return addresses on its stack.
//!
//! ```text
//!   mobula-control                              any other thread
//!     target: 0 -> tid
//!     tgkill(tid) ------------------------------> handler: is target my tid? target: tid -> BUSY
//!                                                   addresses into the slots, their number
//!     waits: READY: reads the slots   <------------ target: BUSY -> READY       (SLOTS)
//!     late:  target: tid -> 0                       finds target 0: nothing
//! ```
//!
//! - **STACK-1** The handler does what is allowed in one: it stores into memory that is there, asks for its own number, and
//!   walks its stack. The walk is libgcc's; since glibc 2.35 it finds its tables without a lock and without memory
//!   (`_dl_find_object`), and with an older one nobody is asked. It keeps `errno`.
//! - **STACK-2** A thread that the signal comes to late, after its asker has given up, does nothing: only who finds its own
//!   number in `TARGET`, and takes it, touches the slots. One that took it and does not come back keeps them for good.
//! - **STACK-3** A system call that the signal interrupts goes on (SA_RESTART); the sleeps that never do, such as
//!   `nanosleep`, are begun anew for the rest of their time by std.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sys;

/// How many addresses of a stack are told.
const DEPTH: usize = 128;

/// How long a thread may take to answer: it may be in the midst of a system call that nothing interrupts.
const PATIENCE: Duration = Duration::from_millis(200);

/// In place of a thread's number: it is writing.
const BUSY: u32 = u32::MAX;
/// In place of a thread's number: it has written.
const READY: u32 = u32::MAX - 1;

static TARGET: AtomicU32 = AtomicU32::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static SLOTS: [AtomicUsize; DEPTH] = [const { AtomicUsize::new(0) }; DEPTH];

/// Held by who asks; true once the handler is there.
static ASKING: Mutex<bool> = Mutex::new(false);

/// Returns the return addresses on a thread's stack, or why they are not known.
pub(crate) fn capture(tid: u32) -> Result<Vec<usize>, String> {
    if tid == own_tid() {
        return Ok(walk());
    }
    let mut installed = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    if !*installed {
        install()?;
        *installed = true;
    }
    if TARGET.compare_exchange(0, tid, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return Err("another thread of the process was asked and has never answered".to_owned());
    }
    if !send(tid) {
        TARGET.store(0, Ordering::Release);
        return Err("it has ended".to_owned());
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        // SYNC SLOTS: pairs with the store in `on_signal`.
        if TARGET.load(Ordering::Acquire) == READY {
            let count = COUNT.load(Ordering::Relaxed).min(DEPTH);
            let addresses = SLOTS[..count].iter().map(|slot| slot.load(Ordering::Relaxed)).collect();
            TARGET.store(0, Ordering::Release);
            return Ok(addresses);
        }
        if Instant::now() >= deadline && TARGET.compare_exchange(tid, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return Err("it takes no signals, or is in a system call that nothing interrupts".to_owned());
        }
        if Instant::now() >= deadline + PATIENCE * 5 {
            return Err("it has not got to the end of its stack".to_owned());
        }
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// Walks the stack of the calling thread.
fn walk() -> Vec<usize> {
    let mut addresses = Vec::new();
    let visit = |frame: &backtrace::Frame| {
        addresses.push(frame.ip().addr());
        addresses.len() < DEPTH
    };
    backtrace::trace(visit);
    addresses
}

fn install() -> Result<(), String> {
    if !walks_without_locks() {
        return Err("this system's C library cannot walk a stack in a signal handler: glibc 2.35 can".to_owned());
    }
    // SAFETY: all-zero bytes are a valid sigaction: no flags, an empty mask, the default handler.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the pointer is to a whole sigaction with a handler of the one-argument kind, which does only what is
    // async-signal-safe (STACK-1); a null old action asks for nothing back.
    match unsafe { libc::sigaction(sys::stack_signal(), &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(format!("the signal cannot be handled: {}", std::io::Error::last_os_error())),
    }
}

/// True if libgcc's walk takes no locks here.
fn walks_without_locks() -> bool {
    // SAFETY: returns a pointer to a constant text of the C library.
    let version = unsafe { libc::gnu_get_libc_version() };
    // SAFETY: the text ends with a zero and lives for ever.
    let version = unsafe { std::ffi::CStr::from_ptr(version) }.to_str().unwrap_or_default();
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (2, 35)
}

/// Sends the signal to a thread of this process; false if there is no such thread.
fn send(tid: u32) -> bool {
    // SAFETY: takes numbers and no pointer; the process is this one, which has a handler for the signal.
    unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), tid, sys::stack_signal()) == 0 }
}

fn own_tid() -> u32 {
    // SAFETY: takes nothing and cannot fail; it is async-signal-safe.
    unsafe { libc::gettid() }.unsigned_abs()
}

extern "C" fn on_signal(_signal: libc::c_int) {
    // SAFETY: returns the place of the calling thread's errno, which lives as long as the thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { errno.read() };
    if TARGET.compare_exchange(own_tid(), BUSY, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        let mut count = 0;
        let visit = |frame: &backtrace::Frame| {
            SLOTS[count].store(frame.ip().addr(), Ordering::Relaxed);
            count += 1;
            count < DEPTH
        };
        // SAFETY: the lock that `trace` takes guards what only naming needs; walking alone shares nothing.
        unsafe { backtrace::trace_unsynchronized(visit) };
        COUNT.store(count, Ordering::Relaxed);
        // SYNC SLOTS: who sees READY sees the addresses.
        TARGET.store(READY, Ordering::Release);
    }
    // SAFETY: as above.
    unsafe { errno.write(before) };
}
