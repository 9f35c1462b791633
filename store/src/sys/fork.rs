//! Knowing that this process is a forked child, without a system call.
//!
//! One page of memory is marked so that the kernel empties it in every forked child. What the parent
//! wrote there is gone in the child: its handles are the parent's, and it must not act in its name.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

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
#[inline]
pub(crate) fn current() -> u32 {
    match PAGE.get() {
        Some(Some(word)) => word.load(Ordering::Relaxed),
        _ => 0,
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
