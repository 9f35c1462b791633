//! Trains a classifier of handwritten digits with a parameter server.
//!
//! ```text
//! cargo run --release --example parameter_server -- --mode async --plot loss.svg
//! ```
//!
//! One server actor holds the parameters, worker actors compute gradients on their share of the training rows. The data
//! set is put once and read by all without a copy; parameters and gradients are arrays in shared memory.
//!
//! | file | what it holds |
//! |---|---|
//! | `actors.rs` | the server and the worker: what runs in the other processes |
//! | `training.rs` | the driver: starts them, leads the rounds |
//! | `wires.rs` | the channels between them, for `--transport channels` |
//! | `model.rs`, `sampler.rs`, `random.rs` | the classifier, the order of the rows, the generator; no Mobula in them |
//! | `progress.rs`, `curve.rs`, `chart.rs`, `plot.rs` | what is shown |
//! | `options.rs` | the command line |
//!
//! The digits themselves: `../data/digits.rs`.
#![forbid(unsafe_code)]

mod actors;
mod chart;
mod curve;
#[path = "../data/digits.rs"]
mod digits;
mod model;
mod options;
mod plot;
mod progress;
mod random;
mod sampler;
mod training;
mod wires;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use mobula::prelude::*;

use digits::Digits;
use model::Model;
use options::Options;
use training::{Outcome, Team};

/// Characters of the chart in the terminal.
const CHART_WIDTH: usize = 72;
/// Lines of it.
const CHART_HEIGHT: usize = 13;

#[mobula::main]
fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("parameter_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let (training, test) = Digits::load()?;
    let _runtime = mobula::init(Config::new())?;
    let team = Team::start(options, &training)?;
    let outcome = team.train(options)?;
    let accuracy = Model::new(options.hidden).accuracy(&outcome.parameters, test.view());

    if let Some(path) = &options.plot {
        fs::write(path, plot(options, &outcome, accuracy))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", chart::render(&outcome.curve, CHART_WIDTH, CHART_HEIGHT))?;
    writeln!(
        out,
        "accuracy={accuracy:.3} rounds={} pushes_per_s={:.1} gb_per_s={:.3} workers={} mode={} transport={} wall_s={:.3}",
        outcome.rounds,
        outcome.pushes_per_second(),
        outcome.gigabytes_per_second(),
        options.workers,
        options.mode,
        options.transport,
        outcome.seconds(),
    )?;
    Ok(())
}

fn plot(options: &Options, outcome: &Outcome, accuracy: f64) -> String {
    let model = match options.hidden {
        0 => String::from("Softmax regression"),
        units => format!("{units} hidden units"),
    };
    let title = format!("{model} on handwritten digits: {:.1} % right", 100.0 * accuracy);
    let details = format!(
        "{} workers, {} mode, batch {}, learning rate {}, {:.0} gradients a second",
        options.workers,
        options.mode,
        options.batch,
        options.lr,
        outcome.pushes_per_second(),
    );
    plot::render(&outcome.curve, &title, &details)
}
