//! Objects as Arrow data: buffers, arrays and record batches.
//!
//! ```text
//!   RecordBatch --encode--> [message, buffer, padding, ...] --one copy--> ObjectBuffer --seal
//!   ObjectView --> Buffer --slices of it--> columns of RecordBatches
//! ```
//!
//! Batches lie in an object as an [Arrow IPC stream][format], which every implementation of Arrow reads and
//! writes: what a program in another language puts into the store can be read here, and the reverse. Every
//! buffer of a stream written here is 64-byte aligned, so the columns that are read point into the object.
//! Of streams from elsewhere only buffers are copied that are not aligned to their type.
//!
//! 1. No message is decoded before its layout was checked: buffers lie within the object and have the
//!    sizes of their types (layout.rs).
//! 2. Columns are validated as Arrow prescribes (offsets, UTF-8, keys of dictionaries) when they are read;
//!    for numbers that costs nothing, for texts a pass over them.
//!
//! It does not read IPC *files* (with a footer), compressed batches (they cannot be borrowed; arrow-ipc's
//! own reader takes the bytes of a view), nor the format from before Arrow 0.15.
//!
//! # Examples
//!
//! ```
//! use arrow_array::cast::AsArray;
//! use arrow_array::record_batch;
//! use arrow_array::types::Float64Type;
//! use mobula_store::{ObjectId, Store, StoreOptions};
//! use mobula_store::arrow::{batches, put_batches};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::create(StoreOptions::new(1 << 20))?;
//! let id = ObjectId::random();
//! let batch = record_batch!(("city", Utf8, ["Rome", "Oslo"]), ("degrees", Float64, [31.5, 18.0]))?;
//! put_batches(&store, id, &[batch])?;
//!
//! let view = store.get(id, None)?;
//! let memory = view.as_ptr_range();
//! let batch = &batches(view)?[0];
//! let degrees = batch["degrees"].as_primitive::<Float64Type>().values();
//! assert_eq!(degrees[..], [31.5, 18.0]);
//! assert!(memory.contains(&degrees.inner().as_ptr()));
//! # Ok(())
//! # }
//! ```
//!
//! [format]: https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format

mod layout;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray, RecordBatch, RecordBatchReader};
use arrow_buffer::{ArrowNativeType, Buffer, ScalarBuffer};
use arrow_ipc::MessageHeader;
use arrow_ipc::convert::{MessageBuffer, try_fb_to_schema};
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow_ipc::writer::StreamEncoder;
use arrow_schema::{ArrowError, Schema, SchemaRef};
use bytemuck::Pod;
use bytes::Bytes;

use crate::array::Array;
use crate::copy;
use crate::error::{Error, Result};
use crate::id::ObjectId;
use crate::object::ObjectView;
use crate::options::ObjectOptions;
use crate::store::Store;

/// Every message begins with it.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Writes record batches of one schema into a new object and seals it.
///
/// Columns are copied once, from where they lie into the object.
///
/// # Errors
///
/// As [`Store::create_object`]; [`is_invalid_argument`](Error::is_invalid_argument) if the batches have
/// different schemas, a type that the IPC format does not know, or if there are none: use
/// [`put_batches_with`] for a schema without batches.
pub fn put_batches(store: &Store, id: ObjectId, batches: &[RecordBatch]) -> Result<ObjectView> {
    let Some(first) = batches.first() else {
        return Err(Error::invalid(format!("no batch says which columns object {id} has; give the schema")));
    };
    put_batches_with(store, id, first.schema_ref(), batches, &ObjectOptions::new())
}

/// Writes record batches of the given schema, or none, into a new object with options and seals it.
///
/// # Errors
///
/// As [`put_batches`] and [`Store::create_object_with`].
pub fn put_batches_with(
    store: &Store,
    id: ObjectId,
    schema: &Schema,
    batches: &[RecordBatch],
    options: &ObjectOptions,
) -> Result<ObjectView> {
    let parts = encode(schema, batches)
        .map_err(|error| Error::invalid(format!("batches cannot be written into object {id}: {error}")))?;
    let mut buffer = store.create_object_with(id, parts.iter().map(Buffer::len).sum(), options)?;
    let mut rest = &mut buffer[..];
    for part in &parts {
        let (to, behind) = rest.split_at_mut(part.len());
        copy::copy(to, part);
        rest = behind;
    }
    buffer.seal()
}

/// Reads all record batches of an object; their columns point into it and keep it where it is.
///
/// # Errors
///
/// [`is_invalid_argument`](Error::is_invalid_argument) if the object is no valid Arrow IPC stream.
pub fn batches(view: ObjectView) -> Result<Vec<RecordBatch>> {
    let reader = BatchReader::new(view)?;
    let id = reader.id;
    reader.collect::<Result<_, _>>().map_err(|error| no_stream(id, &error))
}

