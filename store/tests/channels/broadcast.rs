//! Several readers: each sees every value, and the slowest sets the pace.

use mobula_store::{ChannelOptions, channel_in};

use crate::{another, moved, store};

#[test]
fn every_reader_sees_every_value() {
    let store = store();
    let (mut writer, readers) = channel_in::<u64>(&store, &ChannelOptions::new().slots(4).readers(4)).unwrap();
    let clients: Vec<_> = readers.iter().map(|_| another(&store)).collect();
    std::thread::scope(|scope| {
        for (reader, client) in readers.into_iter().zip(&clients) {
            let mut reader = moved(reader, client);
            scope.spawn(move || {
                for n in 0..20_000 {
                    assert_eq!(reader.recv().unwrap(), n);
                }
                assert!(reader.recv().unwrap_err().is_closed());
            });
        }
        (0..20_000).for_each(|n| writer.send(n).unwrap());
        writer.close();
    });
}

#[test]
fn the_writer_waits_for_the_slowest() {
    let store = store();
    let (mut writer, mut readers) = channel_in::<u64>(&store, &ChannelOptions::new().slots(4).readers(2)).unwrap();
    for n in 0..4 {
        writer.send(n).unwrap();
        assert_eq!(readers[0].recv().unwrap(), n);
    }
    assert!(writer.try_write(1, |slot| slot.fill(4)).unwrap_err().is_full());
    assert_eq!(readers[1].recv().unwrap(), 0);
    writer.try_write(1, |slot| slot.fill(4)).unwrap();
    assert!(writer.try_write(1, |slot| slot.fill(5)).unwrap_err().is_full());
    // Without the slow one nobody holds it up.
    drop(readers.pop());
    for n in 5..50 {
        assert_eq!(readers[0].recv().unwrap(), n - 1);
        writer.send(n).unwrap();
    }
    drop(readers);
    assert!(writer.send(0).unwrap_err().is_closed());
}

#[test]
fn a_value_that_is_looked_at_stays() {
    let store = store();
    let (mut writer, mut readers) = channel_in::<u64>(&store, &ChannelOptions::new().slots(2)).unwrap();
    writer.send(1).unwrap();
    writer.send(2).unwrap();
    let looked_at = readers[0].read().unwrap();
    assert!(writer.try_write(1, |slot| slot.fill(3)).unwrap_err().is_full());
    assert_eq!(looked_at[..], [1]);
    assert_eq!(writer.taken(), 0);
    drop(looked_at);
    assert_eq!(writer.taken(), 1);
    writer.try_write(1, |slot| slot.fill(3)).unwrap();
}
