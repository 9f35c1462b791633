//! Large pages for the tables of a store with many objects.
//!
//! A get of one of a million objects looks at three lines of `ctl` that lie anywhere in hundreds of megabytes:
//! with pages of 4 KiB each of them costs a walk through the page table, which takes longer than the line. So
//! the server has the kernel join pages to large ones.
//!
//! ```text
//!   allocator   the slots ever used pass a multiple of STEP: poke
//!   server      hears a poke: at least MANY slots, and STEP more than at the last look?
//!                 every 2 MiB of ctl without a hole:  join        (a slice of it, then others' work)
//! ```
//!
//! Only what has memory anyway is joined, so that nothing is committed by it; a store with few objects has
//! its small pages for ever. What the words say does not change, whoever dies in the middle. Clients that look
//! at a page while it is joined wait for some tenths of a millisecond, once. A poke that is lost delays it to
//! the next one. A kernel that cannot do it (before 6.1) is not asked again.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::alloc;
use crate::shared::Shared;
use crate::sys::aligned::{self, LARGE};

/// A store that has used fewer slots is left alone.
const MANY: u32 = 64 << 10;
/// How many slots lie in a large page.
pub(crate) const STEP: u32 = (LARGE / crate::layout::SLOT_BYTES) as u32;
/// How long the server may be away from its other work.
const SLICE: Duration = Duration::from_millis(5);

/// Says whether the use of the slot at `index` for the first time is worth a poke.
#[inline]
pub(crate) fn is_step(index: u32) -> bool {
    index >= MANY && index.is_multiple_of(STEP)
}

/// The server's part: what has been joined, and what is to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// How many slots had been used when it looked last.
    seen: u32,
    /// Where in `ctl` it goes on.
    next: Option<usize>,
    joined: HashSet<usize>,
    refused: bool,
}

impl Tables {
    /// Hears a poke, or the start of the server.
    pub(crate) fn poked(&mut self, shared: &Shared) {
        let ever = alloc::slots_ever(shared);
        if ever >= MANY && ever / STEP > self.seen / STEP && !self.refused {
            self.seen = ever;
            self.next = Some(0);
        }
    }

    /// Says whether there is something to [`look`](Self::look) at.
    pub(crate) fn is_due(&self) -> bool {
        self.next.is_some()
    }

    /// Joins pages; does a slice of it and is to be called again.
    pub(crate) fn look(&mut self, shared: &Shared) {
        let until = Instant::now() + SLICE;
        while let Some(from) = self.next
            && Instant::now() < until
        {
            let data = shared.ctl.file().and_then(|file| aligned::next_data(file, from));
            self.next = data.and_then(|data| {
                let mut whole = (data.start.next_multiple_of(LARGE)..data.end / LARGE * LARGE).step_by(LARGE);
                let next = whole.find(|at| !self.joined.contains(at));
                next.map_or(Some(data.end), |at| self.join(shared, at))
            });
        }
    }

    /// Joins the pages at `at`; returns where to go on.
    fn join(&mut self, shared: &Shared, at: usize) -> Option<usize> {
        match shared.ctl.join(at) {
            Ok(()) => {
                self.joined.insert(at);
                Some(at + LARGE)
            }
            Err(error) => {
                // Unknown to this kernel, or forbidden; anything else may be different at the next look.
                self.refused = matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM));
                tracing::debug!(%error, at, "no large page for the tables");
                (!self.refused).then_some(at + LARGE)
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sys::memory;
    use crate::{ObjectId, Store, StoreOptions};

    #[test]
    fn joining_pages_changes_no_word_and_commits_nothing() {
        let store = Store::create(StoreOptions::new(1 << 20).max_objects(1 << 18)).unwrap();
        let shared = &store.inner().shared;
        let look = |tables: &mut Tables| {
            tables.poked(shared);
            while tables.is_due() {
                tables.look(shared);
            }
        };
        let id = |n: u64| ObjectId::from_words([n, 1]);
        let mut tables = Tables::default();
        (0..1000).for_each(|n| drop(store.put(id(n), b"").unwrap()));
        look(&mut tables);
        assert!(tables.joined.is_empty(), "a small store has large pages");
        (1000..u64::from(MANY + 2 * STEP)).for_each(|n| drop(store.put(id(n), b"").unwrap()));
        // The server does the same meanwhile, and there need not be large pages: what was joined is not to be told here.
        let committed = shared.ctl.file().map(memory::committed);
        look(&mut tables);
        assert_eq!(shared.ctl.file().map(memory::committed), committed);
        assert!((0..u64::from(MANY + 2 * STEP)).all(|n| store.contains(id(n))));
        store.check().unwrap();
    }
}
