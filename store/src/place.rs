//! Places: where the bytes of an object are.
//!
//! A slot names its place in one word, so that a place changes by one store:
//!
//! ```text
//!   0                                             no bytes at all
//!   1:2 | class:6 | page:32 | cell:24             a cell of a span of the arena
//!   2:2 | page:31 | pages:31                      a run of pages of the arena
//!   3:2 | 0:2 | record:60                         a record on disk (disk.rs)
//!   3:2 | 1:2 | number:60                         a file of its own (disk.rs)
//! ```
//!
//! A slot has room for two of them; the state's [`ALT`](crate::slot::ALT) flag says which is the
//! object's. The other one is touched only by whoever moves the object (moves.rs).

use std::ops::Range;

use crate::alloc::CLASSES;
use crate::alloc::spans::{self, SHAPES};
use crate::layout::PAGE;

/// Where the bytes of an object are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: an empty object, or a promise.
    None,
    /// A cell of a span.
    Cell { class: usize, page: usize, cell: usize },
    /// Whole pages.
    Run { page: usize, pages: usize },
    /// A record on disk.
    Record(u64),
    /// A file of its own, mapped.
    File(u64),
}

impl Place {
    /// The largest number of a record or a file.
    pub(crate) const NUMBERS: u64 = (1 << 60) - 1;

    pub(crate) fn to_word(self) -> u64 {
        match self {
            Place::None => 0,
            Place::Cell { class, page, cell } => 1 << 62 | (class as u64) << 56 | (page as u64) << 24 | cell as u64,
            Place::Run { page, pages } => 2 << 62 | (page as u64) << 31 | pages as u64,
            Place::Record(record) => 3 << 62 | record & Self::NUMBERS,
            Place::File(number) => 3 << 62 | 1 << 60 | number & Self::NUMBERS,
        }
    }

    /// Takes a word apart; `None` if it describes nothing inside a file of `total_pages`.
    #[inline]
    pub(crate) fn from_word(word: u64, total_pages: usize) -> Option<Place> {
        match word >> 62 {
            0 if word == 0 => Some(Place::None),
            1 => {
                let class = (word >> 56 & 0x3f) as usize;
                let page = (word >> 24 & 0xffff_ffff) as usize;
                let cell = (word & 0xff_ffff) as usize;
                let inside =
                    class < CLASSES.len() && page + spans::pages(class) <= total_pages && cell < spans::cells(class);
                inside.then_some(Place::Cell { class, page, cell })
            }
            2 => {
                let page = (word >> 31 & 0x7fff_ffff) as usize;
                let pages = (word & 0x7fff_ffff) as usize;
                (pages > 0 && page + pages <= total_pages).then_some(Place::Run { page, pages })
            }
            3 => match word >> 60 & 3 {
                0 => Some(Place::Record(word & Self::NUMBERS)),
                1 => Some(Place::File(word & Self::NUMBERS)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the bytes of the arena that a word describes, as [`from_word`](Self::from_word) would; `None` if there
    /// are none there.
    #[inline]
    pub(crate) fn block(word: u64, total_pages: usize) -> Option<Range<usize>> {
        let kind = word >> 62;
        let (page, pages, at, bytes) = if kind == 1 {
            let shape = SHAPES.get((word >> 56 & 0x3f) as usize)?;
            let cell = (word & 0xff_ffff) as usize;
            if cell >= shape.cells {
                return None;
            }
            ((word >> 24 & 0xffff_ffff) as usize, shape.pages, cell * shape.bytes, shape.bytes)
        } else if kind == 2 {
            let pages = (word & 0x7fff_ffff) as usize;
            ((word >> 31 & 0x7fff_ffff) as usize, pages, 0, pages * PAGE)
        } else {
            return (word == 0).then_some(0..0);
        };
        let start = page * PAGE + at;
        (pages > 0 && page + pages <= total_pages).then_some(start..start + bytes)
    }

    /// Returns the offset in the arena; `None` if the bytes are not there.
    #[inline]
    pub(crate) fn offset(self) -> Option<usize> {
        match self {
            Place::None => Some(0),
            Place::Cell { class, page, cell } => Some(page * PAGE + cell * CLASSES[class]),
            Place::Run { page, .. } => Some(page * PAGE),
            Place::Record(_) | Place::File(_) => None,
        }
    }

    /// Returns the bytes of the arena that the place takes, as rounded.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Place::Cell { class, .. } => CLASSES[class],
            Place::Run { pages, .. } => pages * PAGE,
            Place::None | Place::Record(_) | Place::File(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_or_are_refused() {
        let places = [
            Place::None,
            Place::Cell { class: 3, page: 5, cell: 9 },
            Place::Run { page: 1, pages: 7 },
            Place::Record(Place::NUMBERS),
            Place::File(12),
        ];
        for place in places {
            assert_eq!(Place::from_word(place.to_word(), 8), Some(place));
        }
        assert_eq!(Place::from_word(Place::Run { page: 2, pages: 7 }.to_word(), 8), None);
        assert_eq!(Place::from_word(Place::Cell { class: 40, page: 0, cell: 0 }.to_word(), 8), None);
        assert_eq!(Place::from_word(u64::MAX, 8), None);
        assert_eq!(Place::from_word(5, 8), None);
        let odd = [Place::Run { page: 2, pages: 7 }, Place::Cell { class: 40, page: 0, cell: 0 }];
        for word in places.iter().chain(&odd).map(|place| place.to_word()).chain([5, u64::MAX, 2 << 62]) {
            let place = Place::from_word(word, 8);
            let block = place.and_then(|place| Some(place.offset()?..place.offset()? + place.bytes()));
            assert_eq!(Place::block(word, 8), block, "{word:x}");
        }
    }
}
