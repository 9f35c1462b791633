//! Waiting with and without an end.

use std::time::Duration;

use crate::{LONG, another, moved, pair, store};

#[test]
fn nobody_waits_longer_than_asked() {
    let store = store();
    let (mut writer, mut reader) = pair::<u8>(&store, 1, 1);
    assert!(reader.try_read().unwrap_err().is_empty());
    assert!(reader.read_timeout(Duration::from_millis(20)).unwrap_err().is_timeout());
    writer.try_write(1, |slot| slot.fill(1)).unwrap();
    assert!(writer.try_write(1, |slot| slot.fill(2)).unwrap_err().is_full());
    assert!(writer.write_timeout(1, Duration::from_millis(20), |slot| slot.fill(2)).unwrap_err().is_timeout());
    assert_eq!(reader.read_timeout(LONG).unwrap()[..], [1]);
    writer.write_timeout(1, LONG, |slot| slot.fill(2)).unwrap();
    assert_eq!(reader.try_read().unwrap()[..], [2]);
}

#[test]
fn who_sleeps_is_woken_by_a_value_and_by_room() {
    let store = store();
    let other = another(&store);
    let (mut writer, reader) = pair::<u64>(&store, 2, 1);
    let mut reader = moved(reader, &other);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..300 {
                if n % 10 == 0 {
                    // Long enough for the other side to be asleep, mostly.
                    std::thread::sleep(Duration::from_millis(2));
                }
                writer.write_timeout(1, LONG, |slot| slot.fill(n)).unwrap();
            }
        });
        for n in 0..300 {
            if n % 15 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
            assert_eq!(reader.read_timeout(LONG).unwrap()[..], [n]);
        }
    });
}
