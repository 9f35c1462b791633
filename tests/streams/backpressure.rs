//! How far the maker is ahead of the reader.

use super::support::{Scratch, eventually, get, start, start_with};
use super::{all_cpus_back, lines, next, noted, plain};

#[mobula::task(stream_backpressure = 3)]
fn bounded(diary: String, to: u64) -> impl Iterator<Item = u64> {
    super::Noted::new(diary, to)
}

pub struct Mill;

#[mobula::actor]
impl Mill {
    pub fn new() -> Self {
        Mill
    }

    #[mobula::method(stream_backpressure = 2)]
    pub fn grind(&mut self, diary: String, to: u64) -> impl Iterator<Item = u64> {
        super::Noted::new(diary, to)
    }
}

/// Takes all of a stream that makes 20 items, and looks after each step how many it has made.
fn follow(mut stream: mobula::ObjectRefStream<u64>, diary: &Scratch, window: usize) {
    // When the maker is told how many were taken, and so how far it comes at least.
    let step = (window / 2).max(1);
    for taken in 0..20 {
        let told = taken / step * step;
        eventually("so many are made", || lines(diary, "made") >= (told + window).min(20));
        assert!(lines(diary, "made") <= taken + window);
        assert_eq!(get(&next(&mut stream).unwrap()).unwrap(), taken as u64);
    }
    assert!(next(&mut stream).is_none());
    assert_eq!((lines(diary, "made"), lines(diary, "dropped")), (20, 1));
}

#[mobula::test]
fn a_task_is_never_further_ahead_than_it_may() {
    let _runtime = start();
    for window in [1, 2, 5] {
        let diary = Scratch::new("diary");
        follow(noted::options().stream_backpressure(window).remote(diary.text(), 20), &diary, window);
    }
    let diary = Scratch::new("diary");
    follow(bounded::remote(diary.text(), 20), &diary, 3);
    let diary = Scratch::new("diary");
    follow(bounded::options().stream_backpressure(1).remote(diary.text(), 20), &diary, 1);
}

#[mobula::test]
fn nor_is_a_method() {
    let _runtime = start();
    let mill = Mill::remote().unwrap();
    let diary = Scratch::new("diary");
    follow(mill.grind(diary.text(), 20).remote(), &diary, 2);
    let diary = Scratch::new("diary");
    follow(mill.grind(diary.text(), 20).stream_backpressure(4).remote(), &diary, 4);
}

#[mobula::test]
fn by_default_a_thousand_wait() {
    let _runtime = start();
    let diary = Scratch::new("diary");
    let mut stream = noted::remote(diary.text(), 5000);
    eventually("a thousand are made", || lines(&diary, "made") == 1000);
    let mut taken = 0;
    while let Some(item) = next(&mut stream) {
        assert_eq!(get(&item).unwrap(), taken);
        taken += 1;
        if taken % 100 == 0 {
            assert!(lines(&diary, "made") as u64 <= taken + 1000);
        }
    }
    assert_eq!(taken, 5000);
}

#[mobula::test]
fn a_task_that_pauses_lends_its_cpu() {
    let _runtime = start_with(1.0);
    let diary = Scratch::new("diary");
    let mut stream = noted::options().stream_backpressure(1).remote(diary.text(), 3);
    for item in 0..3 {
        eventually("it is made", || lines(&diary, "made") as u64 > item);
        assert_eq!(get(&plain::remote(item)).unwrap(), item);
        assert_eq!(get(&next(&mut stream).unwrap()).unwrap(), item);
    }
    assert!(next(&mut stream).is_none());
    all_cpus_back(1.0);
}
