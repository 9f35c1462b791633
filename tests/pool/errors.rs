//! Errors of calls are items like others.

use super::pool;
use super::support::start;

#[mobula::test]
fn what_comes_after_an_error_goes_on() {
    let _runtime = start();
    let mut pool = pool(2);
    let results: Vec<_> = pool.map(|hand, x| hand.odd(x), 0..10).collect();
    for (x, result) in (0u64..10).zip(results) {
        match result {
            Ok(odd) => assert!(odd == x && x % 2 == 1),
            Err(error) => assert!(error.is_task_failed() && error.to_string().contains(&format!("{x} is even"))),
        }
    }
    pool.submit(|hand, x| hand.odd(x), 2);
    assert!(pool.get_next().unwrap_err().is_task_failed());
    pool.submit(|hand, x| hand.odd(x), 3);
    assert_eq!(pool.get_next().unwrap(), 3);
}

#[mobula::test]
fn the_end_of_the_runtime_is_the_last_item() {
    let runtime = start();
    let mut pool = pool(1);
    let mut results = pool.map(|hand, x| hand.double(x), 0..10);
    assert_eq!(results.next().unwrap().unwrap(), 0);
    drop(runtime);
    let rest: Vec<_> = results.collect();
    assert!(!rest.is_empty() && rest.iter().all(Result::is_err));
    pool.submit(|hand, x| hand.double(x), 1);
    assert!(pool.get_next().is_err());
}
