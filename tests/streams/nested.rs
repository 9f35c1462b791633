//! Streams inside tasks and actors, and readers that die.

use mobula::prelude::*;

use super::support::{Gate, Scratch, eventually, get, start};
use super::{all_cpus_back, count, lines, noted, until_noted, values};

#[mobula::task]
fn sum(to: u64) -> u64 {
    count::options().stream_backpressure(3).remote(to).map(|item| mobula::get(&item).unwrap()).sum()
}

/// A stage of a pipeline: takes from one stream and gives another.
#[mobula::task]
fn doubled(to: u64) -> impl Iterator<Item = u64> {
    count::remote(to).map(|item| 2 * mobula::get(&item).unwrap())
}

pub struct Source;

#[mobula::actor]
impl Source {
    pub fn new() -> Self {
        Source
    }

    pub fn flow(&mut self, diary: String) -> impl Iterator<Item = u64> {
        super::Noted::new(diary, u64::MAX)
    }

    pub fn add(&self, a: u32, b: u32) -> u32 {
        a + b
    }
}

/// Reads one item of a stream and then waits for ever.
#[mobula::task(max_retries = 0)]
fn hold(source: ActorHandle<Source>, making: String, gate: String) {
    let mut stream = source.flow(making).stream_backpressure(1).remote();
    mobula::get(&stream.next().unwrap()).unwrap();
    super::pass(&gate);
    drop(stream);
}

#[mobula::test]
fn a_task_reads_a_stream() {
    let _runtime = start();
    assert_eq!(get(&sum::remote(100)).unwrap(), 4950);
    assert_eq!(values(doubled::remote(100)), (0..200).step_by(2).collect::<Vec<_>>());
    all_cpus_back(2.0);
}

#[mobula::test]
fn the_death_of_the_reader_ends_the_maker() {
    let _runtime = start();
    let (making, gate) = (Scratch::new("making"), Gate::new());
    let source = Source::remote().unwrap();
    let reader = hold::remote(&source, making.text(), gate.text());
    // One was taken, one waits: the maker pauses.
    eventually("two are made", || lines(&making, "made") == 2);
    let sum = source.add(1, 2).remote();
    mobula::cancel(&reader, true).unwrap();
    until_noted(&making, "dropped");
    assert_eq!(get(&sum).unwrap(), 3);
    assert_eq!(lines(&making, "made"), 2);
}

#[mobula::test]
fn a_worker_that_ends_with_its_task_leaves_no_maker() {
    let _runtime = start();
    let making = Scratch::new("making");
    assert_eq!(get(&first::remote(making.text())).unwrap(), 0);
    until_noted(&making, "dropped");
    all_cpus_back(2.0);
}

/// Reads one item and leaves the rest.
#[mobula::task]
fn first(making: String) -> u64 {
    mobula::get(&noted::remote(making, u64::MAX).next().unwrap()).unwrap()
}
