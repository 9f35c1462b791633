//! Waiting for a while only.

use std::time::Duration;

use super::pool;
use super::support::{Gate, start};

#[mobula::test]
fn time_that_runs_out_leaves_the_result_to_come() {
    let _runtime = start();
    let mut pool = pool(1);
    let gate = Gate::new();
    pool.submit(|hand, gate| hand.double_behind(4, Some(gate)), gate.text());
    for timeout in [Duration::ZERO, Duration::from_millis(20)] {
        for error in [pool.get_next_timeout(timeout), pool.get_next_unordered_timeout(timeout)] {
            let error = error.unwrap_err();
            assert!(error.is_timeout(), "{error}");
        }
        assert!(pool.has_next());
    }
    gate.open();
    assert_eq!(pool.get_next_timeout(Duration::from_secs(40)).unwrap(), 8);
    assert!(!pool.has_next());
    pool.submit(|hand, x| hand.double(x), 6);
    assert_eq!(pool.get_next_unordered_timeout(Duration::MAX).unwrap(), 12);
}
