//! A page of words that two processes share, into which the kernel writes the pids of forked children.
//!
//! It belongs to a node and its template process alone: nobody recovers it, it goes with the two.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mlock, mmap, munmap};

const BYTES: usize = 4096;

/// How many words a page has.
pub(crate) const PIDS: usize = BYTES / size_of::<AtomicU32>();

/// The mapped page.
#[derive(Debug)]
pub(crate) struct PidPage(NonNull<AtomicU32>);

// SAFETY: the mapping is process-wide and holds nothing but atomic words.
unsafe impl Send for PidPage {}
// SAFETY: as above.
unsafe impl Sync for PidPage {}

impl PidPage {
    /// Makes a page of zeros; whoever gets the descriptor can map it, too.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let file = memfd_create("mobula-pids", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, BYTES as u64)?;
        // Nobody can take the memory from under the other's feet.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok((PidPage::map(&file)?, file))
    }

    /// Maps a page that another process has made.
    pub(crate) fn map(file: impl AsFd) -> io::Result<Self> {
        if rustix::fs::fstat(&file)?.st_size != BYTES as i64 {
            return Err(io::Error::other("the page of pids has another size"));
        }
        let (access, null) = (ProtFlags::READ | ProtFlags::WRITE, std::ptr::null_mut());
        // SAFETY: a new mapping wherever the kernel likes.
        let page = unsafe { mmap(null, BYTES, access, MapFlags::SHARED, &file, 0) }?;
        // The kernel writes here in the midst of a fork, where it must not have to fetch the page first. Where
        // locking is not allowed the page is there all the same unless memory is very short.
        // SAFETY: the mapping that was just made; locking changes nothing that anybody could see.
        let _ = unsafe { mlock(page, BYTES) };
        let page = NonNull::new(page.cast()).ok_or_else(|| io::Error::other("the page of pids has no address"))?;
        let page = PidPage(page);
        // A look maps the page, a change makes it writable.
        page.word(0).fetch_or(0, std::sync::atomic::Ordering::Relaxed);
        Ok(page)
    }

    /// Returns word `index`, modulo their number.
    pub(crate) fn word(&self, index: usize) -> &AtomicU32 {
        // SAFETY: inside the page, which is a multiple of words long.
        let word = unsafe { self.0.add(index % PIDS) };
        // SAFETY: mapped for reading and writing as long as `self` lives, aligned, only used as atomics, and of a
        // size that nobody can change (sealed when it was made).
        unsafe { word.as_ref() }
    }
}

impl Drop for PidPage {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made; no reference into it outlives `self`.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn both_sides_see_a_word() {
        let (ours, file) = PidPage::create().unwrap();
        let theirs = PidPage::map(&file).unwrap();
        theirs.word(PIDS - 1).store(17, Ordering::Relaxed);
        assert_eq!(ours.word(PIDS - 1).load(Ordering::Relaxed), 17);
        assert_eq!(ours.word(PIDS).load(Ordering::Relaxed), 0, "the first one");
        assert!(ftruncate(&file, 0).is_err());
    }

    #[test]
    fn a_file_of_another_size_is_no_page() {
        let file = memfd_create("mobula-test", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 8).unwrap();
        assert!(PidPage::map(&file).is_err());
    }
}