/// Reads the record batches of an object one after the other.
///
/// # Examples
///
/// ```
/// use arrow_array::record_batch;
/// use mobula_store::{ObjectId, Store, StoreOptions};
/// use mobula_store::arrow::{put_batches, BatchReader};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Store::create(StoreOptions::new(1 << 20))?;
/// let batch = record_batch!(("n", Int32, [1, 2, 3]))?;
/// let reader = BatchReader::new(put_batches(&store, ObjectId::random(), &[batch.clone(), batch])?)?;
///
/// assert_eq!(reader.schema().field(0).name(), "n");
/// let mut rows = 0;
/// for batch in reader {
///     rows += batch?.num_rows();
/// }
/// assert_eq!(rows, 6);
/// # Ok(())
/// # }
/// ```
pub struct BatchReader {
    id: ObjectId,
    /// What has not been read; empty at the end and after an error.
    rest: Buffer,
    schema: SchemaRef,
    dictionaries: HashMap<i64, ArrayRef>,
}

impl BatchReader {
    /// Reads the schema with which an object's stream begins.
    ///
    /// # Errors
    ///
    /// [`is_invalid_argument`](Error::is_invalid_argument) if the object is no Arrow IPC stream.
    pub fn new(view: ObjectView) -> Result<Self> {
        let id = view.id();
        let mut rest = Buffer::from(view);
        let schema = read_schema(&mut rest).map_err(|error| no_stream(id, &error))?;
        Ok(BatchReader { id, rest, schema: Arc::new(schema), dictionaries: HashMap::new() })
    }

    /// Returns the columns that all batches have.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Reads up to the next batch; `None` at the end of the stream.
    fn read(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        while let Some(frame) = Frame::take(&mut self.rest)? {
            let message = frame.message.as_ref();
            let version = message.version();
            match message.header_type() {
                MessageHeader::DictionaryBatch => {
                    let dictionary = message.header_as_dictionary_batch().ok_or_else(layout::no_header)?;
                    layout::check_dictionary(&self.schema, &dictionary, version, &frame.body)?;
                    read_dictionary(&frame.body, dictionary, &self.schema, &mut self.dictionaries, &version)?;
                }
                MessageHeader::RecordBatch => {
                    let batch = message.header_as_record_batch().ok_or_else(layout::no_header)?;
                    let columns = self.schema.fields().iter().map(|field| field.data_type());
                    layout::check_batch(columns, &batch, version, &frame.body)?;
                    let schema = self.schema.clone();
                    let decoder =
                        RecordBatchDecoder::try_new(&frame.body, batch, schema, &self.dictionaries, &version)?;
                    return decoder.read_record_batch().map(Some);
                }
                other => return Err(ArrowError::IpcError(format!("a message of type {other:?} behind the schema"))),
            }
        }
        Ok(None)
    }
}

impl Iterator for BatchReader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.rest = Buffer::default();
        }
        next
    }
}

impl RecordBatchReader for BatchReader {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

impl fmt::Debug for BatchReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BatchReader { id, rest, schema, .. } = self;
        f.debug_struct("BatchReader").field("id", id).field("rest", &rest.len()).field("schema", schema).finish()
    }
}

/// Borrows an object as an Arrow buffer, without a copy.
///
/// The object stays while any clone, slice or array of it lives; an empty one is not kept.
///
/// # Examples
///
/// ```
/// use arrow_buffer::{Buffer, ScalarBuffer};
/// use mobula_store::{ObjectId, Store, StoreOptions};
///
/// # fn main() -> mobula_store::Result<()> {
/// let store = Store::create(StoreOptions::new(1 << 20))?;
/// let view = store.put(ObjectId::random(), bytemuck::cast_slice(&[1u32, 2, 3]))?;
/// let address = view.as_ptr();
///
/// let numbers = ScalarBuffer::<u32>::from(Buffer::from(view));
/// assert_eq!(numbers[..], [1, 2, 3]);
/// assert_eq!(numbers.inner().as_ptr(), address);
/// # Ok(())
/// # }
/// ```
impl From<ObjectView> for Buffer {
    fn from(view: ObjectView) -> Buffer {
        buffer(view)
    }
}

/// Borrows an array as an Arrow buffer of its elements in order, without a copy; the shape is left behind.
///
/// The array stays while any clone, slice or array of it lives.
impl<T: Pod + ArrowNativeType> From<Array<T>> for ScalarBuffer<T> {
    fn from(array: Array<T>) -> ScalarBuffer<T> {
        ScalarBuffer::from(buffer(Elements(array)))
    }
}

