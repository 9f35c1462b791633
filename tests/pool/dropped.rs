//! An iterator that is dropped half way leaves the pool as it was.

use super::pool;
use super::support::{Gate, Scratch, eventually, start};

#[mobula::test]
fn what_it_has_called_runs_on_and_the_rest_never_does() {
    let _runtime = start();
    let mut pool = pool(2);
    let diary = Scratch::new("diary");
    let text = diary.text();
    {
        let mut results = pool.map(|hand, x| hand.noted(x, text.clone()), 0..1_000_000);
        assert_eq!(results.next().unwrap().unwrap(), 0);
    }
    assert!(!pool.has_next());
    // All actors work again, and give no results of before.
    let doubled: Vec<_> = pool.map(|hand, x| hand.double(x), 10..20).map(Result::unwrap).collect();
    assert_eq!(doubled, (10..20).map(|x| 2 * x).collect::<Vec<_>>());
    assert!(diary.lines().len() < 1_100, "{}", diary.lines().len());
    // One of them may have done all of that while the other was still at what was forgotten.
    let mut idle = Vec::new();
    eventually("both are idle", || {
        idle.extend(pool.pop_idle());
        idle.len() == 2
    });
    assert!(pool.pop_idle().is_none());
}

#[mobula::test]
fn one_that_is_busy_is_used_when_it_is_done() {
    let _runtime = start();
    let mut pool = pool(1);
    let gate = Gate::new();
    let text = gate.text();
    let mut results = pool.map_unordered(|hand, x| hand.double_behind(x, (x == 1).then(|| text.clone())), 0..5);
    assert_eq!(results.next().unwrap().unwrap(), 0);
    drop(results);
    assert!(!pool.has_next() && !pool.has_free());
    pool.submit(|hand, x| hand.double(x), 7);
    gate.open();
    assert_eq!(pool.get_next().unwrap(), 14);
    assert!(pool.has_free());
}

#[mobula::test]
fn a_map_forgets_what_was_submitted_before() {
    let _runtime = start();
    let mut pool = pool(2);
    for x in 0..10 {
        pool.submit(|hand, x| hand.double(x), x);
    }
    let doubled: Vec<_> = pool.map(|hand, x| hand.double(x), 100..105).map(Result::unwrap).collect();
    assert_eq!(doubled, [200, 202, 204, 206, 208]);
    assert!(!pool.has_next());
}
