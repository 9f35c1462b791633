//! Shows how far the training is, and keeps the loss curve.

use std::borrow::Cow;
use std::fmt::Write;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::curve::Curve;

/// How much of the shown loss is the newest one: batches are small and their losses jump.
const NEWEST: f64 = 0.05;

/// What the bar shows, in the words of `indicatif`.
const TEMPLATE: &str = "{elapsed_precise} {bar:40.blue} {percent:>3}%  {rate:>7} gradients/s  loss {msg}";

/// A bar on standard error with the loss, drawn only when that is a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    curve: Curve,
    shown: Option<f64>,
    done: u64,
    per_epoch: f64,
}

impl Progress {
    /// Starts at nothing done of `epochs` epochs with `per_epoch` gradients each.
    pub(crate) fn new(epochs: usize, per_epoch: usize) -> Self {
        // `indicatif` hides the bar by itself where standard error is no terminal.
        let bar = ProgressBar::new((epochs * per_epoch) as u64);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
                // A bar that cannot be written has nobody who looks at it.
                let _ = write!(out, "{:.0}", state.per_sec());
            }));
        }
        Progress { bar, curve: Curve::default(), shown: None, done: 0, per_epoch: per_epoch as f64 }
    }

    /// Notes that `gradients` more are done, with this mean loss.
    pub(crate) fn record(&mut self, gradients: u64, loss: f64) {
        self.done += gradients;
        self.curve.push(self.done as f64 / self.per_epoch, loss);
        let shown = self.shown.map_or(loss, |shown| shown + NEWEST * (loss - shown));
        self.shown = Some(shown);
        if !self.bar.is_hidden() {
            self.bar.set_message(Cow::Owned(format!("{shown:.4}")));
            self.bar.inc(gradients);
        }
    }

    /// Takes the bar away and gives the curve.
    pub(crate) fn finish(self) -> Curve {
        self.bar.finish_and_clear();
        self.curve
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_count_as_parts_of_an_epoch() {
        let mut progress = Progress::new(2, 10);
        progress.record(5, 2.0);
        progress.record(15, 1.0);
        assert_eq!(progress.finish().end(), 2.0);
    }
}
