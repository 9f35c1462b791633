//! The clock of the seeds: sleeps in seconds, all stretched by one number, so that minutes can be tried in moments.
//!
//! Workers are other processes; the number travels to them in their environment.

use std::sync::OnceLock;
use std::time::Duration;
use std::{env, thread};

use mobula::prelude::*;

const VARIABLE: &str = "SEEDS_SCALE";

static SCALE: OnceLock<f64> = OnceLock::new();

/// Sets what every sleep is multiplied with; 1 is what the seeds say. It counts if nobody has slept before.
pub(crate) fn set_scale(scale: f64) {
    let _ = SCALE.set(scale);
}

/// Gives what every sleep is multiplied with.
pub(crate) fn scale() -> f64 {
    *SCALE.get_or_init(|| env::var(VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(1.0))
}

/// Tells the workers of a runtime, too.
pub(crate) fn scaled(config: Config) -> Config {
    config.env(VARIABLE, scale().to_string())
}

/// Sleeps for so many seconds of the seeds.
pub(crate) fn sleep(seconds: f64) {
    thread::sleep(Duration::from_secs_f64(seconds * scale()));
}
