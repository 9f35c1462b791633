//! An actor that holds a GPU and a neural network: softmax regression on handwritten digits.
//!
//! GPUs are counted by the runtime, whether there are devices or not. An actor gets numbers, and they stand in
//! `CUDA_VISIBLE_DEVICES` before its process runs any of its code, so that a framework in it takes the right device.
//! This network is computed on the CPU.

use std::env;
use std::error::Error;
use std::path::Path;

use mobula::prelude::*;
use serde::{Deserialize, Serialize};

use super::digits::{CLASSES, Digits, PIXELS as SMALL};
use super::time;

/// Pixels of an image of MNIST.
const PIXELS: usize = 28 * 28;
const LEARNING_RATE: f32 = 0.5;

/// Labelled images in shared memory.
#[derive(Serialize, Deserialize)]
pub struct Images {
    /// [`PIXELS`] values a row.
    images: Array<f32>,
    labels: Array<u8>,
}

impl Images {
    fn share(digits: &Digits) -> mobula::Result<Images> {
        let rows = digits.labels.len();
        let mut images = ArrayMut::<f32>::zeros(&[rows, PIXELS])?;
        for (image, digit) in images.chunks_exact_mut(PIXELS).zip(digits.features.chunks_exact(SMALL)) {
            enlarge(digit, image);
        }
        Ok(Images { images: images.seal()?, labels: Array::from_slice(&digits.labels)? })
    }

    fn row(&self, row: usize) -> (&[f32], usize) {
        (&self.images[row * PIXELS..(row + 1) * PIXELS], usize::from(self.labels[row]))
    }
}

/// Draws a digit of 8 x 8 as MNIST has them: 20 x 20, in the middle of 28 x 28.
fn enlarge(digit: &[f32], image: &mut [f32]) {
    for y in 0..20 {
        for x in 0..20 {
            image[(y + 4) * 28 + x + 4] = digit[y * 8 / 20 * 8 + x * 8 / 20];
        }
    }
}

/// A data set: ordinary types cross to an actor as they are, and arrays in them without a copy.
#[derive(Serialize, Deserialize)]
pub struct Mnist {
    train: Images,
    test: Images,
}

impl Mnist {
    fn read_data_sets() -> Result<Mnist, Box<dyn Error>> {
        let (train, test) = Digits::load()?;
        Ok(Mnist { train: Images::share(&train)?, test: Images::share(&test)? })
    }
}

/// y = softmax(x W + b)
struct Network {
    w: Vec<[f32; CLASSES]>,
    b: [f32; CLASSES],
}

impl Network {
    fn construct() -> Self {
        Network { w: vec![[0.0; CLASSES]; PIXELS], b: [0.0; CLASSES] }
    }

    fn predict(&self, image: &[f32]) -> [f32; CLASSES] {
        let mut y = self.b;
        for (x, weights) in image.iter().zip(&self.w) {
            add_scaled(&mut y, *x, weights);
        }
        let largest = y.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exp = y.map(|logit| (logit - largest).exp());
        let sum: f32 = exp.iter().sum();
        exp.map(|exp| exp / sum)
    }

    /// Goes one step down the mean cross-entropy of some rows.
    fn train_step(&mut self, images: &Images, rows: &[usize]) {
        let rate = -LEARNING_RATE / rows.len() as f32;
        // All errors before the first change: they are those of one and the same network.
        let errors = rows.iter().map(|&row| {
            let (image, label) = images.row(row);
            let mut error = self.predict(image);
            error[label] -= 1.0;
            (image, error)
        });
        for (image, error) in errors.collect::<Vec<_>>() {
            add_scaled(&mut self.b, rate, &error);
            for (x, weights) in image.iter().zip(&mut self.w) {
                add_scaled(weights, rate * x, &error);
            }
        }
    }
}

fn add_scaled(sum: &mut [f32; CLASSES], factor: f32, values: &[f32; CLASSES]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

pub struct NeuralNetOnGPU {
    mnist: Mnist,
    network: Network,
    next: usize,
}

#[mobula::actor(num_gpus = 1.0)]
impl NeuralNetOnGPU {
    // CUDA_VISIBLE_DEVICES is set already.
    pub fn new(mnist_data: Mnist) -> Self {
        NeuralNetOnGPU { mnist: mnist_data, network: Network::construct(), next: 0 }
    }

    pub fn train(&mut self, num_steps: usize) {
        for _ in 0..num_steps {
            let batch = self.next_batch(100);
            self.network.train_step(&self.mnist.train, &batch);
        }
    }

    pub fn get_accuracy(&self) -> f64 {
        let rows = self.mnist.test.labels.len();
        let right = (0..rows).filter(|&row| {
            let (image, label) = self.mnist.test.row(row);
            let y = self.network.predict(image);
            (0..CLASSES).max_by(|&a, &b| y[a].total_cmp(&y[b])) == Some(label)
        });
        right.count() as f64 / rows as f64
    }

    /// Gives the GPUs that it holds, and what a framework sees.
    pub fn gpus(&self) -> (Vec<u32>, Option<String>) {
        (mobula::context().gpu_ids(), env::var("CUDA_VISIBLE_DEVICES").ok())
    }
}

impl NeuralNetOnGPU {
    fn next_batch(&mut self, size: usize) -> Vec<usize> {
        let rows = self.mnist.train.labels.len();
        let batch = (self.next..self.next + size).map(|row| row % rows).collect();
        self.next = (self.next + size) % rows;
        batch
    }
}

/// What came of the training.
#[allow(dead_code, reason = "for the tests")]
pub(crate) struct Outcome {
    pub(crate) gpu_ids: Vec<u32>,
    pub(crate) visible: Option<String>,
    pub(crate) accuracy: f64,
}

pub(crate) fn run() -> Result<Outcome, Box<dyn Error>> {
    // Eight, whatever this machine has. With none the creation below would be an error that says what is short.
    let _runtime = mobula::init(time::scaled(Config::new().num_gpus(8.0)))?;

    let mnist = Mnist::read_data_sets()?;
    let nn = NeuralNetOnGPU::remote(mnist)?;
    let (gpu_ids, visible) = mobula::get(&nn.gpus().remote())?;
    println!("gpu_ids: {gpu_ids:?}, CUDA_VISIBLE_DEVICES: {}", visible.as_deref().unwrap_or("not set"));
    let device = if Path::new("/dev/nvidiactl").exists() { "a CUDA device is there" } else { "no CUDA device" };
    println!("{device}; this network is computed on the CPU");

    nn.train(100).remote();
    let accuracy = mobula::get(&nn.get_accuracy().remote())?;
    println!("Accuracy is {accuracy:.3}.");
    Ok(Outcome { gpu_ids, visible, accuracy })
}
