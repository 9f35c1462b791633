//! What the rows should reach; [`Verdict`] says how they are judged.
//!
//! The reference machine is a virtual one under KVM with two processors of the Sapphire Rapids class;
//! [`REFERENCE`] has what its limits were.

use std::fmt;

use crate::limits::Limit;
use crate::report::{Row, Unit};

/// The limits of the reference machine, in nanoseconds.
const REFERENCE: [(&str, f64); 1] = [(Limit::AtomicPair.name(), 8.88)];

/// What a row should reach.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    /// So many nanoseconds on the reference machine at most.
    Time(f64),
    /// So many times the limit at most.
    AtMost(f64),
    /// So many times the limit at least.
    AtLeast(f64),
}

/// The targets of the suite `store`.
const STORE: [(&str, Target); 23] = [
    ("get_200KB", Target::Time(40.0)),
    ("get_200KB_other_process", Target::Time(250.0)),
    ("get_200KB_hot_shared", Target::AtMost(1.2)),
    ("contains", Target::Time(20.0)),
    ("put_1KB", Target::Time(150.0)),
    ("delete_1KB", Target::Time(80.0)),
    ("create_seal_100MB", Target::Time(2_000.0)),
    ("release_last_shared", Target::Time(150.0)),
    ("put_100KB", Target::AtLeast(0.8)),
    ("put_1MB", Target::AtLeast(0.8)),
    ("put_100MB_warm", Target::AtLeast(0.9)),
    ("put_100MB_fresh", Target::AtLeast(1.5)),
    ("put_100MB_prefaulted", Target::AtLeast(0.9)),
    ("put_gigabytes_2_clients", Target::AtLeast(0.9)),
    ("wait_wake", Target::AtMost(1.3)),
    ("wait_wake_1cpu", Target::AtMost(1.3)),
    ("wait_wake_2cpu", Target::AtMost(1.3)),
    ("reap_10k", Target::Time(5e6)),
    ("get_n10", Target::Time(25.0)),
    ("get_n10k", Target::Time(40.0)),
    ("get_n1M", Target::Time(200.0)),
    ("get_c16", Target::AtMost(1.5)),
    ("get_c128", Target::AtMost(1.5)),
];

/// How the names of rows begin that are measured with many clients.
const CROWDS: [&str; 2] = ["delete_1KB_c", "release_last_shared_c"];

/// How a row compares with its target.
///
/// There are two kinds of targets:
/// - a ratio to the row's limit, which was measured in the same run, judged by `value`;
/// - a time in nanoseconds on a reference machine, judged by `p50`. Elsewhere it is scaled by the row's
///   limit: `target * limit / (that limit on the reference machine)`. All of these scale with
///   `limit_atomic_pair`, 8.88 ns there, also those that move cache lines between processes or wait for
///   memory: it says how fast the processor is, and it is steady where the others are not.
///
/// A quick run's verdicts mean as little as its figures.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// What was asked for: a time on this machine in nanoseconds, or a ratio to the limit.
    pub target: f64,
    /// The row's figure divided by the target, or the other way round where more is better: the target is
    /// met if this is at most one.
    pub excess: f64,
    kind: Target,
}

impl Verdict {
    /// Judges a row; `None` if it has no target or its limit was not measured.
    pub(crate) fn of(row: &Row) -> Option<Self> {
        let kind = find(row)?;
        let (target, excess) = match kind {
            Target::Time(on_reference) => {
                let reference = REFERENCE.iter().find(|(name, _)| Some(*name) == row.limit_row)?.1;
                let target = on_reference * row.limit? / reference;
                (target, row.p50? / target)
            }
            Target::AtMost(ratio) => (ratio, row.ratio()? / ratio),
            Target::AtLeast(ratio) => (ratio, ratio / row.ratio()?),
        };
        Some(Verdict { target, excess, kind })
    }

    /// Says whether the row is as good as it should be.
    pub fn is_met(&self) -> bool {
        self.excess <= 1.0
    }

    /// Shows what was asked for.
    pub(crate) fn bound(&self) -> String {
        match self.kind {
            Target::Time(_) => format!("<= {}", Unit::Nanoseconds.show(self.target)),
            Target::AtMost(ratio) => format!("<= {ratio:.2} x"),
            Target::AtLeast(ratio) => format!(">= {ratio:.2} x"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&if self.is_met() { "met".to_owned() } else { format!("missed {:.2}x", self.excess) })
    }
}

fn find(row: &Row) -> Option<Target> {
    if row.suite != "store" {
        return None;
    }
    // Rows of a crowd are to be near the smallest of them, which itself stands beside another limit.
    if let Some(kind) = CROWDS.into_iter().find(|kind| row.row.starts_with(kind)) {
        return row.limit_row?.starts_with(kind).then_some(Target::AtMost(3.0));
    }
    STORE.iter().find(|(name, _)| *name == row.row).map(|(_, target)| *target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(row: &'static str, p50: f64, value: f64, limit: f64, limit_row: &'static str) -> Row {
        let (unit, limit, limit_row) = (Unit::Nanoseconds, Some(limit), Some(limit_row));
        Row { suite: "store", row, unit, p50: Some(p50), p99: None, value, limit, limit_row }
    }

    #[test]
    fn times_scale_with_the_limit() {
        let slow = row("get_200KB", 60.0, 500.0, 17.76, "limit_atomic_pair").verdict().unwrap();
        assert!((slow.target - 80.0).abs() < 1e-9 && slow.is_met(), "{slow:?}");
        let fast = row("get_200KB", 60.0, 5.0, 4.44, "limit_atomic_pair").verdict().unwrap();
        assert_eq!((fast.to_string().as_str(), fast.bound().as_str()), ("missed 3.00x", "<= 20.0 ns"));
        assert_eq!(row("get_200KB", 60.0, 5.0, 4.44, "limit_copy_1KB").verdict(), None, "no reference");
    }

    #[test]
    fn ratios_go_both_ways() {
        let judged = |name, value| row(name, 0.0, value, 10.0, "limit").verdict().unwrap().is_met();
        let crowded = |name, value, limit| row(name, 0.0, value, 10.0, limit).verdict().map(|verdict| verdict.is_met());
        assert!(judged("put_1MB", 8.0) && !judged("put_1MB", 7.9));
        assert!(judged("get_c16", 15.0) && !judged("get_c16", 15.1));
        assert_eq!(crowded("delete_1KB_c128_h100k", 30.0, "delete_1KB_c1_h0"), Some(true));
        assert_eq!(crowded("release_last_shared_c1_h0", 31.0, "release_last_shared_c16_h0"), Some(false));
        assert_eq!(crowded("delete_1KB_c1_h0", 31.0, "limit_atomic_pair"), None);
        assert_eq!(row("list_100k", 1.0, 1.0, 1.0, "limit_atomic_pair").verdict(), None);
    }
}
