//! Time: it is waited for at least, by many at once, with and without a runtime.

use std::time::{Duration, Instant};

use futures::future;

use super::support::{Gate, start};
use super::{DEADLINE, after, run};

#[mobula::test]
fn sleepers_sleep_as_long_as_they_said_whatever_order_they_began_in() {
    for round in 0..3 {
        let start = Instant::now();
        let naps = [30_u64, 10, 20, 0, 500].map(|nap| async move {
            mobula::sleep(Duration::from_millis(nap)).await;
            assert!(start.elapsed() >= Duration::from_millis(nap));
            nap
        });
        // The longest is dropped while it sleeps.
        let [first, second, third, fourth, last] = naps.map(Box::pin);
        let mut last = last;
        assert!(super::poll_once(last.as_mut()).is_pending(), "round {round}");
        assert_eq!(run(future::join_all([first, second, third, fourth])), [30, 10, 20, 0]);
    }
}

#[mobula::test]
fn a_timeout_drops_what_takes_too_long() {
    let _runtime = start();
    let gate = Gate::new();
    let object = after::remote(gate.text(), 1);
    let late = run(mobula::timeout(Duration::from_millis(5), mobula::get_async(&object))).unwrap_err();
    assert!(late.is_timeout() && late.to_string().contains("5ms"), "{late}");
    gate.open();
    assert_eq!(run(mobula::timeout(DEADLINE, mobula::get_async(&object))).unwrap().unwrap(), 1);
    assert_eq!(run(mobula::timeout(Duration::ZERO, async { 7 })).unwrap(), 7);
}

#[mobula::test]
fn timers_go_on_when_a_runtime_ends() {
    let runtime = start();
    let nap = mobula::sleep(Duration::from_millis(30));
    drop(runtime);
    run(nap);
    mobula::block_on(mobula::sleep(Duration::from_millis(1)));
}
