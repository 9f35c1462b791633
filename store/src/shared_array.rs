//! Arrays that several processes fill: [`SharedArray`], and [`ArrayPart`] for who fills one.
//!
//! ```text
//!   control board (parts.rs)      data board, the bytes of the array to come
//!   | 0 DONE | 1 CLAIMED | 2 FREE |      | part 0 | part 1 | part 2 |
//!                  |                              |
//!              ArrayPart: &mut [T] <--------------+
//!
//!   all DONE:  seal --> the data board is frozen: an ordinary array
//! ```
//!
//! A handle holds both boards and serialises as the id of the control board, which names the other. There is one rule for
//! the bytes: between two bounds they belong to the owner of that part; once all parts are done they belong to nobody, and
//! only then may a `&[T]` of them all exist. So an [`ArrayPart`] may give a `&mut [T]`, and no lock is taken for it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytemuck::Pod;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::array::{Array, MAX_DIMENSIONS, elements, metadata, type_hash};
use crate::board::Board;
use crate::current::current;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ObjectId;
use crate::object::ObjectView;
use crate::options::ObjectOptions;
use crate::parts::{Element, MAX_PARTS, Parts, Status};
use crate::store::Store;
use crate::sys::clock;
use crate::transfer;

/// An array in shared memory that several processes fill, each its parts, and that is then sealed without a copy.
///
/// The first dimension is split into parts. Whoever has a handle claims a part, writes it through a `&mut [T]` and
/// finishes it; when all are done, [`seal`](Self::seal) gives the [`Array`]. A part whose process died, or that was
/// dropped unfinished, is free again for another. Handles clone for the price of a counter and cross processes by id.
///
/// # Examples
///
/// ```
/// use mobula_store::{SharedArray, Store, StoreOptions};
///
/// # fn main() -> mobula_store::Result<()> {
/// let store = Store::create(StoreOptions::new(1 << 20))?;
/// let shared = SharedArray::<u32>::new_in(&store, &[4, 2], 2)?;
/// while let Some(mut part) = shared.next_part()? {
///     let from = part.range().start;
///     for (i, element) in part.iter_mut().enumerate() {
///         *element = (from + i) as u32;
///     }
///     part.finish()?;
/// }
/// assert_eq!(&shared.seal()?[..], [0, 1, 2, 3, 4, 5, 6, 7]);
/// # Ok(())
/// # }
/// ```
pub struct SharedArray<T: Pod> {
    filling: Arc<Filling>,
    element: PhantomData<fn() -> T>,
}

#[derive(Debug)]
struct Filling {
    parts: Parts,
    data: Data,
}

/// The bytes of the array, as they were when this handle was made.
#[derive(Debug)]
enum Data {
    Open(Board),
    Sealed(ObjectView),
}

impl<T: Pod> SharedArray<T> {
    /// Makes an array in the process's store whose first dimension is split into `parts`, as even as can be.
    ///
    /// The elements have any contents until their part is filled.
    ///
    /// # Errors
    ///
    /// [`is_store_full`](Error::is_store_full); [`is_disconnected`](Error::is_disconnected) before initialisation;
    /// [`is_invalid_argument`](Error::is_invalid_argument) for no parts, for more parts than the first dimension has, for
    /// a shape beyond memory or of fewer than 8 bytes, and for an element that needs more than 64-byte alignment.
    pub fn new(shape: &[usize], parts: usize) -> Result<Self> {
        Self::new_in(&current()?, shape, parts)
    }

