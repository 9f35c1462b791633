//! Words that exist only in a model.
//!
//! Loom wants every atomic to be made before the threads that use it, and each costs time in every
//! execution. So a modelled segment makes a few words, all zero, and gives each place one of them
//! when it is first touched. Words that a lock guards cost less and are many ([`Ctl::guard`]).

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::sync::{AtomicU32, AtomicU64, payload};
use crate::sys::aligned::AlignedMap;

/// How many places of 64 and of 32 bits one execution of a model may touch.
const PLACES: (usize, usize) = (224, 40);

/// How many guarded places of 64 and of 32 bits one execution may touch.
const GUARDED: (usize, usize) = (256, 8);

/// The words of a bucket or of a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<'a, const N: usize> {
    ctl: &'a Ctl,
    at: usize,
}

impl<'a, const N: usize> Block<'a, N> {
    /// Returns the 64-bit word at byte `field`.
    pub(crate) fn u64(&self, field: usize) -> &'a AtomicU64 {
        self.ctl.u64(self.at + field)
    }

    /// Returns the 32-bit word at byte `field`.
    pub(crate) fn u32(&self, field: usize) -> &'a AtomicU32 {
        self.ctl.u32(self.at + field)
    }
}

/// A modelled control segment, as one process has it.
pub(crate) struct Ctl {
    len: usize,
    words: Arc<Words>,
}

struct Words {
    large: Pool<AtomicU64>,
    small: Pool<AtomicU32>,
    guarded: OnceLock<Guarded>,
}

/// The words that a lock guards.
struct Guarded {
    is_guarded: Box<dyn Fn(usize) -> bool + Send + Sync>,
    large: Pool<AtomicU64>,
    small: Pool<AtomicU32>,
}

impl fmt::Debug for Ctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctl").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Ctl {
    /// Stands for a shared mapping, which no model has.
    pub(crate) fn mapped(map: AlignedMap, _file: File) -> Ctl {
        Ctl::heap(map.len() & !7)
    }

    /// Stands for the file behind a mapping, which no model has.
    pub(crate) fn file(&self) -> Option<&File> {
        None
    }

    /// Stands for a mapping over a mapping, which no model has.
    pub(crate) fn open_area(&self, _file: &File, _at: usize, _len: usize) -> io::Result<()> {
        Ok(())
    }

    /// Does nothing: models have no pages.
    pub(crate) fn join(&self, _at: usize) -> io::Result<()> {
        Ok(())
    }

    /// Makes a zeroed segment of `len` bytes.
    pub(crate) fn heap(len: usize) -> Ctl {
        let large = Pool::new(|| AtomicU64::new(0), PLACES.0);
        let small = Pool::new(|| AtomicU32::new(0), PLACES.1);
        Ctl { len, words: Arc::new(Words { large, small, guarded: OnceLock::new() }) }
    }

    /// Maps the segment for another process.
    pub(crate) fn again(&self) -> Ctl {
        Ctl { len: self.len, words: Arc::clone(&self.words) }
    }

    /// Says at which offsets are words that only the owner of one lock touches.
    pub(crate) fn guard(&self, is_guarded: impl Fn(usize) -> bool + Send + Sync + 'static) {
        payload::guard();
        let large = Pool::new(AtomicU64::guarded, GUARDED.0);
        let small = Pool::new(AtomicU32::guarded, GUARDED.1);
        let _ = self.words.guarded.set(Guarded { is_guarded: Box::new(is_guarded), large, small });
    }

    /// Returns the guarded words if the one at `offset` is one.
    fn guarded(&self, offset: usize) -> Option<&Guarded> {
        self.words.guarded.get().filter(|guarded| (guarded.is_guarded)(offset))
    }

    /// Does nothing: models have no caches.
    pub(crate) fn prefetch(&self, _offset: usize) {}

    /// Returns how many bytes the segment has.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns `N` words of 64 bits from byte `offset` on.
    pub(crate) fn block<const N: usize>(&self, offset: usize) -> Block<'_, N> {
        Block { ctl: self, at: offset }
    }

    /// Returns the 64-bit word at byte `offset` (a multiple of 8).
    pub(crate) fn u64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len, "word at {offset} of {}", self.len);
        self.guarded(offset).map_or(&self.words.large, |guarded| &guarded.large).word(offset)
    }

    /// Returns the 32-bit word at byte `offset` (a multiple of 4).
    pub(crate) fn u32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.len, "word at {offset} of {}", self.len);
        self.guarded(offset).map_or(&self.words.small, |guarded| &guarded.small).word(offset)
    }
}

/// Words that are given to places in the order in which these are touched.
struct Pool<T> {
    words: Vec<T>,
    places: Mutex<BTreeMap<usize, usize>>,
}

impl<T> Pool<T> {
    fn new(word: impl FnMut() -> T, count: usize) -> Pool<T> {
        Pool { words: std::iter::repeat_with(word).take(count).collect(), places: Mutex::default() }
    }

    fn word(&self, offset: usize) -> &T {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let next = places.len();
        let place = *places.entry(offset).or_insert(next);
        assert!(place < self.words.len(), "the model touches more than {} places", self.words.len());
        &self.words[place]
    }
}
