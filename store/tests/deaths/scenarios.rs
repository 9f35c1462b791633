//! The parts that children play, and what must be left of them.

use std::thread;
use std::time::Duration;

use mobula_store::{HoldState, Lifetime, ObjectId, ObjectOptions, Store};

use crate::{Actor, eventually, eventually_clean, ready, store};

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 16])
}

fn counted() -> ObjectOptions {
    ObjectOptions::new().lifetime(Lifetime::Counted)
}

/// Runs in the child.
pub(crate) fn play(part: &str, store: &Store) {
    match part {
        "creates" => {
            let buffers: Vec<_> = (0..100).map(|n| store.create_object(id(n), 10_000).unwrap()).collect();
            ready(buffers)
        }
        "seals" => {
            for n in 0..100 {
                store.put(id(n), &[n; 10_000]).unwrap();
            }
            ready(())
        }
        "views" => ready((0..50).map(|n| store.get(id(n), None).unwrap()).collect::<Vec<_>>()),
        "counts" => {
            let made: Vec<_> =
                (0..50).map(|n| store.put_with(id(n), &[n; 5_000], &counted()).unwrap().hold()).collect();
            let parent = store.put_with(id(200), b"parent", &counted().children(&made)).unwrap().hold();
            ready(parent)
        }
        "promises" => ready(store.promise(id(1)).unwrap()),
        "sends" => {
            let hold = store.put_with(id(1), b"sent", &counted()).unwrap().hold();
            let to = mobula_store::ClientKey { index: 0, generation: 0 };
            let mut ring = store.open_ring(to).unwrap();
            ring.try_send(id(1).as_bytes(), true).unwrap();
            ready((hold, ring))
        }
        "views-two" => ready((store.get(id(0), None).unwrap(), store.get(id(1), None).unwrap())),
        "views-nothing" => ready(()),
        other => panic!("unknown part {other}"),
    }
}

#[test]
fn unsealed_objects_go_and_their_ids_are_free() {
    let store = store();
    let child = Actor::start("creates", &store);
    assert_eq!(store.stats().unsealed_objects, 100);
    let waiting = store.clone();
    let waiter = thread::spawn(move || waiting.get(id(7), Some(Duration::from_secs(20))).unwrap()[0]);
    child.kill();
    // At once, before anybody has noticed by itself: whoever wants the id finds its creator dead.
    let view = store.put(id(7), &[42; 10]).unwrap();
    assert_eq!(waiter.join().unwrap(), 42);
    drop(view);
    store.delete(id(7)).unwrap();
    eventually_clean(&store, 0);
}

#[test]
fn sealed_objects_stay() {
    let store = store();
    Actor::start("seals", &store).kill();
    eventually_clean(&store, 100);
    for n in 0..100 {
        assert_eq!(&store.get(id(n), None).unwrap()[..], [n; 10_000]);
    }
}

#[test]
fn views_of_the_dead_keep_nothing() {
    let store = store();
    for n in 0..50 {
        store.put(id(n), &[n; 1000]).unwrap();
    }
    let child = Actor::start("views", &store);
    for n in 0..50 {
        store.delete(id(n)).unwrap();
    }
    assert_eq!(store.stats().objects, 50);
    child.kill();
    eventually_clean(&store, 0);
}

#[test]
fn counted_objects_of_the_dead_go_with_all_that_they_contain() {
    let store = store();
    let child = Actor::start("counts", &store);
    let kept = store.hold(id(3)).unwrap();
    child.kill();
    eventually_clean(&store, 1);
    assert_eq!(kept.get(None).unwrap()[0], 3);
    drop(kept);
    eventually_clean(&store, 0);
}

#[test]
fn a_promise_of_the_dead_is_lost() {
    let store = store();
    let child = Actor::start("promises", &store);
    let hold = store.hold(id(1)).unwrap();
    let waiter =
        thread::spawn(move || (hold.get(Some(Duration::from_secs(20))).unwrap_err().is_not_found(), hold.state()));
    child.kill();
    assert_eq!(waiter.join().unwrap(), (true, HoldState::Lost));
    eventually_clean(&store, 0);
}

#[test]
fn what_was_sent_survives_its_sender() {
    let store = store();
    let mut mailbox = store.mailbox().unwrap();
    Actor::start("sends", &store).kill();
    eventually("the death is noticed", || store.stats().clients == 1);
    assert!(store.contains(id(1)), "the frame holds it");
    let mut adopted = None;
    eventually("the frame is there", || {
        mailbox.poll(8, &mut |_, frame| adopted = store.hold(ObjectId::from_bytes(frame.try_into().unwrap())).ok());
        adopted.is_some()
    });
    eventually("the dead sender's own hold is gone", || store.info(id(1)).unwrap().holders.len() == 1);
    assert_eq!(&adopted.take().unwrap().get(None).unwrap()[..], b"sent");
    eventually_clean(&store, 0);
}

#[test]
fn places_of_the_dead_are_used_again() {
    let store = store();
    for _ in 0..20 {
        Actor::start("views-nothing", &store);
    }
    eventually_clean(&store, 0);
}
