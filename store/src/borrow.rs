//! Objects in the hands of other crates, without a copy.
//!
//! ```text
//!   ObjectView --> bytes::Bytes --> arrow_buffer::Buffer --> columns of RecordBatches
//!        |                               ^
//!        |                               | ScalarBuffer, PrimitiveArray
//!        +--> ArchivedView (rkyv)      Array --> ndarray views
//! ```
//!
//! What another crate gets is the mapped memory itself, at the same address, and an owner beside it:
//! the view. The object stays where it is until the owner's last clone is dropped, also when somebody
//! deletes it meanwhile. Each crate has a feature of its own name; none is on by default.
//!
//! 1. Nobody gets a way to write: the memory is mapped for reading, and every owner here is one that
//!    its crate never takes for a unique, writable allocation.
//! 2. Bytes are checked before they are given a type. What does not pass is an error, whoever wrote it.

#[cfg(feature = "arrow")]
pub mod arrow;
#[cfg(feature = "bytes")]
mod bytes;
#[cfg(feature = "ndarray")]
mod ndarray;
#[cfg(feature = "rkyv")]
#[allow(unsafe_code, reason = "archives that were validated")]
pub mod rkyv;
