//! The arena: payload and nothing else, mapped twice.
//!
//! Views point into the read-only mapping, so that a stray write through one faults in the process
//! that made it and changes nothing. Only buffers that are being filled point into the read-write
//! mapping.
//!
//! Memory is committed chunk by chunk (2 MiB) before the first touch; one bit a chunk in `ctl` says
//! that it has been. The trimmer (trim.rs) takes the bits of free chunks away again.
//!
//! ```text
//!   a piece of a large object                      how it is filled
//!     mapped in this process                         copy.rs, by the fastest kernel
//!     written by somebody, not mapped here           map its pages ahead, then memcpy
//!     committed but never written, or a hole         the caller writes through the descriptor (no page is
//!                                                    filled with zeros first), the helper populates and copies
//! ```
//!
//! Which pages are mapped here is a hint that only this process knows ([`Mapped`]); where it is
//! stale the copy faults, which costs time and nothing else.
//!
//! - ST-6: memory is committed (`fallocate`, or a write or populate call that cannot fault) before the
//!   first touch, and not beyond what the machine or the control group has (sys/cgroup.rs): when there
//!   is none, creation fails with an error and no process ever gets SIGBUS.
//! - ST-6a: a commit bit is set only after every page of its chunk exists, and only by a process with
//!   an unsealed block in the chunk; it is cleared only under the allocator's lock while the whole chunk
//!   is free, before its pages go.

mod access;

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Mutex, PoisonError};

use memmap2::MmapRaw;

use crate::copy::{self, Who};
use crate::layout::{ALLOC_HEADER_BYTES, CHUNK, PAGE};
use crate::shared::Shared;
use crate::sync::Ordering;
use crate::sys::{cgroup, memory};

/// Word of the allocator's header: how many chunks are committed.
pub(crate) const A_COMMITTED: usize = 56;

/// From this size on it is asked how the target's pages stand; below, faults are taken as they come.
const PLACED: usize = 64 << 10;
/// From this size on two threads fill pages that are not mapped.
const SHARED_WORK: usize = 2 << 20;
/// What is filled at a time; divides a chunk.
const PIECE: usize = 1 << 20;
/// How many chunks are committed between two looks at how much memory there is.
const STRIDE: usize = 8;

