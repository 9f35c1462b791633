//! Rows, and the two ways they are shown: a table for people, JSON lines for programs.

use std::borrow::Cow;
use std::io::{self, Write};

use crate::peers::Against;
use crate::targets::Verdict;

/// What a row's `value` and `limit` are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Nanoseconds for one operation; less is better.
    Nanoseconds,
    /// 10^9 bytes a second; more is better.
    GigabytesPerSecond,
    /// Operations a second; more is better.
    PerSecond,
    /// 10^6 bytes; less is better.
    Megabytes,
    /// Hundredths of a processor; less is better.
    Percent,
}

impl Unit {
    /// Returns the unit as JSON lines have it.
    pub fn symbol(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::GigabytesPerSecond => "GB/s",
            Unit::PerSecond => "1/s",
            Unit::Megabytes => "MB",
            Unit::Percent => "%",
        }
    }

    /// Says whether a larger figure is the better one.
    pub(crate) fn is_better_if_more(self) -> bool {
        matches!(self, Unit::GigabytesPerSecond | Unit::PerSecond)
    }

    /// Shows a power of ten.
    pub(crate) fn show_power(self, exponent: f64) -> String {
        match self.show(10_f64.powf(exponent)).split_once(' ') {
            Some((number, unit)) if number.contains('.') => {
                format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
            }
            Some((number, unit)) => format!("{number} {unit}"),
            None => String::new(),
        }
    }

    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::Nanoseconds => timed(value),
            Unit::GigabytesPerSecond => format!("{value:.2} GB/s"),
            Unit::PerSecond if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Unit::PerSecond if value >= 1e3 => format!("{:.2} k/s", value / 1e3),
            Unit::PerSecond => format!("{value:.1} /s"),
            Unit::Megabytes => format!("{value:.2} MB"),
            Unit::Percent => format!("{value:.3} %"),
        }
    }
}

/// The version that the figures are of.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A measured figure beside its limit; the crate's page says what each number means.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// The suite that it belongs to.
    pub suite: &'static str,
    /// Its name, unique in the suite.
    pub row: &'static str,
    /// What `value` and `limit` are counted in.
    pub unit: Unit,
    /// Half of the operations took no longer, in nanoseconds; `None` where nothing was timed.
    pub p50: Option<f64>,
    /// 99 of 100 operations took no longer, in nanoseconds.
    pub p99: Option<f64>,
    /// The figure.
    pub value: f64,
    /// What the machine can do, in the same unit.
    pub limit: Option<f64>,
    /// The row that the limit is the value of.
    pub limit_row: Option<&'static str>,
    /// What others reach, if the run was told to ask them.
    pub against: Vec<Against>,
}

impl Row {
    /// Returns `value` divided by `limit`.
    pub fn ratio(&self) -> Option<f64> {
        self.limit.filter(|&limit| limit > 0.0).map(|limit| self.value / limit)
    }

    /// Compares the row with its target, if it has one and its limit was measured.
    pub fn verdict(&self) -> Option<Verdict> {
        Verdict::of(self)
    }

    /// Writes the row as one line of JSON, without the end of line.
    pub fn to_json(&self) -> String {
        let number = |value: Option<f64>| match value {
            Some(value) if value.is_finite() => format!("{value:.3}"),
            _ => "null".to_owned(),
        };
        let limit_row = self.limit_row.map_or("null".to_owned(), quote);
        let pairs =
            self.against.iter().map(|against| format!("{}:{}", quote(&against.peer), number(Some(against.value))));
        let against = match pairs.collect::<Vec<_>>().join(",") {
            pairs if pairs.is_empty() => pairs,
            pairs => format!(",\"against\":{{{pairs}}}"),
        };
        format!(
            "{{\"suite\":{},\"row\":{},\"unit\":{},\"p50\":{},\"p99\":{},\"value\":{},\"limit\":{},\"limit_row\":{limit_row},\"version\":{VERSION:?}{against}}}",
            quote(self.suite),
            quote(self.row),
            quote(self.unit.symbol()),
            number(self.p50),
            number(self.p99),
            number(Some(self.value)),
            number(self.limit),
        )
    }
}

/// A figure that could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The suite that it belongs to.
    pub suite: &'static str,
    /// Its name.
    pub row: &'static str,
    /// Why there is none.
    pub why: Cow<'static, str>,
}

impl Skipped {
    pub(crate) fn new(suite: &'static str, row: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Skipped { suite, row, why: why.into() }
    }
}

/// Takes rows as they are measured.
pub trait Sink {
    /// Takes a row.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn row(&mut self, row: &Row) -> io::Result<()>;

    /// Takes the reason why there is no such row.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn skipped(&mut self, skipped: &Skipped) -> io::Result<()>;

    /// Learns that there will be no more rows.
    ///
    /// # Errors
    ///
    /// If what was kept until now cannot be written.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line of JSON for each row; what was skipped goes to standard error.
#[derive(Debug)]
pub struct JsonSink<W> {
    out: W,
}

impl<W: Write> JsonSink<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        JsonSink { out }
    }
}

impl<W: Write> Sink for JsonSink<W> {
    fn row(&mut self, row: &Row) -> io::Result<()> {
        writeln!(self.out, "{}", row.to_json())?;
        self.out.flush()
    }

    fn skipped(&mut self, skipped: &Skipped) -> io::Result<()> {
        let Skipped { suite, row, why } = skipped;
        writeln!(io::stderr(), "{suite}: {row} was not measured: {why}")
    }
}

