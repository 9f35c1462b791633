//! Arrow: buffers, arrays and record batches.

use std::sync::Arc;

use arrow_array::builder::{
    FixedSizeListBuilder, Int32Builder, ListBuilder, MapBuilder, StringBuilder, StringRunBuilder, StringViewBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int32Type};
use arrow_array::{
    Array as _, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, DictionaryArray, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int32Array, Int64Array, LargeStringArray, ListViewArray, NullArray, RecordBatch,
    StringArray, StructArray, TimestampSecondArray, UnionArray, record_batch,
};
use arrow_buffer::{Buffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, UnionFields};
use mobula_store::arrow::{BatchReader, batches, put_batches, put_batches_with};
use mobula_store::{Array, Lifetime, ObjectId, ObjectOptions, ObjectView, Store};

use crate::{assert_empty, assert_pins, id, store};

/// A column of every kind of type that the format knows.
fn every_type() -> RecordBatch {
    let words = ["one", "a text that is longer than a view can hold by itself", "", "four"];
    let mut lists = ListBuilder::new(Int32Builder::new());
    let mut pairs = FixedSizeListBuilder::new(Int32Builder::new(), 2);
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    let mut views = StringViewBuilder::new().with_fixed_block_size(64);
    let mut runs = StringRunBuilder::<Int32Type>::new();
    for (n, word) in words.iter().enumerate() {
        lists.append_value((0..n as i32).map(Some));
        pairs.values().append_slice(&[n as i32, 1]);
        pairs.append(n != 2);
        maps.keys().append_value(word);
        maps.values().append_value(n as i32);
        maps.append(n != 1).unwrap();
        views.append_value(word);
        runs.append_value(words[n / 2]);
    }
    let numbers = Arc::new(Int32Array::from(vec![1, 2, 3, 4])) as ArrayRef;
    let texts = Arc::new(StringArray::from(words.to_vec())) as ArrayRef;
    let kinds: UnionFields =
        [(0, Arc::new(Field::new("n", DataType::Int32, false))), (1, Arc::new(Field::new("t", DataType::Utf8, false)))]
            .into_iter()
            .collect();
    let columns = vec![numbers.clone(), texts.clone()];
    let sparse = UnionArray::try_new(kinds.clone(), vec![0, 1, 1, 0].into(), None, columns.clone()).unwrap();
    let dense = UnionArray::try_new(kinds, vec![0, 1, 1, 0].into(), Some(vec![3, 2, 1, 0].into()), columns).unwrap();
    let item = Arc::new(Field::new("item", DataType::Int32, false));
    let list_views = ListViewArray::new(item, vec![2, 0, 1, 0].into(), vec![2, 1, 1, 0].into(), numbers.clone(), None);
    let pair = [("n", numbers.clone()), ("t", texts.clone())];
    let structs = StructArray::from(
        pair.map(|(name, column)| (Arc::new(Field::new(name, column.data_type().clone(), true)), column)).to_vec(),
    );
    RecordBatch::try_from_iter_with_nullable([
        ("int32", Arc::new(Int32Array::from(vec![Some(1), None, Some(3), None])) as ArrayRef, true),
        ("float64", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0])), true),
        ("decimal", Arc::new(Decimal128Array::from(vec![1, -2, 3, -4])), true),
        ("bool", Arc::new(BooleanArray::from(vec![true, false, true, true])), true),
        ("utf8", texts, true),
        ("large", Arc::new(LargeStringArray::from(words.to_vec())), true),
        ("binary", Arc::new(BinaryArray::from_iter_values(words)), true),
        ("fixed", Arc::new(FixedSizeBinaryArray::try_from_iter(["ab", "cd", "ef", "gh"].iter()).unwrap()), true),
        ("time", Arc::new(TimestampSecondArray::from(vec![1, 2, 3, 4]).with_timezone("UTC")), true),
        ("view", Arc::new(views.finish()), true),
        ("dictionary", Arc::new(DictionaryArray::<Int32Type>::from_iter(["x", "y", "x", "x"])), true),
        ("runs", Arc::new(runs.finish()), true),
        ("list", Arc::new(lists.finish()), true),
        ("list_view", Arc::new(list_views), true),
        ("pair", Arc::new(pairs.finish()), true),
        ("map", Arc::new(maps.finish()), true),
        ("struct", Arc::new(structs), true),
        ("sparse", Arc::new(sparse), false),
        ("dense", Arc::new(dense), false),
        ("null", Arc::new(NullArray::new(4)), true),
    ])
    .unwrap()
}

