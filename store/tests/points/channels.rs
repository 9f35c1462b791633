//! Channels and queues under SIGKILL: what victims do with their ends, and what survivors must find at the others.

use std::ops::Range;
use std::time::Duration;

use mobula_store::{ChannelOptions, ChannelReader, ChannelWriter, MessageQueue, Store, channel_in};

use crate::process::{ready, say};
use crate::scripts::{Kept, Script, attach, hand_over, nothing, plain, take_over};

/// How many values go over a channel.
const VALUES: u64 = 20;

fn channel(store: &Store, readers: usize) -> (ChannelWriter<u64>, Vec<ChannelReader<u64>>) {
    channel_in(store, &ChannelOptions::new().slots(32).len(7).readers(readers)).expect("a channel")
}

/// Reads all that is there, whole and in order, up to an end.
pub(crate) fn examine_reader(reader: &mut ChannelReader<u64>, context: &dyn Fn(&str) -> String) {
    let mut expected = 0;
    let end = loop {
        match reader.read() {
            Ok(value) => {
                let whole = value.len() == expected as usize % 7 + 1 && value.iter().all(|&n| n == expected);
                assert!(whole, "{}", context(&format!("value {expected} came as {value:?}")));
                expected += 1;
            }
            Err(error) => break error,
        }
    };
    let done = end.is_closed() && expected == VALUES;
    assert!(done || end.is_peer_died(), "{}", context(&format!("{end} after {expected} values")));
}

/// Writes until the reader's end is known.
pub(crate) fn examine_writer(writer: &mut ChannelWriter<u64>, context: &dyn Fn(&str) -> String) {
    let end = loop {
        if let Err(error) = writer.write(|slot| slot.fill(1)) {
            break error;
        }
    };
    assert!(end.is_closed() || end.is_peer_died(), "{}", context(&end.to_string()));
}

/// All that is there is whole and in order, `waiting` messages at least, and the queue goes on as if nothing had been.
pub(crate) fn examine_queue(queue: &MessageQueue, waiting: usize, context: &dyn Fn(&str) -> String) {
    let mut last = None;
    let mut take = |message: &[u8]| {
        let n = message[0];
        assert!(message.iter().all(|&byte| byte == n), "{}", context("a message came in part"));
        assert!(last < Some(n), "{}", context("messages came out of order"));
        last = Some(n);
    };
    let there = std::iter::repeat_with(|| queue.get(Some(Duration::ZERO), &mut take).is_ok()).take_while(|&got| got);
    let count = there.count();
    assert!(count >= waiting, "{}", context(&format!("{count} of {waiting} messages are there")));
    for round in 0..3 {
        for n in 0..64u8 {
            let put = queue.put(&[n; 30], Some(Duration::from_secs(20)));
            put.unwrap_or_else(|e| panic!("{}", context(&format!("round {round}, {n}: {e}"))));
        }
        for n in 0..64 {
            let got = queue.get(Some(Duration::from_secs(20)), |message| message[0]);
            assert_eq!(got.unwrap_or_else(|e| panic!("{}", context(&e.to_string()))), n);
        }
    }
}

/// Takes over what was handed to this victim, which dies from here on.
fn begin<T: serde::de::DeserializeOwned>(address: &str) -> (Store, T) {
    let store = attach(address);
    let end = take_over(&store);
    ready(store.client());
    say("deleting", 80);
    (store, end)
}

/// Takes messages that begin with these numbers.
fn take(queue: &MessageQueue, numbers: Range<u8>) {
    for n in numbers {
        assert_eq!(queue.get(None, |message| message[0]).expect("a message"), n);
    }
}

