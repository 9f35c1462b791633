//! Typed arrays in the store: [`Array`] to read and share, [`ArrayMut`] to fill.
//!
//! ```text
//!   metadata:  "arr1" | dimensions:4 | element size:8 | hash of the element's type name:8 | dimensions x 8
//! ```
//!
//! An array is a counted object; an [`Array`] is a view of it with a shape. It serialises as its id
//! (transfer.rs), so any struct that holds arrays crosses processes without copying them.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use bytemuck::Pod;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::current::current;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ObjectId;
use crate::object::{ObjectBuffer, ObjectView};
use crate::options::{Lifetime, ObjectOptions};
use crate::store::Store;
use crate::{copy, transfer};

const MAGIC: [u8; 4] = *b"arr1";
const FIXED: usize = 24;
/// More dimensions than this are a mistake.
pub(crate) const MAX_DIMENSIONS: usize = 32;

/// An immutable array in shared memory, 64-byte aligned, with a shape.
///
/// It dereferences to a slice, clones for the price of a counter, and holds its object while it
/// lives. Sending it to another process moves sixteen bytes.
///
/// # Examples
///
/// ```
/// use mobula_store::{Array, Store, StoreOptions};
///
/// # fn main() -> mobula_store::Result<()> {
/// let store = Store::create(StoreOptions::new(1 << 20))?;
/// let a = Array::from_shape_in(&store, &[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(a.shape(), [2, 3]);
/// assert_eq!(a.iter().sum::<f32>(), 21.0);
/// # Ok(())
/// # }
/// ```
pub struct Array<T: Pod> {
    view: ObjectView,
    shape: Arc<[usize]>,
    element: PhantomData<T>,
}

impl<T: Pod> Array<T> {
    /// Copies a slice into the process's store; the shape is `[len]`.
    ///
    /// # Errors
    ///
    /// [`is_store_full`](Error::is_store_full), or [`is_disconnected`](Error::is_disconnected) before initialisation.
    pub fn from_slice(data: &[T]) -> Result<Self> {
        Self::from_shape(&[data.len()], data)
    }

    /// Copies a slice into the process's store and gives it a shape.
    ///
    /// # Errors
    ///
    /// As [`from_slice`](Self::from_slice); [`is_invalid_argument`](Error::is_invalid_argument) if the shape
    /// has another number of elements.
    pub fn from_shape(shape: &[usize], data: &[T]) -> Result<Self> {
        Self::from_shape_in(&current()?, shape, data)
    }

    /// Copies a slice into a store and gives it a shape.
    ///
    /// # Errors
    ///
    /// As [`from_shape`](Self::from_shape).
    pub fn from_shape_in(store: &Store, shape: &[usize], data: &[T]) -> Result<Self> {
        let count = elements(shape)?;
        if count != data.len() {
            return Err(Error::invalid(format!("shape {shape:?} has {count} elements, the data has {}", data.len())));
        }
        let mut array = ArrayMut::<T>::uninit_in(store, shape)?;
        copy::copy(&mut array.buffer, bytemuck::cast_slice(data));
        array.seal()
    }

    /// Interprets a view as an array of `T`.
    ///
    /// # Errors
    ///
    /// [`is_invalid_argument`](Error::is_invalid_argument) if it is none, or one of another element type.
    pub fn from_view(view: ObjectView) -> Result<Self> {
        let wrong = |what: String| {
            Error::invalid(format!("object {} is no array of {}: {what}", view.id(), std::any::type_name::<T>()))
        };
        let meta = view.metadata();
        if meta.len() < FIXED || meta[..4] != MAGIC {
            return Err(wrong("it has no array's metadata".to_owned()));
        }
        let number = |at: usize| u64::from_le_bytes(meta[at..at + 8].try_into().unwrap_or_default());
        let dimensions = u32::from_le_bytes([meta[4], meta[5], meta[6], meta[7]]) as usize;
        if number(8) != size_of::<T>() as u64 || number(16) != type_hash::<T>() {
            return Err(wrong(format!("its elements have {} bytes and another type", number(8))));
        }
        if dimensions > MAX_DIMENSIONS || meta.len() != FIXED + 8 * dimensions {
            return Err(wrong(format!("its metadata of {} bytes does not fit {dimensions} dimensions", meta.len())));
        }
        let shape: Arc<[usize]> = (0..dimensions).map(|i| number(FIXED + 8 * i) as usize).collect();
        if elements(&shape)?.checked_mul(size_of::<T>()) != Some(view.len()) {
            return Err(wrong(format!("shape {shape:?} does not fit its {} bytes", view.len())));
        }
        Ok(Array { view, shape, element: PhantomData })
    }

