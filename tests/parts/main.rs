//! Arrays that actors and tasks fill together, and that are filled although some of them are killed.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use mobula::ArrayPart;
use mobula::prelude::*;

use self::support::{all_space_back, get, start, stats};

const DEADLINE: Option<Duration> = Some(Duration::from_secs(120));

/// Gives each element its own index.
fn number(mut part: ArrayPart<u64>) {
    let from = part.range().start as u64;
    part.iter_mut().zip(from..).for_each(|(element, value)| *element = value);
    part.finish().unwrap();
}

#[mobula::task]
fn fill(array: SharedArray<u64>, part: usize) {
    number(array.part(part).unwrap());
}

/// Dies with its part half filled when that is the first run of it.
#[mobula::task(max_retries = 3)]
fn fill_or_die(array: SharedArray<u64>, part: usize, diary: String) {
    let part = array.part_timeout(part, DEADLINE).unwrap();
    if std::fs::OpenOptions::new().create_new(true).write(true).open(diary).is_ok() {
        std::process::abort();
    }
    number(part);
}

#[mobula::task]
fn sum(array: Array<u64>) -> u64 {
    array.iter().sum()
}

#[derive(Default)]
struct Filler {
    kept: Vec<ArrayPart<u64>>,
}

#[mobula::actor]
impl Filler {
    pub fn new() -> Self {
        Filler::default()
    }

    /// Claims a part and keeps it unfilled.
    pub fn keep(&mut self, array: SharedArray<u64>) -> usize {
        let part = array.next_part().unwrap().unwrap();
        let index = part.index();
        self.kept.push(part);
        index
    }

    /// Fills what others leave, until all is filled; gives the array.
    pub fn fill(&mut self, array: SharedArray<u64>) -> Array<u64> {
        while let Some(part) = array.wait_part(DEADLINE).unwrap() {
            number(part);
        }
        array.seal().unwrap()
    }
}

#[mobula::test]
fn tasks_fill_their_parts() {
    let _runtime = start();
    let before = stats();
    {
        let array = SharedArray::<u64>::new(&[1000, 10], 8).unwrap();
        let fills: Vec<_> = (0..8).map(|part| fill::remote(&array, part)).collect();
        array.wait(DEADLINE).unwrap();
        let sealed = array.seal().unwrap();
        assert_eq!(get(&sum::remote(&sealed)).unwrap(), (0..10_000).sum::<u64>());
        fills.iter().for_each(|fill| get(fill).unwrap());
    }
    all_space_back(before);
}

#[mobula::test]
fn a_task_that_dies_fills_its_part_when_it_is_retried() {
    let _runtime = start();
    let scratch = support::Scratch::new("parts");
    let before = stats();
    {
        let array = SharedArray::<u64>::new(&[1000], 2).unwrap();
        let dying = fill_or_die::remote(&array, 0, scratch.text());
        get(&fill::remote(&array, 1)).unwrap();
        get(&dying).unwrap();
        assert_eq!(get(&sum::remote(array.seal().unwrap())).unwrap(), (0..1000).sum::<u64>());
    }
    all_space_back(before);
}

#[mobula::test]
fn actors_fill_what_a_killed_one_leaves() {
    let _runtime = start();
    let before = stats();
    {
        let array = SharedArray::<u64>::new(&[64, 64], 16).unwrap();
        let doomed = Filler::remote().unwrap();
        let others = [Filler::remote().unwrap(), Filler::remote().unwrap()];
        let part = get(&doomed.keep(&array).remote()).unwrap();
        let filled: Vec<_> = others.iter().map(|other| other.fill(&array).remote()).collect();
        support::eventually("the rest is filled", || array.unfilled() == [part]);
        assert!(array.seal().unwrap_err().is_unfilled());
        mobula::kill(&doomed).unwrap();
        for array in &filled {
            assert!(get(array).unwrap().iter().copied().eq(0..4096));
        }
        array.wait(DEADLINE).unwrap();
        assert_eq!(array.seal().unwrap(), get(&filled[0]).unwrap());
    }
    all_space_back(before);
}
