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

/// What calls and their answers travel through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CallPath {
    /// Rings in the store's shared memory.
    #[default]
    SharedMemory,
    /// Sockets of `ipc-channel`, as the control plane does: a fallback that costs several system calls and thread
    /// switches a call.
    ///
    /// What a process had answered just before it died may be lost with it, and a call or task that was sent to it
    /// counts as maybe started.
    IpcChannel,
}

impl FromStr for CallPath {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "shared-memory" => Ok(CallPath::SharedMemory),
            "ipc-channel" => Ok(CallPath::IpcChannel),
            _ => Err(()),
        }
    }
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
