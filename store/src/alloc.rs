//! Memory and slots: who owns which bytes of the arena.
//!
//! ```text
//!   arena: pages of 16 KiB
//!     | run of an object | span: cells of one size class | free run | ...
//! ```
//!
//! Objects of up to 14 KiB live in *cells* of one of 27 size classes (four a doubling, multiples of
//! 64 bytes); cells of a class share *spans* of one or four pages. Larger objects own page runs.
//! All metadata is out of band, in `ctl`.
//!
//! The slots' block words are the only truth about memory. Everything else (free lists, bitmaps,
//! counters) is a cache of it, guarded by the allocator's lock; if the lock's owner dies, whoever
//! takes the lock over builds the cache anew from the slots (alloc/rebuild.rs), so there is no undo
//! log and no half-done allocation.
//!
//! ```text
//!   block word:  0                                             no memory
//!                1:2 | class:6 | page:32 | cell:24             a cell of a span
//!                2:2 | page:31 | pages:31                      a page run
//!
//!   header of the section
//!     0 used bytes   8 first free slot + 1   16 slots ever used   24 slots in use   32 free pages
//!    64 heads of the lists of free runs, by the logarithm of their length (page + 1)
//!   512 heads of the lists of spans with free cells, by class (page + 1)
//!
//!   page (64 bytes)
//!     0 kind | class << 8    8 pages of the run    16 next + 1   24 previous + 1   32 used cells, 256 bits
//! ```
//!
//! Invariants:
//! - ST-13: blocks of slots that are not FREE are disjoint and inside the arena.
//! - ST-14: a block word changes only under the allocator's lock.
//! - ST-15: used bytes are the sum over those blocks; with no object there are none.
//! - ST-6: memory is committed before it is handed out (arena.rs).

mod pages;
mod rebuild;
mod spans;

use crate::client::ClientKey;
use crate::layout::{PAGE, PAGE_DESC_BYTES};
use crate::lock::{self, Guard, Lock};
use crate::shared::Shared;
use crate::slot::{self, Slot, SlotRef, State};
use crate::sync::{AtomicU64, Ordering};

pub(crate) use rebuild::{initialise, rebuild, verify};

const A_USED: usize = 0;
const A_FREE_SLOT: usize = 8;
const A_SLOTS_EVER: usize = 16;
const A_SLOTS_USED: usize = 24;
const A_FREE_PAGES: usize = 32;
const A_BINS: usize = 64;
const BINS: usize = 48;
const A_SPANS: usize = 512;

const P_KIND: usize = 0;
const P_LEN: usize = 8;
const P_NEXT: usize = 16;
const P_PREV: usize = 24;
const P_BITS: usize = 32;

/// What two processes must agree on about this section.
pub(crate) const LAYOUT: &[usize] = &{
    let mut facts = [0; 12 + CLASSES.len()];
    let fixed = [
        A_USED,
        A_FREE_SLOT,
        A_SLOTS_EVER,
        A_SLOTS_USED,
        A_FREE_PAGES,
        A_BINS,
        BINS,
        A_SPANS,
        P_LEN,
        P_NEXT,
        P_PREV,
        P_BITS,
    ];
    let mut i = 0;
    while i < facts.len() {
        facts[i] = if i < fixed.len() { fixed[i] } else { CLASSES[i - fixed.len()] };
        i += 1;
    }
    facts
};

/// Cell sizes: four a doubling, multiples of 64.
pub(crate) const CLASSES: [usize; 27] = [
    64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120,
    6144, 7168, 8192, 10240, 12288, 14336,
];

/// What was too small for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// Every slot is taken.
    Slots,
    /// No free memory in one piece is large enough.
    Memory,
}

/// A block of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    /// No memory: an empty object.
    None,
    /// A cell of a span.
    Cell { class: usize, page: usize, cell: usize },
    /// Whole pages.
    Run { page: usize, pages: usize },
}

