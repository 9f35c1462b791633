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
    /// So many nanoseconds at most, on any machine.
    Within(f64),
    /// So many nanoseconds at most for 99 of 100 operations, on any machine.
    Tail(f64),
    /// So many nanoseconds above the limit at most.
    Over(f64),
    /// So much at least, in the row's own unit, on any machine.
    Least(f64),
    /// So much at most, in the row's own unit, on any machine.
    Most(f64),
    /// So many times the limit at most.
    AtMost(f64),
    /// So many times the limit at least.
    AtLeast(f64),
}

use Target::{AtLeast, AtMost, Least, Most, Over, Tail, Time, Within};

/// A row's name and all that it should reach.
type Wanted = (&'static str, &'static [Target]);

const STORE: [Wanted; 23] = [
    ("get_200KB", &[Time(40.0)]),
    ("get_200KB_other_process", &[Time(250.0)]),
    ("get_200KB_hot_shared", &[AtMost(1.2)]),
    ("contains", &[Time(20.0)]),
    ("put_1KB", &[Time(150.0)]),
    ("delete_1KB", &[Time(80.0)]),
    ("create_seal_100MB", &[Time(2_000.0)]),
    ("release_last_shared", &[Time(150.0)]),
    ("put_100KB", &[AtLeast(0.8)]),
    ("put_1MB", &[AtLeast(0.8)]),
    ("put_100MB_warm", &[AtLeast(0.9)]),
    ("put_100MB_fresh", &[AtLeast(1.5)]),
    ("put_100MB_prefaulted", &[AtLeast(0.9)]),
    ("put_gigabytes_2_clients", &[AtLeast(0.9)]),
    ("wait_wake", &[AtMost(1.3)]),
    ("wait_wake_1cpu", &[AtMost(1.3)]),
    ("wait_wake_2cpu", &[AtMost(1.3)]),
    ("reap_10k", &[Time(5e6)]),
    ("get_n10", &[Time(25.0)]),
    ("get_n10k", &[Time(40.0)]),
    ("get_n1M", &[Time(200.0)]),
    ("get_c16", &[AtMost(1.5)]),
    ("get_c128", &[AtMost(1.5)]),
];

const CALLS: [Wanted; 14] = [
    ("actor_call_sync_hot", &[Within(500.0), AtMost(1.7), Tail(900.0)]),
    ("actor_call_sync_asleep", &[Within(8_000.0), AtMost(1.25)]),
    ("actor_call_sync_oversubscribed", &[Within(8_000.0)]),
    ("1_1_actor_calls_async", &[Least(8e6)]),
    ("1_n_actor_calls_async", &[Least(6e6)]),
    ("n_n_actor_calls_async", &[Least(6e6)]),
    ("n_n_actor_calls_with_arg_async", &[Least(2e6)]),
    ("actor_call_1MB_array", &[Over(500.0)]),
    ("actor_call_1MB_array_put", &[Over(3_000.0)]),
    ("as_completed_1k", &[Within(1e6)]),
    ("wait_1k_refs", &[Within(15e6)]),
    ("get_10k_refs", &[Within(3e6)]),
    ("kill_actor_to_error", &[Within(300_000.0)]),
    ("restart_to_result", &[Within(10e6)]),
];

const TASKS: [Wanted; 4] = [
    ("tasks_sync", &[Within(1_000.0)]),
    ("tasks_async", &[Least(4e6)]),
    ("queued_10k_tasks", &[Least(1e6)]),
    ("queued_1M_tasks", &[Least(1e6)]),
];

const PARAMETER_SERVER: [Wanted; 3] = [
    ("ps_sync_8MB", &[AtLeast(0.7), Least(4.0 * 69.0)]),
    ("ps_async_8MB", &[AtLeast(0.7), Least(4.0 * 103.0)]),
    ("ps_sync_80MB", &[AtLeast(0.7), Least(4.0 * 8.3)]),
];

const CHANNEL: [Wanted; 2] = [("channel_hop_8B", &[Within(300.0)]), ("channel_hop_4MB", &[Within(300.0)])];

const QUEUE: [Wanted; 2] = [("queue_1_1", &[Least(10e6)]), ("queue_2_2", &[Least(3e6)])];

const GRAPH: [Wanted; 1] = [("graph_1_actor", &[Within(600.0)])];

const STARTUP: [Wanted; 7] = [
    ("init", &[Within(5e6)]),
    ("shutdown", &[Within(5e6)]),
    ("actor_creation_1", &[AtMost(0.5)]),
    ("actor_creation_10", &[AtMost(2.5)]),
    ("actor_creation_warm", &[Within(100_000.0)]),
    ("idle_pss", &[Most(12.0)]),
    ("idle_cpu", &[Most(0.1)]),
];

/// How the names of rows begin that are measured with many clients.
const CROWDS: [&str; 2] = ["delete_1KB_c", "release_last_shared_c"];

