//! Handles go from process to process; an end is used in one place at a time.

use mobula_store::{ChannelReader, ChannelWriter};

use crate::{another, moved, pair, store};

#[test]
fn an_end_goes_on_where_it_was() {
    let store = store();
    let (one, two) = (another(&store), another(&store));
    let (mut writer, mut reader) = pair::<u8>(&store, 8, 1);
    writer.send(0).unwrap();
    writer.send(1).unwrap();
    assert_eq!(reader.recv().unwrap(), 0);
    let mut writer = moved(writer, &one);
    writer.send(2).unwrap();
    let mut reader = moved(reader, &two);
    assert_eq!((reader.recv().unwrap(), reader.recv().unwrap()), (1, 2));
    let mut reader = moved(reader, &one);
    moved(writer, &two).send(3).unwrap();
    assert_eq!(reader.recv().unwrap(), 3);
    assert!(reader.recv().unwrap_err().is_closed());
}

#[test]
fn two_handles_of_one_end_do_not_both_work() {
    let store = store();
    let (writer, mut reader) = pair::<u8>(&store, 8, 1);
    let copy = |writer: &ChannelWriter<u8>| -> ChannelWriter<u8> {
        let (bytes, _holds) = mobula_store::transfer::encode(|| postcard::to_stdvec(writer).unwrap());
        mobula_store::transfer::decode(&store, || postcard::from_bytes(&bytes).unwrap())
    };
    let (mut first, mut second) = (copy(&writer), copy(&writer));
    first.send(1).unwrap();
    let refused = second.send(2).unwrap_err();
    assert!(refused.is_invalid_argument(), "{refused}");
    // The one that lost takes nothing with it.
    drop(second);
    drop(writer);
    first.send(3).unwrap();
    assert_eq!((reader.recv().unwrap(), reader.recv().unwrap()), (1, 3));
}

#[test]
fn handles_are_of_their_type_and_their_place() {
    let store = store();
    let (_writer, reader) = pair::<u32>(&store, 8, 1);
    let (bytes, _holds) = mobula_store::transfer::encode(|| postcard::to_stdvec(&reader).unwrap());
    let wrong = mobula_store::transfer::decode(&store, || postcard::from_bytes::<ChannelReader<f32>>(&bytes));
    assert!(wrong.is_err());
    let refused = mobula_store::transfer::take_refusal().unwrap();
    assert!(refused.is_invalid_argument(), "{refused}");
    assert!(postcard::to_stdvec(&reader).is_err(), "outside of a message");
    assert!(postcard::from_bytes::<ChannelReader<u32>>(&bytes).is_err());
}

#[test]
fn a_channel_is_no_object_to_read() {
    let store = store();
    let (writer, _reader) = pair::<u32>(&store, 8, 1);
    let id = store.list().into_iter().max_by_key(|object| object.len).unwrap().id;
    assert!(store.get(id, None).unwrap_err().is_invalid_argument());
    assert!(format!("{writer:?}").contains("u32"));
}
