//! The classifier: softmax regression, or one hidden layer of rectified units below it.
//!
//! All parameters stand in one flat slice, so that a version of the model is one object in the store and a gradient is
//! another of the same length:
//!
//! ```text
//! hidden > 0:   | input weights  [pixel][unit] | unit biases | output weights [class][unit]  | class biases |
//! hidden = 0:                                                | output weights [class][pixel] | class biases |
//! ```
//!
//! The loops go over tiles of units: a tile of all weights stays in the cache while every row of the batch passes over
//! it, so that a wide layer is read once a batch and not once a row. That leaves a gradient bound by memory, which
//! is what makes `--hidden 100000 --batch 1` a test of bandwidth.
//!
//! It does not know of actors or shared memory; slices come in and slices go out.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::digits::{CLASSES, PIXELS, Samples};
use crate::random::Random;

/// Units a tile: `PIXELS` rows of it, 128 KiB, fit into a second-level cache beside the batch.
const TILE: usize = 512;
/// Floats that one cache-sized step of [`descend`] takes.
const BLOCK: usize = 4096;

/// The shape of the classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Model {
    hidden: usize,
}

/// The buffers of a worker between its batches, so that computing a gradient allocates nothing but the gradient.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// Activations of the hidden layer, `hidden` a row of the batch.
    activations: Vec<f32>,
    /// Outputs, `CLASSES` a row: first logits, then the loss's derivative by them.
    outputs: Vec<f32>,
    /// The loss's derivative by one tile of activations.
    backward: Vec<f32>,
}

struct Parameters<'a> {
    input: &'a [f32],
    unit_bias: &'a [f32],
    output: &'a [f32],
    class_bias: &'a [f32],
}

struct ParametersMut<'a> {
    input: &'a mut [f32],
    unit_bias: &'a mut [f32],
    output: &'a mut [f32],
    class_bias: &'a mut [f32],
}

impl Model {
    /// Describes a model with `hidden` hidden units; 0 is softmax regression.
    pub(crate) fn new(hidden: usize) -> Self {
        Model { hidden }
    }

    /// Counts the parameters.
    pub(crate) fn parameters(self) -> usize {
        (PIXELS + 1) * self.hidden + CLASSES * (self.width() + 1)
    }

    /// Writes the parameters that training starts from: random weights, biases of zero.
    pub(crate) fn initialise(self, parameters: &mut [f32], seed: u64) {
        let mut random = Random::new(seed, 0);
        let parts = self.split_mut(parameters);
        parts.unit_bias.fill(0.0);
        parts.class_bias.fill(0.0);
        // He's rule for rectified units, in its uniform form; an output layer over softmax needs less.
        let input_bound = (6.0 / PIXELS as f32).sqrt();
        let output_bound = (1.0 / self.width() as f32).sqrt();
        parts.input.fill_with(|| input_bound * random.symmetric());
        parts.output.fill_with(|| output_bound * random.symmetric());
    }

    /// Computes the mean cross-entropy of the given rows and, into `gradient`, its derivative by every parameter.
    ///
    /// `gradient` may hold anything before; all of it is overwritten.
    pub(crate) fn gradient(
        self,
        parameters: &[f32],
        samples: Samples<'_>,
        rows: &[usize],
        gradient: &mut [f32],
        workspace: &mut Workspace,
    ) -> f32 {
        let parts = self.split(parameters);
        self.forward(&parts, samples, rows, workspace);
        let mut loss = 0.0;
        let scale = 1.0 / rows.len() as f32;
        for (outputs, &row) in workspace.outputs.chunks_exact_mut(CLASSES).zip(rows) {
            let (_, label) = samples.row(row);
            softmax(outputs);
            loss -= outputs[label].max(f32::MIN_POSITIVE).ln();
            outputs[label] -= 1.0;
            outputs.iter_mut().for_each(|output| *output *= scale);
        }
        self.backward(&parts, samples, rows, gradient, workspace);
        loss * scale
    }

    /// Gives the share of `samples` that the model labels rightly.
    pub(crate) fn accuracy(self, parameters: &[f32], samples: Samples<'_>) -> f64 {
        let parts = self.split(parameters);
        let rows: Vec<usize> = (0..samples.labels.len()).collect();
        let mut workspace = Workspace::default();
        let mut right = 0;
        for rows in rows.chunks(64) {
            self.forward(&parts, samples, rows, &mut workspace);
            right += workspace
                .outputs
                .chunks_exact(CLASSES)
                .zip(rows)
                .filter(|(outputs, row)| largest(outputs) == samples.row(**row).1)
                .count();
        }
        right as f64 / rows.len().max(1) as f64
    }

