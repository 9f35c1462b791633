//! Who frees a ring when its ends close or die, in every order.

use super::*;

#[test]
fn a_dropped_ring_is_drained_and_freed_by_its_receiver() {
    let shared = shared();
    let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
    sender.try_send(&shared, b"last", false).unwrap();
    sender.close(&shared);
    let mut receiver = Receiver::new(key(1));
    assert!(receiver.has_work(&shared));
    assert_eq!(take_all(&shared, &mut receiver), [(key(0), b"last".to_vec())]);
    assert!(!receiver.has_work(&shared));
    assert_eq!(in_use(&shared), 0);
    assert!(receiver.drained.is_empty());
}

#[test]
fn a_dropped_ring_is_taken_up_again_in_order() {
    let shared = shared();
    let mut receiver = Receiver::new(key(1));
    for number in 0..600u32 {
        let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
        sender.try_send(&shared, &number.to_le_bytes(), false).unwrap();
        sender.close(&shared);
        assert_eq!(in_use(&shared), 1);
        if number % 100 == 99 {
            let frames = take_all(&shared, &mut receiver);
            let expected = (number - 99..=number).map(|n| (key(0), n.to_le_bytes().to_vec()));
            assert!(frames.into_iter().eq(expected));
        }
    }
}

#[test]
fn a_ring_taken_up_again_is_not_freed_by_an_old_decision() {
    let shared = shared();
    let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
    sender.close(&shared);
    // The receiver has found the ring empty and is about to free it.
    let ring = Ring::of(&shared, sender_ring(&shared));
    let decided = ring.word();
    let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
    sender.try_send(&shared, b"late", false).unwrap();
    sender.close(&shared);
    assert!(!ring.free(decided));
    let frames = take_all(&shared, &mut Receiver::new(key(1)));
    assert_eq!(frames, [(key(0), b"late".to_vec())]);
    assert_eq!(in_use(&shared), 0);
}

#[test]
fn dropping_and_opening_while_the_receiver_frees_loses_nothing() {
    let shared = shared();
    const FRAMES: u32 = 50_000;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut state = 1;
            let mut number = 0;
            while number < FRAMES {
                let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
                for _ in 0..random(&mut state) % 3 {
                    until(|| sender.try_send(&shared, &number.to_le_bytes(), false) != Err(SendError::Full));
                    number += 1;
                }
                sender.close(&shared);
            }
        });
        let mut receiver = Receiver::new(key(1));
        let mut next = 0u32;
        until(|| {
            receiver.poll(&shared, 4, &mut |_, frame| {
                assert_eq!(frame, next.to_le_bytes());
                next += 1;
            });
            next >= FRAMES
        });
        until(|| {
            receiver.poll(&shared, 4, &mut |_, _| next += 1);
            in_use(&shared) == 0
        });
    });
}

#[test]
fn what_a_dead_sender_sent_is_taken_before_the_ring_goes() {
    let shared = shared();
    let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
    let mut receiver = Receiver::new(key(1));
    receiver.poll(&shared, 1, &mut |_, _| {});
    for number in 0..5 {
        sender.try_send(&shared, &[number], false).unwrap();
    }
    die(&shared, key(0));
    assert!(undrained_from(&shared, key(0)));
    assert!(receiver.has_work(&shared));
    assert_eq!(receiver.poll(&shared, 4, &mut |_, _| {}), 4);
    assert!(undrained_from(&shared, key(0)));
    assert!(receiver.drained.is_empty());
    assert_eq!(take_all(&shared, &mut receiver), [(key(0), vec![4])]);
    assert!(!undrained_from(&shared, key(0)));
    assert_eq!(receiver.drained, [key(0)]);
    assert_eq!(in_use(&shared), 0);
}

