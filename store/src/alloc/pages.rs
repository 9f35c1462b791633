//! Page runs: lists of free runs by the logarithm of their length, merged with their neighbours at once.

use super::{A_BINS, A_FREE_PAGES, Alloc, BINS, P_KIND, P_LEN, P_NEXT, P_PREV};

pub(super) const INSIDE: usize = 0;
pub(super) const FREE_HEAD: usize = 1;
pub(super) const FREE_TAIL: usize = 2;
pub(super) const USED_HEAD: usize = 3;
pub(super) const SPAN_HEAD: usize = 4;

/// Runs at least this long are cut from the end of a free run, shorter ones from its start, so that
/// long-lived small objects gather at low addresses.
const LONG: usize = 64;

impl Alloc<'_> {
    fn bin(pages: usize) -> usize {
        (pages.max(1).ilog2() as usize).min(BINS - 1)
    }

    fn head(bin: usize) -> usize {
        A_BINS + 8 * bin
    }

    pub(super) fn kind(&self, page: usize) -> usize {
        self.page_get(page, P_KIND) & 0xff
    }

    /// Puts a free run on its list and describes it at both ends.
    pub(super) fn link_run(&mut self, page: usize, pages: usize) {
        let head = Self::head(Self::bin(pages));
        let first = self.get(head);
        self.page_set(page, P_KIND, FREE_HEAD);
        self.page_set(page, P_LEN, pages);
        self.page_set(page, P_NEXT, first);
        self.page_set(page, P_PREV, 0);
        if first != 0 {
            self.page_set(first - 1, P_PREV, page + 1);
        }
        self.set(head, page + 1);
        if pages > 1 {
            self.page_set(page + pages - 1, P_KIND, FREE_TAIL);
            self.page_set(page + pages - 1, P_LEN, pages);
        }
        self.set(A_FREE_PAGES, self.get(A_FREE_PAGES) + pages);
    }

    pub(super) fn unlink_run(&mut self, page: usize) -> usize {
        let pages = self.page_get(page, P_LEN);
        let (next, prev) = (self.page_get(page, P_NEXT), self.page_get(page, P_PREV));
        match prev {
            0 => self.set(Self::head(Self::bin(pages)), next),
            prev => self.page_set(prev - 1, P_NEXT, next),
        }
        if next != 0 {
            self.page_set(next - 1, P_PREV, prev);
        }
        self.page_set(page, P_KIND, INSIDE);
        self.page_set((page + pages).saturating_sub(1), P_KIND, INSIDE);
        self.set(A_FREE_PAGES, self.get(A_FREE_PAGES).saturating_sub(pages));
        pages
    }

    /// Takes a run of `pages`, last freed first within a list.
    pub(super) fn take_run(&mut self, pages: usize) -> Option<usize> {
        if pages == 0 || pages > self.shared.layout.pages {
            return None;
        }
        let own = Self::bin(pages);
        let found = (own..BINS).find_map(|bin| {
            let mut at = self.get(Self::head(bin));
            // In the request's own list runs may be too short; in later lists the first one fits.
            let mut steps = self.shared.layout.pages;
            while at != 0 && steps > 0 {
                if self.page_get(at - 1, P_LEN) >= pages {
                    return Some(at - 1);
                }
                at = self.page_get(at - 1, P_NEXT);
                steps -= 1;
            }
            None
        })?;
        let len = self.unlink_run(found);
        let rest = len - pages;
        let page = if pages >= LONG { found + rest } else { found };
        if rest > 0 {
            self.link_run(if pages >= LONG { found } else { found + pages }, rest);
        }
        self.own_run(page, pages);
        Some(page)
    }

    /// Describes a run that is in use.
    pub(super) fn own_run(&mut self, page: usize, pages: usize) {
        self.page_set(page, P_KIND, USED_HEAD);
        self.page_set(page, P_LEN, pages);
    }

    /// Gives a run back and merges it with free neighbours.
    pub(super) fn give_run(&mut self, page: usize, pages: usize) {
        let (mut start, mut len) = (page, pages);
        self.page_set(page, P_KIND, INSIDE);
        if start > 0 {
            let before = start - 1;
            let head = match self.kind(before) {
                FREE_HEAD => Some(before),
                FREE_TAIL => Some((before + 1).saturating_sub(self.page_get(before, P_LEN))),
                _ => None,
            };
            if let Some(head) = head {
                len += self.unlink_run(head);
                start = head;
            }
        }
        let after = start + len;
        if after < self.shared.layout.pages && self.kind(after) == FREE_HEAD {
            len += self.unlink_run(after);
        }
        self.link_run(start, len);
    }

    /// Returns the length of the longest free run in pages.
    pub(super) fn longest_run(&self) -> usize {
        let Some(bin) = (0..BINS).rev().find(|&bin| self.get(Self::head(bin)) != 0) else { return 0 };
        let (mut at, mut longest, mut steps) = (self.get(Self::head(bin)), 0, self.shared.layout.pages);
        while at != 0 && steps > 0 {
            longest = longest.max(self.page_get(at - 1, P_LEN));
            at = self.page_get(at - 1, P_NEXT);
            steps -= 1;
        }
        longest
    }

    /// Iterates over the free runs of at least `pages`, as (page, pages).
    pub(crate) fn free_runs(&self, pages: usize) -> impl Iterator<Item = (usize, usize)> {
        (Self::bin(pages)..BINS)
            .flat_map(|bin| {
                let first = self.get(Self::head(bin));
                // A list in the hands of nobody has no more members than there are pages.
                std::iter::successors(Some(first), |&at| Some(self.page_get(at.saturating_sub(1), P_NEXT)))
                    .take_while(|&at| at != 0)
                    .take(self.shared.layout.pages)
            })
            .map(|at| (at - 1, self.page_get(at - 1, P_LEN)))
            .filter(move |&(_, len)| len >= pages)
    }

    /// Says whether all these pages are in one free run.
    pub(crate) fn is_free(&self, page: usize, pages: usize) -> bool {
        self.free_runs(pages).any(|(start, len)| start <= page && page + pages <= start + len)
    }
}