    /// Makes an array in a store whose first dimension is split into `parts`, as even as can be.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn new_in(store: &Store, shape: &[usize], parts: usize) -> Result<Self> {
        let rows = shape.first().copied().unwrap_or(0);
        if parts == 0 || parts > rows.min(MAX_PARTS) {
            return Err(Error::invalid(format!(
                "an array of shape {shape:?} has from 1 to {} parts, not {parts}",
                rows.min(MAX_PARTS)
            )));
        }
        let row = elements(&shape[1..])?;
        elements(shape)?;
        let (each, longer) = (rows / parts, rows % parts);
        let bounds = (0..=parts).map(|part| (each * part + part.min(longer)) * row).collect();
        Self::with_bounds(store, shape, bounds)
    }

    /// Makes an array in a store whose parts are the ranges of elements between `bounds`.
    ///
    /// `bounds` ascend from 0 to the number of elements; there is one part fewer than bounds.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); [`is_invalid_argument`](Error::is_invalid_argument) for bounds that are none of this shape.
    pub fn with_bounds_in(store: &Store, shape: &[usize], bounds: &[usize]) -> Result<Self> {
        let count = elements(shape)?;
        let fit = bounds.is_sorted() && bounds.first() == Some(&0) && bounds.last() == Some(&count);
        if !fit || bounds.len() < 2 || bounds.len() > MAX_PARTS + 1 {
            return Err(Error::invalid(format!(
                "bounds of shape {shape:?} ascend from 0 to {count} and make from 1 to {MAX_PARTS} parts"
            )));
        }
        Self::with_bounds(store, shape, bounds.to_vec())
    }

    fn with_bounds(store: &Store, shape: &[usize], bounds: Vec<usize>) -> Result<Self> {
        let name = std::any::type_name::<T>();
        if align_of::<T>() > 64 {
            return Err(Error::invalid(format!("{name} needs alignment {}, arrays have 64", align_of::<T>())));
        }
        if shape.len() > MAX_DIMENSIONS {
            let most = MAX_DIMENSIONS;
            return Err(Error::invalid(format!("an array has at most {most} dimensions, got {}", shape.len())));
        }
        let bytes = elements(shape)?.checked_mul(size_of::<T>());
        let bytes = bytes.ok_or_else(|| Error::invalid(format!("shape {shape:?} of {name} is beyond memory")))?;
        if bytes < 8 {
            return Err(Error::invalid(format!(
                "an array to be filled together has at least 8 bytes, shape {shape:?} of {name} has {bytes}"
            )));
        }
        let data = Board::create_plain(store, bytes, ObjectOptions::new().metadata(&metadata::<T>(shape)))?;
        let parts = Parts::create(store, data.id(), Self::element(), shape, bounds)?;
        Ok(Self::of(parts, Data::Open(data)))
    }

    /// Opens an array that somebody holds, by the id of its control board.
    fn open(store: &Store, id: ObjectId) -> Result<Self> {
        let parts = Parts::open(store, id, Self::element())?;
        let data = match Board::open_plain(store, parts.data) {
            Ok(board) => Data::Open(board),
            // It is frozen: its MUTABLE is never set again.
            Err(error) if error.is_invalid_argument() => Data::Sealed(store.get(parts.data, Some(Duration::ZERO))?),
            Err(error) => return Err(error),
        };
        let len = match &data {
            Data::Open(board) => board.len(),
            Data::Sealed(view) => view.len(),
        };
        // What `with_bounds` refuses: the board may be of somebody who did not ask it.
        if align_of::<T>() > 64 {
            return Err(Error::invalid(format!("array {id} has elements that need more alignment than 64")));
        }
        // ST-B2: the bounds end at the number of elements (parts.rs), so all ranges are inside.
        if elements(&parts.shape)?.checked_mul(size_of::<T>()) != Some(len) {
            return Err(ErrorKind::Corrupt(vec![format!("array {id} does not fit its {len} bytes")]).into());
        }
        Ok(Self::of(parts, data))
    }

    fn of(parts: Parts, data: Data) -> Self {
        SharedArray { filling: Arc::new(Filling { parts, data }), element: PhantomData }
    }

    fn element() -> Element {
        (size_of::<T>(), type_hash::<T>())
    }

    fn parts(&self) -> &Parts {
        &self.filling.parts
    }

    /// Returns the number of elements in each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.parts().shape
    }

    /// Returns how many parts there are.
    pub fn part_count(&self) -> usize {
        self.parts().count()
    }

    /// Returns the parts that are not filled, in order.
    pub fn unfilled(&self) -> Vec<usize> {
        (0..self.part_count()).filter(|&part| self.parts().status(part) != Status::Done).collect()
    }

    /// Claims a part, to be filled by this process.
    ///
    /// A part that was claimed by a process that died has any contents.
    ///
    /// # Errors
    ///
    /// [`is_full`](Error::is_full) if a living process fills it, [`is_closed`](Error::is_closed) if it is filled,
    /// [`is_invalid_argument`](Error::is_invalid_argument) if there is no such part, [`is_forked`](Error::is_forked).
    pub fn part(&self, part: usize) -> Result<ArrayPart<T>> {
        let parts = self.parts();
        parts.board().usable()?;
        if part >= parts.count() {
            return Err(Error::invalid(format!("{self:?} has no part {part}, it has {}", parts.count())));
        }
        match parts.claim(part) {
            Ok(()) => self.claimed(part),
            Err(status) => {
                let text = format!("part {part} of {self:?} is {}", parts.describe(part));
                Err(if status == Status::Done { ErrorKind::Closed(text) } else { ErrorKind::Full(text) }.into())
            }
        }
    }

    /// Claims a part, waiting as long as a living process fills it. No `timeout` waits for ever.
    ///
    /// For who takes the place of a process that has just died: its death may not have been noticed yet.
    ///
    /// # Errors
    ///
    /// [`is_timeout`](Error::is_timeout) if it was still being filled, else as [`part`](Self::part).
    pub fn part_timeout(&self, part: usize, timeout: Option<Duration>) -> Result<ArrayPart<T>> {
        let claimed = self.parts().wait(deadline(timeout), || match self.part(part) {
            Err(error) if error.is_full() => None,
            other => Some(other),
        });
        claimed.unwrap_or_else(|| Err(self.late("end of another's claim", timeout)))
    }

    /// Claims any part that is neither filled nor being filled by a living process; `None` if there is none now.
    ///
    /// # Errors
    ///
    /// [`is_forked`](Error::is_forked).
    pub fn next_part(&self) -> Result<Option<ArrayPart<T>>> {
        self.parts().board().usable()?;
        self.parts().claim_any().map(|part| self.claimed(part)).transpose()
    }

    /// Claims any free part, waiting for one; `None` when all parts are filled. No `timeout` waits for ever.
    ///
    /// Who loops over this fills what others leave undone, also by dying.
    ///
    /// # Errors
    ///
    /// [`is_timeout`](Error::is_timeout) if the rest was still being filled, [`is_forked`](Error::is_forked).
    pub fn wait_part(&self, timeout: Option<Duration>) -> Result<Option<ArrayPart<T>>> {
        let parts = self.parts();
        parts.board().usable()?;
        let claimed = parts.wait(deadline(timeout), || match parts.claim_any() {
            Some(part) => Some(Some(part)),
            None => parts.is_done().then_some(None),
        });
        match claimed {
            Some(Some(part)) => self.claimed(part).map(Some),
            Some(None) => Ok(None),
            None => Err(self.late("free part", timeout)),
        }
    }

    /// Wraps a claim.
    fn claimed(&self, part: usize) -> Result<ArrayPart<T>> {
        let claim = ArrayPart { array: self.clone(), part, element: PhantomData };
        match claim.place() {
            Some(_) => Ok(claim),
            // All parts were done when this handle found its bytes sealed, and a part that is done stays so.
            None => {
                Err(ErrorKind::Corrupt(vec![format!("part {part} of {self:?} is free and the array sealed")]).into())
            }
        }
    }

    /// Waits until all parts are filled. No `timeout` waits for ever.
    ///
    /// A part whose process dies has to be filled by another; this only waits.
    ///
    /// # Errors
    ///
    /// [`is_timeout`](Error::is_timeout), with the parts that are not filled; [`is_forked`](Error::is_forked).
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        let parts = self.parts();
        parts.board().usable()?;
        let done = parts.wait(deadline(timeout), || parts.is_done().then_some(()));
        done.ok_or_else(|| self.late("end of the filling", timeout))
    }

    fn late(&self, what: &str, timeout: Option<Duration>) -> Error {
        let what = format!("{what} of {self:?}, where {},", self.parts().missing());
        ErrorKind::Late { what, after: timeout.unwrap_or_default() }.into()
    }

    /// Makes an ordinary, immutable array of it; nothing is copied. Anyone may, any number of times.
    ///
    /// # Errors
    ///
    /// [`is_unfilled`](Error::is_unfilled) if parts are not filled, with their numbers, and the pids of who fills them or
    /// died; [`is_forked`](Error::is_forked).
    pub fn seal(&self) -> Result<Array<T>> {
        let parts = self.parts();
        parts.board().usable()?;
        // ST-P2: nobody has a part any more, nor ever will, and all that was written is visible here.
        if !parts.is_done() {
            return Err(ErrorKind::Unfilled(format!("{self:?} cannot be sealed: {}", parts.missing())).into());
        }
        match &self.filling.data {
            Data::Sealed(view) => Array::from_view(view.clone()),
            Data::Open(board) => {
                // It does not matter whose call did it.
                board.freeze();
                Array::from_view(board.store().get(board.id(), Some(Duration::ZERO))?)
            }
        }
    }
}