    /// Computes activations and logits of the given rows.
    fn forward(self, parts: &Parameters<'_>, samples: Samples<'_>, rows: &[usize], workspace: &mut Workspace) {
        let width = self.width();
        workspace.activations.resize(rows.len() * self.hidden, 0.0);
        workspace.outputs.clear();
        for _ in rows {
            workspace.outputs.extend_from_slice(parts.class_bias);
        }
        for tile in tiles(width) {
            for (index, &row) in rows.iter().enumerate() {
                let (pixels, _) = samples.row(row);
                let active = if self.hidden == 0 {
                    &pixels[tile.clone()]
                } else {
                    let active = &mut workspace.activations[index * width..][tile.clone()];
                    active.copy_from_slice(&parts.unit_bias[tile.clone()]);
                    for (pixel, weights) in pixels.iter().zip(parts.input.chunks_exact(width)) {
                        // Half of an image is paper.
                        if *pixel != 0.0 {
                            add_scaled(active, *pixel, &weights[tile.clone()]);
                        }
                    }
                    active.iter_mut().for_each(|unit| *unit = unit.max(0.0));
                    &*active
                };
                let outputs = &mut workspace.outputs[index * CLASSES..][..CLASSES];
                for (output, weights) in outputs.iter_mut().zip(parts.output.chunks_exact(width)) {
                    *output += dot(active, &weights[tile.clone()]);
                }
            }
        }
    }

    /// Computes the gradient from the derivatives by the logits, which stand in the workspace.
    fn backward(
        self,
        parts: &Parameters<'_>,
        samples: Samples<'_>,
        rows: &[usize],
        gradient: &mut [f32],
        workspace: &mut Workspace,
    ) {
        let width = self.width();
        let grad = self.split_mut(gradient);
        grad.class_bias.fill(0.0);
        for outputs in workspace.outputs.chunks_exact(CLASSES) {
            add_scaled(grad.class_bias, 1.0, outputs);
        }
        for tile in tiles(width) {
            for weights in grad.output.chunks_exact_mut(width) {
                weights[tile.clone()].fill(0.0);
            }
            if self.hidden > 0 {
                grad.unit_bias[tile.clone()].fill(0.0);
                for weights in grad.input.chunks_exact_mut(width) {
                    weights[tile.clone()].fill(0.0);
                }
            }
            for (index, &row) in rows.iter().enumerate() {
                let (pixels, _) = samples.row(row);
                let outputs = &workspace.outputs[index * CLASSES..][..CLASSES];
                let active = if self.hidden == 0 {
                    &pixels[tile.clone()]
                } else {
                    &workspace.activations[index * width..][tile.clone()]
                };
                for (output, weights) in outputs.iter().zip(grad.output.chunks_exact_mut(width)) {
                    add_scaled(&mut weights[tile.clone()], *output, active);
                }
                if self.hidden == 0 {
                    continue;
                }
                workspace.backward.clear();
                workspace.backward.resize(tile.len(), 0.0);
                let back = &mut workspace.backward;
                for (output, weights) in outputs.iter().zip(parts.output.chunks_exact(width)) {
                    add_scaled(back, *output, &weights[tile.clone()]);
                }
                for (back, active) in back.iter_mut().zip(active) {
                    *back = if *active > 0.0 { *back } else { 0.0 };
                }
                add_scaled(&mut grad.unit_bias[tile.clone()], 1.0, back);
                for (pixel, weights) in pixels.iter().zip(grad.input.chunks_exact_mut(width)) {
                    if *pixel != 0.0 {
                        add_scaled(&mut weights[tile.clone()], *pixel, back);
                    }
                }
            }
        }
    }

    /// Counts what the output layer reads: units, or pixels where there are none.
    fn width(self) -> usize {
        if self.hidden == 0 { PIXELS } else { self.hidden }
    }

    fn split(self, parameters: &[f32]) -> Parameters<'_> {
        assert_eq!(parameters.len(), self.parameters(), "parameters of another model");
        let (input, rest) = parameters.split_at(PIXELS * self.hidden);
        let (unit_bias, rest) = rest.split_at(self.hidden);
        let (output, class_bias) = rest.split_at(CLASSES * self.width());
        Parameters { input, unit_bias, output, class_bias }
    }

    fn split_mut(self, parameters: &mut [f32]) -> ParametersMut<'_> {
        assert_eq!(parameters.len(), self.parameters(), "parameters of another model");
        let (input, rest) = parameters.split_at_mut(PIXELS * self.hidden);
        let (unit_bias, rest) = rest.split_at_mut(self.hidden);
        let (output, class_bias) = rest.split_at_mut(CLASSES * self.width());
        ParametersMut { input, unit_bias, output, class_bias }
    }
}

