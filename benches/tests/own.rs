//! The harness as a library: a suite of somebody else's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use std::io;

use mobula::prelude::*;
use mobula_bench::{Figure, Limit, Row, Session, Sink, Skipped, Unit, check, singles};

/// Doubles.
struct Doubler;

#[mobula::actor]
impl Doubler {
    pub fn new() -> Self {
        Doubler
    }

    pub fn double(&self, number: u64) -> u64 {
        2 * number
    }
}

/// Keeps rows.
#[derive(Default)]
struct Kept(Vec<Row>);

impl Sink for Kept {
    fn row(&mut self, row: &Row) -> io::Result<()> {
        self.0.push(row.clone());
        Ok(())
    }

    fn skipped(&mut self, skipped: &Skipped) -> io::Result<()> {
        panic!("{skipped:?}")
    }
}

#[mobula::test]
fn an_own_suite_stands_beside_limits() {
    let mut kept = Kept::default();
    let mut session = Session::new(true, &mut kept);
    let measured = session.run_own(|session| {
        session.limits("own", &[Limit::AtomicPair])?;
        let _runtime = mobula::init(Config::new().num_cpus(1.0))?;
        let doubler = Doubler::remote()?;
        let double = |i| check("double", mobula::get(&doubler.double(i as u64).remote())?, 2 * i as u64);
        let samples = singles(session.clock(), session.count(1_000, 50), double)?;
        session.emit("own", "double", Figure::of(&samples), Some(Limit::AtomicPair.name()))
    });
    measured.unwrap();
    drop(session);
    let [limit, double] = &kept.0[..] else { panic!("{kept:?}", kept = kept.0) };
    assert_eq!((limit.row, double.row, double.suite), ("limit_atomic_pair", "double", "own"));
    assert_eq!((double.unit, double.limit, double.limit_row), (Unit::Nanoseconds, Some(limit.value), Some(limit.row)));
    assert!(double.value > 0.0 && double.ratio().is_some() && double.verdict().is_none(), "{double:?}");
}

#[mobula::test]
fn a_wrong_result_ends_a_suite() {
    let mut kept = Kept::default();
    let wrong = Session::new(true, &mut kept)
        .run_own(|session| singles(session.clock(), 1, |_| check("sum", 1 + 1, 3)).map(drop));
    assert_eq!(wrong.unwrap_err().to_string(), "sum gave 2 where 3 is right; its figure was thrown away");
    assert!(kept.0.is_empty());
}
