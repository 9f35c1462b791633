//! A program with its own threads and its own command line that uses Mobula inside.
//!
//! ```text
//! cargo build --release --examples
//! cargo run --release --example embedded -- --sensors 3 --analysers 2
//! ```
//!
//! Sensor threads produce blocks of samples, actors in other processes sum them up, a reporter prints. The host has no
//! `#[mobula::main]` and is never run again as a worker: workers are another program, `embedded_worker`, built from
//! `worker.rs`. The actors stand in a library that both link, `actors/`.

mod engine;

use std::env;
use std::error::Error;
use std::f32::consts::TAU;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use clap::Parser;
use embedded_actors::Summary;
use mobula::ObjectRef;

use engine::Engine;

/// Watches some sensors and sums up what they measure.
#[derive(Debug, Parser)]
struct Options {
    /// Sensors, a thread each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    sensors: u32,

    /// Analysers, a process each
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    analysers: u32,

    /// Blocks that each sensor measures
    #[arg(long, value_name = "N", default_value_t = 20)]
    blocks: u32,

    /// Samples a block
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    samples: u32,

    /// The worker program [default: embedded_worker beside this program]
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
}

/// A block that was handed to an analyser, on its way to the reporter.
struct Submitted {
    sensor: u32,
    summary: mobula::Result<ObjectRef<Summary>>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("embedded: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let engine = Engine::start(worker(options)?, options.analysers as usize)?;
    let (sender, receiver) = mpsc::channel();
    let summaries = thread::scope(|scope| {
        for sensor in 0..options.sensors {
            let (engine, sender) = (&engine, sender.clone());
            scope.spawn(move || watch(sensor, options, engine, &sender));
        }
        // The sensors have clones; without this one the reporter ends with the last of them.
        drop(sender);
        report(options.sensors, &receiver)
    })?;

    let mut out = io::stdout().lock();
    writeln!(out, "{:<10} {:>10} {:>9} {:>9} {:>9} {:>9}", "", "samples", "mean", "deviation", "low", "high")?;
    for (sensor, summary) in summaries.iter().enumerate() {
        show(&mut out, &format!("sensor {sensor}"), summary)?;
    }
    for (index, total) in engine.totals()?.iter().enumerate() {
        show(&mut out, &format!("process {index}"), total)?;
    }
    let all = summaries.into_iter().fold(Summary::default(), Summary::merge);
    show(&mut out, "all", &all)?;
    Ok(())
}

/// Runs one sensor: measures, submits, and does not wait for the results.
fn watch(sensor: u32, options: &Options, engine: &Engine, sender: &mpsc::Sender<Submitted>) {
    for block in 0..options.blocks {
        let summary = engine.submit(&measured(sensor, block, options.samples));
        let failed = summary.is_err();
        // Without a reporter there is nobody left to measure for.
        if sender.send(Submitted { sensor, summary }).is_err() || failed {
            return;
        }
    }
}

/// Collects results in the order of the blocks and merges them by sensor.
fn report(sensors: u32, receiver: &mpsc::Receiver<Submitted>) -> mobula::Result<Vec<Summary>> {
    let mut summaries = vec![Summary::default(); sensors as usize];
    for Submitted { sensor, summary } in receiver {
        let summary = mobula::get(&summary?)?;
        let sum = &mut summaries[sensor as usize];
        *sum = sum.merge(summary);
    }
    Ok(summaries)
}

/// Measures a block: a sine of the sensor's own height and level.
fn measured(sensor: u32, block: u32, samples: u32) -> Vec<f32> {
    let (level, height) = (10.0 * sensor as f32, 1.0 + sensor as f32);
    (0..samples)
        .map(|sample| {
            let turn = sample as f32 / samples as f32;
            level + height * (TAU * (turn + block as f32 / 10.0)).sin()
        })
        .collect()
}

fn show(out: &mut impl Write, name: &str, summary: &Summary) -> io::Result<()> {
    writeln!(
        out,
        "{name:<10} {:>10} {:>9.3} {:>9.3} {:>9.3} {:>9.3}",
        summary.count,
        summary.mean,
        summary.deviation(),
        summary.low,
        summary.high,
    )
}

fn worker(options: &Options) -> Result<PathBuf, Box<dyn Error>> {
    let path = match &options.worker {
        Some(path) => path.clone(),
        None => env::current_exe()?.with_file_name("embedded_worker"),
    };
    if !path.is_file() {
        let path = path.display();
        return Err(format!(
            "no worker program at {path}: build it with `cargo build --examples` or name it with --worker"
        )
        .into());
    }
    Ok(path)
}
