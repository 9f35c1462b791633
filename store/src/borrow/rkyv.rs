//! Objects as [rkyv](::rkyv) archives: structures that are read where they lie.
//!
//! ```text
//!   value --count--> size --create_object--> ObjectBuffer --serialise--> seal      put
//!   ObjectView --validate once--> ArchivedView --Deref--> &Archived<T>             ArchivedView::new
//! ```
//!
//! An archive has only relative pointers, so each process reads it at whatever address it maps the
//! store. It is written straight into the object: a first pass counts, a second one writes.
//!
//! 1. An archive begins where its object begins, which is 64-byte aligned, and its root ends where the
//!    object ends.
//! 2. An [`ArchivedView`] exists only of bytes that were validated as an archive of its type, and sealed
//!    bytes do not change: what was valid once stays valid.
//!
//! A tree or chain of boxes deeper than 256 can be written, but not read: its validation could exhaust a
//! thread's stack. Validation proves that the bytes are *an* archive of the type, not that whoever wrote them meant one.
//! Both sides must have the same format features of rkyv (endianness, alignment, width of pointers).
//!
//! # Examples
//!
//! ```
//! use mobula_store::{ObjectId, Store, StoreOptions};
//! use mobula_store::rkyv::{put, ArchivedView};
//! use rkyv::{Archive, Serialize};
//!
//! #[derive(Archive, Serialize)]
//! struct Model {
//!     name: String,
//!     weights: Vec<f32>,
//! }
//!
//! # fn main() -> mobula_store::Result<()> {
//! let store = Store::create(StoreOptions::new(1 << 20))?;
//! let id = ObjectId::random();
//! put(&store, id, &Model { name: "small".to_owned(), weights: vec![0.5; 1000] })?;
//!
//! let other = Store::attach(store.address())?;
//! let model = ArchivedView::<Model>::new(other.get(id, None)?)?;
//! assert_eq!(model.name, "small");
//! assert_eq!(model.weights[999], 0.5);
//! # Ok(())
//! # }
//! ```

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::sync::Arc;

use rkyv::api::high::{HighSerializer, HighValidator, to_bytes_in};
use rkyv::api::{access_unchecked, access_with_context};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{BoxedError, Source};
use rkyv::ser::allocator::ArenaHandle;
use rkyv::ser::{Positional, Writer};
use rkyv::validation::archive::ArchiveValidator;
use rkyv::validation::shared::SharedValidator;
use rkyv::{Archive, Archived, Serialize};

use crate::copy;
use crate::error::{Error, Result};
use crate::id::ObjectId;
use crate::object::{ObjectBuffer, ObjectView};
use crate::options::ObjectOptions;
use crate::store::Store;

/// How deep pointers may lead, within a thread's usual stack of 2 MiB: 1,024 levels of a small type take
/// up to 1 MiB of it in a build without optimisation.
const MAX_DEPTH: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// What serialises a value into an object: every `#[derive(Serialize)]` of rkyv fits it.
pub type Serializer<'a> = HighSerializer<ObjectWriter, ArenaHandle<'a>, BoxedError>;

/// What validates an archive: every `#[derive(Archive)]` of rkyv fits it.
pub type Validator<'a> = HighValidator<'a, BoxedError>;

/// Serialises a value straight into a new object and seals it.
///
/// # Errors
///
/// As [`Store::create_object`]; [`is_invalid_argument`](Error::is_invalid_argument) if the value cannot be
/// serialised, among others because it changed between the pass that counts and the one that writes.
pub fn put<T>(store: &Store, id: ObjectId, value: &T) -> Result<ObjectView>
where
    T: for<'a> Serialize<Serializer<'a>>,
{
    put_with(store, id, value, &ObjectOptions::new())
}