/// Writes a table.
#[derive(Debug)]
pub struct TableSink<W> {
    out: W,
    suite: Option<&'static str>,
}

impl<W: Write> TableSink<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        TableSink { out, suite: None }
    }

    fn heading(&mut self, suite: &'static str) -> io::Result<()> {
        if self.suite == Some(suite) {
            return Ok(());
        }
        let space = if self.suite.replace(suite).is_some() { "\n" } else { "" };
        let columns = ["p50", "p99", "value", "limit", "ratio", "target", ""];
        line(&mut self.out, &format!("{space}{suite}"), columns, "limit row")
    }
}

impl<W: Write> Sink for TableSink<W> {
    fn row(&mut self, row: &Row) -> io::Result<()> {
        self.heading(row.suite)?;
        let ns = |time: Option<f64>| time.map_or("-".to_owned(), timed);
        let verdict = row.verdict();
        let shown = [
            ns(row.p50),
            ns(row.p99),
            row.unit.show(row.value),
            row.limit.map_or("-".to_owned(), |limit| row.unit.show(limit)),
            row.ratio().map_or("-".to_owned(), |ratio| match ratio {
                ratio if ratio < 0.001 => format!("{ratio:.1e}"),
                ratio if ratio < 0.1 => format!("{ratio:.4}"),
                ratio if ratio < 1000.0 => format!("{ratio:.2}"),
                ratio => format!("{ratio:.0}"),
            }),
            verdict.map_or(String::new(), |verdict| verdict.bound()),
            verdict.map_or(String::new(), |verdict| verdict.to_string()),
        ];
        let name = format!("  {}", row.row);
        let mut last = row.limit_row.unwrap_or("").to_owned();
        for against in &row.against {
            last = format!("{last:<LIMIT_WIDTH$}  {}", against.show(row.unit));
        }
        line(&mut self.out, &name, shown.each_ref().map(String::as_str), &last)?;
        self.out.flush()
    }

    fn skipped(&mut self, skipped: &Skipped) -> io::Result<()> {
        self.heading(skipped.suite)?;
        writeln!(self.out, "  {:<1$} not measured: {2}", skipped.row, NAME_WIDTH - 2, skipped.why)
    }
}

/// As wide as the longest name that we have, indented.
const NAME_WIDTH: usize = 47;
/// The same of the names of limits.
const LIMIT_WIDTH: usize = 22;

impl Against {
    /// Shows the figure and how many times better ours is.
    pub(crate) fn show(&self, unit: Unit) -> String {
        let Against { peer, value, ratio } = self;
        let ratio = if *ratio < 10.0 { format!("{ratio:.2}") } else { format!("{ratio:.0}") };
        format!("{peer} {} ({ratio}x)", unit.show(*value))
    }
}

fn line(out: &mut impl Write, name: &str, columns: [&str; 7], last: &str) -> io::Result<()> {
    let [p50, p99, value, limit, ratio, target, verdict] = columns;
    let text = format!(
        "{name:<NAME_WIDTH$}{p50:>11}{p99:>11}{value:>12}{limit:>12}{ratio:>9}  {target:<14}{verdict:<14}{last}"
    );
    writeln!(out, "{}", text.trim_end())
}

/// Shows a time.
pub(crate) fn timed(ns: f64) -> String {
    match ns {
        ns if ns < 100.0 => format!("{ns:.1} ns"),
        ns if ns < 10_000.0 => format!("{ns:.0} ns"),
        ns if ns < 10e6 => format!("{:.1} us", ns / 1e3),
        ns if ns < 10e9 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.1} s", ns / 1e9),
    }
}

fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            suite: "store",
            row: "put",
            unit: Unit::GigabytesPerSecond,
            p50: Some(1500.0),
            p99: None,
            value: 8.0,
            limit: Some(10.0),
            limit_row: Some("limit_memcpy_1t"),
            against: Vec::new(),
        }
    }

    #[test]
    fn a_row_is_a_line_of_json() {
        assert_eq!(
            row().to_json(),
            format!(
                r#"{{"suite":"store","row":"put","unit":"GB/s","p50":1500.000,"p99":null,"value":8.000,"limit":10.000,"limit_row":"limit_memcpy_1t","version":"{VERSION}"}}"#
            )
        );
        let bare = Row { limit: None, limit_row: None, value: f64::NAN, ..row() };
        assert!(bare.to_json().contains(r#""value":null,"limit":null,"limit_row":null,"version""#));
        let against = vec![Against { peer: "ray".to_owned(), value: 2.0, ratio: 4.0 }];
        assert!(Row { against, ..row() }.to_json().ends_with(r#","against":{"ray":2.000}}"#));
        assert_eq!(quote("a\"b\\c\n"), r#""a\"b\\c\u000a""#);
    }

    #[test]
    fn the_table_names_its_suite_once() {
        let mut out = Vec::new();
        let mut table = TableSink::new(&mut out);
        table.row(&row()).unwrap();
        table.row(&row()).unwrap();
        table.skipped(&Skipped::new("store", "other", "no reason")).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains("0.80") && text.contains("8.00 GB/s") && text.contains("1500 ns"), "{text}");
        assert!(text.contains("not measured: no reason"), "{text}");
        assert!(!text.contains("met"), "there is no such target: {text}");
        let mut out = Vec::new();
        TableSink::new(&mut out).row(&Row { row: "put_100KB", ..row() }).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(">= 0.80 x") && text.contains("  met  "), "{text}");
    }
}
