//! Objects as [`bytes::Bytes`].

use bytes::Bytes;

use crate::object::ObjectView;

/// Borrows an object as [`Bytes`], without a copy.
///
/// The object stays while any clone or slice of them lives.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use mobula_store::{ObjectId, Store, StoreOptions};
///
/// # fn main() -> mobula_store::Result<()> {
/// let store = Store::create(StoreOptions::new(1 << 20))?;
/// let view = store.put(ObjectId::random(), b"head and body")?;
/// let address = view.as_ptr();
///
/// let bytes = Bytes::from(view);
/// let body = bytes.slice(9..);
/// assert_eq!(body, "body");
/// assert_eq!(bytes.as_ptr(), address);
/// # Ok(())
/// # }
/// ```
impl From<ObjectView> for Bytes {
    fn from(view: ObjectView) -> Bytes {
        Bytes::from_owner(view)
    }
}
