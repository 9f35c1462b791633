//! Knowing that this process is a forked child, without a system call.
//!
//! One page of memory is marked so that the kernel empties it in every forked child. What the parent
//! wrote there is gone in the child: its handles are the parent's, and it must not act in its name.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

static PAGE: OnceLock<Option<&'static AtomicU32>> = OnceLock::new();

/// Returns this process's stamp, which no forked child shares.
///
/// Zero, always, where the kernel cannot tell.
pub(crate) fn stamp() -> u32 {
    match PAGE.get_or_init(page) {
        Some(word) => {
            // Its pid names this process among all that its ancestors' handles may come from.
            let _ = word.compare_exchange(0, std::process::id(), Ordering::Relaxed, Ordering::Relaxed);
            word.load(Ordering::Relaxed)
        }
        None => 0,
    }
}

/// Returns the same without drawing a new stamp: zero in a forked child that has not asked for one.
pub(crate) fn current() -> u32 {
    match PAGE.get() {
        Some(Some(word)) => word.load(Ordering::Relaxed),
        _ => 0,
    }
}

/// The stamp of a process, to be recognised by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    now: &'static AtomicU32,
    then: u32,
}

impl Stamp {
    /// Takes down this process's stamp.
    pub(crate) fn draw() -> Stamp {
        static UNKNOWN: AtomicU32 = AtomicU32::new(0);
        let then = stamp();
        Stamp { now: PAGE.get().copied().flatten().unwrap_or(&UNKNOWN), then }
    }

    /// Says whether this is another process: a forked child of that one.
    #[inline]
    pub(crate) fn is_foreign(&self) -> bool {
        self.now.load(Ordering::Relaxed) != self.then
    }
}

/// A value that each process has for itself: a forked child starts with a fresh one.
///
/// What the child inherits is left alone, whatever state a thread of its parent had it in; it is
/// never freed.
#[derive(Debug)]
pub(crate) struct PerProcess<T: 'static> {
    newest: AtomicPtr<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T: 'static> {
    stamp: u32,
    value: T,
}

impl<T: Default + Sync> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        PerProcess { newest: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Returns this process's value.
    pub(crate) fn get(&self) -> &'static T {
        let stamp = stamp();
        // SYNC entry: pairs with the exchange below.
        let newest = self.newest.load(Ordering::Acquire);
        // SAFETY: null, or an entry that was leaked below: it never moves, changes or goes.
        if let Some(entry) = unsafe { newest.as_ref() }
            && entry.stamp == stamp
        {
            return &entry.value;
        }
        let made: &'static Entry<T> = Box::leak(Box::new(Entry { stamp, value: T::default() }));
        let made_at = ptr::from_ref(made).cast_mut();
        // SYNC entry: publishes the entry; pairs with the loads here.
        match self.newest.compare_exchange(newest, made_at, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => &made.value,
            // SAFETY: an entry as above, of another thread of this process: nobody else writes here.
            // The one made here is lost for good, once in the life of a process.
            Err(other) => unsafe { other.as_ref() }.map_or(&made.value, |entry| &entry.value),
        }
    }
}

fn page() -> Option<&'static AtomicU32> {
    const LEN: usize = 4096;
    // SAFETY: asks for fresh memory wherever the kernel likes; nothing else is touched.
    let page =
        unsafe { mmap_anonymous(std::ptr::null_mut(), LEN, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    let page = page.ok()?;
    // SAFETY: the page is ours alone and stays mapped for ever; a kernel without the advice refuses it.
    let marked = unsafe { madvise(page, LEN, Advice::LinuxWipeOnFork) };
    if marked.is_err() {
        tracing::debug!("this kernel cannot mark memory for forked children; they must not use their parent's handles");
        return None;
    }
    // SAFETY: page-aligned, never unmapped, and only ever used as this atomic.
    Some(unsafe { AtomicU32::from_ptr(page.cast()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_of_a_process_share_its_value() {
        static VALUE: PerProcess<AtomicU32> = PerProcess::new();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| VALUE.get().fetch_add(1, Ordering::Relaxed));
            }
        });
        assert_eq!(VALUE.get().load(Ordering::Relaxed), 8);
    }
}