pub(crate) fn all() -> Vec<Script> {
    vec![
        Script {
            name: "write_a_channel",
            options: plain,
            before: |store| {
                let (writer, mut readers) = channel(store, 1);
                hand_over(store, &writer);
                Kept { reader: readers.pop(), ..Kept::default() }
            },
            child: |address| {
                let (_store, mut writer): (_, ChannelWriter<u64>) = begin(address);
                for n in 0..VALUES {
                    writer.write_len(n as usize % 7 + 1, |slot| slot.fill(n)).expect("room");
                }
            },
        },
        Script {
            name: "read_a_channel",
            options: plain,
            before: |store| {
                let (mut writer, readers) = channel(store, 1);
                hand_over(store, &readers[0]);
                (0..VALUES).for_each(|n| writer.send(n).expect("room"));
                Kept { writer: Some(writer), ..Kept::default() }
            },
            child: |address| {
                let (_store, mut reader): (_, ChannelReader<u64>) = begin(address);
                for n in 0..VALUES / 2 {
                    assert_eq!(reader.recv().expect("a value"), n);
                }
                let looked_at = reader.read().expect("a value");
                assert_eq!(looked_at[0], VALUES / 2);
            },
        },
        Script {
            name: "put_into_a_queue",
            options: plain,
            before: |store| {
                let queue = MessageQueue::new_in(store, 64, 30).expect("a queue");
                hand_over(store, &queue);
                Kept { queue: Some(queue), ..Kept::default() }
            },
            child: |address| {
                let (_store, queue): (_, MessageQueue) = begin(address);
                (0..20u8).for_each(|n| queue.put(&vec![n; 1 + usize::from(n)], None).expect("room"));
            },
        },
        Script {
            name: "get_from_a_queue",
            options: plain,
            before: |store| {
                let queue = MessageQueue::new_in(store, 64, 30).expect("a queue");
                (0..40u8).for_each(|n| queue.put(&[n; 20], None).expect("room"));
                hand_over(store, &queue);
                Kept { queue: Some(queue), ..Kept::default() }
            },
            child: |address| {
                let (_store, queue): (_, MessageQueue) = begin(address);
                take(&queue, 0..20);
            },
        },
        Script {
            name: "grow_a_queue",
            options: plain,
            before: |store| {
                let queue = MessageQueue::unbounded_in(store, 30).expect("a queue");
                hand_over(store, &queue);
                Kept { queue: Some(queue), waiting: 62, ..Kept::default() }
            },
            child: |address| {
                let store = attach(address);
                let queue: MessageQueue = take_over(&store);
                // Few shared stores before those that grow.
                (0..62u8).for_each(|n| queue.put(&[n], None).expect("room"));
                ready(store.client());
                say("deleting", 80);
                (62..67u8).for_each(|n| queue.put(&[n; 3], None).expect("memory"));
            },
        },
        Script {
            name: "leave_a_ring",
            options: plain,
            before: |store| {
                let queue = MessageQueue::unbounded_in(store, 30).expect("a queue");
                (0..70u8).for_each(|n| queue.put(&[n; 20], None).expect("memory"));
                (0..62).for_each(|_| queue.get(None, |_| ()).expect("a message"));
                hand_over(store, &queue);
                Kept { queue: Some(queue), waiting: 2, ..Kept::default() }
            },
            child: |address| {
                let (_store, queue): (_, MessageQueue) = begin(address);
                take(&queue, 62..68);
            },
        },
        Script {
            name: "make_an_unbounded_queue",
            options: plain,
            before: nothing,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                let queue = MessageQueue::unbounded_in(&store, 8).expect("a queue");
                (0..65u64).for_each(|n| queue.put(&n.to_le_bytes(), None).expect("memory"));
                assert_eq!(queue.get(None, |message| message.len()).expect("a message"), 8);
                queue.close();
                assert_eq!(queue.len(), 64);
            },
        },
        Script {
            name: "make_a_channel",
            options: plain,
            before: nothing,
            child: |address| {
                let store = attach(address);
                ready(store.client());
                let (mut writer, mut readers) = channel(&store, 2);
                writer.send(1).expect("room");
                assert_eq!(readers[0].recv().expect("a value"), 1);
                drop(readers);
                assert!(writer.send(2).expect_err("nobody reads").is_closed());
            },
        },
    ]
}
