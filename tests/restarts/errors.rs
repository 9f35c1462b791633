//! `retry_errors`.

use super::Nest;
use super::support::{get, start};

#[mobula::test]
fn an_err_costs_a_try() {
    let _runtime = start();
    let nest = Nest::new(0);
    assert_eq!(get(&nest.bird.fail(2).max_task_retries(2).retry_errors(true).remote()).unwrap(), 3);
    assert_eq!((nest.count("fail"), nest.count("new")), (3, 1));
}

#[mobula::test]
fn the_last_error_is_the_callers() {
    let _runtime = start();
    let nest = Nest::new(0);
    let error = get(&nest.bird.fail(9).max_task_retries(2).retry_errors(true).remote()).unwrap_err();
    assert!(error.is_task_failed() && error.to_string().contains("run 3"), "{error}");
    assert_eq!(nest.count("fail"), 3);
}

#[mobula::test]
fn a_panic_costs_a_try_and_the_method_can_say_so() {
    let _runtime = start();
    let nest = Nest::new(0);
    assert_eq!(get(&nest.bird.panic(2).remote()).unwrap(), 3);
    let other = Nest::new(0);
    let error = get(&other.bird.panic(2).retry_errors(false).remote()).unwrap_err();
    assert!(error.is_task_failed(), "{error:?}");
    assert_eq!(other.count("fail"), 1);
}

#[mobula::test]
fn an_err_is_not_tried_again_unless_it_is_wished() {
    let _runtime = start();
    let nest = Nest::new(-1);
    assert!(get(&nest.bird.fail(1).max_task_retries(5).remote()).unwrap_err().is_task_failed());
    assert!(get(&nest.bird.fail(2).retry_errors(true).remote()).unwrap_err().is_task_failed());
    assert_eq!(nest.count("fail"), 2);
}

#[mobula::test]
fn errors_and_deaths_share_the_budget() {
    let _runtime = start();
    let nest = Nest::new(-1);
    assert_eq!(get(&nest.bird.fail_and_die().max_task_retries(2).retry_errors(true).remote()).unwrap(), 3);
    let other = Nest::new(-1);
    let error = get(&other.bird.fail_and_die().max_task_retries(1).retry_errors(true).remote()).unwrap_err();
    assert!(error.is_actor_unavailable(), "{error:?}");
    assert_eq!(other.count("both"), 2);
}

#[mobula::test]
fn calls_before_and_behind_go_on() {
    let _runtime = start();
    let nest = Nest::new(0);
    let first = nest.bird.add(1).remote();
    let tried = nest.bird.fail(30).max_task_retries(-1).retry_errors(true).remote();
    let rest: Vec<_> = (0..100).map(|_| nest.bird.add(1).remote()).collect();
    assert_eq!(get(&first).unwrap(), 1);
    assert_eq!(get(&tried).unwrap(), 31);
    let sums: Vec<_> = rest.iter().map(|call| get(call).unwrap()).collect();
    assert_eq!(sums, (2..=101).collect::<Vec<_>>());
}

#[mobula::test]
fn a_call_that_is_tried_again_counts_once_as_unanswered() {
    let _runtime = start();
    let nest = Nest::with(super::Phoenix::options().max_pending_calls(1));
    for _ in 0..20 {
        let tried = nest.bird.fail(3).max_task_retries(3).retry_errors(true).try_remote().unwrap();
        get(&tried).unwrap();
    }
    assert!(nest.bird.value().try_remote().is_ok());
}
