//! What the command line says.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use clap::builder::RangedU64ValueParser;
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::digits::TRAINING_ROWS;

/// The widest layer: its parameters take 6 GB. Wider ones measure the swap space.
const WIDEST: usize = 20_000_000;

/// Hidden units up to which the learning rate is taken as it is.
const STEEPEST: f32 = 32.0;

/// Trains a classifier of handwritten digits with a parameter server.
///
/// One server actor holds the parameters, worker actors compute gradients on their share of the rows. The last line on
/// standard output is for programs.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Worker actors, a process each [default: the CPUs]
    #[arg(long, value_name = "N", default_value_t = cpus(), hide_default_value = true, value_parser = amount(1, TRAINING_ROWS))]
    pub(crate) workers: usize,

    /// How gradients meet: averaged in rounds, or each as it comes
    #[arg(long, value_enum, default_value_t = Mode::Sync)]
    pub(crate) mode: Mode,

    /// How parameters and gradients travel: as objects that calls name, or through channels that are made once
    #[arg(long, value_enum, default_value_t = Transport::Calls)]
    pub(crate) transport: Transport,

    /// Units of the hidden layer; 0 is softmax regression, a very wide layer a test of bandwidth
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = amount(0, WIDEST))]
    pub(crate) hidden: usize,

    /// Passes over the training rows
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = amount(1, 1_000_000))]
    pub(crate) epochs: usize,

    /// Rows a gradient
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = amount(1, TRAINING_ROWS))]
    pub(crate) batch: usize,

    /// Learning rate; shrunk for hidden layers above 32 units, and in async mode for many workers
    #[arg(long, value_name = "RATE", default_value_t = 0.5, value_parser = rate)]
    pub(crate) lr: f32,

    /// What the first weights and the order of the rows come from; in sync mode a run repeats exactly
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Draw the loss curve into this SVG file
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

impl Options {
    /// Counts the gradients that each worker computes in one epoch.
    pub(crate) fn steps_per_epoch(&self) -> usize {
        // By the largest shard, so that every row of every shard has its turn.
        TRAINING_ROWS.div_ceil(self.workers).div_ceil(self.batch)
    }

    /// Counts the gradients that each worker computes in the whole training.
    pub(crate) fn steps(&self) -> usize {
        self.epochs * self.steps_per_epoch()
    }

    /// Gives the rate of one update of the parameters.
    pub(crate) fn rate(&self) -> f32 {
        // All units of a layer push the outputs the same way, so beyond some width the step has to shrink with it.
        let width = (STEEPEST / self.hidden.max(1) as f32).min(1.0);
        let staleness = match self.mode {
            Mode::Sync => 1.0,
            // Gradients that are up to a round old and not averaged need shorter steps; the square root of their number
            // keeps hidden layers stable and costs softmax regression no accuracy.
            Mode::Async => (self.workers as f32).sqrt(),
        };
        self.lr * width / staleness
    }
}

/// How gradients meet the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Mode {
    /// Workers go in rounds; the server averages the gradients of a round
    Sync,
    /// Workers go at their own pace; the server applies each gradient at once
    Async,
}

/// How parameters and gradients travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// A call for each gradient; every version and gradient is an object of its own
    Calls,
    /// Channels in shared memory, whose places are written and read in turn
    Channels,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Calls => "calls",
            Transport::Channels => "channels",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Sync => "sync",
            Mode::Async => "async",
        })
    }
}

fn cpus() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get).min(TRAINING_ROWS)
}

fn amount(least: usize, most: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(least as u64..=most as u64)
}

fn rate(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        Ok(rate) => Err(format!("{rate} is not a positive number")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn an_epoch_covers_the_largest_shard() {
        let options = Options::parse_from(["x", "--workers", "2", "--batch", "16", "--epochs", "3"]);
        assert_eq!(options.steps_per_epoch(), 45); // 719 rows
        assert_eq!(options.steps(), 135);
    }

    #[test]
    fn wide_layers_and_stale_gradients_take_shorter_steps() {
        let rate = |arguments: &str| Options::parse_from(arguments.split(' ')).rate();
        assert_eq!(rate("x --workers 4"), 0.5);
        assert_eq!(rate("x --workers 4 --hidden 32"), 0.5);
        assert_eq!(rate("x --workers 4 --hidden 64"), 0.25);
        assert_eq!(rate("x --workers 4 --mode async"), 0.25);
    }

    #[test]
    fn values_without_sense_are_refused() {
        for arguments in [
            ["x", "--workers", "0"],
            ["x", "--workers", "1438"],
            ["x", "--batch", "0"],
            ["x", "--lr", "0"],
            ["x", "--lr", "nan"],
            ["x", "--mode", "fast"],
        ] {
            assert!(Options::try_parse_from(arguments).is_err(), "{arguments:?}");
        }
    }
}