/// Fails unless every buffer of the column, children and all, lies in `view`.
fn assert_inside(view: &ObjectView, name: &str, column: &ArrayRef) {
    let memory = view.as_ptr_range();
    let mut parts = vec![column.to_data()];
    while let Some(data) = parts.pop() {
        let nulls = data.nulls().map(|nulls| nulls.buffer());
        for buffer in data.buffers().iter().chain(nulls).filter(|buffer| !buffer.is_empty()) {
            assert!(memory.contains(&buffer.as_ptr()), "a buffer of column {name} was copied");
        }
        parts.extend_from_slice(data.child_data());
    }
}

#[test]
fn a_buffer_is_the_object_itself() {
    let store = store();
    let view = store.put(id(1), &[7; 4096]).unwrap();
    let address = view.as_ptr();
    let buffer = Buffer::from(view);
    assert_eq!((buffer.as_ptr(), buffer.len()), (address, 4096));
    let slice = buffer.slice(4095);
    drop(buffer);
    let slice = slice.into_mutable().unwrap_err();
    assert_eq!(slice.as_slice(), [7]);
    assert_pins(&store, id(1), slice);
}

#[test]
fn an_array_is_a_column() {
    let store = store();
    let numbers: Vec<f32> = (0..1000).map(|n| n as f32).collect();
    let array = Array::from_shape_in(&store, &[10, 100], &numbers).unwrap();
    let (id, address) = (array.id(), array.as_ptr());
    let column = Float32Array::from(array.clone());
    let scalars = ScalarBuffer::from(array);
    assert_eq!((column.values().as_ptr(), scalars.as_ptr()), (address, address));
    assert_eq!(column.values()[..], numbers);
    drop(scalars);
    let last = column.slice(999, 1);
    drop(column);
    assert_pins(&store, id, last);
}

#[test]
fn an_array_that_is_a_column_is_not_written_in_place() {
    let store = store();
    let array = Array::from_shape_in(&store, &[3], &[1.0f32, 2.0, 3.0]).unwrap();
    let column = Float32Array::from(array.clone());
    let mut copy = array.into_mut().unwrap();
    copy.fill(0.0);
    assert_eq!(column.values()[..], [1.0, 2.0, 3.0]);
}

#[test]
fn nothing_is_a_column_of_nothing() {
    let store = store();
    assert_eq!(Buffer::from(store.put(id(1), &[]).unwrap()).len(), 0);
    assert_eq!(ScalarBuffer::<i128>::from(Buffer::from(store.get(id(1), None).unwrap())).len(), 0);
    assert_eq!(Float32Array::from(Array::from_shape_in(&store, &[0], &[]).unwrap()).len(), 0);
    store.delete(id(1)).unwrap();
    assert_empty(&store);
}

#[test]
fn columns_of_every_type_point_into_the_object() {
    let store = store();
    let batch = every_type();
    let written = [batch.clone(), batch.slice(1, 2), batch.slice(4, 0), batch];
    put_batches(&store, id(1), &written).unwrap();

    let other = Store::attach(store.address()).unwrap();
    let view = other.get(id(1), None).unwrap();
    let read = batches(view.clone()).unwrap();
    assert_eq!(read, written);
    for batch in &read {
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            assert_inside(&view, field.name(), column);
        }
    }
    let column = read[0].column(1).clone();
    drop((view, read));
    assert_eq!(column.as_primitive::<Float64Type>().values()[..], [1.0, 2.0, 3.0, 4.0]);
    assert_pins(&store, id(1), column);
}

#[test]
fn batches_lie_in_the_object_as_a_stream_that_others_read() {
    let store = store();
    let batch = every_type();
    let view = put_batches(&store, id(1), &[batch.clone(), batch.clone()]).unwrap();
    let reader = arrow_ipc::reader::StreamReader::try_new(&view[..], None).unwrap();
    assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), [batch.clone(), batch.clone()]);

    // And the reverse, with the least alignment that the format allows.
    let mut stream = Vec::new();
    let options = arrow_ipc::writer::IpcWriteOptions::try_new(8, false, arrow_ipc::MetadataVersion::V5).unwrap();
    let mut writer =
        arrow_ipc::writer::StreamWriter::try_new_with_options(&mut stream, &batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let view = store.put(id(2), &stream).unwrap();
    let read = batches(view.clone()).unwrap();
    assert_eq!(read, [batch]);
    assert_inside(&view, "float64", &read[0]["float64"]);
    // The marker of the end may be missing.
    assert_eq!(batches(store.put(id(3), &stream[..stream.len() - 8]).unwrap()).unwrap(), read);
}

