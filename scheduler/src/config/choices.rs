//! Options with a few named values.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much of its own doings a runtime tells through `tracing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What went wrong.
    Error,
    /// What looks wrong.
    Warn,
    /// The few events of a runtime's life.
    #[default]
    Info,
    /// Each process and actor.
    Debug,
    /// Each control message.
    Trace,
}

impl FromStr for LogLevel {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "off" => LogLevel::Off,
            "error" => LogLevel::Error,
            "warn" | "warning" => LogLevel::Warn,
            "info" => LogLevel::Info,
            "debug" => LogLevel::Debug,
            "trace" => LogLevel::Trace,
            _ => return Err(()),
        })
    }
}

/// How the processes of a runtime wait for calls and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Waiting {
    /// Looks for a while before it sleeps, as long as that pays and there is a processor for it.
    #[default]
    Latency,
    /// Sleeps after a microsecond: a call costs a wake-up on each side, and nobody burns a processor.
    Thrift,
}

impl FromStr for Waiting {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "latency" => Ok(Waiting::Latency),
            "thrift" => Ok(Waiting::Thrift),
            _ => Err(()),
        }
    }
}
