//! How streams end before their time: the error is the last item, behind all that were made.

use super::support::{Gate, Scratch, get, note, pass, start};
use super::{all_cpus_back, next, plain, until_error, values};

#[mobula::task]
fn panics(after: u32) -> impl Iterator<Item = u32> {
    (0..).inspect(move |&item| assert!(item < after, "no item {item}"))
}

#[mobula::task]
fn panics_at_once(yes: bool) -> impl Iterator<Item = u32> {
    assert!(!yes, "not even one");
    0..3
}

#[mobula::task]
fn checked(to: u32) -> impl Iterator<Item = Result<u32, String>> {
    (0..to).map(|item| if item % 2 == 0 { Ok(item) } else { Err(format!("{item} is odd")) })
}

#[mobula::task]
fn aborts(diary: String, after: u32) -> impl Iterator<Item = u32> {
    note(&diary, "begun");
    (0..).inspect(move |&item| {
        if item == after {
            std::process::abort();
        }
    })
}

#[mobula::task]
fn unfit(to: u32) -> impl Iterator<Item = Unfit> {
    (0..to).map(|item| Unfit { skipped: None, number: item })
}

/// Cannot be encoded.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Unfit {
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<u32>,
    number: u32,
}

pub struct Tap;

#[mobula::actor]
impl Tap {
    pub fn new() -> Self {
        Tap
    }

    /// Waits in front of a gate after so many items.
    pub fn run(&self, before: u32, gate: String) -> impl Iterator<Item = u32> {
        (0..=before).inspect(move |&item| {
            if item == before {
                pass(&gate);
            }
        })
    }

    pub fn leave(&self, after: u32) -> impl Iterator<Item = u32> {
        (0..).inspect(move |&item| {
            if item == after {
                mobula::exit_actor();
            }
        })
    }

    pub fn abort(&self, after: u32) -> impl Iterator<Item = u32> {
        (0..).inspect(move |&item| {
            if item == after {
                std::process::abort();
            }
        })
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }
}

#[mobula::test]
fn a_panic_comes_behind_the_items() {
    let _runtime = start();
    let (items, error) = until_error(panics::remote(3));
    assert_eq!(items, 3);
    let failure = error.task_failure().unwrap();
    assert!(failure.message.contains("no item 3") && failure.function.contains("panics"), "{failure:?}");
    let (items, error) = until_error(panics_at_once::remote(true));
    assert!(items == 0 && error.is_task_failed());
    // The worker goes on.
    assert_eq!(values(panics_at_once::remote(false)), [0, 1, 2]);
}

#[mobula::test]
fn an_err_is_the_error_of_its_item_only() {
    let _runtime = start();
    let mut stream = checked::remote(6);
    for item in 0..6 {
        match get(&next(&mut stream).unwrap()) {
            Ok(value) => assert_eq!((value, item % 2), (item, 0)),
            Err(error) => {
                assert_eq!(error.task_failure().unwrap().message, format!("{item} is odd"));
                assert_eq!(item % 2, 1);
            }
        }
    }
    assert!(next(&mut stream).is_none());
}

#[mobula::test]
fn the_death_of_a_worker_is_the_last_item_and_nothing_runs_again() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    let (items, error) = until_error(aborts::remote(diary.text(), 5));
    assert_eq!(items, 5);
    assert!(error.is_worker_crashed(), "{error}");
    assert_eq!(get(&plain::remote(7)).unwrap(), 7);
    all_cpus_back(2.0);
    assert_eq!(diary.lines(), ["begun"]);
}

#[mobula::test]
fn an_item_that_cannot_be_sent_ends_it() {
    let _runtime = start();
    let (items, error) = until_error(unfit::remote(3));
    assert_eq!(items, 0);
    assert!(error.to_string().contains("cannot be"), "{error}");
}

#[mobula::test]
fn a_killed_actor_ends_its_stream() {
    let _runtime = start();
    let gate = Gate::new();
    let tap = Tap::remote().unwrap();
    let mut stream = tap.run(2, gate.text()).remote();
    assert_eq!(get(&next(&mut stream).unwrap()).unwrap(), 0);
    assert_eq!(get(&next(&mut stream).unwrap()).unwrap(), 1);
    mobula::kill(&tap).unwrap();
    let (items, error) = until_error(stream);
    assert!(items == 0 && error.is_actor_died(), "{error}");
    let (items, error) = until_error(tap.run(2, gate.text()).remote());
    assert!(items == 0 && error.is_actor_died(), "{error}");
}

#[mobula::test]
fn an_actor_that_leaves_ends_its_stream() {
    let _runtime = start();
    let tap = Tap::remote().unwrap();
    let (items, error) = until_error(tap.leave(3).remote());
    assert_eq!(items, 3);
    assert!(error.is_actor_died(), "{error}");
}

#[mobula::test]
fn a_restart_ends_the_stream_and_nothing_else() {
    let _runtime = start();
    let tap = Tap::options().max_restarts(1).max_task_retries(-1).remote().unwrap();
    let before = get(&tap.pid().remote()).unwrap();
    let stream = tap.abort(2).remote();
    let after = tap.pid().remote();
    let (items, error) = until_error(stream);
    assert_eq!(items, 2);
    assert!(error.is_actor_unavailable(), "{error}");
    assert_ne!(get(&after).unwrap(), before);
}