#[test]
fn what_another_implementation_wrote_is_read() {
    // By pyarrow 11: table {n: int32, x: float64, s: string, d: dictionary, l: list<int64>, m: decimal128},
    // whole and without its first row.
    let store = store();
    let view = store.put(id(1), include_bytes!("pyarrow.arrows")).unwrap();
    let read = batches(view.clone()).unwrap();
    assert_eq!(read.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [3, 2]);
    let batch = &read[0];
    assert_eq!(*batch["n"].as_primitive::<Int32Type>(), Int32Array::from(vec![Some(1), None, Some(3)]));
    assert_eq!(*batch["s"].as_string::<i32>(), StringArray::from(vec!["one", "", "three"]));
    let words = batch["d"].as_dictionary::<Int32Type>().downcast_dict::<StringArray>().unwrap();
    assert_eq!(words.into_iter().flatten().collect::<Vec<_>>(), ["a", "b", "a"]);
    assert_eq!(batch["l"].as_list::<i32>().value_length(0), 2);
    assert_eq!(batch["m"].as_primitive::<Decimal128Type>().value(1), 250);
    for name in ["n", "x", "s", "d", "l"] {
        assert_inside(&view, name, &batch[name]);
    }
}

#[test]
fn a_changing_dictionary_is_read_as_it_was() {
    let store = store();
    let batch = |words: [&str; 3]| {
        let column = Arc::new(DictionaryArray::<Int32Type>::from_iter(words)) as ArrayRef;
        RecordBatch::try_from_iter([("word", column)]).unwrap()
    };
    let written = [batch(["a", "b", "a"]), batch(["a", "b", "b"]), batch(["c", "d", "d"])];
    let view = put_batches(&store, id(1), &written).unwrap();
    assert_eq!(batches(view).unwrap(), written);
}

#[test]
fn a_schema_without_batches_is_a_stream() {
    let store = store();
    let schema = Schema::new(vec![Field::new("n", DataType::Int32, false)]);
    let options = ObjectOptions::new().metadata(b"of mine").lifetime(Lifetime::Counted);
    let view = put_batches_with(&store, id(1), &schema, &[], &options).unwrap();
    assert_eq!(view.metadata(), b"of mine");
    let mut reader = BatchReader::new(view).unwrap();
    assert_eq!(*reader.schema(), schema);
    assert!(reader.next().is_none());
    drop(reader);
    assert_empty(&store);
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let store = store();
    let one = record_batch!(("n", Int32, [1, 2])).unwrap();
    let two = record_batch!(("n", Int64, [1, 2])).unwrap();
    for wrong in [vec![], vec![one.clone(), two]] {
        let error = put_batches(&store, id(1), &wrong).unwrap_err();
        assert!(error.is_invalid_argument() && error.to_string().contains(&id(1).to_string()), "{error}");
    }
    let large = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![0; 2 << 20])) as ArrayRef)]).unwrap();
    assert!(put_batches(&store, id(1), &[large]).unwrap_err().is_store_full());
    put_batches(&store, id(1), std::slice::from_ref(&one)).unwrap();
    assert!(put_batches(&store, id(1), &[one]).unwrap_err().is_exists());
    store.delete(id(1)).unwrap();
    assert_empty(&store);
}

#[test]
fn no_stream_is_an_error() {
    let store = store();
    let mut file = Vec::new();
    let batch = record_batch!(("n", Int32, [1, 2])).unwrap();
    let mut writer = arrow_ipc::writer::FileWriter::try_new(&mut file, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let mut cut = put_batches(&store, id(2), &[batch]).unwrap().to_vec();
    store.delete(id(2)).unwrap();
    cut.truncate(cut.len() - 20);
    let compressed = include_bytes!("compressed.arrows");
    for wrong in [&[][..], &[0; 8], &[0xff; 4], &[0xff; 64], b"no stream at all", &file, &cut, compressed] {
        let error = batches(store.put(id(1), wrong).unwrap()).unwrap_err();
        assert!(error.is_invalid_argument() && error.to_string().contains(&id(1).to_string()), "{error}");
        store.delete(id(1)).unwrap();
    }
    assert_empty(&store);
}

#[test]
fn no_damage_makes_a_panic() {
    let store = store();
    let view = put_batches(&store, id(1), &[every_type()]).unwrap();
    let read = |stream: &[u8]| {
        let id = ObjectId::random();
        let view = store.put(id, stream).unwrap();
        store.delete(id).unwrap();
        // What passes must be as valid as it says.
        for batch in batches(view).into_iter().flatten() {
            for column in batch.columns() {
                column.to_data().validate_full().unwrap();
            }
        }
    };
    for len in 0..view.len() {
        read(&view[..len]);
    }
    let mut damaged = view.to_vec();
    for at in 0..damaged.len() {
        for byte in [0, 0x7f, 0xff, view[at] ^ 1] {
            damaged[at] = byte;
            read(&damaged);
        }
        damaged[at] = view[at];
    }
}