/// The mappings of the arena in this process.
pub(crate) struct Arena {
    file: File,
    read: MmapRaw,
    /// Missing in a client that only reads.
    write: Option<MmapRaw>,
    len: usize,
    mapped: Mapped,
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Arena {
    /// Maps the arena, once to read and once to write.
    pub(crate) fn map(file: File, len: usize) -> io::Result<Arena> {
        // What a mapping has beyond its file kills whoever touches it.
        let has = file.metadata()?.len();
        if has < len as u64 {
            return Err(io::Error::other(format!("the arena's file has {has} bytes, not {len}")));
        }
        let read = memory::map_read_only(&file, len)?;
        let write = memory::map(&file, len)?;
        Ok(Arena { file, read, write: Some(write), len, mapped: Mapped::new(len) })
    }

    /// Maps the arena only to read; the file need not be open for more.
    pub(crate) fn map_to_read(file: File, len: usize) -> io::Result<Arena> {
        let read = memory::map_read_only(&file, len)?;
        Ok(Arena { file, read, write: None, len, mapped: Mapped::new(0) })
    }

    /// Returns the file behind the mappings.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Returns the address of sealed bytes, if the range lies inside.
    #[inline]
    pub(crate) fn sealed(&self, offset: usize, len: usize) -> Option<*const u8> {
        let end = offset.checked_add(len)?;
        // `wrapping_add` stays inside the mapping, which the check has just shown.
        (end <= self.len).then(|| self.read.as_ptr().wrapping_add(offset))
    }

    /// Returns the address of bytes that are being written.
    /// Returns how many bytes it has.
    pub(crate) fn capacity(&self) -> usize {
        self.len
    }

    pub(crate) fn writable(&self, offset: usize, len: usize) -> Option<*mut u8> {
        let end = offset.checked_add(len)?;
        let start = self.write.as_ref()?.as_mut_ptr();
        (end <= self.len).then(|| start.wrapping_add(offset))
    }

    /// Writes bytes into committed memory that the caller's unsealed object owns.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        #[cfg(loom)]
        crate::sync::payload::written(offset, bytes.len());
        let Some(to) = self.writable(offset, bytes.len()) else { return };
        // SAFETY: `writable` checked the range; it belongs to the block that the caller's creation owns
        // (ST-13), so nobody else touches it, and `bytes` is private memory or another, sealed object's.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Reads `count` words that were written before their object was sealed.
    pub(crate) fn words(&self, offset: usize, count: usize) -> Vec<u64> {
        let Some(start) = self.sealed(offset, count.saturating_mul(8)) else { return Vec::new() };
        let read = |i: usize| {
            let at = start.wrapping_add(8 * i).cast::<u64>();
            // SAFETY: inside the mapping (checked by `sealed`); the object is sealed or owned by the caller, so
            // nobody writes these bytes (ST-9), but those of lists that change under a lock which the caller then has
            // (board/children.rs); unaligned reads allow any offset.
            unsafe { at.read_unaligned() }
        };
        (0..count).map(read).collect()
    }

    /// Commits the chunks of a range that are not (ST-6).
    ///
    /// # Errors
    ///
    /// `OutOfMemory` if it would take the last memory, or what the kernel says.
    pub(crate) fn commit(&self, shared: &Shared, offset: usize, len: usize) -> io::Result<()> {
        self.end(offset, len)?;
        let chunks = chunks_of(offset, len);
        let mut at = chunks.start;
        while at < chunks.end {
            if is_committed(shared, at) {
                at += 1;
                continue;
            }
            let last = (at + STRIDE).min(chunks.end);
            let end = (at..last).find(|&chunk| is_committed(shared, chunk)).unwrap_or(last);
            let bytes = at * CHUNK..(end * CHUNK).min(self.len);
            cgroup::check(bytes.len())?;
            memory::commit(&self.file, bytes.start, bytes.len())?;
            self.mapped.clear(bytes);
            mark_committed(shared, at..end);
            at = end;
        }
        Ok(())
    }

    /// Commits as many bytes as `bytes` are at `offset`, which the caller's unsealed object owns, and writes
    /// them there: as [`commit`](Self::commit) and a copy, but up to three times as fast where memory is not
    /// mapped here yet.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit); some bytes may have been written.
    pub(crate) fn fill(&self, shared: &Shared, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let end = self.end(offset, bytes.len())?;
        if bytes.len() < PLACED {
            self.commit(shared, offset, bytes.len())?;
            self.write(offset, bytes);
            return Ok(());
        }
        // Chunks that lie in these bytes altogether are nobody else's, and filling them commits them.
        let whole = offset.div_ceil(CHUNK)..end / CHUNK;
        if whole.is_empty() {
            self.commit(shared, offset, bytes.len())?;
        } else {
            self.commit(shared, offset, whole.start * CHUNK - offset)?;
            self.commit(shared, whole.end * CHUNK, end - whole.end * CHUNK)?;
        }
        let fresh: Vec<usize> = whole.filter(|&chunk| !is_committed(shared, chunk)).collect();
        if fresh.is_empty() && self.mapped.has(offset..end) {
            self.overwrite(offset, bytes);
            return Ok(());
        }
        for &chunk in &fresh {
            // Nothing of a hole is mapped, whatever was known of the memory that was there.
            self.mapped.clear(chunk * CHUNK..(chunk + 1) * CHUNK);
        }
        let filled = self.in_pieces(offset..end, &|piece, who| {
            // Whoever comes to the first of some fresh chunks asks for the memory of all of them.
            let is_start = piece.start.is_multiple_of(CHUNK);
            if let Some(Ok(nth)) = is_start.then(|| fresh.binary_search(&(piece.start / CHUNK)))
                && nth % STRIDE == 0
            {
                cgroup::check((fresh.len() - nth).min(STRIDE) * CHUNK)?;
            }
            self.place(piece.start, &bytes[piece.start - offset..piece.end - offset], who)
        });
        if filled.is_err() {
            for &chunk in &fresh {
                // No bit says that these pages exist, so that nobody else would ever give them back.
                let _ = memory::decommit(&self.file, chunk * CHUNK, CHUNK);
            }
            return filled;
        }
        for &chunk in &fresh {
            mark_committed(shared, chunk..chunk + 1);
        }
        Ok(())
    }

    /// Commits and maps the first and the last bytes of the arena ahead of use, `len` in all.
    ///
    /// Small objects come to lie at its start and large ones at its end; most of the bytes go there.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub(crate) fn prefault(&self, shared: &Shared, len: usize) -> io::Result<()> {
        let capacity = shared.layout.capacity;
        let len = len.min(capacity);
        let start = (len / 8).min(STRIDE * CHUNK).next_multiple_of(CHUNK).min(len);
        let end = (capacity - (len - start)) / CHUNK * CHUNK;
        let start = start.min(end);
        cgroup::check(start + capacity - end)?;
        for range in [0..start, end..capacity] {
            self.in_pieces(range, &|piece, _| {
                if memory::populate(self.to_write()?, piece.start, piece.len()).is_err() {
                    memory::commit(&self.file, piece.start, piece.len())?;
                }
                self.mapped.set(piece);
                Ok(())
            })?;
        }
        // The last chunk of each range may be longer than what was populated of it.
        mark_committed(shared, 0..start / CHUNK);
        self.commit(shared, 0, start)?;
        mark_committed(shared, end / CHUNK..capacity / CHUNK);
        self.commit(shared, end, capacity - end)
    }