    /// Returns the number of elements in each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the id of the object behind the array.
    pub fn id(&self) -> ObjectId {
        self.view.id()
    }

    /// Makes the array writable: in place if nothing else holds it anywhere, else a copy.
    ///
    /// So a parameter server updates what only it holds without moving memory. What is sealed afterwards is another
    /// object with an id of its own; nobody who holds the old one sees it change.
    ///
    /// # Errors
    ///
    /// [`is_store_full`](Error::is_store_full) if there is no memory for a copy that is needed.
    ///
    /// # Examples
    ///
    /// ```
    /// use mobula_store::{Array, Store, StoreOptions};
    ///
    /// # fn main() -> mobula_store::Result<()> {
    /// let store = Store::create(StoreOptions::new(1 << 20))?;
    /// let weights = Array::from_shape_in(&store, &[2], &[1.0f32, 2.0])?;
    /// let address = weights.as_ptr();
    /// let mut weights = weights.into_mut()?;
    /// weights[0] = 0.5;
    /// let weights = weights.seal()?;
    /// assert_eq!((&weights[..], weights.as_ptr()), (&[0.5, 2.0][..], address));
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_mut(self) -> Result<ArrayMut<T>> {
        let Array { view, shape, .. } = self;
        match view.thaw() {
            Ok(buffer) => Ok(ArrayMut { buffer: buffer?, shape, element: PhantomData }),
            Err(view) => {
                let mut copied = ArrayMut::uninit_in(&view.store(), &shape)?;
                copy::copy(&mut copied.buffer, &view);
                Ok(copied)
            }
        }
    }

    /// Borrows the array as an n-dimensional view, without a copy.
    #[cfg(feature = "ndarray")]
    pub fn view(&self) -> ndarray::ArrayViewD<'_, T> {
        // The shape fits the data: checked when the array was made or read.
        match ndarray::ArrayViewD::from_shape(ndarray::IxDyn(&self.shape), self) {
            Ok(view) => view,
            Err(_) => ndarray::ArrayViewD::from(ndarray::ArrayView1::from(&**self).into_dyn()),
        }
    }
}

impl<T: Pod> Deref for Array<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // Payload is 64-byte aligned and its length was checked, so the cast cannot fail.
        bytemuck::try_cast_slice(&self.view).unwrap_or(&[])
    }
}

impl<T: Pod> AsRef<[T]> for Array<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T: Pod> Clone for Array<T> {
    fn clone(&self) -> Self {
        Array { view: self.view.clone(), shape: self.shape.clone(), element: PhantomData }
    }
}

impl<T: Pod> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array<{}>{:?}({})", std::any::type_name::<T>(), self.shape, self.view.id())
    }
}

impl<T: Pod + PartialEq> PartialEq for Array<T> {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && **self == **other
    }
}

impl<T: Pod> Serialize for Array<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !transfer::is_encoding() || !transfer::note(self.view.hold()) {
            return Err(S::Error::custom(format!(
                "{self:?} can only be serialised as an argument, result or object of Mobula; convert it to a Vec for other uses"
            )));
        }
        self.view.id().serialize(serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for Array<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let store = transfer::decoding().ok_or_else(|| {
            D::Error::custom("an array can only be deserialised from an argument, result or object of Mobula")
        })?;
        let id = ObjectId::deserialize(deserializer)?;
        let array = store.get(id, Some(Duration::ZERO)).and_then(Array::from_view);
        array.map_err(|error| {
            // Nobody will ever make it, so there is nothing to wait for.
            let gone = error.is_timeout() && !store.exists(id);
            transfer::refuse(if gone { ErrorKind::NotFound(id).into() } else { error })
        })
    }
}

/// An array that is being filled, in place; dropping it gives the memory back.
///
/// # Examples
///
/// ```
/// use mobula_store::{ArrayMut, Store, StoreOptions};
///
/// # fn main() -> mobula_store::Result<()> {
/// let store = Store::create(StoreOptions::new(1 << 20))?;
/// let mut m = ArrayMut::<u32>::zeros_in(&store, &[4])?;
/// m[2] = 7;
/// assert_eq!(&m.seal()?[..], [0, 0, 7, 0]);
/// # Ok(())
/// # }
/// ```
pub struct ArrayMut<T: Pod> {
    buffer: ObjectBuffer,
    shape: Arc<[usize]>,
    element: PhantomData<T>,
}

