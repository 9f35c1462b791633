//! What cannot be a channel, or go through one.

use mobula_store::{ChannelOptions, Store, StoreOptions, channel_in};

use crate::{all_gone, pair, store};

#[test]
fn options_without_sense() {
    let store = store();
    let make = |options: ChannelOptions| channel_in::<u64>(&store, &options).map(drop).unwrap_err();
    for options in [
        ChannelOptions::new().slots(0),
        ChannelOptions::new().slots(usize::MAX),
        ChannelOptions::new().len(0),
        ChannelOptions::new().len(usize::MAX),
        ChannelOptions::new().len(usize::MAX / 9),
        ChannelOptions::new().readers(0),
        ChannelOptions::new().readers(100_000),
    ] {
        assert!(make(options).is_invalid_argument());
    }
    assert!(channel_in::<()>(&store, &ChannelOptions::new()).is_err());
    assert!(make(ChannelOptions::new().len(2 << 20)).is_store_full());
    all_gone(&store);
}

#[test]
fn values_that_are_too_long() {
    let store = store();
    let (mut writer, mut reader) = pair::<u64>(&store, 2, 10);
    assert!(writer.write_slice(&[0; 11]).unwrap_err().is_invalid_argument());
    assert!(writer.write_len(usize::MAX, |_| {}).unwrap_err().is_invalid_argument());
    writer.write_slice(&[]).unwrap();
    assert!(reader.recv().unwrap_err().is_invalid_argument(), "it has no first element");
    writer.send(3).unwrap();
    assert_eq!(reader.recv().unwrap(), 3);
}

#[test]
fn readers_of_the_store_have_no_channels() {
    let store = store();
    let read_only = Store::attach_read_only(store.address()).unwrap();
    assert!(channel_in::<u8>(&read_only, &ChannelOptions::new()).unwrap_err().is_read_only());
    drop(read_only);
    let other = Store::create(StoreOptions::new(1 << 20)).unwrap();
    all_gone(&other);
}