    /// Gives a chunk back to the system, which the caller knows to be free and keeps so.
    pub(crate) fn decommit_chunk(&self, shared: &Shared, chunk: usize) -> io::Result<()> {
        // The bit goes first: whoever dies in between leaves a chunk that is committed again, never one
        // that is believed to be.
        let (at, bit) = commit_bit(chunk);
        if shared.ctl.u64(shared.layout.alloc_at + at).fetch_and(!bit, Ordering::AcqRel) & bit != 0 {
            committed_counter(shared).fetch_sub(1, Ordering::Relaxed);
        }
        let bytes = chunk * CHUNK..((chunk + 1) * CHUNK).min(self.len);
        self.mapped.clear(bytes.clone());
        memory::decommit(&self.file, bytes.start, bytes.len())
    }

    /// Returns how many chunks are committed.
    pub(crate) fn committed_chunks(&self, shared: &Shared) -> usize {
        let bits = shared.layout.alloc_at + ALLOC_HEADER_BYTES;
        let words = self.len.div_ceil(CHUNK).div_ceil(64);
        (0..words).map(|i| shared.ctl.u64(bits + 8 * i).load(Ordering::Relaxed).count_ones() as usize).sum()
    }

    fn to_write(&self) -> io::Result<&MmapRaw> {
        self.write.as_ref().ok_or_else(|| io::ErrorKind::PermissionDenied.into())
    }

