//! Messages between clients, and what they hold.

use mobula_store::{Lifetime, MAX_FRAME, ObjectOptions, SendError, Store};

use crate::{assert_empty, id, store};

#[test]
fn frames_arrive_in_order_and_once() {
    let store = store();
    let other = Store::attach(store.address()).unwrap();
    let mut ring = store.open_ring(other.client()).unwrap();
    let mut mailbox = other.mailbox().unwrap();
    assert!(other.mailbox().is_none(), "one at a time");
    let mut got = Vec::new();
    let mut sent = 0u32;
    while got.len() < 10_000 {
        while sent < 10_000 && ring.try_send(&sent.to_le_bytes(), false).is_ok() {
            sent += 1;
        }
        mailbox.poll(32, &mut |from, frame| {
            assert_eq!(from, store.client());
            got.push(u32::from_le_bytes(frame.try_into().unwrap()));
        });
    }
    assert!(got.iter().copied().eq(0..10_000));
    assert_eq!(ring.try_send(&[0; MAX_FRAME + 1], false), Err(SendError::TooLong));
    drop(mailbox);
    assert!(other.mailbox().is_some());
}

#[test]
fn what_lies_in_a_ring_survives_its_sender() {
    let store = store();
    let sender = Store::attach(store.address()).unwrap();
    let mut mailbox = store.mailbox().unwrap();
    let view = sender.put_with(id(1), b"result", &ObjectOptions::new().lifetime(Lifetime::Counted)).unwrap();
    let hold = view.hold();
    let mut ring = sender.open_ring(store.client()).unwrap();
    ring.try_send(id(1).as_bytes(), true).unwrap();
    let key = sender.client();
    // The process of this sender lives, so it only detaches; its holds go only with its handles.
    drop((ring, sender));
    let mut adopted = None;
    while adopted.is_none() {
        mailbox.poll(8, &mut |from, frame| {
            assert_eq!(from, key);
            let id = mobula_store::ObjectId::from_bytes(frame.try_into().unwrap());
            adopted = store.hold(id).ok();
        });
    }
    drop((hold, view));
    assert_eq!(&adopted.unwrap().get(None).unwrap()[..], b"result");
    drop(mailbox);
    assert!(!store.is_alive(key));
    assert_empty(&store);
}
