//! Page runs: lists of free runs by the logarithm of their length, merged with their neighbours at once.

use super::{A_BINS, A_FREE_PAGES, Alloc, BINS, P_KIND, P_LEN, P_NEXT, P_PREV, rebuild};

pub(super) const INSIDE: usize = 0;
pub(super) const FREE_HEAD: usize = 1;
pub(super) const FREE_TAIL: usize = 2;
pub(super) const USED_HEAD: usize = 3;
pub(super) const SPAN_HEAD: usize = 4;

/// Runs at least this long are cut from the end of a free run, shorter ones from its start, so that
/// long-lived small objects gather at low addresses.
const LONG: usize = 64;

/// A list is not what lists are made to be: some word of it was damaged.
struct Nonsense;

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
        let first = self.linked(self.get(head));
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
        self.set(A_FREE_PAGES, self.get(A_FREE_PAGES).saturating_add(pages));
    }

    /// Follows a link to a page: 0 if it leads to none.
    pub(super) fn linked(&self, link: usize) -> usize {
        if link <= self.shared.layout.pages { link } else { 0 }
    }

    /// Says whether a page is where its neighbours in a list and the list's head say that it is.
    pub(super) fn is_listed(&self, page: usize, head: usize) -> bool {
        let (next, prev) = (self.page_get(page, P_NEXT), self.page_get(page, P_PREV));
        let total = self.shared.layout.pages;
        let before = match prev {
            0 => self.get(head),
            prev if prev <= total => self.page_get(prev - 1, P_NEXT),
            _ => return false,
        };
        let behind = next == 0 || next <= total && self.page_get(next - 1, P_PREV) == page + 1;
        before == page + 1 && behind
    }

    /// Returns the length of the free run that starts at a page; `None` if none does, as far as words can be trusted.
    fn free_run(&self, page: usize) -> Option<usize> {
        let (total, len) = (self.shared.layout.pages, self.page_get(page, P_LEN));
        if page >= total || self.kind(page) != FREE_HEAD || len == 0 || len > total - page {
            return None;
        }
        let tail = page + len - 1;
        let ends = len == 1 || self.kind(tail) == FREE_TAIL && self.page_get(tail, P_LEN) == len;
        (ends && self.is_listed(page, Self::head(Self::bin(len)))).then_some(len)
    }

    /// Takes a free run off its list and returns its length; `None` if there is none at that page.
    pub(super) fn unlink_run(&mut self, page: usize) -> Option<usize> {
        let pages = self.free_run(page)?;
        let (next, prev) = (self.page_get(page, P_NEXT), self.page_get(page, P_PREV));
        match prev {
            0 => self.set(Self::head(Self::bin(pages)), next),
            prev => self.page_set(prev - 1, P_NEXT, next),
        }
        if next != 0 {
            self.page_set(next - 1, P_PREV, prev);
        }
        self.page_set(page, P_KIND, INSIDE);
        self.page_set(page + pages - 1, P_KIND, INSIDE);
        self.set(A_FREE_PAGES, self.get(A_FREE_PAGES).saturating_sub(pages));
        Some(pages)
    }

    /// Takes a run of `pages`, last freed first within a list.
    ///
    /// If the lists make no sense they are built anew: the caller has no memory in hand that no slot names.
    pub(super) fn take_run(&mut self, pages: usize) -> Option<usize> {
        if pages == 0 || pages > self.shared.layout.pages {
            return None;
        }
        let found = self.find_run(pages).unwrap_or_else(|Nonsense| {
            rebuild(self);
            self.find_run(pages).unwrap_or(None)
        })?;
        let len = self.unlink_run(found)?;
        let rest = len - pages;
        let page = if pages >= LONG { found + rest } else { found };
        if rest > 0 {
            self.link_run(if pages >= LONG { found } else { found + pages }, rest);
        }
        self.own_run(page, pages);
        Some(page)
    }

    /// Finds the start of a free run of at least `pages`.
    fn find_run(&self, pages: usize) -> Result<Option<usize>, Nonsense> {
        for bin in Self::bin(pages)..BINS {
            let mut at = self.get(Self::head(bin));
            // In the request's own list runs may be too short; in later lists the first one fits.
            let mut steps = self.shared.layout.pages;
            while at != 0 {
                let len = self.free_run(at - 1).filter(|_| steps > 0).ok_or(Nonsense)?;
                if len >= pages {
                    return Ok(Some(at - 1));
                }
                at = self.page_get(at - 1, P_NEXT);
                steps -= 1;
            }
        }
        Ok(None)
    }

    /// Describes a run that is in use.
    pub(super) fn own_run(&mut self, page: usize, pages: usize) {
        self.page_set(page, P_KIND, USED_HEAD);
        self.page_set(page, P_LEN, pages);
    }

    /// Gives a run back and merges it with free neighbours, those that are free indeed.
    pub(super) fn give_run(&mut self, page: usize, pages: usize) {
        let (mut start, mut len) = (page, pages);
        self.page_set(page, P_KIND, INSIDE);
        if start > 0 {
            let before = start - 1;
            let head = match self.kind(before) {
                FREE_HEAD => Some(before),
                FREE_TAIL => (before + 1).checked_sub(self.page_get(before, P_LEN)),
                _ => None,
            };
            if let Some(head) = head
                && self.free_run(head) == Some(start - head)
                && let Some(more) = self.unlink_run(head)
            {
                len += more;
                start = head;
            }
        }
        let after = start + len;
        if after < self.shared.layout.pages
            && let Some(more) = self.unlink_run(after)
        {
            len += more;
        }
        self.link_run(start, len);
    }

    /// Returns the length of the longest free run in pages.
    pub(super) fn longest_run(&self) -> usize {
        let Some(bin) = (0..BINS).rev().find(|&bin| self.get(Self::head(bin)) != 0) else { return 0 };
        let (mut at, mut longest, mut steps) = (self.get(Self::head(bin)), 0, self.shared.layout.pages);
        while at != 0 && steps > 0 {
            let Some(len) = self.free_run(at - 1) else { break };
            longest = longest.max(len);
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
