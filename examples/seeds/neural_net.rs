//! An actor that holds a GPU and a neural network: softmax regression on handwritten digits.
//!
//! GPUs are counted by the runtime, whether there are devices or not. An actor gets numbers, and they stand in
//! `CUDA_VISIBLE_DEVICES` before its process runs any of its code, so that a framework in it takes the right device.
//! The products of this network are computed there if it is a CUDA device, and on the CPU if there is none.

use std::env;
use std::error::Error;

use mobula::prelude::*;
use serde::{Deserialize, Serialize};

use super::cuda::{Device, Matrix};
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
    weights: Weights,
    b: [f32; CLASSES],
}

/// [`PIXELS`] rows of [`CLASSES`] numbers, and where they are.
enum Weights {
    Here(Vec<f32>),
    There(Device, Matrix),
}

type Failure = Box<dyn Error>;

impl Network {
    fn construct() -> Result<(Self, String), Failure> {
        let (weights, place) = match Device::open() {
            Ok(device) => {
                let place = format!("on {}", device.name());
                let w = device.zeros(PIXELS, CLASSES)?;
                (Weights::There(device, w), place)
            }
            Err(reason) => (Weights::Here(vec![0.0; PIXELS * CLASSES]), format!("on the CPU: {reason}")),
        };
        Ok((Network { weights, b: [0.0; CLASSES] }, place))
    }

    /// Gives a row for each of the images.
    fn predict(&self, images: &[f32]) -> Result<Vec<[f32; CLASSES]>, Failure> {
        let products = match &self.weights {
            Weights::Here(w) => product(images, w),
            Weights::There(device, w) => device.download(&device.product(&device.upload(images, PIXELS)?, w)?)?,
        };
        Ok(products.chunks_exact(CLASSES).map(|row| self.softmax(row)).collect())
    }

    fn softmax(&self, product: &[f32]) -> [f32; CLASSES] {
        let mut y = self.b;
        add_scaled(&mut y, 1.0, product);
        let largest = y.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exp = y.map(|logit| (logit - largest).exp());
        let sum: f32 = exp.iter().sum();
        exp.map(|exp| exp / sum)
    }

    /// Goes one step down the mean cross-entropy of some images.
    fn train_step(&mut self, images: &[f32], labels: &[usize]) -> Result<(), Failure> {
        let rate = -LEARNING_RATE / labels.len() as f32;
        let mut errors = self.predict(images)?;
        for (error, &label) in errors.iter_mut().zip(labels) {
            error[label] -= 1.0;
            add_scaled(&mut self.b, rate, error);
        }
        match &mut self.weights {
            Weights::Here(w) => {
                for (image, error) in images.chunks_exact(PIXELS).zip(&errors) {
                    for (x, weights) in image.iter().zip(w.chunks_exact_mut(CLASSES)) {
                        add_scaled(weights, rate * x, error);
                    }
                }
            }
            Weights::There(device, w) => {
                let (x, e) = (device.upload(images, PIXELS)?, device.upload(errors.as_flattened(), CLASSES)?);
                device.add_transposed_product(rate, &x, &e, w)?;
            }
        }
        Ok(())
    }
}

fn product(images: &[f32], w: &[f32]) -> Vec<f32> {
    let mut products = vec![0.0; images.len() / PIXELS * CLASSES];
    for (image, product) in images.chunks_exact(PIXELS).zip(products.chunks_exact_mut(CLASSES)) {
        for (x, weights) in image.iter().zip(w.chunks_exact(CLASSES)) {
            add_scaled(product, *x, weights);
        }
    }
    products
}

fn add_scaled(sum: &mut [f32], factor: f32, values: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

pub struct NeuralNetOnGPU {
    mnist: Mnist,
    network: Network,
    /// Where it is computed.
    place: String,
    next: usize,
}

#[mobula::actor(num_gpus = 1.0)]
impl NeuralNetOnGPU {
    // CUDA_VISIBLE_DEVICES is set already.
    pub fn new(mnist_data: Mnist) -> Result<Self, Box<dyn Error>> {
        let (network, place) = Network::construct()?;
        Ok(NeuralNetOnGPU { mnist: mnist_data, network, place, next: 0 })
    }

    pub fn train(&mut self, num_steps: usize) -> Result<(), Box<dyn Error>> {
        for _ in 0..num_steps {
            let (images, labels) = self.next_batch(100);
            self.network.train_step(&images, &labels)?;
        }
        Ok(())
    }

    pub fn get_accuracy(&self) -> Result<f64, Box<dyn Error>> {
        let Images { images, labels } = &self.mnist.test;
        let predictions = self.network.predict(images)?;
        let right = predictions
            .iter()
            .zip(labels.iter())
            .filter(|(y, label)| (0..CLASSES).max_by(|&a, &b| y[a].total_cmp(&y[b])) == Some(usize::from(**label)));
        Ok(right.count() as f64 / labels.len() as f64)
    }

    /// Says where the network is computed.
    pub fn place(&self) -> String {
        self.place.clone()
    }

    /// Gives the GPUs that it holds, and what a framework sees.
    pub fn gpus(&self) -> (Vec<u32>, Option<String>) {
        (mobula::context().gpu_ids(), env::var("CUDA_VISIBLE_DEVICES").ok())
    }
}

impl NeuralNetOnGPU {
    fn next_batch(&mut self, size: usize) -> (Vec<f32>, Vec<usize>) {
        let rows = self.mnist.train.labels.len();
        let batch = (self.next..self.next + size).map(|row| self.mnist.train.row(row % rows));
        let (images, labels): (Vec<_>, _) = batch.unzip();
        self.next = (self.next + size) % rows;
        (images.concat(), labels)
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
    println!("the network is computed {}", mobula::get(&nn.place().remote())?);

    nn.train(100).remote();
    let accuracy = mobula::get(&nn.get_accuracy().remote())?;
    println!("Accuracy is {accuracy:.3}.");
    Ok(Outcome { gpu_ids, visible, accuracy })
}
