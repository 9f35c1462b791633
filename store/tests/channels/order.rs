//! Values arrive whole, in order and once.

use crate::{all_gone, another, moved, pair, store};

#[test]
fn values_arrive_in_order() {
    let store = store();
    let other = another(&store);
    let (mut writer, reader) = pair::<u64>(&store, 4, 1);
    let mut reader = moved(reader, &other);
    std::thread::scope(|scope| {
        scope.spawn(move || (0..100_000).for_each(|n| writer.send(n).unwrap()));
        for n in 0..100_000 {
            assert_eq!(reader.recv().unwrap(), n);
        }
        assert!(reader.recv().unwrap_err().is_closed());
    });
    drop(reader);
    all_gone(&store);
}

#[test]
fn a_single_slot_is_a_handover() {
    let store = store();
    let (mut writer, mut reader) = pair::<u32>(&store, 1, 1);
    std::thread::scope(|scope| {
        scope.spawn(move || (0..5_000).for_each(|n| writer.send(n).unwrap()));
        for n in 0..5_000 {
            assert_eq!(reader.recv().unwrap(), n);
        }
    });
}

#[test]
fn lengths_differ() {
    let store = store();
    let (mut writer, mut reader) = pair::<u16>(&store, 8, 1_000);
    assert_eq!((writer.max_len(), reader.max_len()), (1_000, 1_000));
    let value = |n: u16| (0..n % 1_001).map(|i| i ^ n).collect::<Vec<u16>>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..3_000 {
                match n % 3 {
                    0 => writer.write_slice(&value(n)).unwrap(),
                    _ => writer.write_len(value(n).len(), |slot| slot.copy_from_slice(&value(n))).unwrap(),
                }
            }
            writer.write(|slot| slot.fill(9)).unwrap();
        });
        for n in 0..3_000 {
            assert_eq!(reader.read().unwrap()[..], value(n));
        }
        assert_eq!(reader.read().unwrap()[..], [9; 1_000]);
    });
}

#[test]
fn large_values_are_written_and_read_in_place() {
    let store = store();
    let other = another(&store);
    let (mut writer, reader) = pair::<f64>(&store, 2, 100_000);
    let mut reader = moved(reader, &other);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..200 {
                writer.write(|slot| slot.fill(f64::from(n))).unwrap();
            }
        });
        for n in 0..200 {
            let value = reader.read().unwrap();
            assert!(value.len() == 100_000 && value.iter().all(|&x| x.to_bits() == f64::from(n).to_bits()));
        }
    });
}

#[test]
fn what_panics_sends_nothing() {
    let store = store();
    let (mut writer, mut reader) = pair::<u8>(&store, 2, 4);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.write(|_| panic!("half way"))));
    assert!(panicked.is_err());
    assert!(reader.try_read().unwrap_err().is_empty());
    writer.write_slice(&[1, 2]).unwrap();
    assert_eq!(reader.read().unwrap()[..], [1, 2]);
}
