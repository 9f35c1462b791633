//! Horizontal bars on a logarithmic scale, as SVG.
//!
//! ```text
//!   get_200KB    |=====|          + |    the bar: ours, to the right end of the row's value
//!   put_1MB      |============| | +      |: its limit       +: a peer's figure
//!                1 ns   10 ns   100 ns
//! ```

use std::fmt::Write as _;

use super::escape;
use crate::report::{Row, Unit};

const LEFT: f64 = 300.0;
const WIDTH: f64 = 1000.0;
const RIGHT: f64 = 90.0;
const STEP: f64 = 20.0;
const TOP: f64 = 26.0;

/// Draws rows of one unit; nothing if none of them has a figure that can be drawn.
pub(super) fn chart(unit: Unit, rows: &[&Row]) -> String {
    let rows: Vec<&Row> = rows.iter().copied().filter(|row| drawable(row.value)).collect();
    let others = |row: &&Row| row.against.iter().map(|against| against.value).chain(row.limit).collect::<Vec<_>>();
    let values =
        rows.iter().flat_map(|row| others(row).into_iter().chain([row.value])).filter(|value| drawable(*value));
    let (least, most) =
        values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    if rows.is_empty() {
        return String::new();
    }
    // A bar begins one decade below the least figure, so that it has a length, too.
    let (low, high) = (least.log10().floor() - 1.0, most.log10().ceil().max(least.log10().floor() + 1.0));
    let at = |value: f64| LEFT + (value.log10() - low) / (high - low) * (WIDTH - LEFT - RIGHT);
    let height = TOP + STEP * rows.len() as f64 + 8.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\">\n");
    let mut decade = low;
    while decade <= high {
        let x = at(10_f64.powf(decade));
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{:.0}\" x2=\"{x:.1}\" y2=\"{height:.0}\" stroke=\"#e3e7ed\"/>\
             <text x=\"{x:.1}\" y=\"14\" text-anchor=\"middle\" fill=\"#66717f\">{}</text>",
            TOP - 6.0,
            unit.show_power(decade)
        );
        decade += 1.0;
    }
    for (place, row) in rows.iter().enumerate() {
        bar(&mut svg, TOP + STEP * place as f64, row, at);
    }
    svg.push_str("</svg>\n");
    svg
}

fn bar(svg: &mut String, y: f64, row: &Row, at: impl Fn(f64) -> f64) {
    let end = at(row.value);
    let color = match row.verdict() {
        _ if row.row.starts_with("limit_") => "#aab4c2",
        Some(verdict) if !verdict.is_met() => "#d98880",
        _ => "#4a86c5",
    };
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
         <rect x=\"{LEFT:.0}\" y=\"{:.0}\" width=\"{:.1}\" height=\"12\" fill=\"{color}\"/>\
         <text x=\"{:.1}\" y=\"{:.0}\" fill=\"#3b4654\">{}</text>",
        LEFT - 8.0,
        y + 11.0,
        escape(row.row),
        y + 1.0,
        end - LEFT,
        end + 6.0,
        y + 11.0,
        row.unit.show(row.value),
    );
    if let Some(limit) = row.limit.filter(|limit| drawable(*limit)) {
        let _ = writeln!(
            svg,
            "<line x1=\"{0:.1}\" y1=\"{1:.0}\" x2=\"{0:.1}\" y2=\"{2:.0}\" stroke=\"#1d2733\" stroke-width=\"2\">\
             <title>{3}: {4}</title></line>",
            at(limit),
            y - 1.0,
            y + 15.0,
            escape(row.limit_row.unwrap_or("limit")),
            row.unit.show(limit),
        );
    }
    for against in row.against.iter().filter(|against| drawable(against.value)) {
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.0}\" r=\"4\" fill=\"#c77d0a\"><title>{}</title></circle>",
            at(against.value),
            y + 7.0,
            escape(&against.show(row.unit)),
        );
    }
}

fn drawable(value: f64) -> bool {
    value.is_finite() && value > 0.0
}
