//! Values as bytes: encoding with the holds inside, decoding, and the object that carries one.
//!
//! A value is postcard; arrays, refs and handles inside it encode as ids and note their holds with
//! [`mobula_store::transfer`]. An object made by this crate has one byte of metadata, its tag:
//! [`TAG_VALUE`] before a value's bytes, [`TAG_ERROR`] before an encoded [`Error`].
//!
//! Postcard is not self-describing, so types that ask the format what comes next (serde's
//! `untagged`, internally `tag`ged and `flatten`) cannot be read back; they are refused with a text
//! that says so. A field that serde's `skip_serializing_if` leaves out is refused, too ([`Checked`]).

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use mobula_store::{Lifetime, ObjectHold, ObjectId, ObjectOptions, ObjectView, Store, transfer};
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::strict::Checked;

/// The metadata of an object that holds a value.
pub(crate) const TAG_VALUE: u8 = 0;
/// The metadata of an object that holds an encoded error.
pub(crate) const TAG_ERROR: u8 = 1;

/// Values up to this many bytes stay in the process that owns them and travel inside messages.
pub(crate) const INLINE_LIMIT: usize = 1024;

/// A value's bytes, shared cheaply; the common small ones need no allocation.
#[derive(Clone)]
pub(crate) enum Bytes {
    Small { len: u8, bytes: [u8; SMALL] },
    Shared(Arc<[u8]>),
}

const SMALL: usize = 22;

impl From<&[u8]> for Bytes {
    fn from(slice: &[u8]) -> Self {
        match u8::try_from(slice.len()) {
            Ok(len) if slice.len() <= SMALL => {
                let mut bytes = [0; SMALL];
                bytes[..slice.len()].copy_from_slice(slice);
                Bytes::Small { len, bytes }
            }
            _ => Bytes::Shared(slice.into()),
        }
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Small { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Shared(bytes) => bytes,
        }
    }
}

thread_local! {
    /// Why a ref, handle or array inside the value that is being encoded or decoded refused:
    /// postcard keeps no text of a custom error.
    static REFUSAL: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Notes why a ref or handle cannot be encoded or decoded and makes serde's error of it.
pub(crate) fn refuse<E: serde::de::Error>(error: Error) -> E {
    let text = error.to_string();
    let _ = REFUSAL.try_with(|slot| *slot.borrow_mut() = Some(error));
    E::custom(text)
}

/// The same for a serialiser's error.
pub(crate) fn refuse_encoding<E: serde::ser::Error>(error: Error) -> E {
    let text = error.to_string();
    let _ = REFUSAL.try_with(|slot| *slot.borrow_mut() = Some(error));
    E::custom(text)
}

/// Takes what a ref, handle or array has refused with.
fn refusal() -> Option<Error> {
    let own = REFUSAL.try_with(|slot| slot.borrow_mut().take()).ok().flatten();
    let array = transfer::take_refusal();
    own.or_else(|| array.map(|error| Error::from_store(&error, "an array")))
}

struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Appends the encoded value to `bytes` and returns the holds that it noted.
pub(crate) fn encode_into<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> Result<Vec<ObjectHold>> {
    // A value that refuses may have had a substitute.
    drop(refusal());
    let (done, holds) = transfer::encode(|| postcard::serialize_with_flavor(&Checked(value), Append(bytes)));
    match done {
        Ok(()) => Ok(holds),
        Err(error) => Err(not_encoded(std::any::type_name::<T>(), error)),
    }
}

fn not_encoded(name: &str, error: postcard::Error) -> Error {
    let why = match (refusal(), error) {
        (Some(refusal), _) if !refusal.is_invalid_argument() => return refusal,
        (Some(refusal), _) => refusal.to_string(),
        (None, postcard::Error::SerializeSeqLengthUnknown) => "the length of a sequence or map in it is not known; \
             serde's `flatten` does that, use plain fields"
            .to_owned(),
        (None, postcard::Error::SerdeSerCustom) => "its Serialize implementation refused".to_owned(),
        (None, other) => other.to_string(),
    };
    Error::invalid_argument(format!("a value of type {name} cannot be encoded: {why}"))
}

/// Decodes one value from the front of `bytes` and returns what is left.
pub(crate) fn decode_front<'b, T: DeserializeOwned>(store: &Store, bytes: &'b [u8]) -> Result<(T, &'b [u8])> {
    drop(refusal());
    transfer::decode(store, || postcard::take_from_bytes(bytes)).map_err(not_decoded::<T>)
}