/// Returns when a time has passed; a time beyond all clocks never does.
fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| clock::now().checked_add(timeout))
}

impl<T: Pod> Clone for SharedArray<T> {
    fn clone(&self) -> Self {
        SharedArray { filling: self.filling.clone(), element: PhantomData }
    }
}

impl<T: Pod> fmt::Debug for SharedArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedArray<{}>{:?}({})", std::any::type_name::<T>(), self.shape(), self.parts().data)
    }
}

impl<T: Pod> Serialize for SharedArray<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data = match &self.filling.data {
            Data::Open(board) => board.hold(),
            Data::Sealed(view) => view.hold(),
        };
        let control = self.parts().board();
        if !transfer::is_encoding() || !transfer::note(data) || !transfer::note(control.hold()) {
            return Err(S::Error::custom(format!(
                "{self:?} can only be serialised as an argument, result or object of Mobula"
            )));
        }
        control.id().serialize(serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for SharedArray<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let store = transfer::decoding().ok_or_else(|| {
            D::Error::custom("an array can only be deserialised from an argument, result or object of Mobula")
        })?;
        let id = ObjectId::deserialize(deserializer)?;
        SharedArray::open(&store, id).map_err(transfer::refuse)
    }
}

/// A part of a [`SharedArray`] that this process fills, as a slice to be written.
///
/// Dropping it unfinished makes the part free again, unfilled; so does the death of the process.
pub struct ArrayPart<T: Pod> {
    array: SharedArray<T>,
    part: usize,
    element: PhantomData<T>,
}

