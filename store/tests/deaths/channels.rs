//! Another handle takes the place of a reader that died.

use std::time::Duration;

use mobula_store::{ChannelOptions, ChannelReader, ObjectId, ObjectOptions, Store, channel_in, transfer};

use crate::{Actor, eventually, ready, store};

/// Longer than anything takes that comes at all.
const LONG: Duration = Duration::from_secs(20);

fn id() -> ObjectId {
    ObjectId::from_bytes([80; 16])
}

/// Decodes the handle that lies in the object, as an actor does each time that it is started.
fn take(store: &Store) -> ChannelReader<u64> {
    let bytes = store.get(id(), None).unwrap();
    transfer::decode(store, || postcard::from_bytes(&bytes).unwrap())
}

pub(crate) fn play(part: &str, store: &Store) {
    if part == "reads" {
        let mut reader = take(store);
        assert_eq!(reader.recv().unwrap(), 0);
        ready(reader);
    }
}

/// A channel of two places whose second reader has read one value and died; the first one has read that, too.
fn with_a_dead_reader(store: &Store) -> (mobula_store::ChannelWriter<u64>, ChannelReader<u64>) {
    let (mut writer, mut readers) = channel_in::<u64>(store, &ChannelOptions::new().slots(2).readers(2)).unwrap();
    let second = readers.pop().unwrap();
    let (bytes, holds) = transfer::encode(|| postcard::to_stdvec(&second).unwrap());
    store.put_with(id(), &bytes, &ObjectOptions::new().children(&holds)).unwrap();
    drop((second, holds));
    let mut first = readers.pop().unwrap();
    writer.send(0).unwrap();
    let child = Actor::start("reads", store);
    assert_eq!(first.recv().unwrap(), 0);
    child.kill();
    eventually("the dead client's place is free", || store.stats().clients == 1);
    (writer, first)
}

#[test]
fn who_comes_in_time_reads_on_and_is_waited_for() {
    let store = store();
    let (mut writer, mut first) = with_a_dead_reader(&store);
    for n in 1..=2 {
        writer.send(n).unwrap();
        assert_eq!(first.recv().unwrap(), n);
    }
    let mut heir = take(&store);
    assert_eq!(heir.read_timeout(LONG).unwrap()[0], 1);
    writer.send(3).unwrap();
    assert!(writer.try_write(1, |_| {}).unwrap_err().is_full());
    for n in 2..=3 {
        assert_eq!(heir.read_timeout(LONG).unwrap()[0], n);
    }
    assert_eq!(first.recv().unwrap(), 3);
}

#[test]
fn who_comes_too_late_is_told_and_holds_nobody_up() {
    let store = store();
    let (mut writer, mut first) = with_a_dead_reader(&store);
    for n in 1..=5 {
        writer.send(n).unwrap();
        assert_eq!(first.recv().unwrap(), n);
    }
    let mut heir = take(&store);
    let refused = heir.read_timeout(LONG).unwrap_err();
    assert!(refused.is_closed(), "{refused}");
    for n in 6..=10 {
        writer.write_timeout(1, LONG, |slot| slot[0] = n).unwrap();
        assert_eq!(first.recv().unwrap(), n);
    }
}
