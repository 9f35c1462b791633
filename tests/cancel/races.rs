//! Cancels meet ends: every ref has one outcome, and everything comes back.

use mobula::ObjectRef;

use super::all_cpus_back;
use super::support::{all_space_back, get, start, stats};

#[mobula::task(max_retries = -1)]
fn short(x: u64) -> u64 {
    x
}

#[mobula::task(max_retries = 2)]
fn deadly(x: u64) -> u64 {
    if x.is_multiple_of(5) {
        std::process::abort();
    }
    x
}

#[mobula::task]
fn nested(x: u64) -> Result<u64, mobula::Error> {
    mobula::get(&short::remote(x))
}

pub struct Echo {}

#[mobula::actor]
impl Echo {
    pub fn new() -> Self {
        Echo {}
    }

    pub fn echo(&self, x: u64) -> u64 {
        x
    }
}

/// Either the value or that it was cancelled, or what `other` allows.
fn settle(refs: Vec<(u64, ObjectRef<u64>)>, other: fn(&mobula::Error) -> bool) -> usize {
    refs.iter()
        .filter(|(x, one)| match get(one) {
            Ok(value) => {
                assert_eq!(value, *x);
                false
            }
            Err(error) => {
                assert!(error.is_cancelled() || other(&error), "{error}");
                error.is_cancelled()
            }
        })
        .count()
}

#[mobula::test]
fn with_answers() {
    let _runtime = start();
    let echo = Echo::remote().unwrap();
    let warm: Vec<_> = (0..100).map(short::remote).collect();
    mobula::get_all(&warm).unwrap();
    assert_eq!(get(&echo.echo(1).remote()).unwrap(), 1);
    drop(warm);
    let before = stats();
    let mut cancelled = 0;
    for round in 0..200_u64 {
        let mut refs: Vec<_> = (0..50).map(|x| (x, short::remote(x))).collect();
        refs.extend((0..50).map(|x| (x, echo.echo(x).remote())));
        refs.extend((0..4).map(|x| (x, nested::remote(x))));
        for (_, one) in refs.iter().skip(round as usize % 7).step_by(3) {
            mobula::cancel(one, false).unwrap();
        }
        cancelled +=
            settle(refs, |error| error.task_failure().is_some_and(|failure| failure.message.contains("cancelled")));
    }
    assert!(cancelled > 100, "{cancelled}");
    all_cpus_back(2.0);
    all_space_back(before);
}

#[mobula::test]
fn with_deaths_and_by_force() {
    let _runtime = start();
    let mut refs = Vec::new();
    for round in 0..30_u64 {
        let some: Vec<_> =
            (0..40).map(|x| (x, deadly::remote(x))).chain((0..10).map(|x| (x, short::remote(x)))).collect();
        for (_, one) in some.iter().skip(round as usize % 5).step_by(4) {
            mobula::cancel(one, round % 3 == 0).unwrap();
        }
        refs.extend(some);
    }
    let cancelled = settle(refs, mobula::Error::is_worker_crashed);
    assert!(cancelled > 100, "{cancelled}");
    all_cpus_back(2.0);
    assert_eq!(get(&short::remote(3)).unwrap(), 3);
}

#[mobula::test]
fn with_each_other() {
    let _runtime = start();
    for _ in 0..50 {
        let refs: Vec<_> = (0..50).map(|x| (x, short::remote(x))).collect();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| refs.iter().for_each(|(_, one)| mobula::cancel(one, false).unwrap()));
            }
        });
        settle(refs, |_| false);
    }
    all_cpus_back(2.0);
}