/// Borrows an array as an Arrow array without nulls of its elements in order, without a copy.
///
/// The array stays while any clone or slice of it lives.
///
/// # Examples
///
/// ```
/// use arrow_array::Float32Array;
/// use mobula_store::{Array, Store, StoreOptions};
///
/// # fn main() -> mobula_store::Result<()> {
/// let store = Store::create(StoreOptions::new(1 << 20))?;
/// let a = Array::from_shape_in(&store, &[2, 2], &[1.0f32, 2.0, 3.0, 4.0])?;
/// let address = a.as_ptr();
///
/// let column = Float32Array::from(a);
/// assert_eq!(column.values().as_ptr(), address);
/// # Ok(())
/// # }
/// ```
impl<T: ArrowPrimitiveType<Native: Pod>> From<Array<T::Native>> for PrimitiveArray<T> {
    fn from(array: Array<T::Native>) -> PrimitiveArray<T> {
        PrimitiveArray::new(ScalarBuffer::from(array), None)
    }
}

/// An array as the owner of its bytes.
struct Elements<T: Pod>(Array<T>);

impl<T: Pod> AsRef<[u8]> for Elements<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

fn buffer(owner: impl AsRef<[u8]> + Send + 'static) -> Buffer {
    // The address of no bytes is aligned to a byte, which a typed buffer would refuse.
    if owner.as_ref().is_empty() { Buffer::default() } else { Bytes::from_owner(owner).into() }
}

/// Turns batches into the parts of a stream; columns are parts as they are.
fn encode(schema: &Schema, batches: &[RecordBatch]) -> Result<Vec<Buffer>, ArrowError> {
    let mut encoder = StreamEncoder::try_new(schema)?;
    let mut parts = Vec::new();
    for (n, batch) in batches.iter().enumerate() {
        if batch.schema_ref().fields != schema.fields {
            return Err(ArrowError::SchemaError(format!("batch {n} has other columns than the schema says")));
        }
        parts.append(&mut encoder.encode(batch)?);
    }
    parts.append(&mut encoder.finish()?);
    Ok(parts)
}

/// A message of a stream as it lies there.
///
/// ```text
///   ff ff ff ff | len:4 | metadata: len bytes | body: as many bytes as the metadata says
/// ```
struct Frame {
    message: MessageBuffer,
    body: Buffer,
}

impl Frame {
    /// Cuts the first message off; `None` at the end of the stream.
    fn take(rest: &mut Buffer) -> Result<Option<Frame>, ArrowError> {
        if rest.is_empty() {
            return Ok(None);
        }
        let prefix = take(rest, 8)?;
        let (continuation, len) = prefix.split_at(4);
        if continuation != CONTINUATION {
            return Err(ArrowError::IpcError("no message begins where one should".to_owned()));
        }
        let len = u32::from_le_bytes(len.try_into().unwrap_or_default());
        if len == 0 {
            return Ok(None);
        }
        let message = MessageBuffer::try_new(take(rest, u64::from(len))?)?;
        let body = message.as_ref().bodyLength();
        let body = u64::try_from(body).map_err(|_| ArrowError::IpcError(format!("a body of {body} bytes")))?;
        Ok(Some(Frame { message, body: take(rest, body)? }))
    }
}

/// Cuts `len` bytes off the front.
fn take(rest: &mut Buffer, len: u64) -> Result<Buffer, ArrowError> {
    let Some(len) = usize::try_from(len).ok().filter(|&len| len <= rest.len()) else {
        return Err(ArrowError::IpcError(format!("it ends {} bytes into a piece of {len}", rest.len())));
    };
    let piece = rest.slice_with_length(0, len);
    rest.advance(len);
    Ok(piece)
}

fn read_schema(rest: &mut Buffer) -> Result<Schema, ArrowError> {
    let frame = Frame::take(rest)?.ok_or_else(|| ArrowError::IpcError("it is empty".to_owned()))?;
    let schema = frame.message.as_ref().header_as_schema();
    let schema = schema.ok_or_else(|| ArrowError::IpcError("it does not begin with a schema".to_owned()))?;
    if !schema.endianness().equals_to_target_endianness() {
        return Err(ArrowError::IpcError("it has the byte order of another machine".to_owned()));
    }
    let schema = try_fb_to_schema(schema)?;
    layout::check_schema(&schema)?;
    Ok(schema)
}

fn no_stream(id: ObjectId, error: &ArrowError) -> Error {
    Error::invalid(format!("object {id} is no Arrow IPC stream: {error}"))
}
