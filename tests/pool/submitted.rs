//! `submit` and what takes the results.

use super::pool;
use super::support::{Gate, start};

#[mobula::test]
fn results_are_taken_in_the_order_of_submission() {
    let _runtime = start();
    let mut pool = pool(2);
    assert!(!pool.has_next());
    for x in 0..20 {
        pool.submit(|hand, x| hand.double(x), x);
    }
    for x in 0..20 {
        assert!(pool.has_next());
        assert_eq!(pool.get_next().unwrap(), 2 * x);
    }
    assert!(!pool.has_next());
    let error = pool.get_next().unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(pool.get_next_unordered().unwrap_err().is_not_found());
}

#[mobula::test]
fn or_as_they_come() {
    let _runtime = start();
    let mut pool = pool(2);
    let gate = Gate::new();
    for x in 0..6 {
        pool.submit(|hand, (x, gate)| hand.double_behind(x, gate), (x, (x == 0).then(|| gate.text())));
    }
    // The two ways may be mixed.
    let mut early: Vec<_> = (0..4).map(|_| pool.get_next_unordered().unwrap()).collect();
    gate.open();
    assert_eq!(pool.get_next().unwrap(), 0);
    early.push(pool.get_next().unwrap());
    early.sort_unstable();
    assert_eq!(early, [2, 4, 6, 8, 10]);
    assert!(!pool.has_next());
}

#[mobula::test]
fn a_pool_can_be_used_for_a_long_time() {
    let _runtime = start();
    let mut pool = pool(1);
    for x in 0..5_000 {
        pool.submit(|hand, x| hand.double(x), x);
        assert_eq!(pool.get_next().unwrap(), 2 * x);
    }
}
