//! Draws the loss curve in the terminal, in braille: every character is a grid of 2 x 4 dots.
//!
//! ```text
//!  2.50 ┤⡇
//!       │⢣
//!  0.40 ┤⠘⢄
//!       │  ⠑⠤⣀⡀
//!  0.06 ┤     ⠈⠉⠒⠒⠤⠤⣀⣀⣀
//!       └────────────────
//!        0   epochs    200
//! ```

use crate::curve::{Curve, LogScale};

/// Rows between two labels of the loss axis.
const LABEL_EVERY: usize = 4;

/// Renders the curve as `height` lines of `width` characters, axes and labels around them.
///
/// The loss axis is logarithmic. A curve without points gives an empty text.
pub(crate) fn render(curve: &Curve, width: usize, height: usize) -> String {
    let mut canvas = Canvas::new(width, height);
    let points = curve.merged(canvas.dots_across());
    let Some(scale) = LogScale::around(&points) else {
        return String::new();
    };
    let right = (canvas.dots_across() - 1) as f64;
    let bottom = (canvas.dots_down() - 1) as f64;
    let mut previous = None;
    for point in points {
        let x = (point.epoch / curve.end() * right).round() as usize;
        let y = ((1.0 - scale.place(point.loss)) * bottom).round() as usize;
        canvas.line(previous.unwrap_or((x, y)), (x, y));
        previous = Some((x, y));
    }

    let mut text = String::from("  training loss (cross-entropy, logarithmic)\n");
    for (row, line) in canvas.lines().enumerate() {
        // The middle of the row stands for it.
        let place = 1.0 - (row as f64 + 0.5) / height as f64;
        let axis = if row % LABEL_EVERY == 0 {
            format!("{:>8} \u{2524}", short(scale.value(place)))
        } else {
            format!("{:>8} \u{2502}", "")
        };
        text.push_str(&axis);
        text.push_str(line.trim_end_matches('\u{2800}'));
        text.push('\n');
    }
    text.push_str(&format!("{:>8} \u{2514}{}\n", "", "\u{2500}".repeat(width)));
    let end = format!("{:.0}", curve.end());
    let middle = width.saturating_sub(1 + end.len());
    text.push_str(&format!("{:>10}0{:^middle$}{end}\n", "", "epochs"));
    text
}

fn short(loss: f64) -> String {
    match loss {
        0.01..1000.0 => format!("{loss:.2}"),
        _ => format!("{loss:.0e}"),
    }
}

/// A grid of dots, eight a character.
struct Canvas {
    width: usize,
    /// One byte a character: its bits are those of the braille block, U+2800 on.
    cells: Vec<u8>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        Canvas { width, cells: vec![0; width * height] }
    }

    fn dots_across(&self) -> usize {
        2 * self.width
    }

    fn dots_down(&self) -> usize {
        4 * (self.cells.len() / self.width)
    }

    fn dot(&mut self, x: usize, y: usize) {
        // The standard numbers dots down the left column, then the right, and later added a fourth row below both.
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        self.cells[(y / 4) * self.width + x / 2] |= BITS[y % 4][x % 2];
    }

    fn line(&mut self, from: (usize, usize), to: (usize, usize)) {
        let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
        let between = |a: usize, b: usize, step: usize| {
            let share = step as f64 / steps as f64;
            (a as f64 + (b as f64 - a as f64) * share).round() as usize
        };
        for step in 0..=steps {
            self.dot(between(from.0, to.0, step), between(from.1, to.1, step));
        }
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        self.cells
            .chunks(self.width)
            .map(|cells| cells.iter().filter_map(|bits| char::from_u32(0x2800 + u32::from(*bits))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagonal_fills_both_corners() {
        let mut canvas = Canvas::new(2, 1);
        canvas.line((0, 0), (3, 3));
        assert_eq!(canvas.lines().collect::<Vec<_>>(), ["\u{2811}\u{2884}"]);
    }

    #[test]
    fn a_falling_loss_goes_from_the_upper_left_to_the_lower_right() {
        let mut curve = Curve::default();
        (1..=100).for_each(|n| curve.push(f64::from(n), 3.0 / f64::from(n)));
        let text = render(&curve, 20, 5);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 5 + 2);
        assert!(lines[1].chars().count() < lines[5].chars().count());
        assert_eq!(lines[5].chars().count(), 10 + 20);
        assert!(lines[7].ends_with("100"));
    }

    #[test]
    fn an_empty_curve_gives_nothing() {
        assert_eq!(render(&Curve::default(), 20, 5), "");
    }

    #[test]
    fn one_point_is_drawn() {
        let mut curve = Curve::default();
        curve.push(1.0, 1.0);
        assert_eq!(render(&curve, 20, 5).lines().count(), 8);
    }
}
