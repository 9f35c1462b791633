//! Many producers and consumers: nothing is lost, nothing comes twice, and each producer's order stays.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use mobula_store::{MessageQueue, Store};

use crate::{number, shared, store};

const EACH: u64 = 20_000;

#[test]
fn four_to_four() {
    let store = store();
    let queue = MessageQueue::new_in(&store, 64, 16).unwrap();
    let clients: Vec<_> = (0..4).map(|_| Store::attach(store.address()).unwrap()).collect();
    let seen = Mutex::new(vec![0u8; 4 * EACH as usize]);
    let producing = AtomicUsize::new(4);
    std::thread::scope(|scope| {
        for (producer, client) in (0u64..).zip(&clients) {
            let (queue, producing) = (shared(&queue, client), &producing);
            scope.spawn(move || {
                for n in 0..EACH {
                    let mut message = [0; 16];
                    message[..8].copy_from_slice(&n.to_le_bytes());
                    message[8..].copy_from_slice(&producer.to_le_bytes());
                    queue.put(&message, None).unwrap();
                }
                if producing.fetch_sub(1, Ordering::SeqCst) == 1 {
                    queue.close();
                }
            });
        }
        for client in &clients {
            let (queue, seen) = (shared(&queue, client), &seen);
            scope.spawn(move || {
                let mut own = Vec::new();
                let end = loop {
                    match queue.get(None, |m| (number(m), number(&m[8..]))) {
                        Ok(message) => own.push(message),
                        Err(error) => break error,
                    }
                };
                assert!(end.is_closed(), "{end}");
                let mut last = [None; 4];
                let mut seen = seen.lock().unwrap();
                for (n, producer) in own {
                    assert!(last[producer as usize] < Some(n), "of one producer in order");
                    last[producer as usize] = Some(n);
                    seen[(producer * EACH + n) as usize] += 1;
                }
            });
        }
    });
    assert!(seen.into_inner().unwrap().iter().all(|&times| times == 1));
}
