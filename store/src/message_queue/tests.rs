use std::time::Duration;

use super::*;
use crate::options::StoreOptions;
use crate::sync::Ordering;

fn queue() -> (MessageQueue, Ring) {
    let store = Store::create(StoreOptions::new(1 << 20)).expect("a store");
    let ring = Ring::create(&store, (ObjectId::random(), KIND), 64, 8, ObjectOptions::new()).expect("a ring");
    (MessageQueue(Shape::Bounded(ring.clone())), ring)
}

#[test]
fn a_walk_that_laps_send_round_and_round_ends() {
    let (queue, ring) = queue();
    // Each cell sends who walks along to the next one, round and round the laps.
    for cell in 0..64 {
        let at = ring.cells().at(cell);
        ring.board.u64(at).store((cell + 1) << 58, Ordering::Relaxed);
    }
    assert!(queue.put(b"one", Some(Duration::ZERO)).unwrap_err().is_corrupt());
    assert!(queue.get(Some(Duration::ZERO), |_| ()).unwrap_err().is_corrupt());
    queue.close();
    assert!(queue.get(Some(Duration::ZERO), |_| ()).is_err());
}

#[test]
fn any_number_is_a_position() {
    let (queue, ring) = queue();
    for hint in [u64::MAX, u64::MAX - 63, 1 << 63, u64::MAX >> 1] {
        for at in [H_HEAD, H_TAIL] {
            ring.board.u64(at).store(hint, Ordering::Relaxed);
        }
        for n in 0..3u8 {
            let _ = queue.put(&[n], Some(Duration::ZERO));
            let _ = queue.get(Some(Duration::ZERO), |_| ());
        }
    }
}