impl<T: Pod> ArrayPart<T> {
    /// Returns which part it is.
    pub fn index(&self) -> usize {
        self.part
    }

    /// Returns which elements of the whole array the part has.
    pub fn range(&self) -> Range<usize> {
        self.array.parts().range(self.part).unwrap_or(0..0)
    }

    /// Declares the part filled, for ever.
    ///
    /// # Errors
    ///
    /// [`is_forked`](Error::is_forked) in a forked child, [`is_disconnected`](Error::is_disconnected) if the part has been
    /// taken from this process because it was believed dead.
    pub fn finish(self) -> Result<()> {
        let parts = self.array.parts();
        parts.board().usable()?;
        if parts.leave(self.part, true) {
            return Ok(());
        }
        let (part, array) = (self.part, &self.array);
        Err(ErrorKind::Disconnected(format!("part {part} of {array:?} is no longer this process's; fill it anew"))
            .into())
    }

    /// Returns the first element's address and how many there are, if the array is open.
    fn place(&self) -> Option<(*mut T, usize)> {
        let Data::Open(board) = &self.array.filling.data else { return None };
        let Range { start, end } = self.range();
        let size = size_of::<T>();
        let bytes = board.bytes(start.checked_mul(size)?, (end - start).checked_mul(size)?)?;
        Some((bytes.cast(), end - start))
    }
}

impl<T: Pod> Deref for ArrayPart<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let Some((first, len)) = self.place() else { return &[] };
        // SAFETY: `bytes` has shown that the elements are inside the object, which the board pins in the live mapping;
        // objects are aligned to 64, elements to no more, and the offset is a multiple of their size; any bytes are a `Pod`.
        // The part is this process's (ST-P1) and this is its only handle, so nobody writes while the borrow lasts.
        unsafe { std::slice::from_raw_parts(first, len) }
    }
}

impl<T: Pod> DerefMut for ArrayPart<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let Some((first, len)) = self.place() else { return &mut [] };
        // SAFETY: as in `deref`; ranges of parts are disjoint, and a view of the whole exists only when no part is claimed
        // (ST-P2), so nobody else reads or writes while the borrow lasts.
        unsafe { std::slice::from_raw_parts_mut(first, len) }
    }
}

impl<T: Pod> Drop for ArrayPart<T> {
    fn drop(&mut self) {
        let parts = self.array.parts();
        // A forked child has not claimed it; after `finish` it is nobody's.
        if parts.board().usable().is_ok() {
            parts.leave(self.part, false);
        }
    }
}

impl<T: Pod> fmt::Debug for ArrayPart<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArrayPart({} of {:?}, {:?})", self.part, self.array, self.range())
    }
}
