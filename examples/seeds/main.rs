//! The programs of five tutorials on Ray, with their names and numbers, in Mobula.
//!
//! ```text
//! cargo run --release --example seeds -- --list
//! cargo run --release --example seeds -- taxi --scale 0.1
//! ```
//!
//! Each file is to be read by itself, beside the tutorial: `docs/seeds.md` leads from one to the other. What the
//! programs return is what they print; the tests look at it (`tests/examples/seeds.rs`).
//!
//! | file | what it holds |
//! |---|---|
//! | `goals_scored.rs`, `supervisor.rs` | "A Guided Tour of Ray Core: Remote Classes" |
//! | `exercises.rs` | the exercises 4 and 5 |
//! | `environments.rs`, `counters.rs`, `neural_net.rs` | "Actors" |
//! | `accounting.rs`, `linear_model.rs` | "Ray Actors" |
//! | `parameter_server.rs`, `supervisor.rs` again, `messages.rs`, `taxi.rs` | "Les Acteurs" |
//! | `time.rs`, `random.rs`, `gym.rs` | what Python's modules of these names do there |
//! | `processes.rs` | a look at processes |
#![deny(unsafe_code)]
#![allow(clippy::print_stdout, reason = "printing is what they are for")]
#![allow(unreachable_pub, reason = "the remote methods of an actor are its `pub` ones")]

mod accounting;
mod counters;
mod cuda;
#[path = "../data/digits.rs"]
#[allow(dead_code, reason = "others use more of it")]
mod digits;
mod environments;
mod exercises;
mod goals_scored;
mod gym;
mod linear_model;
mod messages;
mod neural_net;
mod parameter_server;
mod processes;
mod random;
mod supervisor;
mod taxi;
mod time;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::PossibleValuesParser;

/// A program: its name, what it shows and how long that takes, and the program itself.
struct Program {
    name: &'static str,
    shows: &'static str,
    run: fn() -> Result<(), Box<dyn Error>>,
}

const fn program(name: &'static str, shows: &'static str, run: fn() -> Result<(), Box<dyn Error>>) -> Program {
    Program { name, shows, run }
}

static PROGRAMS: [Program; 15] = [
    program("goals-scored", "an actor class, three actors, a method with three results", || {
        Ok(goals_scored::run().map(drop)?)
    }),
    program("supervisor", "a tree of actors that is polled and killed (1 s)", || {
        Ok(supervisor::run(supervisor::GUIDED_TOUR).map(drop)?)
    }),
    program("example", "set and get", || Ok(exercises::example().map(drop)?)),
    program("exercise-4", "two actors in parallel, checked by the clock (2.5 s)", || {
        Ok(exercises::exercise_4()?.verify()?)
    }),
    program("shared-actor", "three tasks call one actor", || Ok(exercises::shared_actor().map(drop)?)),
    program("exercise-5", "three tasks log to one actor (60 s)", || Ok(exercises::exercise_5().map(drop)?)),
    program("environments", "two simulators that step", || Ok(environments::run().map(drop)?)),
    program("counters", "ten counters, one of them five times more", || Ok(counters::run().map(drop)?)),
    program("neural-net", "an actor with a GPU learns digits", || neural_net::run().map(drop)),
    program("accounting", "a running balance", || Ok(accounting::run().map(drop)?)),
    program("linear-model", "a model with named weights", || Ok(linear_model::run().map(drop)?)),
    program("parameter-server", "three workers push gradients, the driver polls (20 s)", || {
        Ok(parameter_server::run().map(drop)?)
    }),
    program("tree-of-actors", "the supervisor once more, with other models (1 s)", || {
        Ok(supervisor::run(supervisor::LES_ACTEURS).map(drop)?)
    }),
    program("messages", "three workers send messages, the driver polls (10 s)", || Ok(messages::run().map(drop)?)),
    program("taxi", "a dispatcher, four taxis, and handles in a circle (15 s)", || Ok(taxi::run().map(drop)?)),
];

/// Runs one of the programs of five tutorials on Ray.
#[derive(Parser)]
struct Options {
    /// The program
    #[arg(value_parser = names(), required_unless_present = "list")]
    program: Option<String>,

    /// What every sleep is multiplied with
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = scale)]
    scale: f64,

    /// Say what there is
    #[arg(long)]
    list: bool,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(PROGRAMS.iter().map(|program| program.name))
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (0.0..=1000.0).contains(&scale) => Ok(scale),
        _ => Err(String::from("expected a number from 0 to 1000")),
    }
}

#[mobula::main]
fn main() -> ExitCode {
    let options = Options::parse();
    if options.list {
        for program in &PROGRAMS {
            println!("{:<18} {}", program.name, program.shows);
        }
        return ExitCode::SUCCESS;
    }
    time::set_scale(options.scale);
    let name = options.program.as_deref().unwrap_or_default();
    let ran = PROGRAMS.iter().filter(|program| program.name == name).try_for_each(|program| (program.run)());
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("seeds: {error}");
            ExitCode::FAILURE
        }
    }
}
