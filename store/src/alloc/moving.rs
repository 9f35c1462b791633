//! Memory at a given place, for those who move objects together (compact.rs).

use super::pages::FREE_HEAD;
use super::{Alloc, P_BITS, P_LEN, spans};
use crate::place::Place;

impl Alloc<'_> {
    /// Takes pages at the start of a free run.
    pub(crate) fn take_run_at(&mut self, page: usize, pages: usize) -> Option<Place> {
        self.cut_run(page, pages)?;
        let place = Place::Run { page, pages };
        self.count_used(place);
        Some(place)
    }

    /// Makes an empty span at the start of a free run.
    pub(crate) fn open_span(&mut self, class: usize, page: usize) -> Option<()> {
        self.cut_run(page, spans::pages(class))?;
        self.make_span(class, page, [0; 4]);
        Some(())
    }

    /// Takes a certain cell of a span; the next cells of the class come from that span, too.
    pub(crate) fn take_cell_in(&mut self, class: usize, page: usize, cell: usize) -> Option<Place> {
        let bit = 1 << (cell % 64);
        let at = P_BITS + 8 * (cell / 64);
        let free = self.is_span(class, page) && self.page_get(page, at) & bit == 0;
        if !free || !self.unlink_span(class, page) {
            return None;
        }
        self.page_set(page, at, self.page_get(page, at) | bit);
        if !self.is_full(class, page) {
            self.link_span(class, page);
        }
        let place = Place::Cell { class, page, cell };
        self.count_used(place);
        Some(place)
    }

    /// Takes pages from the start of a free run off the lists.
    fn cut_run(&mut self, page: usize, pages: usize) -> Option<()> {
        let free = page < self.shared.layout.pages && self.kind(page) == FREE_HEAD;
        if !free || self.page_get(page, P_LEN) < pages {
            return None;
        }
        let len = self.unlink_run(page)?;
        if len > pages {
            self.link_run(page + pages, len - pages);
        }
        self.own_run(page, pages);
        Some(())
    }
}
