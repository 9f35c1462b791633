//! How a channel ends, for either side.

use crate::{all_gone, another, moved, pair, store};

#[test]
fn a_reader_drains_what_was_written_before_the_end() {
    let store = store();
    let (mut writer, mut reader) = pair::<u8>(&store, 8, 1);
    (0..5).for_each(|n| writer.send(n).unwrap());
    drop(writer);
    assert!(reader.is_closed());
    (0..5).for_each(|n| assert_eq!(reader.recv().unwrap(), n));
    for _ in 0..2 {
        let error = reader.recv().unwrap_err();
        assert!(error.is_closed(), "{error}");
    }
    drop(reader);
    all_gone(&store);
}

#[test]
fn an_end_that_was_never_used_is_closed_by_its_drop_too() {
    let store = store();
    let (mut writer, reader) = pair::<u8>(&store, 8, 1);
    drop(reader);
    assert!(writer.send(1).unwrap_err().is_closed());
    let (writer, mut reader) = pair::<u8>(&store, 8, 1);
    drop(writer);
    assert!(reader.recv().unwrap_err().is_closed());
}

#[test]
fn who_sleeps_is_woken_by_the_end() {
    let store = store();
    let other = another(&store);
    let (mut writer, reader) = pair::<u8>(&store, 1, 1);
    let mut reader = moved(reader, &other);
    writer.send(1).unwrap();
    std::thread::scope(|scope| {
        let asleep = scope.spawn(move || writer.send(2).and_then(|()| writer.send(3)));
        assert_eq!(reader.recv().unwrap(), 1);
        drop(reader);
        assert!(asleep.join().unwrap().unwrap_err().is_closed());
    });
    let (writer, reader) = pair::<u8>(&store, 1, 1);
    let mut reader = moved(reader, &other);
    std::thread::scope(|scope| {
        let asleep = scope.spawn(|| reader.recv());
        drop(writer);
        assert!(asleep.join().unwrap().unwrap_err().is_closed());
    });
}

#[test]
fn an_end_that_nobody_can_have_any_more_is_gone() {
    let store = store();
    let (mut writer, reader) = pair::<u8>(&store, 1, 1);
    // It is on its way, and whoever had it on the way drops it.
    let sent = mobula_store::transfer::encode(|| postcard::to_stdvec(&reader).unwrap());
    drop(reader);
    writer.send(1).unwrap();
    assert!(writer.try_write(1, |_| {}).unwrap_err().is_full(), "it may come");
    drop(sent);
    let error = writer.send(2).unwrap_err();
    assert!(error.is_peer_died(), "{error}");
}
