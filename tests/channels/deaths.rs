//! The death of one side is an error at the other.

use mobula::ChannelOptions;

use super::support::{all_space_back, get, signal, start, stats};
use super::{pair, party};

#[mobula::test]
fn a_reader_hears_of_the_writers_death_after_the_last_value() {
    let _runtime = start();
    let actor = party();
    let pid = actor.pid().call().unwrap();
    let before = stats();
    let ((mut writer, first), (second, mut reader)) = (pair(16, 1), pair(16, 1));
    actor.take(Some(first), Some(second)).call().unwrap();
    for n in 0..10u8 {
        writer.send(f32::from(n)).unwrap();
    }
    actor.pump_some(10).call().unwrap();
    signal(pid, "KILL");
    for n in 0..10u8 {
        assert_eq!(reader.recv().unwrap(), f32::from(n));
    }
    let error = reader.recv().unwrap_err();
    assert!(error.is_peer_died(), "{error}");
    // And so does the writer at the other end of it.
    let error = loop {
        if let Err(error) = writer.send(0.0) {
            break error;
        }
    };
    assert!(error.is_peer_died(), "{error}");
    drop((reader, writer));
    all_space_back(before);
}

#[mobula::test]
fn who_sleeps_is_woken_by_a_death() {
    let _runtime = start();
    let actor = party();
    let pid = actor.pid().call().unwrap();
    let ((mut writer, first), (second, mut reader)) = (pair(1, 1), pair(1, 1));
    actor.take(Some(first), Some(second)).call().unwrap();
    writer.send(1.0).unwrap();
    actor.pump_some(1).call().unwrap();
    assert_eq!(reader.recv().unwrap(), 1.0);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || reader.recv());
        let writing = scope.spawn(move || writer.send(2.0).and_then(|()| writer.send(3.0)));
        signal(pid, "KILL");
        assert!(reading.join().unwrap().unwrap_err().is_peer_died());
        assert!(writing.join().unwrap().unwrap_err().is_peer_died());
    });
}

#[mobula::test]
fn the_others_go_on_without_one_that_died() {
    let _runtime = start();
    let (one, two) = (party(), party());
    let pid = one.pid().call().unwrap();
    let (mut writer, mut readers) = mobula::channel::<f32>(&ChannelOptions::new().slots(2).readers(2)).unwrap();
    let (reader, other) = (readers.pop().unwrap(), readers.pop().unwrap());
    // It reads one value and stops there.
    let stuck = one.sums(other, 1_000_000).remote();
    writer.send(0.0).unwrap();
    let sums = two.sums(reader, 100).remote();
    signal(pid, "KILL");
    for n in 1..100u8 {
        writer.send(f32::from(n)).unwrap();
    }
    assert_eq!(get(&sums).unwrap().len(), 100);
    assert!(get(&stuck).unwrap_err().is_actor_died());
}

#[mobula::test]
fn an_end_that_dies_on_its_way_is_gone() {
    let _runtime = start();
    let actor = party();
    let (mut writer, reader) = pair(1, 1);
    // The actor is dead before the end reaches it.
    mobula::kill(&actor).unwrap();
    assert!(get(&actor.sums(reader, 5).remote()).unwrap_err().is_actor_died());
    let error = loop {
        if let Err(error) = writer.send(0.0) {
            break error;
        }
    };
    assert!(error.is_peer_died(), "{error}");
}