#[test]
fn a_sender_killed_at_any_step_of_opening_leaves_nothing() {
    for step in 0..4 {
        let shared = shared();
        let ring = Ring::of(&shared, 5);
        let mut receiver = Receiver::new(key(1));
        let open = ring.shift(ring.word(), ring.word().claimed(key(0))).unwrap();
        if step > 0 {
            ring.set_receiver(key(1));
        }
        if step > 1 {
            ring.data().clear();
        }
        if step > 2 {
            ring.shift(open, open.to(State::Active)).unwrap();
        }
        let bell = Doorbell::of(&shared, 1);
        bell.poll_begin();
        die(&shared, key(0));
        assert_eq!(receiver.poll(&shared, 1, &mut |_, _| {}), 0, "step {step}");
        assert_eq!(in_use(&shared), 0, "step {step}");
    }
}

#[test]
fn a_sender_killed_in_the_middle_of_a_frame_leaves_the_frames_before() {
    let shared = shared();
    let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
    let mut receiver = Receiver::new(key(1));
    // A lap of old records first, so that everything behind the tail looks like a record.
    for _ in 0..400 {
        sender.try_send(&shared, &[0xee; 100], false).unwrap();
        take_all(&shared, &mut receiver);
    }
    let position = sender.try_send(&shared, b"whole", false).unwrap();
    let data = Ring::of(&shared, 0).data();
    data.write(position, b"half", false);
    shared.ctl.u64(data_at(&shared, 0) + (position % GRANULES) as usize * 64).store(0, Ordering::SeqCst);
    die(&shared, key(0));
    assert_eq!(take_all(&shared, &mut receiver), [(key(0), b"whole".to_vec())]);
    assert_eq!(in_use(&shared), 0);
}

#[test]
fn the_sender_to_a_dead_receiver_is_told_and_frees_the_ring() {
    let shared = shared();
    let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
    let position = sender.try_send(&shared, b"taken", false).unwrap();
    Receiver::new(key(1)).poll(&shared, 1, &mut |_, _| {});
    sender.try_send(&shared, b"lost", false).unwrap();
    die(&shared, key(1));
    assert_eq!(sender.try_send(&shared, b"late", false), Err(SendError::PeerGone));
    assert_eq!(sender.taken(&shared), position);
    assert!(!undrained_from(&shared, key(0)));
    assert_eq!(in_use(&shared), 1);
    sender.close(&shared);
    assert_eq!(in_use(&shared), 0);
    assert_eq!(Sender::open(&shared, key(0), key(1)).unwrap_err(), RingError::PeerGone);
}

#[test]
fn a_ring_without_living_ends_is_freed_in_any_order() {
    type Step = fn(&Shared, &mut Sender);
    let sender_dies: Step = |shared, _| die(shared, key(0));
    let sender_drops: Step = |shared, sender| sender.close(shared);
    let receiver_dies: Step = |shared, _| die(shared, key(1));
    for first in [sender_dies, sender_drops] {
        for order in [[first, receiver_dies], [receiver_dies, first]] {
            let shared = shared();
            let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
            sender.try_send(&shared, b"lost", false).unwrap();
            let generation = Ring::of(&shared, sender_ring(&shared)).word().0 >> 44;
            for step in order {
                assert_eq!(in_use(&shared), 1);
                step(&shared, &mut sender);
            }
            assert_eq!(in_use(&shared), 0);
            // Once more changes nothing.
            die(&shared, key(0));
            die(&shared, key(1));
            assert_eq!(Ring::of(&shared, 0).word().0 >> 44, generation + 1);
        }
    }
}

#[test]
fn racing_ends_free_a_ring_once() {
    let shared = shared();
    for round in 0..3_000 {
        set_client(&shared, key(0), client::ALIVE);
        set_client(&shared, key(1), client::ALIVE);
        let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
        let before = Ring::of(&shared, 0).word().0 >> 44;
        thread::scope(|scope| {
            let shared = &shared;
            scope.spawn(move || die(shared, key(1)));
            match round % 3 {
                0 => sender.close(shared),
                1 => die(shared, key(0)),
                _ => {
                    sender.close(shared);
                    die(shared, key(0));
                }
            }
        });
        assert_eq!(in_use(&shared), 0, "round {round}");
        assert_eq!(Ring::of(&shared, 0).word().0 >> 44, before + 1, "round {round}");
    }
}
