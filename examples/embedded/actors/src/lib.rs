//! The actors of the `embedded` example.
//!
//! They stand in a library of their own because two programs need them: the host, to call them, and the worker, to run
//! them. An actor is found by the package and the path of its type, and those must be the same on both sides.

use mobula::prelude::*;
use serde::{Deserialize, Serialize};

/// Sums up samples that one process has seen.
#[derive(Debug, Default)]
pub struct Analyser {
    total: Summary,
}

#[mobula::actor]
impl Analyser {
    /// Starts with nothing seen.
    pub fn new() -> Self {
        Analyser::default()
    }

    /// Sums up one block; the samples are read where they lie, in shared memory.
    pub fn analyse(&mut self, samples: Array<f32>) -> Summary {
        let summary = Summary::of(&samples);
        self.total = self.total.merge(summary);
        summary
    }

    /// Sums up all blocks so far.
    pub fn total(&self) -> Summary {
        self.total
    }
}

/// Count, mean, spread and extremes of some samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many samples there are.
    pub count: u64,
    /// Their mean; 0 without samples.
    pub mean: f64,
    /// The sum of the squares of their distances from the mean.
    squares: f64,
    /// The smallest; infinity without samples.
    pub low: f32,
    /// The largest; minus infinity without samples.
    pub high: f32,
}

impl Summary {
    /// Sums up `samples`.
    pub fn of(samples: &[f32]) -> Self {
        if samples.is_empty() {
            return Summary::default();
        }
        let mean = samples.iter().copied().map(f64::from).sum::<f64>() / samples.len() as f64;
        Summary {
            count: samples.len() as u64,
            mean,
            squares: samples.iter().map(|sample| (f64::from(*sample) - mean).powi(2)).sum(),
            low: samples.iter().copied().fold(f32::INFINITY, f32::min),
            high: samples.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        }
    }

    /// Sums up both sets of samples.
    #[must_use]
    pub fn merge(self, other: Summary) -> Self {
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { other } else { self };
        }
        // The pairwise rule of Chan, Golub and LeVeque: exact where sums of squares would cancel.
        let count = self.count + other.count;
        let (a, b) = (self.count as f64, other.count as f64);
        let apart = other.mean - self.mean;
        Summary {
            count,
            mean: self.mean + apart * b / (a + b),
            squares: self.squares + other.squares + apart * apart * a * b / (a + b),
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }

    /// Gives the standard deviation; 0 without samples.
    pub fn deviation(&self) -> f64 {
        (self.squares / self.count.max(1) as f64).sqrt()
    }
}

impl Default for Summary {
    fn default() -> Self {
        Summary { count: 0, mean: 0.0, squares: 0.0, low: f32::INFINITY, high: f32::NEG_INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_halves_are_the_whole() {
        let samples: Vec<f32> = (0..1000).map(|n| (n as f32).sin() + 100.0).collect();
        let whole = Summary::of(&samples);
        let merged = Summary::of(&samples[..300]).merge(Summary::of(&samples[300..]));
        assert_eq!(merged.count, whole.count);
        assert_eq!((merged.low, merged.high), (whole.low, whole.high));
        assert!((merged.mean - whole.mean).abs() < 1e-9);
        assert!((merged.deviation() - whole.deviation()).abs() < 1e-9);
    }

    #[test]
    fn nothing_changes_nothing() {
        let some = Summary::of(&[1.0, 3.0]);
        assert_eq!(some.merge(Summary::default()), some);
        assert_eq!(Summary::default().merge(some), some);
        assert_eq!(some.deviation(), 1.0);
        assert_eq!(Summary::of(&[]), Summary::default());
    }
}