#[cold]
fn not_decoded<T>(error: postcard::Error) -> Error {
    refusal().unwrap_or_else(|| {
        let name = std::any::type_name::<T>();
        Error::invalid_argument(match error {
            postcard::Error::WontImplement => format!(
                "a value of type {name} cannot be decoded: it needs a self-describing format; \
                 serde's `untagged`, `tag` and `flatten` attributes do, use plain fields and enums"
            ),
            other => format!("the bytes are no value of type {name}: {other}"),
        })
    })
}

/// Decodes a value that takes all of `bytes`.
pub(crate) fn decode<T: DeserializeOwned>(store: &Store, bytes: &[u8]) -> Result<T> {
    whole(decode_front(store, bytes)?, bytes)
}

/// The same in the process's current store, for a value that hardly refers to anything.
#[inline]
pub(crate) fn decode_here<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    drop(refusal());
    let front = transfer::decode_current(|| postcard::take_from_bytes(bytes)).map_err(not_decoded::<T>)?;
    whole(front, bytes)
}

#[inline]
fn whole<T>((value, rest): (T, &[u8]), bytes: &[u8]) -> Result<T> {
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(Error::invalid_argument(format!(
            "the bytes are no value of type {}: {} of {} bytes are left over",
            std::any::type_name::<T>(),
            rest.len(),
            bytes.len()
        )))
    }
}

/// Decodes the value of an object, or gives the error that it holds.
pub(crate) fn decode_object<T: DeserializeOwned>(store: &Store, view: &ObjectView) -> Result<T> {
    match object_error(view) {
        Some(error) => Err(error),
        None => decode(store, view),
    }
}

/// Returns what an object of this crate holds: [`TAG_VALUE`] or [`TAG_ERROR`].
pub(crate) fn tag(view: &ObjectView) -> u8 {
    view.metadata().first().copied().unwrap_or(TAG_VALUE)
}

/// Returns the error that an object holds, if it holds one.
pub(crate) fn object_error(view: &ObjectView) -> Option<Error> {
    (tag(view) == TAG_ERROR).then(|| Error::from_bytes(view))
}

/// The options of an object that carries a value or error.
pub(crate) fn object_options(tag: u8, children: &[ObjectHold]) -> ObjectOptions {
    let options = ObjectOptions::new().lifetime(Lifetime::Counted).metadata(&[tag]);
    if children.is_empty() { options } else { options.children(children) }
}

/// Puts bytes into the store as a counted object; without `patience` the store's own counts.
pub(crate) fn store_bytes(
    store: &Store,
    id: ObjectId,
    bytes: &[u8],
    children: &[ObjectHold],
    tag: u8,
    patience: Option<Duration>,
) -> Result<ObjectHold, mobula_store::Error> {
    let mut options = object_options(tag, children);
    if let Some(patience) = patience {
        options = options.timeout(patience);
    }
    Ok(store.put_with(id, bytes, &options)?.hold())
}

/// Looks at an object that is known to be sealed.
pub(crate) fn sealed(hold: &ObjectHold) -> Result<ObjectView> {
    hold.get(Some(Duration::ZERO)).map_err(|error| Error::from_store(&error, "an argument"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_bytes_read_back() {
        for len in [0, 1, SMALL, SMALL + 1, 5000] {
            let bytes = vec![7u8; len];
            assert_eq!(&*Bytes::from(&bytes[..]), &bytes[..]);
        }
    }
}
