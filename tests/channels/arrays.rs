//! Typed values, in place.

use mobula::ChannelOptions;

use super::support::{all_space_back, get, start, stats};
use super::{fill, pair, party};

#[mobula::test]
fn a_driver_writes_and_an_actor_reads() {
    let _runtime = start();
    let actor = party();
    actor.pid().call().unwrap();
    let before = stats();
    let (mut writer, reader) = pair(4, 1_000);
    let sums = actor.sums(reader, 500).remote();
    for n in 0..500u16 {
        writer.write(|slot| slot.fill(f32::from(n))).unwrap();
    }
    let right = |(&sum, n): (&f32, u16)| (sum - 1_000.0 * f32::from(n)).abs() < 0.5;
    assert!(get(&sums).unwrap().iter().zip(0u16..).all(right));
    drop((writer, sums));
    all_space_back(before);
}

#[mobula::test]
fn a_task_writes_and_the_driver_reads() {
    let _runtime = start();
    let (writer, mut reader) = pair(2, 10);
    let filled = fill::remote(writer, 300);
    for n in 0..300u16 {
        assert!(reader.read().unwrap().iter().all(|&x| (x - f32::from(n)).abs() < 0.1));
    }
    assert!(reader.read().unwrap_err().is_closed());
    get(&filled).unwrap();
}

#[mobula::test]
fn one_write_reaches_all_actors() {
    let _runtime = start();
    let actors: Vec<_> = (0..4).map(|_| party()).collect();
    let (mut writer, readers) = mobula::channel::<f32>(&ChannelOptions::new().slots(4).len(100).readers(4)).unwrap();
    let sums: Vec<_> = actors.iter().zip(readers).map(|(actor, reader)| actor.sums(reader, 200).remote()).collect();
    for n in 0..200u16 {
        writer.write_slice(&[f32::from(n); 10]).unwrap();
    }
    let expected: Vec<_> = (0..200u16).map(|n| 10.0 * f32::from(n)).collect();
    assert!(mobula::get_all(&sums).unwrap().iter().all(|sums| *sums == expected));
}

#[mobula::test]
fn values_go_through_a_line_of_actors() {
    let _runtime = start();
    let (mut writer, first) = pair(4, 8);
    let mut reader = first;
    let actors: Vec<_> = (0..3).map(|_| party()).collect();
    let mut pumps = Vec::new();
    for actor in &actors {
        let (next, end) = pair(4, 8);
        actor.take(Some(std::mem::replace(&mut reader, end)), Some(next)).call().unwrap();
        pumps.push(actor.pump().remote());
    }
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..500u16 {
                writer.write_slice(&[f32::from(n)]).unwrap();
            }
        });
        for n in 0..500u16 {
            assert_eq!(reader.read().unwrap()[..], [f32::from(n)]);
        }
        assert!(reader.read().unwrap_err().is_closed());
    });
    assert_eq!(mobula::get_all(&pumps).unwrap(), [500; 3]);
}

#[mobula::test]
fn ends_go_from_actor_to_actor_and_on() {
    let _runtime = start();
    let (one, two) = (party(), party());
    let ((mut writer, first), (second, mut reader)) = (pair(8, 1), pair(8, 1));
    one.take(Some(first), Some(second)).call().unwrap();
    writer.send(1.0).unwrap();
    one.pump_some(1).call().unwrap();
    assert_eq!(reader.read().unwrap()[..], [1.0]);
    writer.send(2.0).unwrap();
    writer.send(3.0).unwrap();
    one.pump_some(1).call().unwrap();
    let (first, second) = one.give().call().unwrap();
    two.take(first, second).call().unwrap();
    two.pump_some(1).call().unwrap();
    assert_eq!((reader.recv().unwrap(), reader.recv().unwrap()), (2.0, 3.0));
}
