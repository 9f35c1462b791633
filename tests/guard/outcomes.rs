//! How tests in processes of their own pass and fail.

use std::process::ExitCode;

use super::{guarded, is_caught, misbehaves};

#[mobula::test]
fn panics() {
    assert!(!misbehaves(), "it was told to");
}

#[test]
fn a_panic_fails_with_its_output() {
    is_caught("outcomes::panics", &["it was told to", "outcomes.rs"]);
}

#[mobula::test]
fn returns_an_error() -> Result<(), String> {
    if misbehaves() { Err("it was told to".into()) } else { Ok(()) }
}

#[test]
fn an_error_fails_with_its_text() {
    is_caught("outcomes::returns_an_error", &["it was told to"]);
}

#[mobula::test]
fn returns_a_code() -> ExitCode {
    if misbehaves() { ExitCode::from(3) } else { ExitCode::SUCCESS }
}

#[test]
fn a_code_other_than_success_fails() {
    is_caught("outcomes::returns_a_code", &["returns_a_code"]);
}

#[mobula::test]
#[should_panic]
fn is_expected_to_panic() {
    assert!(misbehaves(), "as it should");
}

#[test]
fn a_panic_that_does_not_come_fails() {
    is_caught("outcomes::is_expected_to_panic", &["did not panic"]);
}

#[mobula::test]
fn exits() {
    if misbehaves() {
        std::process::exit(0);
    }
}

/// A process that ends with success has passed, as far as anybody can tell.
#[test]
fn an_early_exit_is_no_failure_of_the_guard() {
    assert_eq!(guarded("outcomes::exits").code, Some(0));
}

#[mobula::test]
fn aborts() {
    if misbehaves() {
        std::process::abort();
    }
}

#[test]
fn an_abort_fails_with_its_signal() {
    is_caught("outcomes::aborts", &["signal: 6"]);
}