    fn end(&self, offset: usize, len: usize) -> io::Result<usize> {
        offset.checked_add(len).filter(|&end| end <= self.len).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Fills a piece whose pages exist, or are to exist, by whatever is fastest; commits it if it is not.
    fn place(&self, offset: usize, bytes: &[u8], who: Who) -> io::Result<()> {
        let range = offset..offset + bytes.len();
        if !self.mapped.has(range.clone()) {
            let placed = if memory::is_written(&self.file, offset) {
                memory::map_ahead(self.to_write()?, offset, bytes.len())
            } else if who == Who::Caller {
                match memory::write(&self.file, bytes, offset) {
                    Ok(()) => return Ok(()),
                    refused => refused,
                }
            } else {
                memory::populate(self.to_write()?, offset, bytes.len())
            };
            if placed.is_err() {
                // The kernel does not know that call, or there is no memory: this one says which.
                memory::commit(&self.file, offset, bytes.len())?;
            }
            self.mapped.set(range);
        }
        self.write(offset, bytes);
        Ok(())
    }

    /// Copies into memory that is committed and mapped here.
    fn overwrite(&self, offset: usize, bytes: &[u8]) {
        let Some(to) = self.writable(offset, bytes.len()) else { return };
        // SAFETY: as in `write`; nobody has another reference to the block while it is being filled.
        copy::copy(unsafe { std::slice::from_raw_parts_mut(to, bytes.len()) }, bytes);
    }

    /// Does `work` for each piece of a range, by two threads if it is long; stops at the first error.
    fn in_pieces(
        &self,
        range: Range<usize>,
        work: &(dyn Fn(Range<usize>, Who) -> io::Result<()> + Sync),
    ) -> io::Result<()> {
        let first = range.start / PIECE;
        let next = AtomicUsize::new(first);
        let failed = Mutex::new(Ok(()));
        let draw = |who| {
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                let piece = (piece * PIECE).max(range.start)..((piece + 1) * PIECE).min(range.end);
                if piece.is_empty() {
                    return;
                }
                if let Err(error) = work(piece, who) {
                    next.store(range.end.div_ceil(PIECE), Ordering::Relaxed);
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Err(error);
                    return;
                }
            }
        };
        if range.len() >= SHARED_WORK {
            copy::side_by_side(&draw)
        } else {
            draw(Who::Caller)
        }
        failed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns where a chunk's commit bit is in the allocator's section.
fn commit_bit(chunk: usize) -> (usize, u64) {
    (ALLOC_HEADER_BYTES + chunk / 64 * 8, 1 << (chunk % 64))
}

/// Says whether all of a chunk is committed.
pub(crate) fn is_committed(shared: &Shared, chunk: usize) -> bool {
    let (at, bit) = commit_bit(chunk);
    // SYNC commit: pairs with the exchange in `mark_committed`.
    shared.ctl.u64(shared.layout.alloc_at + at).load(Ordering::Acquire) & bit != 0
}

/// Two processes may commit the same chunk; the bits only ever say what has been done.
fn mark_committed(shared: &Shared, chunks: Range<usize>) {
    for chunk in chunks {
        let (at, bit) = commit_bit(chunk);
        // SYNC commit: pairs with the load in `is_committed`.
        if shared.ctl.u64(shared.layout.alloc_at + at).fetch_or(bit, Ordering::AcqRel) & bit == 0 {
            committed_counter(shared).fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The number of commit bits, but for those of processes that died in between; the trimmer counts anew.
fn committed_counter(shared: &Shared) -> &crate::sync::AtomicU64 {
    shared.ctl.u64(shared.layout.alloc_at + A_COMMITTED)
}

/// Returns the chunks that a range touches.
fn chunks_of(offset: usize, len: usize) -> Range<usize> {
    offset / CHUNK..if len == 0 { offset / CHUNK } else { (offset + len).div_ceil(CHUNK) }
}

/// Which pages of the arena this process has mapped for writing, as far as it knows.
///
/// A hint: a page that another process gave back is unmapped here too, without a word.
#[derive(Debug)]
struct Mapped(Box<[AtomicU64]>);

impl Mapped {
    fn new(len: usize) -> Mapped {
        // Zeroed memory that is not touched takes none, and no time either.
        let words = Box::new_zeroed_slice(len.div_ceil(PAGE).div_ceil(64));
        // SAFETY: all-zero bytes are an atomic word of zero.
        Mapped(unsafe { words.assume_init() })
    }

    /// Iterates over the words that a range touches, as (place, the range's bits of it).
    fn words(bytes: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
        let (first, end) = (bytes.start / PAGE, bytes.end.div_ceil(PAGE));
        (first / 64..end.div_ceil(64)).map(move |word| {
            let from = first.saturating_sub(word * 64);
            let upto = (end - word * 64).min(64);
            (word, u64::MAX >> (64 - upto) & u64::MAX << from)
        })
    }

    fn has(&self, bytes: Range<usize>) -> bool {
        let has = |(word, bits)| self.0.get(word).is_some_and(|w: &AtomicU64| w.load(Ordering::Relaxed) & bits == bits);
        Mapped::words(bytes).all(has)
    }

    fn set(&self, bytes: Range<usize>) {
        for (word, bits) in Mapped::words(bytes) {
            if let Some(word) = self.0.get(word) {
                word.fetch_or(bits, Ordering::Relaxed);
            }
        }
    }

    fn clear(&self, bytes: Range<usize>) {
        for (word, bits) in Mapped::words(bytes) {
            if let Some(word) = self.0.get(word) {
                word.fetch_and(!bits, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::Ctl;
    use crate::layout::Layout;

    const MB: usize = 1 << 20;

    fn arena(len: usize) -> (Shared, Arena) {
        let layout = Layout::new(len, 64, 2).unwrap();
        let file = memory::anonymous("mobula-arena-test", layout.capacity).unwrap();
        (Shared::new(Ctl::heap(layout.len), layout), Arena::map(file, layout.capacity).unwrap())
    }

    fn pattern(len: usize, seed: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 31 + i / 4096 + seed) as u8).collect()
    }

    fn assert_is(arena: &Arena, offset: usize, bytes: &[u8]) {
        let start = arena.sealed(offset, bytes.len()).unwrap();
        // SAFETY: `sealed` checked the range, and nothing writes to this test's arena now.
        let found = unsafe { std::slice::from_raw_parts(start, bytes.len()) };
        assert!(found == bytes, "{} bytes at {offset}", bytes.len());
    }

    #[test]
    fn a_fill_commits_what_it_covers_and_leaves_the_neighbours() {
        let (shared, arena) = arena(64 * MB);
        let around = pattern(64 * MB, 1);
        arena.fill(&shared, 0, &around).unwrap();
        let bytes = pattern(20 * MB + 4321, 2);
        for chunk in [4, 5, 9] {
            arena.decommit_chunk(&shared, chunk).unwrap();
        }
        arena.fill(&shared, 7 * MB + 3 * PAGE, &bytes).unwrap();
        assert_is(&arena, 7 * MB + 3 * PAGE, &bytes);
        assert_is(&arena, 0, &around[..7 * MB + 3 * PAGE]);
        let end = 7 * MB + 3 * PAGE + bytes.len();
        assert_is(&arena, end, &around[end..]);
        assert_eq!(arena.committed_chunks(&shared), 32);
        assert_eq!(committed_counter(&shared).load(Ordering::Relaxed), 32);
    }

    #[test]
    fn memory_that_others_gave_back_or_committed_is_filled_right_whatever_was_known_of_it() {
        let (shared, arena) = arena(32 * MB);
        let (first, second) = (pattern(30 * MB, 1), pattern(30 * MB, 2));
        arena.fill(&shared, MB, &first).unwrap();
        arena.fill(&shared, MB, &first).unwrap();
        // As another process would: this one's hints stay.
        memory::decommit(&arena.file, 0, 32 * MB).unwrap();
        shared.ctl.u64(shared.layout.alloc_at + ALLOC_HEADER_BYTES).store(0, Ordering::Relaxed);
        memory::commit(&arena.file, 4 * MB, 6 * MB).unwrap();
        mark_committed(&shared, 2..5);
        arena.fill(&shared, MB, &second).unwrap();
        assert_is(&arena, MB, &second);
        assert_eq!(memory::committed(&arena.file), 32 << 20);
    }

    #[test]
    fn a_kernel_that_refuses_to_write_through_the_descriptor_is_worked_around() {
        let (shared, arena) = arena(32 * MB);
        rustix::fs::fcntl_add_seals(&arena.file, rustix::fs::SealFlags::FUTURE_WRITE).unwrap();
        let bytes = pattern(20 * MB, 3);
        arena.fill(&shared, 2 * MB, &bytes).unwrap();
        assert_is(&arena, 2 * MB, &bytes);
    }

    #[test]
    fn what_lies_outside_is_an_error() {
        let (shared, arena) = arena(4 * MB);
        for (offset, len) in [(4 * MB, 1), (usize::MAX, 2), (MB, 4 * MB)] {
            arena.fill(&shared, offset, &vec![0; len]).unwrap_err();
            arena.commit(&shared, offset, len).unwrap_err();
        }
        arena.commit(&shared, 4 * MB, 0).unwrap();
    }

    #[test]
    fn prefaulted_memory_is_mapped_and_committed_at_both_ends() {
        let (shared, arena) = arena(256 * MB);
        arena.prefault(&shared, 80 * MB).unwrap();
        assert!(arena.mapped.has(0..10 * MB) && arena.mapped.has(186 * MB..256 * MB));
        assert!(!arena.mapped.has(180 * MB..181 * MB));
        assert_eq!(memory::committed(&arena.file) as usize, arena.committed_chunks(&shared) * CHUNK);
        for (capacity, len) in [(MB, 1), (5 * MB, 3 * MB), (5 * MB, usize::MAX), (64 * MB, MB)] {
            let (shared, arena) = self::arena(capacity);
            arena.prefault(&shared, len).unwrap();
            let chunks = (0..shared.layout.capacity.div_ceil(CHUNK)).filter(|&chunk| is_committed(&shared, chunk));
            let whole: usize = chunks.map(|chunk| CHUNK.min(shared.layout.capacity - chunk * CHUNK)).sum();
            assert!(memory::committed(&arena.file) as usize == whole && whole >= len.min(capacity));
        }
    }

    #[test]
    fn the_hint_knows_pages() {
        let mapped = Mapped::new(300 * PAGE);
        mapped.set(3 * PAGE..200 * PAGE);
        assert!(mapped.has(3 * PAGE + 5..200 * PAGE) && !mapped.has(2 * PAGE..5 * PAGE));
        mapped.clear(64 * PAGE..65 * PAGE);
        assert!(
            !mapped.has(63 * PAGE..66 * PAGE) && mapped.has(65 * PAGE..200 * PAGE) && mapped.has(3 * PAGE..64 * PAGE)
        );
        assert!(!mapped.has(400 * PAGE..900 * PAGE));
    }
}
