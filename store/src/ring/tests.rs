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

const LIMIT: Duration = Duration::from_secs(30);

fn shared() -> Shared {
    let layout = Layout::new(1 << 20, 64, 4).unwrap();
    let shared = Shared { ctl: Ctl::heap(layout.len), layout };
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
    for index in indices(&shared) {
        let ring = Ring::of(&shared, index);
        ring.shift(ring.word(), ring.word().claimed(key(3))).unwrap();
    }
    assert_eq!(Sender::open(&shared, key(0), key(1)).unwrap_err(), RingError::Exhausted);
    // They are left as by a client that was killed in the middle of opening them.
    die(&shared, key(3));
    assert_eq!(in_use(&shared), 0);
    Sender::open(&shared, key(0), key(1)).unwrap();
}

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

fn data_at(shared: &Shared, ring: usize) -> usize {
    shared.layout.ring(ring) + RING_HEADER_BYTES
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

fn sender_ring(shared: &Shared) -> u32 {
    indices(shared).find(|index| Ring::of(shared, *index).word().state() != State::Free).unwrap()
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

#[test]
fn a_corrupt_header_closes_the_ring() {
    let mut state = 42;
    for round in 0..2_000 {
        let shared = shared();
        let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
        let mut receiver = Receiver::new(key(1));
        sender.try_send(&shared, b"before", false).unwrap();
        take_all(&shared, &mut receiver);
        let junk = match round % 4 {
            0 => u64::MAX,
            // A record of an earlier lap, a length beyond the limit, anything.
            1 => 0x0000_0001_b500_0040 ^ 1 << 40,
            2 => 0x0000_0001_b500_1001,
            _ => random(&mut state) | 1,
        };
        shared.ctl.u64(data_at(&shared, 0) + 64).store(junk, Ordering::SeqCst);
        assert!(receiver.has_work(&shared));
        let dead = round % 5 == 0;
        if dead {
            die(&shared, key(0));
        }
        assert!(take_all(&shared, &mut receiver).is_empty());
        assert!(!receiver.has_work(&shared));
        assert!(!undrained_from(&shared, key(0)));
        if dead {
            assert_eq!(receiver.drained, [key(0)]);
        } else {
            assert_eq!(sender.try_send(&shared, b"after", false), Err(SendError::PeerGone));
            sender.close(&shared);
        }
        assert_eq!(in_use(&shared), 0);
    }
}

#[test]
fn a_receiver_whose_head_is_nonsense_is_as_good_as_gone() {
    for head in [1 << 40, u64::MAX] {
        let shared = shared();
        let mut sender = Sender::open(&shared, key(0), key(1)).unwrap();
        let sent = sender.try_send(&shared, b"x", false).unwrap();
        Ring::of(&shared, 0).head_cell().store(head, Ordering::SeqCst);
        assert_eq!(sender.taken(&shared), sent);
        let mut result = Ok(0);
        for _ in 0..GRANULES {
            result = sender.try_send(&shared, b"x", false);
        }
        assert_eq!(result, Err(SendError::PeerGone));
    }
}

#[test]
fn random_words_in_all_rings_neither_panic_nor_hang() {
    let shared = shared();
    let over = AtomicBool::new(false);
    let end = Instant::now() + Duration::from_millis(700);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut state = 99;
            let words = shared.layout.rings * (RING_HEADER_BYTES + RING_BYTES) / 8;
            while !over.load(Ordering::Relaxed) {
                let ring = (random(&mut state) % 4) as usize;
                let at = match random(&mut state) % 4 {
                    0 => {
                        shared.layout.ring(ring)
                            + [R_WORD, R_RECEIVER, R_TAIL, R_HEAD][(random(&mut state) % 4) as usize]
                    }
                    1 => data_at(&shared, ring) + (random(&mut state) % GRANULES) as usize * 64,
                    _ => shared.layout.rings_at + (random(&mut state) as usize % words) * 8,
                };
                let value = match random(&mut state) % 4 {
                    0 => 0,
                    1 => random(&mut state) % 300,
                    2 => u64::from(key(0).generation) << 12 | random(&mut state) % 5,
                    _ => random(&mut state),
                };
                shared.ctl.u64(at).store(value, Ordering::Relaxed);
            }
        });
        let mut receivers: Vec<_> = (0..2).map(|i| Receiver::new(key(i))).collect();
        let mut state = 5;
        while Instant::now() < end {
            let [from, to] = [random(&mut state) % 2, random(&mut state) % 2].map(|i| key(i as u16));
            if let Ok(mut sender) = Sender::open(&shared, from, to) {
                for _ in 0..8 {
                    let len = random(&mut state) as usize % (MAX_FRAME + 1);
                    let _ = sender.try_send(&shared, &frame(1, len), true);
                    sender.taken(&shared);
                    for receiver in &mut receivers {
                        receiver.poll(&shared, 8, &mut |_, frame| assert!(frame.len() <= MAX_FRAME));
                        receiver.has_work(&shared);
                    }
                }
                sender.close(&shared);
            }
            undrained_from(&shared, from);
            sweep(&shared, key(2));
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// A client without a store around it.
struct Client {
    shared: Arc<Shared>,
    key: ClientKey,
    mailboxes_dropped: AtomicUsize,
    drained: Mutex<Vec<ClientKey>>,
}

impl Client {
    fn new(shared: &Arc<Shared>, index: u16) -> Arc<Client> {
        let shared = Arc::clone(shared);
        Arc::new(Client { shared, key: key(index), mailboxes_dropped: AtomicUsize::new(0), drained: Mutex::default() })
    }
}

impl Host for Client {
    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn key(&self) -> ClientKey {
        self.key
    }

    fn mailbox_dropped(&self) {
        self.mailboxes_dropped.fetch_add(1, Ordering::SeqCst);
    }

    fn drained(&self, sender: ClientKey) {
        self.drained.lock().unwrap().push(sender);
    }
}

#[test]
fn handles_tell_their_client() {
    let shared = Arc::new(shared());
    let [a, b] = [0, 1].map(|index| Client::new(&shared, index));
    let mut sender = RingSender::open(a.clone(), key(1)).unwrap();
    assert_eq!(sender.peer(), key(1));
    sender.try_send(b"x", false).unwrap();
    let mut mailbox = Mailbox::new(b.clone());
    drop(sender);
    die(&shared, key(0));
    assert_eq!(mailbox.poll(8, &mut |from, frame| assert_eq!((from, frame), (key(0), &b"x"[..]))), 1);
    assert_eq!(mailbox.poll(8, &mut |_, _| {}), 0);
    assert_eq!(*b.drained.lock().unwrap(), [key(0)]);
    assert!(!mailbox.has_work());
    drop(mailbox);
    assert_eq!(b.mailboxes_dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn an_acknowledgement_wakes_the_sender() {
    let shared = Arc::new(shared());
    let [a, b] = [0, 1].map(|index| Client::new(&shared, index));
    thread::scope(|scope| {
        scope.spawn(|| {
            let bell = Bell::new(a.clone());
            let mut sender = RingSender::open(a.clone(), key(1)).unwrap();
            for _ in 0..2_000 {
                bell.poll_begin();
                let position = sender.try_send(b"hold this", true).unwrap();
                while sender.taken() < position {
                    let rung = bell.park(Role::User, &|| sender.taken() >= position, Some(LIMIT));
                    assert!(rung, "no acknowledgement");
                }
                bell.poll_end(&|| false);
            }
            sender.try_send(b"over", false).unwrap();
        });
        let bell = Bell::new(b.clone());
        let mut mailbox = Mailbox::new(b.clone());
        let mut over = false;
        while !over {
            mailbox.poll(8, &mut |_, frame| over = frame == b"over");
            if !over {
                assert!(bell.park(Role::Service, &|| mailbox.has_work(), Some(LIMIT)), "no frame");
            }
        }
    });
}

/// Answers every frame, asleep between frames.
fn echo(host: Arc<Client>, to: ClientKey, role: Role, frames: u64) {
    let bell = Bell::new(host.clone());
    let mut mailbox = Mailbox::new(host.clone());
    let mut sender = RingSender::open(host, to).unwrap();
    let mut answered = 0;
    while answered < frames {
        let count = mailbox.poll(8, &mut |_, frame| {
            sender.try_send(frame, false).unwrap();
            answered += 1;
        });
        if count == 0 {
            assert!(bell.park(role, &|| mailbox.has_work(), Some(LIMIT)), "frame {answered} was not heard of");
        }
    }
}

#[test]
fn calls_and_answers_between_sleepers() {
    const CALLS: u64 = 10_000;
    for role in [Role::User, Role::Service] {
        let shared = Arc::new(shared());
        let [a, b] = [0, 1].map(|index| Client::new(&shared, index));
        thread::scope(|scope| {
            scope.spawn(move || echo(b, key(0), role, CALLS));
            let bell = Bell::new(a.clone());
            let mut mailbox = Mailbox::new(a.clone());
            let mut sender = RingSender::open(a, key(1)).unwrap();
            for call in 0..CALLS {
                bell.poll_begin();
                sender.try_send(&call.to_le_bytes(), false).unwrap();
                let mut answer = None;
                while answer.is_none() {
                    mailbox.poll(1, &mut |_, frame| answer = Some(frame.to_vec()));
                    if answer.is_none() {
                        assert!(bell.park(Role::User, &|| mailbox.has_work(), Some(LIMIT)), "no answer to {call}");
                    }
                }
                assert_eq!(answer.unwrap(), call.to_le_bytes());
                bell.poll_end(&|| mailbox.has_work());
            }
        });
    }
}

/// Not a check but a measurement: `cargo test --release -- --ignored --nocapture cost`.
#[test]
#[ignore = "prints what sending and polling cost"]
fn cost() {
    let shared = Arc::new(shared());
    let [a, b] = [0, 1].map(|index| Client::new(&shared, index));
    let mut mailbox = Mailbox::new(b.clone());
    let mut sender = RingSender::open(a.clone(), key(1)).unwrap();
    Bell::new(b.clone()).poll_begin();
    for len in [8, 48, 240, 1024, 4096] {
        const N: u32 = 50_000;
        let frame = vec![1; len];
        let start = Instant::now();
        for _ in 0..N {
            sender.try_send(&frame, false).unwrap();
            mailbox.poll(1, &mut |_, _| {});
        }
        println!("{len} B: send + poll on one thread {:?}", start.elapsed() / N);
    }
    let start = Instant::now();
    for _ in 0..1_000_000 {
        std::hint::black_box(mailbox.has_work());
    }
    println!("has_work with one ring {:?}", start.elapsed() / 1_000_000);
    let bell = Bell::new(a.clone());
    let start = Instant::now();
    for _ in 0..1_000_000 {
        bell.poll_begin();
        bell.poll_end(&|| false);
    }
    println!("poll_begin + poll_end {:?}", start.elapsed() / 1_000_000);
    for len in [8, 1024] {
        const N: u32 = 500_000;
        let start = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                let frame = vec![1; len];
                for _ in 0..N {
                    while sender.try_send(&frame, false).is_err() {
                        std::hint::spin_loop();
                    }
                }
            });
            let mut count = 0;
            while count < N as usize {
                count += mailbox.poll(64, &mut |_, _| {});
            }
        });
        println!("{len} B: one way between two threads {:?} a frame", start.elapsed() / N);
    }
    for len in [8, 48, 240] {
        const N: u32 = 300_000;
        let mut back = Mailbox::new(a.clone());
        let start = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut answers = RingSender::open(b.clone(), key(0)).unwrap();
                let mut count = 0;
                while count < N as usize {
                    count += mailbox.poll(1, &mut |_, frame| {
                        answers.try_send(frame, false).unwrap();
                    });
                }
            });
            let frame = vec![1; len];
            bell.poll_begin();
            for _ in 0..N {
                sender.try_send(&frame, false).unwrap();
                while back.poll(1, &mut |_, _| {}) == 0 {}
            }
        });
        println!("{len} B: round trip between two spinning threads {:?}", start.elapsed() / N);
    }
}
