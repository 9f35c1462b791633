//! A model that is loaded once and asked often.

use mobula::prelude::*;
use serde::{Deserialize, Serialize};

use super::time;

/// What Python passes by keyword is a struct here: its fields are named where it is made, in any order.
#[derive(Serialize, Deserialize)]
pub struct Weights {
    pub w0: f64,
    pub w1: f64,
}

pub struct LinearModel {
    weights: Weights,
}

#[mobula::actor]
impl LinearModel {
    pub fn new(weights: Weights) -> Self {
        LinearModel { weights }
    }

    pub fn convert(&self, celsius: f64) -> f64 {
        self.weights.w1 * celsius + self.weights.w0
    }
}

/// Returns 100 degrees Celsius in Fahrenheit.
pub(crate) fn run() -> mobula::Result<f64> {
    let _runtime = mobula::init(time::scaled(Config::new()))?;
    let model = LinearModel::remote(Weights { w1: 9.0 / 5.0, w0: 32.0 })?;
    let fahrenheit = mobula::get(&model.convert(100.0).remote())?;
    println!("{fahrenheit}");
    Ok(fahrenheit)
}
