use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::mailbox::Receiver;
use super::record::{GRANULES, granules};
use super::sender::Sender;
use super::*;
use crate::bell::{Bell, Role};
use crate::ctl::Ctl;
use crate::host::Host;
use crate::layout::{C_WORD, Layout, RING_BYTES, RING_HEADER_BYTES};

mod ends;
mod handles;
mod hostile;
mod killed;

const LIMIT: Duration = Duration::from_secs(30);

fn shared() -> Shared {
    let layout = Layout::new(1 << 20, 64, 4).unwrap();
    let shared = Shared::new(Ctl::heap(layout.len), layout);
    for index in 0..4 {
        set_client(&shared, key(index), client::ALIVE);
        Doorbell::of(&shared, index).reset();
    }
    shared
}

fn key(index: u16) -> ClientKey {
    ClientKey { index, generation: 7 + u32::from(index) }
}

fn set_client(shared: &Shared, client: ClientKey, state: u64) {
    let at = shared.layout.client(client.index.into()) + C_WORD;
    shared.ctl.u64(at).store(client::word(client.generation, state), Ordering::SeqCst);
}

fn die(shared: &Shared, client: ClientKey) {
    set_client(shared, client, client::REAPING);
    sweep(shared, client);
}

fn states(shared: &Shared) -> HashMap<u64, usize> {
    let mut states = HashMap::new();
    for index in indices(shared) {
        *states.entry(Ring::of(shared, index).word().0 & 0xf).or_default() += 1;
    }
    states
}

fn in_use(shared: &Shared) -> usize {
    indices(shared).end as usize - states(shared).get(&0).copied().unwrap_or(0)
}

fn take_all(shared: &Shared, receiver: &mut Receiver) -> Vec<(ClientKey, Vec<u8>)> {
    let mut frames = Vec::new();
    while receiver.poll(shared, 3, &mut |from, frame| frames.push((from, frame.to_vec()))) > 0 {}
    frames
}

fn until(mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !ready() {
        assert!(Instant::now() < deadline, "gave up waiting");
        thread::yield_now();
    }
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A frame whose bytes follow from its number.
fn frame(number: u64, len: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len).map(|_| random(&mut state) as u8).collect()
}

fn data_at(shared: &Shared, ring: usize) -> usize {
    shared.layout.ring(ring) + RING_HEADER_BYTES
}

fn sender_ring(shared: &Shared) -> u32 {
    indices(shared).find(|index| Ring::of(shared, *index).word().state() != State::Free).unwrap()
}

#[test]
fn frames_arrive_whole_and_in_order() {
    let shared = shared();
    let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
    let lengths = |number: u64| match number % 4 {
        0 => (number.wrapping_mul(2_654_435_761) % (MAX_FRAME as u64 + 1)) as usize,
        _ => (number.wrapping_mul(2_654_435_761) % 130) as usize,
    };
    const FRAMES: u64 = 60_000;
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..FRAMES {
                let frame = frame(number, lengths(number));
                let mut position = Err(SendError::Full);
                until(|| {
                    position = sender.try_send(&shared, &frame, number % 7 == 0);
                    position != Err(SendError::Full)
                });
                assert!(position.unwrap() >= sender.taken(&shared));
            }
        });
        let mut receiver = Receiver::new(key(1));
        let mut next = 0;
        until(|| {
            receiver.poll(&shared, 16, &mut |from, got| {
                assert_eq!(from, key(0));
                assert!(got == frame(next, lengths(next)), "frame {next} has other bytes");
                next += 1;
            });
            next == FRAMES
        });
        assert!(!receiver.has_work(&shared));
    });
    assert_eq!(sender.taken(&shared), sender.try_send(&shared, &[], false).unwrap() - 1);
}

#[test]
fn a_full_ring_says_so_until_frames_are_taken() {
    let shared = shared();
    let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
    let mut receiver = Receiver::new(key(1));
    for lap in 0..5u64 {
        let len = [0, 56, 57, 1000, MAX_FRAME][lap as usize];
        let mut sent = 0;
        while let Ok(position) = sender.try_send(&shared, &frame(sent, len), false) {
            sent += 1;
            assert!(position - sender.taken(&shared) < GRANULES);
        }
        assert_eq!(sent, (GRANULES - 1) / granules(len));
        assert_eq!(sender.try_send(&shared, &frame(0, len), false), Err(SendError::Full));
        assert_eq!(receiver.poll(&shared, 1, &mut |_, got| assert!(got == frame(0, len))), 1);
        sender.try_send(&shared, &frame(sent, len), false).unwrap();
        let rest = take_all(&shared, &mut receiver);
        assert_eq!(rest.len() as u64, sent);
        assert!(rest.iter().zip(1..).all(|((_, got), number)| *got == frame(number, len)));
    }
}

