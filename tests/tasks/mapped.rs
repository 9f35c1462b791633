//! `map_unordered`: results as they come, calls as there is room.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::start;
use super::support::{Gate, get, pass};

#[mobula::task]
fn square(x: u64) -> u64 {
    x * x
}

#[mobula::task]
fn pass_if_even(x: u64, gate: String) -> Result<u64, String> {
    match x {
        0 => pass(&gate),
        3 => return Err("three".into()),
        _ => {}
    }
    Ok(x)
}

#[mobula::task]
fn sum_of_squares(count: u64) -> u64 {
    mobula::map_unordered(0..count, square::remote).at_most(3).map(Result::unwrap).sum()
}

#[mobula::test]
fn results_come_in_the_order_of_completion_and_errors_end_nothing() {
    let _runtime = start();
    let gate = Gate::new();
    let mut results = mobula::map_unordered(0..10, |x| pass_if_even::remote(x, gate.text()));
    let mut others: Vec<_> = results.by_ref().take(9).collect();
    // The first item's call is the last to end.
    gate.open();
    assert_eq!(results.next().unwrap().unwrap(), 0);
    assert!(results.next().is_none() && results.next().is_none());
    others.sort_by_key(|result| result.as_ref().map_or(0, |x| *x));
    assert!(others[0].as_ref().is_err_and(|error| error.is_task_failed() && error.to_string().contains("three")));
    assert!(others[1..].iter().map(|result| *result.as_ref().unwrap()).eq([1, 2, 4, 5, 6, 7, 8, 9]));
}

#[mobula::test]
fn no_more_calls_are_unfinished_than_allowed_and_none_before_it_is_asked() {
    let _runtime = start();
    let (made, mut got) = (AtomicUsize::new(0), 0);
    let results = mobula::map_unordered(0..500, |x| {
        made.fetch_add(1, Ordering::Relaxed);
        square::remote(x)
    });
    let results = results.at_most(7);
    assert_eq!(made.load(Ordering::Relaxed), 0);
    let mut sum = 0;
    for square in results {
        got += 1;
        sum += square.unwrap();
        // One place is free again, and filled.
        assert_eq!(made.load(Ordering::Relaxed), (got + 7).min(500));
    }
    assert_eq!((got, sum), (500, (0..500).map(|x| x * x).sum::<u64>()));
}

#[mobula::test]
fn it_works_inside_a_task_on_one_processor_and_on_refs_that_are_ready() {
    let _runtime = super::support::start_with(1.0);
    assert_eq!(get(&sum_of_squares::remote(50)).unwrap(), (0..50).map(|x| x * x).sum::<u64>());
    let put = |x: u64| mobula::put(&x).unwrap();
    let mut all: Vec<_> = mobula::map_unordered(0..2_500, put).map(Result::unwrap).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..2_500));
    assert!(mobula::map_unordered(Vec::new(), put).next().is_none());
}

#[mobula::test]
fn none_at_a_time_is_refused_and_the_end_of_the_runtime_is_the_last_item() {
    let runtime = start();
    let mut none = mobula::map_unordered(0..5, square::remote).at_most(0);
    assert!(none.next().unwrap().unwrap_err().is_invalid_argument() && none.next().is_none());
    let gate = Gate::new();
    let mut results = mobula::map_unordered([0, 0], |x| pass_if_even::remote(x, gate.text()));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(move || results.by_ref().map(|result| result.unwrap_err()).collect::<Vec<_>>());
        runtime.shutdown();
        let errors = waiter.join().unwrap();
        assert!(!errors.is_empty() && errors.len() <= 2, "{errors:?}");
    });
}
