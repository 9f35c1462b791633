//! Draws the loss curve as an SVG image.
//!
//! The raw losses are a pale line, their mean over longer spans a strong one above it. No script, no font and no other
//! file is needed to look at it.

use std::fmt::{self, Write};

use crate::curve::{Curve, LogScale, Point, round_ticks, tick_label};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 500.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = WIDTH - 28.0;
const TOP: f64 = 74.0;
const BOTTOM: f64 = HEIGHT - 60.0;
/// Points of the pale line: about two a pixel.
const FINE: usize = 1500;
/// Points of the strong line.
const SMOOTH: usize = 90;

const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #4b5563 }
.title { font-size: 19px; font-weight: 600; fill: #111827 }
.grid { stroke: #e5e7eb; stroke-width: 1 }
.axis { stroke: #9ca3af; stroke-width: 1.2 }
.line { fill: none; stroke: #2563eb; stroke-linejoin: round; stroke-linecap: round }
.raw { stroke-width: 1; stroke-opacity: 0.25 }
.mean { stroke-width: 2.4 }
.x { text-anchor: middle }
.y { text-anchor: end }";

/// Renders the curve under a title and a line of details.
///
/// The loss axis is logarithmic. A curve without points gives empty axes.
pub(crate) fn render(curve: &Curve, title: &str, details: &str) -> String {
    let mut svg = String::new();
    // Writing to a String cannot fail.
    let _ = draw(&mut svg, curve, title, details);
    svg
}

fn draw(svg: &mut String, curve: &Curve, title: &str, details: &str) -> fmt::Result {
    let fine = curve.merged(FINE);
    let end = curve.end();
    writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{}">"##,
        escaped(title)
    )?;
    writeln!(svg, "<style>\n{STYLE}\n</style>")?;
    writeln!(svg, r##"<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>"##)?;
    writeln!(svg, r#"<text class="title" x="{LEFT}" y="34">{}</text>"#, escaped(title))?;
    writeln!(svg, r#"<text x="{LEFT}" y="56">{}</text>"#, escaped(details))?;

    for tick in round_ticks(end, 8) {
        let (x, label) = (place_epoch(tick, end), tick_label(tick));
        writeln!(svg, r#"<line class="grid" x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{BOTTOM}"/>"#)?;
        writeln!(svg, r#"<text class="x" x="{x:.1}" y="{}">{label}</text>"#, BOTTOM + 20.0)?;
    }
    if let Some(scale) = LogScale::around(&fine) {
        for tick in scale.ticks() {
            let (y, label) = (place_loss(tick, scale), tick_label(tick));
            writeln!(svg, r#"<line class="grid" x1="{LEFT}" y1="{y:.1}" x2="{RIGHT}" y2="{y:.1}"/>"#)?;
            writeln!(svg, r#"<text class="y" x="{}" y="{:.1}">{label}</text>"#, LEFT - 9.0, y + 4.5)?;
        }
        polyline(svg, "line raw", &fine, end, scale)?;
        polyline(svg, "line mean", &curve.merged(SMOOTH), end, scale)?;
    }
    writeln!(svg, r#"<path class="axis" fill="none" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>"#)?;
    let (middle, below) = ((LEFT + RIGHT) / 2.0, HEIGHT - 16.0);
    writeln!(svg, r#"<text class="x" x="{middle}" y="{below}">epochs</text>"#)?;
    let (beside, middle) = (22.0, (TOP + BOTTOM) / 2.0);
    writeln!(
        svg,
        r#"<text class="x" transform="translate({beside} {middle}) rotate(-90)">training loss (log)</text>"#
    )?;
    writeln!(svg, "</svg>")
}

fn polyline(svg: &mut String, class: &str, points: &[Point], end: f64, scale: LogScale) -> fmt::Result {
    write!(svg, r#"<polyline class="{class}" points=""#)?;
    for point in points {
        let (x, y) = (place_epoch(point.epoch, end), place_loss(point.loss, scale));
        write!(svg, "{x:.1},{y:.1} ")?;
    }
    writeln!(svg, r#""/>"#)
}

fn place_epoch(epoch: f64, end: f64) -> f64 {
    if end > 0.0 { LEFT + (RIGHT - LEFT) * epoch / end } else { LEFT }
}

fn place_loss(loss: f64, scale: LogScale) -> f64 {
    BOTTOM - (BOTTOM - TOP) * scale.place(loss)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_points_lie_inside_the_axes() {
        let mut curve = Curve::default();
        (1..=5000).for_each(|n| curve.push(f64::from(n) / 50.0, 2.3 / f64::from(n)));
        let svg = render(&curve, "Loss", "details");
        let points = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        assert!(points.split_whitespace().count() <= FINE);
        for point in points.split_whitespace() {
            let (x, y) = point.split_once(',').unwrap();
            assert!((LEFT..=RIGHT).contains(&x.parse().unwrap()));
            assert!((TOP..=BOTTOM).contains(&y.parse().unwrap()));
        }
    }

    #[test]
    fn texts_are_escaped() {
        let svg = render(&Curve::default(), "a < b & \"c\"", "");
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot;"));
    }

    #[test]
    fn an_empty_curve_gives_empty_axes() {
        let svg = render(&Curve::default(), "Loss", "");
        assert!(svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("polyline class"));
    }
}
