//! Forking a process that has one thread, so that the child is a sibling and not a child.
//!
//! The caller's parent becomes the child's parent, too: it is the one that the kernel tells of the
//! child's end, that waits for it, and whose death the child hears of. The C library's `fork` cannot
//! do that, so this is the bare system call, with what the library does around it for one thread:
//!
//! - the kernel writes the child's thread id to where the library keeps it (`PR_GET_TID_ADDRESS`
//!   says where; a library that keeps something else there cannot be forked under);
//! - the child names its list of robust locks to the kernel again.
//!
//! Handlers of `pthread_atfork` do not run: with one thread no lock that they take could be held.
//!
//! The child's pid is written to a word that the caller may share with its parent *before* the child
//! runs and whatever happens to the caller meanwhile: the kernel does it within the call. So a child
//! whose pid nobody can read does not exist.

use std::ffi::c_void;
use std::io;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::AtomicU32;

use rustix::fs::stat;

use super::is_single_threaded;

/// `PR_GET_TID_ADDRESS` of the kernel's interface.
const GET_TID_ADDRESS: libc::c_int = 40;

/// Says how many threads there are by its count of links.
const THREADS: &str = "/proc/self/task";

/// Makes siblings of a process with one thread; belongs to that thread.
#[derive(Debug)]
pub(crate) struct Forker {
    tid: *mut libc::pid_t,
    robust: (*mut c_void, usize),
    /// The links of [`THREADS`] with one thread.
    links: u64,
    _thread: PhantomData<*mut ()>,
}

/// Which of the two a fork returns in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Parent,
    Child,
}

impl Forker {
    /// Prepares for forks; fails, with the reason, where that cannot be done.
    pub(crate) fn new() -> Result<Self, &'static str> {
        if cfg!(not(target_arch = "x86_64")) {
            return Err("it is not known how to fork on this processor");
        }
        if !is_single_threaded() {
            return Err("threads were started before the runtime");
        }
        let links = links().ok_or("the system does not say how many threads there are")?;
        let mut tid: *mut libc::pid_t = ptr::null_mut();
        // SAFETY: this request stores one address at the place that is given, which is one.
        let asked = unsafe { libc::prctl(GET_TID_ADDRESS, &raw mut tid) };
        if asked != 0 || tid.is_null() {
            return Err("the system does not say where the C library keeps a thread's id");
        }
        // SAFETY: the C library has given this address to the kernel to write to at any time as long as this
        // thread lives, and this is that thread.
        if unsafe { tid.read_volatile() } != rustix::thread::gettid().as_raw_pid() {
            return Err("the C library does not keep a thread's id where the system writes it");
        }
        let mut head: *mut c_void = ptr::null_mut();
        let mut len = 0_usize;
        // SAFETY: stores an address and a length at the two places that are given, for the calling thread (0).
        let asked = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
        if asked != 0 {
            return Err("the system does not say where a thread's robust locks are");
        }
        Ok(Forker { tid, robust: (head, len), links, _thread: PhantomData })
    }

    /// Forks; the child's pid is in `pid` before either side goes on.
    pub(crate) fn fork(&self, pid: &AtomicU32) -> io::Result<Side> {
        if links() != Some(self.links) {
            return Err(io::Error::other("threads have been started since"));
        }
        let flags = libc::CLONE_PARENT
            | libc::CLONE_PARENT_SETTID
            | libc::CLONE_CHILD_SETTID
            | libc::CLONE_CHILD_CLEARTID
            | libc::SIGCHLD;
        let no_stack: *mut c_void = ptr::null_mut();
        // SAFETY: without CLONE_VM the child has a copy of all memory, on the same stack address, and of the one
        // thread that there is (looked at above; only this thread could start another), so every lock and every
        // half-done change in that copy is this thread's own. `tid` is where the library keeps the thread's id
        // (checked in `new`), which thereby stays true in the child. `pid` is a word that the kernel may write.
        // The order of the arguments is that of x86-64, the only one that `new` lets through.
        let made = unsafe { libc::syscall(libc::SYS_clone, flags, no_stack, pid.as_ptr(), self.tid, 0_usize) };
        match made {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let (head, len) = self.robust;
                // SAFETY: the list that the library had named for this thread, at the same address in the copy.
                unsafe { libc::syscall(libc::SYS_set_robust_list, head, len) };
                Ok(Side::Child)
            }
            _ => Ok(Side::Parent),
        }
    }
}

fn links() -> Option<u64> {
    Some(stat(THREADS).ok()?.st_nlink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_not_forked() {
        // The test runner's own thread is another one.
        let error = std::thread::spawn(|| Forker::new().map(drop)).join().unwrap().unwrap_err();
        assert_eq!(error, "threads were started before the runtime");
    }

    #[test]
    fn threads_show_in_the_links() {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _ = ended.recv();
        });
        // This thread, the other one, and the two links of every folder.
        assert!(links().unwrap() >= 4);
        drop(end);
        thread.join().unwrap();
    }
}
