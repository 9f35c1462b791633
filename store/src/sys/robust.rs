//! What the kernel does to a shared word when a thread ends, and a barrier for all processors.
//!
//! The list of robust locks is walked first thing in a thread's end, before its process gives back any memory. It was made
//! for mutexes; here it holds one word.

use std::ptr;

use rustix::thread::{MembarrierCommand, membarrier};

use crate::sync::AtomicU32;

/// What the kernel leaves in the word of a thread that has ended (`FUTEX_OWNER_DIED`).
pub(crate) const ENDED: u32 = 0x4000_0000;

/// A node of the list, as the kernel reads it.
#[repr(C)]
struct Entry {
    next: *const Entry,
}

/// The head of the list, as the kernel reads it.
#[repr(C)]
struct Head {
    list: Entry,
    /// How far from an entry its word lies.
    offset: isize,
    /// An entry that may or may not be in the list. It is never read, only the word at its offset.
    pending: *const Entry,
}

struct Will {
    head: Head,
    entry: Entry,
}

/// Has the kernel, when the calling thread ends, make `word` [`ENDED`] if it has the thread's number by then, and afterwards
/// wake one who sleeps on `knell` if that is 0; false if it will not.
///
/// Takes the place of the thread's list of robust mutexes: it must lock none from here on.
pub(crate) fn toll(word: &'static AtomicU32, knell: &'static AtomicU32) -> bool {
    // The kernel reads it whenever the thread ends: it is never freed.
    let will: &'static mut Will = Box::leak(Box::new(Will {
        head: Head { list: Entry { next: ptr::null() }, offset: 0, pending: ptr::null() },
        entry: Entry { next: ptr::null() },
    }));
    let entry = ptr::from_ref(&will.entry);
    will.head.offset = ptr::from_ref(word).addr().wrapping_sub(entry.addr()).cast_signed();
    let pending = ptr::from_ref(knell).addr().wrapping_sub(will.head.offset.cast_unsigned());
    will.head.pending = ptr::without_provenance(pending);
    will.entry.next = ptr::from_ref(&will.head.list);
    will.head.list.next = entry;
    let head = ptr::from_ref(&will.head);
    // SAFETY: names a list to the kernel that lives for ever, is never changed again and leads back to its head; the two
    // words that it leads to are atomics that live for ever, too.
    unsafe { libc::syscall(libc::SYS_set_robust_list, head, size_of::<Head>()) == 0 }
}

/// Has this process's threads be reached by [`interrupt`] from now on; false if the kernel cannot.
///
/// Fast only before the process has a second thread.
pub(crate) fn accept_interrupts() -> bool {
    membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// Interrupts every processor that runs a thread of a process that accepts it, and waits until it was.
pub(crate) fn interrupt() -> bool {
    membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sync::Ordering;
    use crate::sys::{futex, processor};

    fn word(value: u32) -> &'static AtomicU32 {
        Box::leak(Box::new(AtomicU32::new(value)))
    }

    #[test]
    fn the_end_of_a_thread_marks_its_word_and_wakes_a_sleeper() {
        let (own, other, knell) = (word(0), word(7), word(0));
        let sleeper = std::thread::spawn(move || {
            while own.load(Ordering::Acquire) != ENDED {
                assert!(futex::wait(knell, 0, Some(Duration::from_secs(20)), u32::MAX), "nobody woke it");
            }
        });
        let end = |word: &'static AtomicU32, claims: bool| {
            std::thread::spawn(move || {
                if claims {
                    word.store(processor::tid(), Ordering::Relaxed);
                }
                toll(word, knell)
            })
        };
        assert!(end(other, false).join().unwrap());
        assert!(end(own, true).join().unwrap());
        sleeper.join().unwrap();
        assert_eq!((other.load(Ordering::Relaxed), knell.load(Ordering::Relaxed)), (7, 0), "a word of somebody else");
    }

    #[test]
    fn processors_are_interrupted() {
        assert!(accept_interrupts() && interrupt());
    }
}
