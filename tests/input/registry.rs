//! Classes and tasks that the workers' executable does not have.
//!
//! The workers here run the example `embedded_worker`, a program that joins and knows other classes.
//! (Duplicates stand in `tests/duplicates`, other signatures in `tests/strangers`.)

use super::support::{config, example, get};

struct Unknown;

#[mobula::actor]
impl Unknown {
    pub fn new() -> Self {
        Unknown
    }

    pub fn ping(&self) -> i64 {
        1
    }
}

#[mobula::task]
fn unknown() -> i64 {
    1
}

#[mobula::test]
fn a_class_that_the_workers_do_not_have_is_an_error_at_remote_that_names_it() {
    let worker = example("embedded_worker");
    let _runtime = mobula::init(config(1.0).worker_exe(&worker)).unwrap();
    for _ in 0..2 {
        let error = Unknown::remote().unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("input::registry::Unknown") && text.contains("embedded_worker"), "{text}");
    }
}

#[mobula::test]
fn a_task_that_the_workers_do_not_have_fails_with_its_name() {
    let worker = example("embedded_worker");
    let _runtime = mobula::init(config(1.0).worker_exe(&worker)).unwrap();
    for error in [unknown::try_remote().unwrap_err(), get(&unknown::remote()).unwrap_err()] {
        assert!(error.is_not_found(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("input::registry::unknown") && text.contains("embedded_worker"), "{text}");
    }
}

#[mobula::test]
fn a_worker_program_that_is_none_is_named() {
    // It runs, ends well, and never joins.
    let _runtime = mobula::init(config(1.0).worker_exe("/bin/true")).unwrap();
    let error = match Unknown::remote() {
        Ok(actor) => get(&actor.ping().remote()).unwrap_err(),
        Err(error) => error,
    };
    let text = error.to_string();
    assert!(text.contains("exit status 0") && text.contains("mobula::init"), "{text}");
    let error = get(&unknown::remote()).unwrap_err();
    assert!(error.to_string().contains("exit status 0"), "{error}");
}