impl Block {
    pub(crate) fn to_word(self) -> u64 {
        match self {
            Block::None => 0,
            Block::Cell { class, page, cell } => 1 << 62 | (class as u64) << 56 | (page as u64) << 24 | cell as u64,
            Block::Run { page, pages } => 2 << 62 | (page as u64) << 31 | pages as u64,
        }
    }

    /// Takes a word apart; `None` if it describes nothing inside the arena.
    pub(crate) fn from_word(word: u64, total_pages: usize) -> Option<Block> {
        match word >> 62 {
            0 if word == 0 => Some(Block::None),
            1 => {
                let class = (word >> 56 & 0x3f) as usize;
                let page = (word >> 24 & 0xffff_ffff) as usize;
                let cell = (word & 0xff_ffff) as usize;
                let inside =
                    class < CLASSES.len() && page + spans::pages(class) <= total_pages && cell < spans::cells(class);
                inside.then_some(Block::Cell { class, page, cell })
            }
            2 => {
                let page = (word >> 31 & 0x7fff_ffff) as usize;
                let pages = (word & 0x7fff_ffff) as usize;
                (pages > 0 && page + pages <= total_pages).then_some(Block::Run { page, pages })
            }
            _ => None,
        }
    }

    /// Returns the offset in the arena.
    pub(crate) fn offset(self) -> usize {
        match self {
            Block::None => 0,
            Block::Cell { class, page, cell } => page * PAGE + cell * CLASSES[class],
            Block::Run { page, .. } => page * PAGE,
        }
    }

    /// Returns the bytes that the block takes, as rounded.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Block::None => 0,
            Block::Cell { class, .. } => CLASSES[class],
            Block::Run { pages, .. } => pages * PAGE,
        }
    }
}

/// The allocator's words, under its lock.
pub(crate) struct Alloc<'a> {
    shared: &'a Shared,
    _guard: Guard<'a>,
}

impl<'a> Alloc<'a> {
    /// Takes the lock for a client; repairs what a dead owner left.
    pub(crate) fn lock(shared: &'a Shared, me: ClientKey) -> Alloc<'a> {
        Alloc::with(shared, lock::acquire(shared, Lock::Alloc, me))
    }

    /// Wraps the lock that the caller has taken (over).
    pub(crate) fn with(shared: &'a Shared, guard: Guard<'a>) -> Alloc<'a> {
        let repair = guard.must_repair();
        let mut alloc = Alloc { shared, _guard: guard };
        if repair {
            rebuild(&mut alloc);
        }
        alloc
    }