/// How a row compares with its target.
///
/// These kinds of targets are there:
/// - a ratio to the row's limit, which was measured in the same run, or nanoseconds on top of it, judged by
///   `value`;
/// - the store's times in nanoseconds on a reference machine, judged by `p50`. Elsewhere they are scaled by
///   the row's limit: `target * limit / (that limit on the reference machine)`. All of these scale with
///   `limit_atomic_pair`, 8.88 ns there, also those that move cache lines between processes or wait for
///   memory: it says how fast the processor is, and it is steady where the others are not;
/// - elsewhere times, judged by `p50` or `p99`, rates and amounts that are the same on every machine. They
///   were set for the reference machine.
///
/// A row that has several targets is judged by the one that it is farthest from. A quick run's verdicts mean
/// as little as its figures.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// What was asked for: a time on this machine in nanoseconds, a ratio to the limit, or an amount in the
    /// row's unit.
    pub target: f64,
    /// The row's figure divided by the target, or the other way round where more is better: the target is
    /// met if this is at most one.
    pub excess: f64,
    kind: Target,
    unit: Unit,
}

impl Verdict {
    /// Judges a row; `None` if it has no target or its limit was not measured.
    pub(crate) fn of(row: &Row) -> Option<Self> {
        let verdicts = find(row).iter().filter_map(|kind| Self::by(row, *kind));
        verdicts.max_by(|one, other| one.excess.total_cmp(&other.excess))
    }

    fn by(row: &Row, kind: Target) -> Option<Self> {
        let (target, excess) = match kind {
            Time(on_reference) => {
                let reference = REFERENCE.iter().find(|(name, _)| Some(*name) == row.limit_row)?.1;
                let target = on_reference * row.limit? / reference;
                (target, row.p50? / target)
            }
            Within(ns) => (ns, row.p50? / ns),
            Tail(ns) => (ns, row.p99? / ns),
            Over(ns) => (row.limit? + ns, row.value / (row.limit? + ns)),
            Least(least) => (least, least / row.value.max(f64::MIN_POSITIVE)),
            Most(most) => (most, row.value / most),
            AtMost(ratio) => (ratio, row.ratio()? / ratio),
            AtLeast(ratio) => (ratio, ratio / row.ratio()?),
        };
        Some(Verdict { target, excess, kind, unit: row.unit })
    }

    /// Says whether the row is as good as it should be.
    pub fn is_met(&self) -> bool {
        self.excess <= 1.0
    }

    /// Shows what was asked for.
    pub(crate) fn bound(&self) -> String {
        match self.kind {
            Time(_) | Within(_) => format!("<= {}", Unit::Nanoseconds.show(self.target)),
            Tail(_) => format!("p99 <= {}", Unit::Nanoseconds.show(self.target)),
            Over(_) | Most(_) => format!("<= {}", self.unit.show(self.target)),
            Least(_) => format!(">= {}", self.unit.show(self.target)),
            AtMost(ratio) => format!("<= {ratio:.2} x"),
            AtLeast(ratio) => format!(">= {ratio:.2} x"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match self.excess {
            excess if excess <= 1.0 => "met".to_owned(),
            excess if excess < 10.0 => format!("missed {excess:.2}x"),
            excess => format!("missed {excess:.0}x"),
        })
    }
}

fn find(row: &Row) -> &'static [Target] {
    // Rows of a crowd are to be near the smallest of them, which itself stands beside another limit.
    let crowd = CROWDS.into_iter().find(|kind| row.suite == "store" && row.row.starts_with(kind));
    if let Some(kind) = crowd {
        let among_them = row.limit_row.is_some_and(|limit| limit.starts_with(kind));
        return if among_them { &[AtMost(3.0)] } else { &[] };
    }
    let wanted: &[Wanted] = match row.suite {
        "store" => &STORE,
        "calls" => &CALLS,
        "tasks" => &TASKS,
        "ps" => &PARAMETER_SERVER,
        "channel" => &CHANNEL,
        "queue" => &QUEUE,
        "graph" => &GRAPH,
        "startup" => &STARTUP,
        _ => &[],
    };
    wanted.iter().find(|(name, _)| *name == row.row).map_or(&[], |(_, targets)| targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(row: &'static str, p50: f64, value: f64, limit: f64, limit_row: &'static str) -> Row {
        let (unit, limit, limit_row) = (Unit::Nanoseconds, Some(limit), Some(limit_row));
        Row { suite: "store", row, unit, p50: Some(p50), p99: None, value, limit, limit_row, against: Vec::new() }
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
    fn the_worst_of_several_targets_counts() {
        let call = |p50, p99, limit| {
            let row = Row { suite: "calls", p99: Some(p99), ..row("actor_call_sync_hot", p50, p50, limit, "limit") };
            let verdict = row.verdict().unwrap();
            (verdict.bound(), verdict.is_met())
        };
        assert_eq!(call(400.0, 800.0, 300.0), ("p99 <= 900 ns".to_owned(), true));
        assert_eq!(call(600.0, 800.0, 600.0), ("<= 500 ns".to_owned(), false));
        assert_eq!(call(400.0, 800.0, 80.0), ("<= 1.70 x".to_owned(), false));
        let array = Row { suite: "calls", ..row("actor_call_1MB_array", 0.0, 900.0, 500.0, "actor_call_sync_hot") };
        assert_eq!(array.verdict().unwrap().bound(), "<= 1000 ns");
        let rate = Row { suite: "tasks", unit: Unit::PerSecond, ..row("tasks_async", 0.0, 2e6, 1.0, "limit") };
        assert_eq!((rate.verdict().unwrap().bound().as_str(), rate.verdict().unwrap().excess), (">= 4.00 M/s", 2.0));
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
