//! The close: what was put is taken, then everybody is told.

use mobula_store::MessageQueue;

use crate::store;

#[test]
fn what_is_there_is_taken_first() {
    let store = store();
    let queue = MessageQueue::new_in(&store, 64, 8).unwrap();
    (0..10u8).for_each(|n| queue.put(&[n], None).unwrap());
    assert!(!queue.is_closed());
    queue.clone().close();
    assert!(queue.is_closed());
    assert!(queue.put(&[0], None).unwrap_err().is_closed());
    assert!(queue.put_many([&[0][..]], None).unwrap_err().is_closed());
    for n in 0..10 {
        assert_eq!(queue.get(None, |m| m[0]).unwrap(), n);
    }
    assert!(queue.get(None, |_| ()).unwrap_err().is_closed());
    assert!(queue.get_many(5, None, |_| ()).unwrap_err().is_closed());
}

#[test]
fn who_sleeps_is_woken() {
    let store = store();
    let (empty, full) = (MessageQueue::new_in(&store, 64, 8).unwrap(), MessageQueue::new_in(&store, 64, 8).unwrap());
    (0..64).for_each(|_| full.put(&[0], None).unwrap());
    std::thread::scope(|scope| {
        let waiting =
            [scope.spawn(|| empty.get(None, |_| ()).unwrap_err()), scope.spawn(|| full.put(&[1], None).unwrap_err())];
        empty.close();
        full.close();
        for error in waiting.map(|thread| thread.join().unwrap()) {
            assert!(error.is_closed(), "{error}");
        }
    });
}

#[test]
fn nothing_is_put_into_a_closed_queue_and_lost() {
    let store = store();
    for _ in 0..300 {
        let queue = MessageQueue::new_in(&store, 64, 8).unwrap();
        std::thread::scope(|scope| {
            let putting = [0, 1].map(|_| scope.spawn(|| (0..40).take_while(|_| queue.put(&[1], None).is_ok()).count()));
            let taking = scope.spawn(|| {
                let mut count = 0;
                while queue.get(None, |_| ()).is_ok() {
                    count += 1;
                }
                count
            });
            queue.close();
            let put: usize = putting.map(|thread| thread.join().unwrap()).iter().sum();
            assert_eq!(taking.join().unwrap(), put);
        });
    }
}