impl<T: Pod> ArrayMut<T> {
    /// Makes an array of zeros in the process's store.
    ///
    /// # Errors
    ///
    /// As [`Array::from_slice`].
    pub fn zeros(shape: &[usize]) -> Result<Self> {
        Self::zeros_in(&current()?, shape)
    }

    /// Makes a one-dimensional array of `len` elements with any contents in the process's store.
    ///
    /// # Errors
    ///
    /// As [`Array::from_slice`].
    pub fn with_len(len: usize) -> Result<Self> {
        Self::uninit_in(&current()?, &[len])
    }

    /// Makes an array of zeros in a store.
    ///
    /// # Errors
    ///
    /// [`is_store_full`](Error::is_store_full).
    pub fn zeros_in(store: &Store, shape: &[usize]) -> Result<Self> {
        let mut array = Self::uninit_in(store, shape)?;
        array.buffer.fill(0);
        Ok(array)
    }

    /// Makes an array with any contents in a store.
    ///
    /// # Errors
    ///
    /// [`is_store_full`](Error::is_store_full); [`is_invalid_argument`](Error::is_invalid_argument) for a shape
    /// beyond memory or an element that needs more than 64-byte alignment.
    pub fn uninit_in(store: &Store, shape: &[usize]) -> Result<Self> {
        let name = std::any::type_name::<T>();
        if align_of::<T>() > 64 {
            return Err(Error::invalid(format!("{name} needs alignment {}, arrays have 64", align_of::<T>())));
        }
        if shape.len() > MAX_DIMENSIONS {
            return Err(Error::invalid(format!(
                "an array has at most {MAX_DIMENSIONS} dimensions, got {}",
                shape.len()
            )));
        }
        let bytes = elements(shape)?.checked_mul(size_of::<T>());
        let bytes = bytes.ok_or_else(|| Error::invalid(format!("shape {shape:?} of {name} is beyond memory")))?;
        let options = ObjectOptions::new().metadata(&metadata::<T>(shape)).lifetime(Lifetime::Counted);
        let buffer = store.create_object_with(ObjectId::random(), bytes, &options)?;
        Ok(ArrayMut { buffer, shape: shape.into(), element: PhantomData })
    }

    /// Returns the number of elements in each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Makes the array immutable and shared; nothing is copied.
    ///
    /// # Errors
    ///
    /// Only if the store is corrupt.
    pub fn seal(self) -> Result<Array<T>> {
        Ok(Array { view: self.buffer.seal()?, shape: self.shape, element: PhantomData })
    }
}

impl<T: Pod> Deref for ArrayMut<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        bytemuck::try_cast_slice(&self.buffer).unwrap_or(&[])
    }
}

impl<T: Pod> DerefMut for ArrayMut<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        bytemuck::try_cast_slice_mut(&mut self.buffer).unwrap_or(&mut [])
    }
}

impl<T: Pod> fmt::Debug for ArrayMut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArrayMut<{}>{:?}({})", std::any::type_name::<T>(), self.shape, self.buffer.id())
    }
}

pub(crate) fn elements(shape: &[usize]) -> Result<usize> {
    shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n)).ok_or_else(|| {
        ErrorKind::InvalidArgument(format!("shape {shape:?} has more elements than there are addresses")).into()
    })
}

pub(crate) fn metadata<T: Pod>(shape: &[usize]) -> Vec<u8> {
    let mut meta = Vec::with_capacity(FIXED + 8 * shape.len());
    meta.extend_from_slice(&MAGIC);
    meta.extend_from_slice(&(shape.len() as u32).to_le_bytes());
    meta.extend_from_slice(&(size_of::<T>() as u64).to_le_bytes());
    meta.extend_from_slice(&type_hash::<T>().to_le_bytes());
    for &n in shape {
        meta.extend_from_slice(&(n as u64).to_le_bytes());
    }
    meta
}

/// FNV-1a over the type's name: the same for both sides of a program and its workers.
pub(crate) fn type_hash<T>() -> u64 {
    std::any::type_name::<T>()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
