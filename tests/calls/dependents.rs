//! Failures through chains of calls: the first error, whatever stands between.

use mobula::prelude::*;

use super::support::{Gate, get, pass, start};

struct Link;

#[mobula::actor]
impl Link {
    pub fn new() -> Self {
        Link
    }

    pub fn fail(&self, gate: String, how: String) -> Result<i64, String> {
        pass(&gate);
        match how.as_str() {
            "panic" => panic!("it panics"),
            "abort" => std::process::abort(),
            text => Err(text.to_owned()),
        }
    }

    pub fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    #[mobula::method(num_returns = 2)]
    pub fn both(&self, a: i64) -> (i64, i64) {
        (a, -a)
    }

    pub fn ping(&self) -> i64 {
        1
    }

    /// Gets inside, and passes the error on.
    pub fn inner(&self, refs: Vec<ObjectRef<i64>>) -> Result<i64, mobula::Error> {
        mobula::get(&refs[0])
    }
}

#[mobula::task]
fn plus(a: i64, b: i64) -> i64 {
    a + b
}

fn is_first(error: &mobula::Error) {
    assert!(error.is_task_failed(), "{error:?}");
    let failure = error.task_failure().unwrap();
    assert_eq!((failure.message.as_str(), failure.function.as_str()), ("the first", "Link::fail"), "{failure:?}");
}

#[mobula::test]
fn all_that_depends_on_a_failure_fails_with_it() {
    let _runtime = start();
    let (first, other) = (Link::remote().unwrap(), Link::remote().unwrap());
    let gate = Gate::new();
    let failed = first.fail(gate.text(), "the first").remote();
    // Made before the failure, through calls, tasks, several returns, and as one argument of two.
    let call = other.add(&failed, 1).remote();
    let task = plus::remote(2, &call);
    let (a, b) = other.both(&task).remote();
    let back = first.add(&a, &b).remote();
    let beside = other.ping().remote();
    gate.open();
    for object in [&failed, &call, &task, &a, &b, &back] {
        is_first(&get(object).unwrap_err());
    }
    assert_eq!(get(&beside).unwrap(), 1);
    // And those that are made afterwards.
    is_first(&get(&other.add(1, &back).remote()).unwrap_err());
    is_first(&get(&plus::remote(&back, 1)).unwrap_err());
    is_first(&other.add(1, &back).try_remote().unwrap_err());
    let late: mobula::Result<_> = plus::try_remote(&back, 1);
    is_first(&late.unwrap_err());
    assert_eq!(get(&first.ping().remote()).unwrap(), 1);
}

#[mobula::test]
fn of_two_failures_the_first_arguments_counts() {
    let _runtime = start();
    let link = Link::remote().unwrap();
    let gate = Gate::new();
    gate.open();
    let failed = [link.fail(gate.text(), "the first").remote(), link.fail(gate.text(), "the second").remote()];
    is_first(&get(&link.add(&failed[0], &failed[1]).remote()).unwrap_err());
}

#[mobula::test]
fn a_death_passes_through_a_chain_as_a_death() {
    let _runtime = start();
    let (first, other) = (Link::remote().unwrap(), Link::remote().unwrap());
    let gate = Gate::new();
    let failed = first.fail(gate.text(), "abort").remote();
    let chain = plus::remote(other.add(1, &failed).remote(), 1);
    gate.open();
    for object in [&failed, &chain] {
        let error = get(object).unwrap_err();
        assert!(error.is_actor_died() && error.to_string().contains("SIGABRT"), "{error:?}");
        assert_eq!(error.actor_death().unwrap().actor, ActorHandle::id(&first));
    }
    assert_eq!(get(&other.ping().remote()).unwrap(), 1);
}

#[mobula::test]
fn an_error_of_an_inner_get_is_the_methods_own_with_the_inner_message() {
    let _runtime = start();
    let (first, other) = (Link::remote().unwrap(), Link::remote().unwrap());
    let gate = Gate::new();
    gate.open();
    let failed = first.fail(gate.text(), "panic").remote();
    let error = get(&other.inner(vec![failed]).remote()).unwrap_err();
    let failure = error.task_failure().unwrap();
    assert_eq!(failure.function, "Link::inner");
    assert!(failure.message.contains("it panics") && failure.message.contains("dependents.rs:"), "{failure:?}");
    assert!(!error.is_actor_died());
}

#[mobula::test]
fn a_chain_of_ten_thousand_calls_fails_at_once_and_without_recursion() {
    let _runtime = start();
    let link = Link::remote().unwrap();
    let gate = Gate::new();
    let mut last = link.fail(gate.text(), "the first").remote();
    for _ in 0..10_000 {
        last = link.add(&last, 1).remote();
    }
    gate.open();
    is_first(&get(&last).unwrap_err());
    assert_eq!(get(&link.ping().remote()).unwrap(), 1);
}

#[mobula::test]
fn texts_of_any_length_come_through_cut() {
    let _runtime = start();
    let link = Link::remote().unwrap();
    let gate = Gate::new();
    gate.open();
    for text in ["x".repeat(100_000), "\u{e9}".repeat(50_000)] {
        let error = get(&link.fail(gate.text(), text.clone()).remote()).unwrap_err();
        let message = &error.task_failure().unwrap().message;
        assert!(message.len() > 1000 && message.len() < 10_000, "{} bytes", message.len());
        assert!(text.starts_with(message.trim_end_matches(" ...")));
        // Once more inside another one's.
        let failed = link.fail(gate.text(), text).remote();
        let error = get(&link.inner(vec![failed]).remote()).unwrap_err();
        assert!(error.is_task_failed() && error.to_string().contains("Link::fail"), "{error:?}");
    }
    assert_eq!(get(&link.ping().remote()).unwrap(), 1);
}
