//! A stream that nobody reads any more: its maker ends, and nothing is left of its items.

use super::support::{Gate, Scratch, all_space_back, get, start, start_with, stats};
use super::{all_cpus_back, gated, lines, next, noted, plain, until_noted};

#[mobula::task]
fn large(diary: String) -> impl Iterator<Item = Vec<u8>> {
    super::Noted::new(diary, u64::MAX).map(|_| vec![7; 100_000])
}

pub struct Well;

#[mobula::actor]
impl Well {
    pub fn new() -> Self {
        Well
    }

    pub fn draw(&mut self, diary: String) -> impl Iterator<Item = u64> {
        super::Noted::new(diary, u64::MAX)
    }

    pub fn add(&self, a: u32, b: u32) -> u32 {
        a + b
    }
}

#[mobula::test]
fn a_maker_that_pauses_ends() {
    let _runtime = start();
    let before = stats();
    let diary = Scratch::new("diary");
    let mut stream = large::options().stream_backpressure(4).remote(diary.text());
    let kept = next(&mut stream).unwrap();
    super::eventually("it pauses", || lines(&diary, "made") >= 4);
    drop(stream);
    until_noted(&diary, "dropped");
    assert!(lines(&diary, "made") <= 5);
    all_cpus_back(2.0);
    assert_eq!(get(&kept).unwrap().len(), 100_000, "what was taken stays");
    drop(kept);
    all_space_back(before);
}

#[mobula::test]
fn a_maker_that_works_ends_after_its_item() {
    let _runtime = start();
    let before = stats();
    let diary = Scratch::new("diary");
    let mut stream = noted::options().stream_backpressure(usize::MAX).remote(diary.text(), u64::MAX);
    assert!(next(&mut stream).is_some());
    drop(stream);
    until_noted(&diary, "dropped");
    all_cpus_back(2.0);
    all_space_back(before);
}

#[mobula::test]
fn one_that_has_not_begun_never_does() {
    let _runtime = start_with(1.0);
    let (gate, diary) = (Gate::new(), Scratch::new("diary"));
    let mut held = gated::remote(1, gate.text());
    assert_eq!(get(&next(&mut held).unwrap()).unwrap(), 0);
    drop(noted::remote(diary.text(), 3));
    // And one whose argument is not there.
    let late = plain::remote(3);
    drop(noted::remote(diary.text(), &late));
    gate.open();
    assert_eq!(held.count(), 1);
    assert_eq!(get(&late).unwrap(), 3);
    assert_eq!(get(&plain::remote(1)).unwrap(), 1);
    all_cpus_back(1.0);
    assert!(diary.lines().is_empty());
}

#[mobula::test]
fn an_actor_goes_on_with_other_calls() {
    let _runtime = start();
    let before = stats().objects;
    let well = Well::remote().unwrap();
    for round in 0..10 {
        let diary = Scratch::new("diary");
        let mut stream = well.draw(diary.text()).remote();
        for item in 0..round {
            assert_eq!(get(&next(&mut stream).unwrap()).unwrap(), item);
        }
        let sum = well.add(1, 2).remote();
        drop(stream);
        assert_eq!(get(&sum).unwrap(), 3);
        // It may have been called off before it had begun.
        assert!(lines(&diary, "dropped") == 1 || diary.lines().is_empty());
    }
    drop(well);
    super::eventually("the actor is gone", || stats().objects <= before);
}
