//! Words that no sender and no receiver writes.

use super::*;

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
                    2 => (u64::from(key(0).generation) << 12) | (random(&mut state) % 5),
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