    fn header(&self, at: usize) -> &'a AtomicU64 {
        self.shared.ctl.u64(self.shared.layout.alloc_at + at)
    }

    fn get(&self, at: usize) -> usize {
        self.header(at).load(Ordering::Relaxed) as usize
    }

    fn set(&self, at: usize, value: usize) {
        self.header(at).store(value as u64, Ordering::Relaxed);
    }

    fn page(&self, page: usize, field: usize) -> &'a AtomicU64 {
        debug_assert!(field < PAGE_DESC_BYTES);
        self.shared.ctl.u64(self.shared.layout.page(page) + field)
    }

    fn page_get(&self, page: usize, field: usize) -> usize {
        self.page(page, field).load(Ordering::Relaxed) as usize
    }

    fn page_set(&self, page: usize, field: usize, value: usize) {
        self.page(page, field).store(value as u64, Ordering::Relaxed);
    }

    /// Takes a slot and memory for `bytes`; the slot is RESERVED by `me`.
    pub(crate) fn reserve(&mut self, me: ClientKey, bytes: usize) -> Result<(SlotRef, Block), Shortage> {
        let head = self.get(A_FREE_SLOT);
        let fresh = self.get(A_SLOTS_EVER);
        let index = match head {
            0 if fresh >= self.shared.layout.slots => return Err(Shortage::Slots),
            0 => fresh as u32,
            head => head as u32 - 1,
        };
        let slot = Slot::of(self.shared, index);
        let old = slot.state();
        let block = self.take(bytes)?;
        if head == 0 {
            self.set(A_SLOTS_EVER, fresh + 1);
        } else {
            self.set(A_FREE_SLOT, slot.next().load(Ordering::Relaxed) as usize);
        }
        // The slot names its author before it names memory: a survivor finds both or neither.
        slot.cas(old, State::new(old.generation(), Some(me.index), 0, slot::RESERVED));
        slot.block().store(block.to_word(), Ordering::Release);
        self.set(A_SLOTS_USED, self.get(A_SLOTS_USED) + 1);
        Ok((SlotRef { index, generation: old.generation() }, block))
    }

    /// Gives memory to a slot that was reserved without.
    pub(crate) fn furnish(&mut self, at: SlotRef, bytes: usize) -> Result<Block, Shortage> {
        let block = self.take(bytes)?;
        Slot::of(self.shared, at.index).block().store(block.to_word(), Ordering::Release);
        Ok(block)
    }

    /// Frees a slot that the caller has made RECLAIMING (or still has RESERVED), and its memory.
    pub(crate) fn release(&mut self, at: SlotRef) {
        let slot = Slot::of(self.shared, at.index);
        let state = slot.state();
        if state.generation() != at.generation || !matches!(state.state(), slot::RECLAIMING | slot::RESERVED) {
            return;
        }
        if let Some(block) = Block::from_word(slot.block().load(Ordering::Relaxed), self.shared.layout.pages) {
            self.give(block);
        }
        slot.block().store(0, Ordering::Release);
        slot.next().store(self.get(A_FREE_SLOT) as u32, Ordering::Relaxed);
        slot.cas(state, State::new(at.generation.wrapping_add(1), None, 0, slot::FREE));
        self.set(A_FREE_SLOT, at.index as usize + 1);
        self.set(A_SLOTS_USED, self.get(A_SLOTS_USED).saturating_sub(1));
    }

    fn take(&mut self, bytes: usize) -> Result<Block, Shortage> {
        if bytes == 0 {
            return Ok(Block::None);
        }
        let block = self.try_take(bytes).or_else(|| {
            // Spans that are kept empty for the next object of their class may be in the way.
            self.release_empty_spans().then(|| self.try_take(bytes)).flatten()
        });
        let block = block.ok_or(Shortage::Memory)?;
        self.set(A_USED, self.get(A_USED) + block.bytes());
        Ok(block)
    }

    fn try_take(&mut self, bytes: usize) -> Option<Block> {
        if let Some(class) = class_of(bytes)
            && let Some((page, cell)) = self.take_cell(class)
        {
            return Some(Block::Cell { class, page, cell });
        }
        let pages = bytes.div_ceil(PAGE);
        self.take_run(pages).map(|page| Block::Run { page, pages })
    }

    fn give(&mut self, block: Block) {
        match block {
            Block::None => {}
            Block::Cell { class, page, cell } => self.give_cell(class, page, cell),
            Block::Run { page, pages } => self.give_run(page, pages),
        }
        self.set(A_USED, self.get(A_USED).saturating_sub(block.bytes()));
    }

    /// Returns the length of the longest free page run in bytes.
    pub(crate) fn largest_free(&mut self) -> usize {
        self.release_empty_spans();
        self.longest_run() * PAGE
    }
}

/// Returns the bytes in use, without the lock (for reports).
pub(crate) fn used_bytes(shared: &Shared) -> u64 {
    shared.ctl.u64(shared.layout.alloc_at + A_USED).load(Ordering::Relaxed)
}

/// Returns how many slots were ever used: later ones are zero.
#[inline]
pub(crate) fn slots_ever(shared: &Shared) -> u32 {
    shared.ctl.u64(shared.layout.alloc_at + A_SLOTS_EVER).load(Ordering::Acquire).min(shared.layout.slots as u64) as u32
}

/// Returns the class whose cells hold `bytes`, if they are small enough for cells.
fn class_of(bytes: usize) -> Option<usize> {
    if bytes > CLASSES[CLASSES.len() - 1] {
        return None;
    }
    Some(CLASSES.partition_point(|&size| size < bytes))
}

#[cfg(test)]
mod tests;