#[test]
fn a_frame_beyond_the_limit_is_refused() {
    let shared = shared();
    let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
    assert_eq!(sender.try_send(&shared, &[0; MAX_FRAME + 1], false), Err(SendError::TooLong));
    assert_eq!(sender.try_send(&shared, &[0; MAX_FRAME], false), Ok(65));
}

#[test]
fn a_frame_is_taken_when_its_callback_is_over() {
    let shared = shared();
    let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
    let mut receiver = Receiver::new(key(1));
    let position = sender.try_send(&shared, b"one", false).unwrap();
    receiver.poll(&shared, 1, &mut |_, _| {
        assert_eq!(sender.taken(&shared), 0);
        assert!(undrained_from(&shared, key(0)));
    });
    assert_eq!(sender.taken(&shared), position);
    assert!(!undrained_from(&shared, key(0)));
}

#[test]
fn a_frame_whose_callback_panics_is_taken() {
    let shared = shared();
    let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
    let mut other = Sender::open(&shared, key(2), key(1)).unwrap();
    other.close(&shared);
    let mut receiver = Receiver::new(key(1));
    let position = sender.try_send(&shared, b"bad", false).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| receiver.poll(&shared, 1, &mut |_, _| panic!("callback"))));
    assert!(panicked.is_err());
    assert_eq!(sender.taken(&shared), position);
    sender.try_send(&shared, b"good", false).unwrap();
    assert_eq!(take_all(&shared, &mut receiver), [(key(0), b"good".to_vec())]);
    assert_eq!(in_use(&shared), 1);
}

#[test]
fn every_ring_gives_its_budget() {
    let shared = shared();
    let mut senders: Vec<_> = (0..3).map(|i| Sender::open(&shared, key(i), key(3)).unwrap()).collect();
    for sender in &mut senders {
        for _ in 0..10 {
            sender.try_send(&shared, b"x", false).unwrap();
        }
    }
    let mut receiver = Receiver::new(key(3));
    for _ in 0..5 {
        let mut counts = HashMap::new();
        assert_eq!(receiver.poll(&shared, 2, &mut |from, _| *counts.entry(from).or_insert(0) += 1), 6);
        assert_eq!(counts.len(), 3);
        assert!(counts.values().all(|count| *count == 2));
    }
    assert_eq!(receiver.poll(&shared, 2, &mut |_, _| {}), 0);
}

#[test]
fn a_mailbox_takes_over_from_the_one_before() {
    let shared = shared();
    let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
    for number in 0..6 {
        sender.try_send(&shared, &[number], false).unwrap();
    }
    assert_eq!(Receiver::new(key(1)).poll(&shared, 4, &mut |_, _| {}), 4);
    assert_eq!(take_all(&shared, &mut Receiver::new(key(1))), [(key(0), vec![4]), (key(0), vec![5])]);
}

#[test]
fn a_second_sender_to_the_same_peer_is_refused() {
    let shared = shared();
    let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
    assert_eq!(Sender::open(&shared, key(0), key(1)).unwrap_err(), RingError::AlreadyOpen);
    Sender::open(&shared, key(0), key(2)).unwrap();
    Sender::open(&shared, key(1), key(0)).unwrap();
    sender.close(&shared);
    Sender::open(&shared, key(0), key(1)).unwrap();
}

#[test]
fn nobody_opens_a_ring_to_who_is_not_there() {
    let shared = shared();
    let other_generation = ClientKey { generation: 99, ..key(1) };
    let beyond = ClientKey { index: 4, generation: 7 };
    for to in [other_generation, beyond] {
        assert_eq!(Sender::open(&shared, key(0), to).unwrap_err(), RingError::PeerGone);
    }
    assert_eq!(in_use(&shared), 0);
}

#[test]
fn opening_fails_when_all_rings_are_taken() {
    let shared = shared();
    for index in 0..shared.layout.rings as u32 {
        let ring = Ring::of(&shared, index);
        reach(&shared, index);
        ring.shift(ring.word(), ring.word().claimed(key(3))).unwrap();
    }
    assert_eq!(Sender::open(&shared, key(0), key(1)).unwrap_err(), RingError::Exhausted);
    // They are left as by a client that was killed in the middle of opening them.
    die(&shared, key(3));
    assert_eq!(in_use(&shared), 0);
    Sender::open(&shared, key(0), key(1)).unwrap();
}