/// Writes to `next` the parameters after one step against the mean of `gradients`: `current - rate * mean`.
///
/// `next` may hold anything before. All slices have one length.
pub(crate) fn descend(next: &mut [f32], current: &[f32], gradients: &[&[f32]], rate: f32) {
    let factor = -rate / gradients.len().max(1) as f32;
    // In blocks, so that with many gradients the parameters being made stay in the first-level cache.
    for (block, next) in next.chunks_mut(BLOCK).enumerate() {
        let range = block * BLOCK..block * BLOCK + next.len();
        next.copy_from_slice(&current[range.clone()]);
        for gradient in gradients {
            add_scaled(next, factor, &gradient[range.clone()]);
        }
    }
}

fn tiles(width: usize) -> impl Iterator<Item = Range<usize>> {
    (0..width).step_by(TILE).map(move |start| start..(start + TILE).min(width))
}

fn add_scaled(sum: &mut [f32], factor: f32, values: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Separate sums: the compiler may not reorder float additions, so one sum would not be vectorised.
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    rest + sums.iter().sum::<f32>()
}

/// Turns logits into probabilities.
fn softmax(outputs: &mut [f32]) {
    // Less the largest: e to it must not overflow.
    let largest = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    outputs.iter_mut().for_each(|output| *output = (*output - largest).exp());
    let sum: f32 = outputs.iter().sum();
    outputs.iter_mut().for_each(|output| *output /= sum);
}

/// Gives the index of the largest output.
fn largest(outputs: &[f32]) -> usize {
    let mut best = 0;
    for (index, output) in outputs.iter().enumerate() {
        if *output > outputs[best] {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digits::Digits;

    fn loss(model: Model, parameters: &[f32], samples: Samples<'_>, rows: &[usize]) -> f64 {
        let mut gradient = vec![0.0; model.parameters()];
        let mut workspace = Workspace::default();
        f64::from(model.gradient(parameters, samples, rows, &mut gradient, &mut workspace))
    }

    /// Compares derivatives with difference quotients at parameters spread over all parts.
    fn check_gradient(hidden: usize) {
        let model = Model::new(hidden);
        let (digits, _) = Digits::load().unwrap();
        let rows: Vec<usize> = (0..24).collect();
        let mut parameters = vec![0.0; model.parameters()];
        model.initialise(&mut parameters, 5);
        // Whatever stands in the output before must not matter.
        let mut gradient = vec![f32::NAN; model.parameters()];
        let mut workspace = Workspace::default();
        model.gradient(&parameters, digits.view(), &rows, &mut gradient, &mut workspace);
        assert!(gradient.iter().all(|g| g.is_finite()));
        let step = 1e-2;
        for index in (0..model.parameters()).step_by(model.parameters() / 97) {
            let kept = parameters[index];
            parameters[index] = kept + step;
            let above = loss(model, &parameters, digits.view(), &rows);
            parameters[index] = kept - step;
            let below = loss(model, &parameters, digits.view(), &rows);
            parameters[index] = kept;
            let quotient = (above - below) / (2.0 * f64::from(step));
            let error = (quotient - f64::from(gradient[index])).abs();
            assert!(error < 2e-3, "parameter {index}: {} is not {quotient}", gradient[index]);
        }
    }

    #[test]
    fn gradient_of_softmax_regression_is_the_slope() {
        check_gradient(0);
    }

    #[test]
    fn gradient_of_a_narrow_layer_is_the_slope() {
        check_gradient(7);
    }

    #[test]
    fn gradient_of_a_layer_of_several_tiles_is_the_slope() {
        check_gradient(TILE + 19);
    }

    #[test]
    fn descending_follows_the_mean_gradient() {
        let current = vec![1.0; BLOCK + 3];
        let (low, high) = (vec![1.0; BLOCK + 3], vec![3.0; BLOCK + 3]);
        let mut next = vec![f32::NAN; BLOCK + 3];
        descend(&mut next, &current, &[&low, &high], 0.25);
        assert!(next.iter().all(|&value| value == 0.5));
    }

    #[test]
    fn softmax_survives_large_logits() {
        let mut outputs = [1e30, 0.0, -1e30];
        softmax(&mut outputs);
        assert_eq!(outputs, [1.0, 0.0, 0.0]);
    }
}
