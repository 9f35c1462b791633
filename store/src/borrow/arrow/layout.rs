//! What a message must look like before it is decoded.
//!
//! ```text
//!   schema:  a: Int32                b: List<Utf8>
//!   nodes:   a                       b                 b.item                        lengths
//!   buffers: a.nulls, a.values       b.nulls, .offsets  .item.nulls, .offsets, .text  places in the body
//! ```
//!
//! A batch lists its columns depth first: a node for each, and the buffers that its type has. The decoder
//! of arrow-ipc validates what lies in the buffers, but takes it for granted that they lie in the body and
//! are whole multiples of their elements, and that types make sense; it panics otherwise. Here such
//! messages become errors.

use arrow_buffer::Buffer;
use arrow_data::{BufferSpec, layout};
use arrow_ipc::{DictionaryBatch, FieldNode, MetadataVersion, RecordBatch};
use arrow_schema::{ArrowError, DataType, Schema};

/// Checks that every type of a schema makes sense.
pub(super) fn check_schema(schema: &Schema) -> Result<(), ArrowError> {
    schema.fields().iter().try_for_each(|field| check_type(field.data_type()))
}

/// Checks the values of a dictionary.
pub(super) fn check_dictionary(
    schema: &Schema,
    dictionary: &DictionaryBatch<'_>,
    version: MetadataVersion,
    body: &Buffer,
) -> Result<(), ArrowError> {
    let id = dictionary.id();
    #[expect(deprecated, reason = "the decoder finds the type of the values by it")]
    let fields = schema.fields_with_dict_id(id);
    let Some(DataType::Dictionary(_, values)) = fields.first().map(|field| field.data_type()) else {
        return Err(wrong(format!("no column has the dictionary {id}")));
    };
    check_batch([&**values], &dictionary.data().ok_or_else(no_header)?, version, body)
}

/// Checks a batch of columns of the given types.
pub(super) fn check_batch<'t>(
    types: impl IntoIterator<Item = &'t DataType>,
    batch: &RecordBatch<'_>,
    version: MetadataVersion,
    body: &Buffer,
) -> Result<(), ArrowError> {
    if batch.compression().is_some() {
        return Err(wrong("it is compressed, so its columns cannot be borrowed".to_owned()));
    }
    let mut columns = Columns {
        nodes: batch.nodes().into_iter().flatten(),
        buffers: batch.buffers().into_iter().flatten(),
        more_buffers: batch.variadicBufferCounts().into_iter().flatten(),
        version,
        body,
    };
    types.into_iter().try_for_each(|of| columns.check(of))
}

/// Says that a message has not what its type of header promises.
pub(super) fn no_header() -> ArrowError {
    wrong("a message has no header".to_owned())
}

/// What is left to check of a batch.
struct Columns<'a, N, B, M> {
    nodes: N,
    buffers: B,
    more_buffers: M,
    version: MetadataVersion,
    body: &'a Buffer,
}

impl<'f, N, B, M> Columns<'_, N, B, M>
where
    N: Iterator<Item = &'f FieldNode>,
    B: Iterator<Item = &'f arrow_ipc::Buffer>,
    M: Iterator<Item = i64>,
{
    /// Checks the next column and the columns within it.
    fn check(&mut self, of: &DataType) -> Result<(), ArrowError> {
        let node = self.nodes.next().ok_or_else(|| wrong(format!("no node for a column of {of}")))?;
        let rows = usize::try_from(node.length()).map_err(|_| wrong(format!("a column of {} rows", node.length())))?;
        if !(0..=node.length()).contains(&node.null_count()) {
            return Err(wrong(format!("{} nulls in a column of {rows} rows", node.null_count())));
        }
        let expected = layout(of);
        let union = matches!(of, DataType::Union(..));
        if expected.can_contain_null_mask || union && self.version < MetadataVersion::V5 {
            self.buffer()?;
        }
        for spec in &expected.buffers {
            let (address, len) = self.buffer()?;
            let BufferSpec::FixedWidth { byte_width, alignment } = *spec else { continue };
            let whole = byte_width == 0 || len.is_multiple_of(byte_width);
            // What else is not aligned or too short the decoder sees by itself.
            let enough = !union || rows.checked_mul(byte_width).is_some_and(|least| least <= len);
            let aligned = !union || address.is_multiple_of(alignment);
            if !(whole && enough && aligned) {
                return Err(wrong(format!("a buffer of {len} bytes at {address:#x} for {rows} rows of {of}")));
            }
        }
        if expected.variadic {
            let count = self.more_buffers.next().ok_or_else(|| wrong(format!("no count of buffers for {of}")))?;
            for _ in 0..count {
                self.buffer()?;
            }
        }
        inner(of).into_iter().try_for_each(|of| self.check(of))
    }

    /// Takes the next buffer: its address and length.
    fn buffer(&mut self) -> Result<(usize, usize), ArrowError> {
        let buffer = self.buffers.next().ok_or_else(|| wrong("fewer buffers than the columns need".to_owned()))?;
        let (start, len) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length()));
        match (start, len) {
            (Ok(start), Ok(len)) if start.checked_add(len).is_some_and(|end| end <= self.body.len()) => {
                Ok((self.body.as_ptr().addr() + start, len))
            }
            _ => Err(wrong(format!(
                "a buffer of {} bytes at {} in a body of {}",
                buffer.length(),
                buffer.offset(),
                self.body.len()
            ))),
        }
    }
}

/// Returns the types of the columns within a column, as they follow it in a batch.
fn inner(of: &DataType) -> Vec<&DataType> {
    match of {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => vec![item.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| field.data_type()).collect(),
        DataType::RunEndEncoded(ends, values) => vec![ends.data_type(), values.data_type()],
        _ => Vec::new(),
    }
}

fn check_type(of: &DataType) -> Result<(), ArrowError> {
    let sensible = match of {
        DataType::FixedSizeBinary(size) | DataType::FixedSizeList(_, size) => *size >= 0,
        DataType::RunEndEncoded(ends, _) => ends.data_type().is_run_ends_type(),
        DataType::Map(entries, _) => matches!(entries.data_type(), DataType::Struct(fields) if fields.len() == 2),
        DataType::Dictionary(_, values) => return check_type(values),
        _ => true,
    };
    if !sensible {
        return Err(ArrowError::SchemaError(format!("{of} makes no sense")));
    }
    inner(of).into_iter().try_for_each(check_type)
}

fn wrong(what: String) -> ArrowError {
    ArrowError::IpcError(what)
}
