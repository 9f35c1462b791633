//! Channels, queues and arrays that several fill: what a child is killed in, and what a survivor finds at the other side.
//!
//! The survivor lays its own handle into an object, too, so that it has nothing open while the child works.

use std::time::Duration;

use mobula_store::{
    ArrayPart, ChannelOptions, ChannelReader, ChannelWriter, Error, MessageQueue, ObjectHold, ObjectId, ObjectOptions,
    SharedArray, Store, channel_in, transfer,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::operations::{Context, Operation, small};
use crate::trace::stand;

/// The objects with the child's handle and the survivor's.
const THEIRS: u8 = 80;
const OURS: u8 = 81;
/// Longer than anything takes that comes at all.
const LONG: Duration = Duration::from_secs(20);

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

/// Lays a handle into an object.
fn lay_down(store: &Store, n: u8, handle: &impl Serialize) {
    let (bytes, holds): (Vec<u8>, Vec<ObjectHold>) = transfer::encode(|| postcard::to_stdvec(handle).expect("encoded"));
    drop(store.put_with(id(n), &bytes, &ObjectOptions::new().children(&holds)).expect("put"));
}

fn take_up<T: DeserializeOwned>(store: &Store, n: u8) -> T {
    let bytes = store.get(id(n), None).expect("get");
    let handle = transfer::decode(store, || postcard::from_bytes(&bytes).expect("decoded"));
    store.delete(id(n)).expect("delete");
    handle
}

fn fail(context: Context<'_>, error: &Error) -> ! {
    panic!("{}", context(&error.to_string()))
}

/// Makes a channel of two places with two values of three elements on it, if `filled`.
fn channel(store: &Store, filled: bool) -> (ChannelWriter<u64>, ChannelReader<u64>) {
    let (mut writer, mut readers) =
        channel_in(store, &ChannelOptions::new().slots(2).len(3)).expect("room for a channel");
    if filled {
        (1..=2).for_each(|n| writer.write(|slot| slot.fill(n)).expect("room"));
    }
    (writer, readers.pop().expect("one reader"))
}

/// Reads to the end: values come whole and in order, and the end is one that the writer can have had.
fn read_out(store: &Store, context: Context<'_>) {
    let mut reader: ChannelReader<u64> = take_up(store, OURS);
    let (mut expected, mut end) = (1, None);
    while end.is_none() {
        match reader.read_timeout(LONG) {
            Ok(value) => {
                assert_eq!(value[..], [expected; 3], "{}", context("a value is there in part"));
                expected += 1;
            }
            Err(error) => end = Some(error),
        }
    }
    let end = end.expect("the loop has ended");
    let closed = end.is_closed() && expected == 3;
    assert!(closed || end.is_peer_died(), "{}", context(&format!("{end}, before value {expected}")));
}

/// Writes until the reader is known to be gone, which must be before the channel is full twice.
fn write_out(store: &Store, context: Context<'_>) {
    let mut writer: ChannelWriter<u64> = take_up(store, OURS);
    let end = (0..4).find_map(|n| writer.write_timeout(3, LONG, |slot| slot.fill(n)).err());
    let end = end.unwrap_or_else(|| panic!("{}", context("there is room with nobody to read")));
    assert!(end.is_closed() || end.is_peer_died(), "{}", context(&end.to_string()));
}

/// Takes what is there, then fills the queue twice and takes it: every cell works.
fn use_queue(store: &Store, puts: bool, context: Context<'_>) {
    let queue: MessageQueue = take_up(store, OURS);
    let mut taken = Vec::new();
    while queue.get(Some(Duration::ZERO), |message| taken.push(message.to_vec())).is_ok() {}
    let all = [vec![1; 40], vec![2; 40]];
    // What was put is there from the front; what is gone was taken from the front.
    let fits = if puts { all.starts_with(&taken) } else { all.ends_with(&taken) };
    assert!(fits, "{}", context(&format!("{taken:?} was in the queue")));
    for n in 0..2 * queue.capacity() as u64 {
        queue.put(&n.to_le_bytes(), Some(LONG)).unwrap_or_else(|e| fail(context, &e));
        let got = queue.get(Some(LONG), |message| message == n.to_le_bytes()).unwrap_or_else(|e| fail(context, &e));
        assert!(got, "{}", context("another message came than was put"));
    }
}

fn fill(part: &mut ArrayPart<u64>) {
    let from = part.range().start as u64;
    part.iter_mut().zip(from..).for_each(|(element, value)| *element = value);
}

/// Makes an array of three parts, the first `filled` of which are filled, for both sides.
fn array(store: &Store, filled: usize) {
    let array = SharedArray::<u64>::new_in(store, &[9], 3).expect("room for an array");
    for n in 0..filled {
        let mut part = array.part(n).expect("free");
        fill(&mut part);
        part.finish().expect("it is this client's");
    }
    lay_down(store, THEIRS, &array);
    lay_down(store, OURS, &array);
}

/// Fills what is free; then all is filled, sealed once, and right.
fn fill_up(store: &Store, context: Context<'_>) {
    let array: SharedArray<u64> = take_up(store, OURS);
    while let Some(mut part) = array.wait_part(Some(LONG)).unwrap_or_else(|e| fail(context, &e)) {
        fill(&mut part);
        part.finish().unwrap_or_else(|e| fail(context, &e));
    }
    let sealed = array.seal().unwrap_or_else(|e| fail(context, &e));
    assert_eq!(sealed[..], [0, 1, 2, 3, 4, 5, 6, 7, 8], "{}", context("elements are wrong"));
    assert_eq!(array.seal().unwrap_or_else(|e| fail(context, &e)).id(), sealed.id());
}

pub(crate) fn all() -> Vec<Operation> {
    vec![
        Operation {
            options: small,
            name: "write_a_channel",
            before: |store| {
                let (writer, reader) = channel(store, false);
                lay_down(store, THEIRS, &writer);
                lay_down(store, OURS, &reader);
            },
            child: |store| {
                let mut writer: ChannelWriter<u64> = take_up(store, THEIRS);
                stand();
                (1..=2).for_each(|n| writer.write(|slot| slot.fill(n)).expect("room"));
                drop(writer);
            },
            after: read_out,
        },
        Operation {
            options: small,
            name: "read_a_channel",
            before: |store| {
                let (writer, reader) = channel(store, true);
                lay_down(store, THEIRS, &reader);
                lay_down(store, OURS, &writer);
            },
            child: |store| {
                let mut reader: ChannelReader<u64> = take_up(store, THEIRS);
                stand();
                (1..=2).for_each(|n| assert_eq!(reader.read().expect("a value")[..], [n; 3]));
                drop(reader);
            },
            after: write_out,
        },
        Operation {
            options: small,
            name: "put_into_a_queue",
            before: |store| {
                let queue = MessageQueue::new_in(store, 64, 40).expect("room for a queue");
                lay_down(store, THEIRS, &queue);
                lay_down(store, OURS, &queue);
            },
            child: |store| {
                let queue: MessageQueue = take_up(store, THEIRS);
                stand();
                (1..=2).for_each(|n| queue.put(&[n; 40], None).expect("room"));
            },
            after: |store, context| use_queue(store, true, context),
        },
        Operation {
            options: small,
            name: "get_from_a_queue",
            before: |store| {
                let queue = MessageQueue::new_in(store, 64, 40).expect("room for a queue");
                (1..=2).for_each(|n| queue.put(&[n; 40], None).expect("room"));
                lay_down(store, THEIRS, &queue);
                lay_down(store, OURS, &queue);
            },
            child: |store| {
                let queue: MessageQueue = take_up(store, THEIRS);
                stand();
                (1..=2).for_each(|n| assert_eq!(queue.get(None, |message| message[39]).expect("a message"), n));
            },
            after: |store, context| use_queue(store, false, context),
        },
        Operation {
            options: small,
            name: "fill_a_part",
            before: |store| array(store, 0),
            child: |store| {
                let array: SharedArray<u64> = take_up(store, THEIRS);
                stand();
                drop(array.part(2).expect("free"));
                let mut part = array.next_part().expect("a living client").expect("free");
                fill(&mut part);
                part.finish().expect("it is this client's");
            },
            after: fill_up,
        },
        Operation {
            options: small,
            name: "seal_an_array",
            before: |store| array(store, 3),
            child: |store| {
                let array: SharedArray<u64> = take_up(store, THEIRS);
                stand();
                drop(array.seal().expect("all are filled"));
            },
            after: fill_up,
        },
    ]
}
