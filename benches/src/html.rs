//! A page of all rows: a chart for each unit of each suite, and a table. It needs no network and no script.

mod chart;

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use crate::report::{Row, Sink, Skipped, timed};

const STYLE: &str = "\
body { font: 15px/1.45 system-ui, sans-serif; color: #1d2733; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid #d5dbe3 }
pre { background: #f3f5f8; padding: .8rem 1rem; border-radius: .3rem; white-space: pre-wrap }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; margin: 1rem 0 }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; border-bottom: 1px solid #edf0f4 }
th:first-child, td:first-child, td.left { text-align: left } td.met { color: #1a7f47 } td.missed { color: #b3261e }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; margin-top: 1rem }
";

const LEGEND: &str = "\
<p>Scales are logarithmic. Blue bars are ours, red ones miss their target, grey ones are what the machine can \
do. A black line is a row's limit, an orange dot what somebody else reaches.</p>
";

/// Gathers rows and writes a page of them at the end.
#[derive(Debug)]
pub struct HtmlSink {
    path: PathBuf,
    head: String,
    rows: Vec<Row>,
    skipped: Vec<Skipped>,
}

impl HtmlSink {
    /// Makes a page out of the rows to come; `head` says what they were measured on.
    pub fn new(path: impl AsRef<Path>, head: impl Into<String>) -> Self {
        HtmlSink { path: path.as_ref().to_owned(), head: head.into(), rows: Vec::new(), skipped: Vec::new() }
    }

    fn page(&self) -> String {
        let mut page = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        let _ = write!(page, "<title>Mobula: figures</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n");
        let _ = write!(page, "<h1>Mobula: figures</h1>\n<pre>{}</pre>\n", escape(self.head.trim_end()));
        page.push_str(LEGEND);
        let mut suites: Vec<&str> = Vec::new();
        for suite in self.rows.iter().map(|row| row.suite).chain(self.skipped.iter().map(|skipped| skipped.suite)) {
            if !suites.contains(&suite) {
                suites.push(suite);
            }
        }
        for suite in suites {
            self.suite(&mut page, suite);
        }
        page.push_str("</body>\n</html>\n");
        page
    }

    fn suite(&self, page: &mut String, suite: &str) {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.suite == suite).collect();
        let _ = writeln!(page, "<h2>{}</h2>", escape(suite));
        let mut units = Vec::new();
        for unit in rows.iter().map(|row| row.unit) {
            if !units.contains(&unit) {
                units.push(unit);
                let of_unit: Vec<&Row> = rows.iter().copied().filter(|row| row.unit == unit).collect();
                page.push_str(&chart::chart(unit, &of_unit));
            }
        }
        page.push_str("<table>\n<tr>");
        for title in ["row", "p50", "p99", "value", "limit", "ratio", "target", "", "limit row", "others"] {
            let _ = write!(page, "<th>{title}</th>");
        }
        page.push_str("</tr>\n");
        for row in rows {
            page.push_str(&table_row(row));
        }
        page.push_str("</table>\n");
        for skipped in self.skipped.iter().filter(|skipped| skipped.suite == suite) {
            let _ = writeln!(page, "<p>{} was not measured: {}</p>", escape(skipped.row), escape(&skipped.why));
        }
    }
}

impl Sink for HtmlSink {
    fn row(&mut self, row: &Row) -> io::Result<()> {
        self.rows.push(row.clone());
        Ok(())
    }

    fn skipped(&mut self, skipped: &Skipped) -> io::Result<()> {
        self.skipped.push(skipped.clone());
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        std::fs::write(&self.path, self.page())
    }
}

fn table_row(row: &Row) -> String {
    let ns = |time: Option<f64>| time.map_or("-".to_owned(), timed);
    let mut text = format!("<tr><td>{}</td>", escape(row.row));
    let limit = row.limit.map_or("-".to_owned(), |limit| row.unit.show(limit));
    let ratio = row.ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
    for cell in [ns(row.p50), ns(row.p99), row.unit.show(row.value), limit, ratio] {
        let _ = write!(text, "<td>{cell}</td>");
    }
    let _ = match row.verdict() {
        Some(verdict) => {
            let class = if verdict.is_met() { "met" } else { "missed" };
            write!(text, "<td>{}</td><td class=\"{class}\">{verdict}</td>", escape(&verdict.bound()))
        }
        None => write!(text, "<td></td><td></td>"),
    };
    let others: Vec<String> = row.against.iter().map(|against| against.show(row.unit)).collect();
    let limit_row = escape(row.limit_row.unwrap_or(""));
    let _ = writeln!(
        text,
        "<td class=\"left\">{limit_row}</td><td class=\"left\">{}</td></tr>",
        escape(&others.join(", "))
    );
    text
}

/// Makes text safe inside of an element.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Against;
    use crate::report::Unit;

    #[test]
    fn a_page_has_chart_table_and_what_is_missing() {
        let against = vec![Against { peer: "ray".to_owned(), value: 749e3, ratio: 958.0 }];
        let row = Row {
            suite: "calls",
            row: "actor_call_sync_hot",
            unit: Unit::Nanoseconds,
            p50: Some(782.0),
            p99: Some(900.0),
            value: 782.0,
            limit: Some(80.0),
            limit_row: Some("limit_spin_rtt"),
            against,
        };
        let mut sink = HtmlSink::new("nowhere", "a <machine>");
        sink.row(&row).unwrap();
        sink.skipped(&Skipped::new("calls", "other", "no reason & more")).unwrap();
        let page = sink.page();
        assert!(page.contains("a &lt;machine&gt;") && page.contains("no reason &amp; more"), "{page}");
        assert!(page.contains("<svg") && page.contains("actor_call_sync_hot") && page.contains("958x"), "{page}");
        assert!(!page.contains("http:") && !page.contains("<script"), "{page}");
        for tag in ["svg", "table", "tr", "body", "pre"] {
            let count = |text: &str| page.matches(text).count();
            assert_eq!(count(&format!("<{tag}>")) + count(&format!("<{tag} ")), count(&format!("</{tag}>")), "{tag}");
        }
    }
}
