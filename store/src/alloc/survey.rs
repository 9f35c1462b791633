//! What objects take, as the slots say it: read without a lock, and nothing is changed.
//!
//! CACHED memory is free. Small objects share pages: they count as the pages that they take when they are
//! packed, which is what compaction makes of them, but nobody else's run can lie in a span of theirs.
//!
//! ```text
//!   used bytes    runs as they are + cells rounded up to whole spans of their class
//!   longest gap   of a bitmap of pages: those of runs, and all of each span that has a cell in use
//! ```
//!
//! Others change slots meanwhile; each is as it was at some moment of the look.

use std::ops::Range;

use super::{CLASSES, slots_ever, spans};
use crate::layout::PAGE;
use crate::place::Place;
use crate::shared::Shared;
use crate::slot::{self, Slot, State};

/// A sum over slots.
#[derive(Debug)]
pub(crate) struct Survey {
    runs: usize,
    cells: [usize; CLASSES.len()],
    /// One bit a page of the arena.
    taken: Vec<u64>,
    pages: usize,
}

impl Survey {
    /// Starts a sum of nothing.
    pub(crate) fn new(shared: &Shared) -> Survey {
        let pages = shared.layout.pages;
        Survey { runs: 0, cells: [0; CLASSES.len()], taken: vec![0; pages.div_ceil(64)], pages }
    }

    /// Looks at all slots.
    pub(crate) fn of(shared: &Shared) -> Survey {
        let mut survey = Survey::new(shared);
        for index in 0..slots_ever(shared) {
            let slot = Slot::of(shared, index);
            let state = slot.state();
            survey.add(state, slot.place(state));
        }
        survey
    }

    /// Adds what a slot in this state takes.
    pub(crate) fn add(&mut self, state: State, place: Option<Place>) {
        if matches!(state.state(), slot::FREE | slot::CACHED) {
            return;
        }
        match place {
            Some(Place::Run { page, pages }) => {
                self.runs += pages;
                self.take(page..page + pages);
            }
            Some(Place::Cell { class, page, .. }) => {
                self.cells[class] += 1;
                self.take(page..page + spans::pages(class));
            }
            _ => {}
        }
    }

    /// Notes that pages are somebody's; those of the scratch (compact.rs) are not of the arena.
    fn take(&mut self, pages: Range<usize>) {
        let (mut at, end) = (pages.start, pages.end.min(self.pages));
        while at < end {
            let count = (64 - at % 64).min(end - at);
            self.taken[at / 64] |= u64::MAX >> (64 - count) << (at % 64);
            at += count;
        }
    }

    /// Returns how many bytes of the arena objects take; what is in the scratch for a moment comes on top.
    pub(crate) fn used_bytes(&self) -> u64 {
        let spans = |(class, &cells): (usize, &usize)| cells.div_ceil(spans::cells(class)) * spans::pages(class);
        let pages = self.runs + self.cells.iter().enumerate().map(spans).sum::<usize>();
        (pages.min(self.pages) * PAGE) as u64
    }

    /// Returns how many bytes of the arena are free.
    pub(crate) fn free_bytes(&self) -> u64 {
        (self.pages * PAGE) as u64 - self.used_bytes()
    }

    /// Returns the length of the longest run of pages that are nobody's, in bytes.
    pub(crate) fn longest_gap(&self) -> u64 {
        let (mut longest, mut gap) = (0, 0);
        for (i, &word) in self.taken.iter().enumerate() {
            let bits = (self.pages - i * 64).min(64);
            if word == 0 {
                gap += bits;
                longest = longest.max(gap);
                continue;
            }
            for bit in 0..bits {
                gap = if word >> bit & 1 == 0 { gap + 1 } else { 0 };
                longest = longest.max(gap);
            }
        }
        (longest * PAGE) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::Ctl;
    use crate::layout::Layout;

    const SEALED: State = State::new(0, None, 0, slot::SEALED);

    fn survey(pages: usize) -> Survey {
        let layout = Layout::new(pages * PAGE, 64, 2).unwrap();
        assert_eq!(layout.pages, pages);
        Survey::new(&Shared::new(Ctl::heap(layout.len), layout))
    }

    fn page_bytes(pages: u64) -> u64 {
        pages * PAGE as u64
    }

    #[test]
    fn gaps_are_found_wherever_words_end() {
        let mut survey = survey(1024);
        assert_eq!((survey.used_bytes(), survey.longest_gap()), (0, page_bytes(1024)));
        let runs = [(0, 1, 1023), (1023, 1, 1022), (600, 8, 599), (63, 2, 535), (128, 300, 415), (61, 1, 415)];
        let mut used = 0;
        for (page, pages, longest) in runs {
            survey.add(SEALED, Some(Place::Run { page, pages }));
            used += pages as u64;
            assert_eq!((survey.used_bytes(), survey.longest_gap()), (page_bytes(used), page_bytes(longest)), "{page}");
        }
        assert_eq!(survey.free_bytes(), page_bytes(1024 - used));
    }

    #[test]
    fn cells_count_as_packed_and_keep_their_spans() {
        let mut survey = survey(64);
        // Two spans of one page with a cell each: one would do.
        for page in [10, 40] {
            survey.add(SEALED, Some(Place::Cell { class: 0, page, cell: 5 }));
        }
        assert_eq!((survey.used_bytes(), survey.longest_gap()), (page_bytes(1), page_bytes(29)));
        let cached = State::new(0, Some(0), 0, slot::CACHED);
        survey.add(cached, Some(Place::Run { page: 20, pages: 3 }));
        survey.add(SEALED, Some(Place::Record(1)));
        survey.add(SEALED, Some(Place::Run { page: 70, pages: 3 }));
        assert_eq!(
            (survey.used_bytes(), survey.longest_gap()),
            (page_bytes(4), page_bytes(29)),
            "the scratch is no gap"
        );
    }
}