/// Serialises a value straight into a new object with options and seals it.
///
/// # Errors
///
/// As [`put`] and [`Store::create_object_with`].
pub fn put_with<T>(store: &Store, id: ObjectId, value: &T, options: &ObjectOptions) -> Result<ObjectView>
where
    T: for<'a> Serialize<Serializer<'a>>,
{
    let refused = |why: &dyn fmt::Display| {
        Error::invalid(format!("a value of {} cannot be archived in object {id}: {why}", type_name::<T>()))
    };
    let serialise = |buffer| to_bytes_in(value, ObjectWriter { buffer, at: 0 }).map_err(|error| refused(&error));
    let len = serialise(None)?.at;
    let written = serialise(Some(store.create_object_with(id, len, options)?))?;
    match written.buffer {
        Some(buffer) if written.at == len => buffer.seal(),
        _ => Err(refused(&format!("it took {len} bytes at first and {} when written", written.at))),
    }
}

/// Writes an archive into an object that is being created; without one it only counts.
#[derive(Debug)]
pub struct ObjectWriter {
    buffer: Option<ObjectBuffer>,
    at: usize,
}

impl Positional for ObjectWriter {
    fn pos(&self) -> usize {
        self.at
    }
}

impl<E: Source> Writer<E> for ObjectWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), E> {
        let end = self.at.checked_add(bytes.len()).ok_or_else(|| E::new(Overrun { len: usize::MAX }))?;
        if let Some(buffer) = &mut self.buffer {
            let len = buffer.len();
            let to = buffer.get_mut(self.at..end).ok_or_else(|| E::new(Overrun { len }))?;
            copy::copy(to, bytes);
        }
        self.at = end;
        Ok(())
    }
}

/// The value has grown since it was counted.
#[derive(Debug, thiserror::Error)]
#[error("it does not fit the {len} bytes that were counted")]
struct Overrun {
    len: usize,
}

/// Borrows an object as an archive of `T`, without a copy.
///
/// It dereferences to [`Archived<T>`](Archived), clones for the price of a counter, and holds its object
/// while it lives.
pub struct ArchivedView<T: Archive> {
    view: ObjectView,
    // Like an `Arc` of the root, it can be sent and shared if the root can be both.
    root: PhantomData<Arc<Archived<T>>>,
}

impl<T> ArchivedView<T>
where
    T: Archive<Archived: for<'a> CheckBytes<Validator<'a>>>,
{
    /// Validates a view as an archive of `T`, once and for all.
    ///
    /// # Errors
    ///
    /// [`is_invalid_argument`](Error::is_invalid_argument) if it is none, or is nested more than 256 deep.
    pub fn new(view: ObjectView) -> Result<Self> {
        let archive = ArchiveValidator::with_max_depth(&view, Some(MAX_DEPTH));
        let mut validator = rkyv::validation::Validator::new(archive, SharedValidator::new());
        access_with_context::<Archived<T>, _, BoxedError>(&view, &mut validator).map_err(|error| {
            Error::invalid(format!("object {} is no archive of {}: {error}", view.id(), type_name::<T>()))
        })?;
        Ok(ArchivedView { view, root: PhantomData })
    }
}

impl<T: Archive> ArchivedView<T> {
    /// Returns the id of the object behind the archive.
    pub fn id(&self) -> ObjectId {
        self.view.id()
    }

    /// Gives the view back that the archive borrows from.
    pub fn into_view(self) -> ObjectView {
        self.view
    }
}

impl<T: Archive> Deref for ArchivedView<T> {
    type Target = Archived<T>;

    fn deref(&self) -> &Archived<T> {
        // SAFETY: `new`, the only way to one, has validated these bytes as an archive of this root. They
        // lie at the same address while the view lives (ST-17) and sealed bytes do not change (ST-9).
        unsafe { access_unchecked::<Archived<T>>(&self.view) }
    }
}

impl<T: Archive> Clone for ArchivedView<T> {
    fn clone(&self) -> Self {
        ArchivedView { view: self.view.clone(), root: PhantomData }
    }
}

impl<T: Archive> fmt::Debug for ArchivedView<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArchivedView<{}>({})", type_name::<T>(), self.id())
    }
}
