//! `map_unordered`: the results as they come.

use super::pool;
use super::support::{Gate, start};

#[mobula::test]
fn each_item_has_one_result() {
    let _runtime = start();
    let mut pool = pool(3);
    let mut doubled: Vec<_> = pool.map_unordered(|hand, x| hand.double(x), 0..1_000).map(Result::unwrap).collect();
    doubled.sort_unstable();
    assert_eq!(doubled, (0..1_000).map(|x| 2 * x).collect::<Vec<_>>());
}

#[mobula::test]
fn who_is_done_first_comes_first() {
    let _runtime = start();
    let mut pool = pool(2);
    let gate = Gate::new();
    let text = gate.text();
    let mut results = pool.map_unordered(|hand, x| hand.double_behind(x, (x == 0).then(|| text.clone())), 0..10);
    let mut early: Vec<_> = results.by_ref().take(9).map(Result::unwrap).collect();
    gate.open();
    let late: Vec<_> = results.map(Result::unwrap).collect();
    early.sort_unstable();
    assert_eq!(early, (1..10).map(|x| 2 * x).collect::<Vec<_>>());
    assert_eq!(late, [0]);
}
