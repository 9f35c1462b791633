//! Where the number of tries comes from: options, then the attribute, then the environment, then 3.

use std::process::Command;

use super::support::{Scratch, get, run, start};
use super::{begun, die_until, tries};

/// Set in a run of this binary that is to look at the environment's default.
const ROLE: &str = "MOBULA_TEST_RETRIES";

#[mobula::task(max_retries = 1)]
fn die_twice(diary: String) -> u32 {
    tries(&diary);
    std::process::abort()
}

#[mobula::test]
fn three_unless_somebody_says_otherwise() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    assert!(get(&die_until::remote(diary.text(), usize::MAX)).unwrap_err().is_worker_crashed());
    assert_eq!(begun(&diary), 4);
}

#[mobula::test]
fn options_win_over_the_attribute() {
    let _runtime = start();
    for (task, count) in [(die_twice::options(), 2), (die_twice::options().max_retries(0), 1)] {
        let diary = Scratch::new("diary");
        assert!(get(&task.remote(diary.text())).unwrap_err().is_worker_crashed());
        assert_eq!(begun(&diary), count);
    }
}

#[mobula::test]
fn the_environment_has_a_default_for_what_says_nothing() {
    if std::env::var_os(ROLE).is_none() {
        let mut command = Command::new("/proc/self/exe");
        command.args(["--exact", "defaults::the_environment_has_a_default_for_what_says_nothing", "--test-threads=1"]);
        command.env(ROLE, "1").env("MOBULA_TASK_MAX_RETRIES", "1");
        return drop(run(&mut command).succeeded());
    }
    let _runtime = start();
    let (plain, own) = (Scratch::new("diary"), Scratch::new("diary"));
    assert!(get(&die_until::remote(plain.text(), usize::MAX)).unwrap_err().is_worker_crashed());
    assert!(get(&die_until::options().max_retries(2).remote(own.text(), usize::MAX)).unwrap_err().is_worker_crashed());
    assert_eq!((begun(&plain), begun(&own)), (2, 3));
}

#[mobula::test]
fn a_number_without_sense_is_refused() {
    let _runtime = start();
    let error = die_until::options().max_retries(-2).try_remote("", 0).unwrap_err();
    assert!(error.is_invalid_argument() && error.to_string().contains("max_retries"), "{error}");
}
