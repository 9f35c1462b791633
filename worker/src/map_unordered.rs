//! `map_unordered`: one call for each item, results as they come, and never more calls than a bound.
//!
//! ```text
//!   items --next--> call --> places: [ ref | - | ref | ... ]   at most n
//!                                          ^ |
//!                              completions-+ +--> get --> the iterator's item
//! ```
//!
//! A call is unfinished until its result has been given out, so results wait in no list either.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::core::Core;
use crate::deferred::{Completions, Dependent};
use crate::error::{Error, Result};
use crate::objects;
use crate::refs::ObjectRef;

/// How many calls are unfinished at a time unless somebody says otherwise.
const AT_MOST: usize = 1_000;

/// Makes a call for each item and returns an iterator over the results in the order of completion.
///
/// Nothing is called before the iterator is asked for its first result. From then on up to
/// [`at_most`](MapUnordered::at_most) calls (1,000 unless set) are unfinished at a time: a result that is given out makes
/// room for the next item. So the items may be any number, and may be made as they are needed. Dropping the iterator makes
/// no further calls; those that were made run on.
///
/// # Errors
///
/// Each item is a result, or the error of its call; what comes after an error goes on. The runtime's end is the last item, and so
/// is `is_cancelled` if the call that waits was cancelled.
///
/// # Examples
///
/// ```no_run
/// # use mobula_worker as mobula;
/// # fn example(square: fn(u64) -> mobula::ObjectRef<u64>) -> mobula::Result<()> {
/// let mut sum = 0;
/// for square in mobula::map_unordered(0..1_000_000, square).at_most(100) {
///     sum += square?;
/// }
/// # Ok(())
/// # }
/// ```
pub fn map_unordered<I, F, T>(items: I, call: F) -> MapUnordered<I::IntoIter, F, T>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> ObjectRef<T>,
    T: DeserializeOwned,
{
    MapUnordered {
        items: Some(items.into_iter()),
        call,
        at_most: AT_MOST,
        completions: Arc::default(),
        places: Vec::new(),
        free: Vec::new(),
    }
}

/// The iterator of [`map_unordered`].
#[must_use = "nothing is called before the first result is asked for"]
pub struct MapUnordered<I, F, T> {
    /// `None` when there are no more.
    items: Option<I>,
    call: F,
    at_most: usize,
    completions: Arc<Completions>,
    /// The unfinished calls; a completion names a place.
    places: Vec<Option<ObjectRef<T>>>,
    free: Vec<usize>,
}

impl<I, F, T> MapUnordered<I, F, T> {
    /// Sets how many calls are unfinished at a time.
    ///
    /// With 0 the only result is an error (`is_invalid_argument`).
    pub fn at_most(mut self, calls: usize) -> Self {
        self.at_most = calls;
        self
    }

    fn unfinished(&self) -> usize {
        self.places.len() - self.free.len()
    }

    fn end(&mut self, error: Error) -> Option<Result<T>> {
        self.items = None;
        self.places.clear();
        self.free.clear();
        Some(Err(error))
    }
}

impl<I, F, T> fmt::Debug for MapUnordered<I, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapUnordered")
            .field("at_most", &self.at_most)
            .field("unfinished", &self.unfinished())
            .finish_non_exhaustive()
    }
}

impl<I, F, T> MapUnordered<I, F, T>
where
    I: Iterator,
    F: FnMut(I::Item) -> ObjectRef<T>,
{
    /// Makes calls while there is room for them.
    fn fill(&mut self) {
        while self.unfinished() < self.at_most
            && let Some(item) = self.items.as_mut().and_then(Iterator::next)
        {
            let object = (self.call)(item);
            let place = self.free.pop().unwrap_or(self.places.len());
            let dependent = Dependent::Completions(self.completions.clone(), place);
            let waits = object.inner.core().is_ok_and(|core| core.await_ref(&object.inner, dependent).is_none());
            if place == self.places.len() {
                self.places.push(None);
            }
            self.places[place] = Some(object);
            if !waits {
                self.completions.push(place);
            }
        }
        if self.unfinished() < self.at_most {
            self.items = None;
        }
    }

    /// The runtime of the calls, if there is one: all are made in the same.
    fn core(&self) -> Option<Arc<Core>> {
        self.places.iter().flatten().find_map(|object| object.inner.core().ok())
    }
}

impl<I, F, T> Iterator for MapUnordered<I, F, T>
where
    I: Iterator,
    F: FnMut(I::Item) -> ObjectRef<T>,
    T: DeserializeOwned,
{
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at_most == 0 && self.items.is_some() {
            return self.end(Error::invalid_argument("at_most must be 1 or more, not 0"));
        }
        self.fill();
        if self.unfinished() == 0 {
            return None;
        }
        let place = match self.completions.pop() {
            Some(place) => place,
            None => match self.core().and_then(|core| objects::next_completion(&core, &self.completions)) {
                Some(place) => place,
                None => return self.end(objects::no_more()),
            },
        };
        let object = self.places.get_mut(place)?.take()?;
        self.free.push(place);
        // The next one runs while the program looks at this one's result.
        self.fill();
        Some(objects::get(&object))
    }
}

impl<I, F, T> FusedIterator for MapUnordered<I, F, T>
where
    I: Iterator,
    F: FnMut(I::Item) -> ObjectRef<T>,
    T: DeserializeOwned,
{
}
