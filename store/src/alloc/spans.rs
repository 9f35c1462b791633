//! Spans: pages cut into cells of one size class, with a bitmap of the cells in use.

use super::pages::SPAN_HEAD;
use super::{A_SPANS, Alloc, CLASSES, P_BITS, P_KIND, P_NEXT, P_PREV, rebuild};
use crate::layout::PAGE;

/// Returns how many pages a span of a class takes.
pub(crate) const fn pages(class: usize) -> usize {
    if CLASSES[class] <= 2048 { 1 } else { 4 }
}

/// Returns how many cells a span of a class has; at most 256, so that one page holds the bitmap.
pub(crate) const fn cells(class: usize) -> usize {
    pages(class) * PAGE / CLASSES[class]
}

/// What the spans of a class look like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) bytes: usize,
    pub(crate) cells: usize,
    pub(crate) pages: usize,
}

/// The shapes of all classes, so that nobody divides to know one.
pub(crate) static SHAPES: [Shape; CLASSES.len()] = {
    let mut shapes = [Shape { bytes: 0, cells: 0, pages: 0 }; CLASSES.len()];
    let mut class = 0;
    while class < CLASSES.len() {
        shapes[class] = Shape { bytes: CLASSES[class], cells: cells(class), pages: pages(class) };
        class += 1;
    }
    shapes
};

impl Alloc<'_> {
    fn span_head(class: usize) -> usize {
        A_SPANS + 8 * class
    }

    /// Puts a span on the list of those with free cells.
    pub(super) fn link_span(&mut self, class: usize, page: usize) {
        let first = self.linked(self.get(Self::span_head(class)));
        self.page_set(page, P_NEXT, first);
        self.page_set(page, P_PREV, 0);
        if first != 0 {
            self.page_set(first - 1, P_PREV, page + 1);
        }
        self.set(Self::span_head(class), page + 1);
    }

    /// Takes a span off the list of those with free cells; false if it is not there.
    pub(super) fn unlink_span(&mut self, class: usize, page: usize) -> bool {
        if !self.is_listed(page, Self::span_head(class)) {
            return false;
        }
        let (next, prev) = (self.page_get(page, P_NEXT), self.page_get(page, P_PREV));
        match prev {
            0 => self.set(Self::span_head(class), next),
            prev => self.page_set(prev - 1, P_NEXT, next),
        }
        if next != 0 {
            self.page_set(next - 1, P_PREV, prev);
        }
        true
    }

    /// Describes a span with these cells in use, and lists it if any is free.
    pub(super) fn make_span(&mut self, class: usize, page: usize, bits: [u64; 4]) {
        self.page_set(page, P_KIND, SPAN_HEAD | class << 8);
        for (i, word) in bits.into_iter().enumerate() {
            self.page_set(page, P_BITS + 8 * i, word as usize);
        }
        if !self.is_full(class, page) {
            self.link_span(class, page);
        }
    }

    pub(super) fn bits(&self, page: usize) -> [u64; 4] {
        [0, 1, 2, 3].map(|i| self.page_get(page, P_BITS + 8 * i) as u64)
    }

    /// Says whether a page starts a span of a class that has free cells.
    pub(super) fn is_span(&self, class: usize, page: usize) -> bool {
        self.is_span_of(class, page) && !self.is_full(class, page)
    }

    /// Says whether a page starts a span of a class.
    fn is_span_of(&self, class: usize, page: usize) -> bool {
        page.saturating_add(pages(class)) <= self.shared.layout.pages
            && self.page_get(page, P_KIND) == SPAN_HEAD | class << 8
    }

    pub(super) fn is_full(&self, class: usize, page: usize) -> bool {
        self.used_cells(page) >= cells(class)
    }

    fn used_cells(&self, page: usize) -> usize {
        self.bits(page).iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Says whether a span of the class has a free cell.
    pub(super) fn has_cell(&self, class: usize) -> bool {
        self.get(Self::span_head(class)) != 0
    }

    /// Takes a cell, from the span that got one back last.
    pub(super) fn take_cell(&mut self, class: usize) -> Option<(usize, usize)> {
        let sane = |alloc: &Self, page| alloc.is_span(class, page) && alloc.is_listed(page, Self::span_head(class));
        let first = self.get(Self::span_head(class));
        if first != 0 && !sane(self, first - 1) {
            // The list makes no sense: the caller has no memory in hand that no slot names.
            rebuild(self);
        }
        let page = match self.get(Self::span_head(class)) {
            0 => {
                let page = self.take_run(pages(class))?;
                self.make_span(class, page, [0; 4]);
                page
            }
            first if sane(self, first - 1) => first - 1,
            _ => return None,
        };
        let bits = self.bits(page);
        let word = bits.iter().position(|&w| w != u64::MAX)?;
        let bit = bits[word].trailing_ones() as usize;
        let cell = word * 64 + bit;
        if cell >= cells(class) {
            return None;
        }
        self.page_set(page, P_BITS + 8 * word, (bits[word] | 1 << bit) as usize);
        if self.is_full(class, page) {
            self.unlink_span(class, page);
        }
        Some((page, cell))
    }

    /// Gives a cell back; a span that is empty goes unless it is the last of its class with free cells.
    pub(super) fn give_cell(&mut self, class: usize, page: usize, cell: usize) {
        if !self.is_span_of(class, page) {
            return;
        }
        let was_full = self.is_full(class, page);
        let at = P_BITS + 8 * (cell / 64);
        self.page_set(page, at, self.page_get(page, at) & !(1 << (cell % 64)));
        if was_full {
            self.link_span(class, page);
        }
        let only = self.get(Self::span_head(class)) == page + 1 && self.page_get(page, P_NEXT) == 0;
        if self.used_cells(page) == 0 && !only && self.unlink_span(class, page) {
            self.give_run(page, pages(class));
        }
    }

    /// Gives the pages of all empty spans back; says whether there were any.
    pub(crate) fn release_empty_spans(&mut self) -> bool {
        let mut any = false;
        for class in 0..CLASSES.len() {
            let mut at = self.get(Self::span_head(class));
            let mut steps = self.shared.layout.pages;
            while at != 0 && steps > 0 {
                let page = at - 1;
                if !self.is_span_of(class, page) {
                    break;
                }
                at = self.page_get(page, P_NEXT);
                steps -= 1;
                if self.used_cells(page) == 0 && self.unlink_span(class, page) {
                    self.give_run(page, pages(class));
                    any = true;
                }
            }
        }
        any
    }
}
