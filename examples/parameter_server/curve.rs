//! How the loss went, and the scales on which it is drawn.

/// The mean loss of some gradients, at the place in the training where they were computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Passes over the data so far.
    pub(crate) epoch: f64,
    /// Mean cross-entropy.
    pub(crate) loss: f64,
}

/// The loss over the training, in the order of the epochs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Curve {
    points: Vec<Point>,
}

impl Curve {
    /// Adds a point behind the others. A loss of zero is raised to what a logarithmic scale can show.
    pub(crate) fn push(&mut self, epoch: f64, loss: f64) {
        let loss = loss.max(1e-6);
        self.points.push(Point { epoch, loss });
    }

    /// Merges the points into at most `count`, each the mean of an equal span of epochs.
    pub(crate) fn merged(&self, count: usize) -> Vec<Point> {
        let span = self.end() / count as f64;
        let mut merged: Vec<(usize, Point, f64)> = Vec::new();
        for point in self.points.iter().filter(|point| point.loss.is_finite()) {
            let bucket = ((point.epoch / span) as usize).min(count - 1);
            match merged.last_mut() {
                Some((last, sum, members)) if *last == bucket => {
                    sum.epoch += point.epoch;
                    sum.loss += point.loss;
                    *members += 1.0;
                }
                _ => merged.push((bucket, *point, 1.0)),
            }
        }
        merged
            .into_iter()
            .map(|(_, sum, members)| Point { epoch: sum.epoch / members, loss: sum.loss / members })
            .collect()
    }

    /// Gives the last epoch.
    pub(crate) fn end(&self) -> f64 {
        self.points.last().map_or(0.0, |point| point.epoch)
    }
}

/// A logarithmic scale that maps `low..=high` to `0.0..=1.0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LogScale {
    low: f64,
    high: f64,
}

impl LogScale {
    /// Makes the scale that holds all of `points`; `None` when there are none.
    pub(crate) fn around(points: &[Point]) -> Option<Self> {
        let losses = || points.iter().map(|point| point.loss);
        let low = losses().reduce(f64::min)?;
        let high = losses().reduce(f64::max)?;
        // A little room, also for a curve that is one flat line.
        Some(LogScale { low: low / 1.1, high: high * 1.1 })
    }

    /// Places `value`: 0 is the low end, 1 the high end.
    pub(crate) fn place(self, value: f64) -> f64 {
        ((value / self.low).ln() / (self.high / self.low).ln()).clamp(0.0, 1.0)
    }

    /// Gives the value at a place.
    pub(crate) fn value(self, place: f64) -> f64 {
        self.low * (self.high / self.low).powf(place)
    }

    /// Lists the values 1, 2 and 5 of every power of ten on the scale.
    pub(crate) fn ticks(self) -> Vec<f64> {
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        (first..=last)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)))
            .filter(|tick| (self.low..=self.high).contains(tick))
            .collect()
    }
}

/// Lists about `wanted` round values from 0 to `end`.
pub(crate) fn round_ticks(end: f64, wanted: usize) -> Vec<f64> {
    if end.is_nan() || end <= 0.0 {
        return vec![0.0];
    }
    let rough = end / wanted as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(10.0 * power);
    let count = (end / step * (1.0 + 1e-9)) as usize;
    (0..=count).map(|index| index as f64 * step).collect()
}

/// Writes a tick as a person would: 0.6, not 0.6000000000000001.
pub(crate) fn tick_label(tick: f64) -> String {
    let text = format!("{tick:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_the_mean_and_the_order() {
        let mut curve = Curve::default();
        (1..=1000).for_each(|n| curve.push(f64::from(n), f64::from(n)));
        let merged = curve.merged(10);
        assert_eq!(merged.len(), 10);
        assert!(merged.is_sorted_by(|a, b| a.loss < b.loss));
        let mean = merged.iter().map(|point| point.loss).sum::<f64>() / 10.0;
        assert!((mean - 500.5).abs() < 5.0, "{mean}");
    }

    #[test]
    fn fewer_points_than_asked_for_stay_as_they_are() {
        let mut curve = Curve::default();
        curve.push(1.0, 2.0);
        curve.push(2.0, 1.0);
        assert_eq!(curve.merged(100), curve.points);
        assert_eq!(Curve::default().merged(100), []);
    }

    #[test]
    fn a_loss_that_is_no_number_is_left_out() {
        let mut curve = Curve::default();
        curve.push(1.0, f64::INFINITY);
        curve.push(2.0, 1.0);
        assert_eq!(curve.merged(10).len(), 1);
    }

    #[test]
    fn log_scale_places_its_ends_and_its_ticks() {
        let points = [0.05, 2.3].map(|loss| Point { epoch: 0.0, loss });
        let scale = LogScale::around(&points).unwrap();
        assert!(scale.place(0.05) > 0.0 && scale.place(2.3) < 1.0);
        assert!((scale.value(scale.place(0.3)) - 0.3).abs() < 1e-9);
        let ticks: Vec<String> = scale.ticks().iter().map(|tick| format!("{tick:.2}")).collect();
        assert_eq!(ticks, ["0.05", "0.10", "0.20", "0.50", "1.00", "2.00"]);
        assert_eq!(LogScale::around(&[]), None);
    }

    #[test]
    fn tick_labels_are_short() {
        let labels: Vec<String> = [0.0, 0.1 + 0.2, 100.0, 0.005].map(tick_label).into();
        assert_eq!(labels, ["0", "0.3", "100", "0.005"]);
    }

    #[test]
    fn round_ticks_are_round() {
        assert_eq!(round_ticks(200.0, 5), [0.0, 50.0, 100.0, 150.0, 200.0]);
        assert_eq!(round_ticks(3.0, 5), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(round_ticks(0.0, 5), [0.0]);
    }
}
