//! What came of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::size;
use crate::torture::ledger::Tally;

/// The result of a run, as programs read it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) rounds: u64,
    pub(crate) operations: u64,
    pub(crate) operations_by_kind: BTreeMap<&'static str, u64>,
    pub(crate) worker_kills: u64,
    pub(crate) worker_stops: u64,
    pub(crate) worker_leaves: u64,
    pub(crate) node_kills: u64,
    pub(crate) node_stops: u64,
    pub(crate) node_leaves: u64,
    pub(crate) adoptions: u64,
    pub(crate) checks: u64,
    pub(crate) objects_verified: u64,
    pub(crate) bytes_verified: u64,
    pub(crate) orphans_verified: u64,
    pub(crate) slowest_reap_ms: f64,
    pub(crate) slowest_wake_ms: f64,
    pub(crate) violations: Vec<String>,
    /// What was seen around the violations.
    pub(crate) evidence: Vec<String>,
}

impl Report {
    /// Adds what a process has counted.
    pub(crate) fn add(&mut self, tally: &Tally) {
        for (op, n) in &tally.ops {
            *self.operations_by_kind.entry(op.name()).or_default() += n;
            self.operations += n;
        }
        self.objects_verified += tally.objects;
        self.bytes_verified += tally.bytes;
        self.slowest_wake_ms = self.slowest_wake_ms.max(tally.slowest_wake_ns as f64 / 1e6);
    }

    /// Notes how long a reaping took.
    pub(crate) fn reaped(&mut self, took: Duration) {
        self.slowest_reap_ms = self.slowest_reap_ms.max(took.as_secs_f64() * 1e3);
    }

    /// Prints the result.
    pub(crate) fn print(&self, json: bool, out: &mut Output) -> Result<(), Failure> {
        if json {
            return out.json(self);
        }
        for line in &self.evidence {
            out.line(format!("  {line}"))?;
        }
        for violation in &self.violations {
            out.line(format!("violation: {violation}"))?;
        }
        let kinds: Vec<String> = self.operations_by_kind.iter().map(|(name, n)| format!("{name} {n}")).collect();
        let lines = [
            ("seed", self.seed.to_string()),
            ("time", format!("{:.1} s in {} rounds", self.seconds, self.rounds)),
            ("operations", format!("{} ({})", self.operations, kinds.join(", "))),
            (
                "workers",
                format!("{} killed, {} stopped, {} left", self.worker_kills, self.worker_stops, self.worker_leaves),
            ),
            (
                "nodes",
                format!(
                    "{} killed, {} stopped, {} left, {} adopted a store",
                    self.node_kills, self.node_stops, self.node_leaves, self.adoptions
                ),
            ),
            ("checks", self.checks.to_string()),
            (
                "verified",
                format!(
                    "{} objects, {}, {} of the dead",
                    self.objects_verified,
                    size::bytes(self.bytes_verified),
                    self.orphans_verified
                ),
            ),
            ("slowest reap", format!("{:.1} ms", self.slowest_reap_ms)),
            ("slowest wake", format!("{:.1} ms", self.slowest_wake_ms)),
            ("violations", self.violations.len().to_string()),
        ];
        lines.iter().try_for_each(|(name, value)| out.line(format!("{name:<14} {value}")))
    }
}
