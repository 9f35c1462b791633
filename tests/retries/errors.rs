//! `retry_errors`: an `Err` or a panic costs a try of the same budget.

use super::support::{Scratch, get, start};
use super::{begun, fail_until, tries};

#[mobula::task(max_retries = 4, retry_errors = true)]
fn die_fail_die_fail(diary: String) -> Result<u32, String> {
    let count = tries(&diary);
    if count % 2 == 1 {
        std::process::abort();
    }
    Err(format!("try {count} fails"))
}

#[mobula::test]
fn errors_are_the_callers_unless_it_wants_another_try() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    let error = get(&fail_until::remote(diary.text(), 9)).unwrap_err();
    assert!(error.is_task_failed() && error.to_string().contains("try 1 is an error"), "{error}");
    assert_eq!(begun(&diary), 1);
}

#[mobula::test]
fn errors_and_panics_are_tried_again() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    let task = fail_until::options().retry_errors(true).max_retries(3).remote(diary.text(), 4);
    assert_eq!(get(&task).unwrap(), 4);
    assert_eq!(begun(&diary), 4);
}

#[mobula::test]
fn the_last_error_is_the_callers() {
    let _runtime = start();
    for (retries, words) in [(0, "try 1 is an error"), (1, "try 2 panics"), (2, "try 3 is an error")] {
        let diary = Scratch::new("diary");
        let task = fail_until::options().retry_errors(true).max_retries(retries).remote(diary.text(), 9);
        let error = get(&task).unwrap_err();
        assert!(error.is_task_failed() && error.to_string().contains(words), "{error}");
        assert_eq!(begun(&diary), 1 + retries as usize);
    }
}

#[mobula::test]
fn deaths_and_errors_share_one_budget() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    let error = get(&die_fail_die_fail::remote(diary.text())).unwrap_err();
    assert!(error.is_worker_crashed() && error.to_string().contains("tried 5 times"), "{error}");
    assert_eq!(begun(&diary), 5);
}
