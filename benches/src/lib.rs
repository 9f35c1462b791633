//! The workloads and figures of Mobula, as a library: the binary `mobula-bench` is a thin shell over
//! it, and so is whatever else wants to run them.
//!
//! Every figure crosses real processes where the thing it measures does, is checked (a call's result,
//! a copy's bytes) and stands beside the physical limit that was measured in the same run:
//!
//! ```text
//!   Session --limit--> limits.rs     two processes and a cache line, a futex, a copy, a spawn
//!      |                   |
//!      +----suite--> suites/*.rs     the same thing through Mobula
//!      |                   |
//!      v                   v
//!     Sink  <------------ Row        { p50, p99 of single operations | value | limit }
//! ```
//!
//! What a row's figures mean:
//! - `p50` and `p99` are always nanoseconds of single operations, each timed alone, the clock's own
//!   cost subtracted ([`Clock`]). Where operations only exist in batches they are a batch's time
//!   divided by its operations.
//! - `value` is the row's figure in its unit. In rows of nanoseconds it is the median of batches that
//!   hold no clock, if operations are that short, and `p50` otherwise. Trust it more than `p50`
//!   below 50 ns: some processors' counters move in steps of 10 ns.
//! - `limit` is the `value` of the row `limit_row` of the same suite.
//!
//! A figure that cannot be had on this machine is [`Skipped`] with the reason; nothing is estimated.
//!
//! Child processes are this executable, started again with [`CHILD`] as first argument, so a binary
//! that runs suites calls [`run_child_role`] first, behind the worker check of `#[mobula::main]`:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! #[mobula::main]
//! fn main() -> ExitCode {
//!     if let Some(code) = mobula_bench::run_child_role() {
//!         return code;
//!     }
//!     let mut sink = mobula_bench::TableSink::new(std::io::stdout());
//!     let mut session = mobula_bench::Session::new(true, &mut sink);
//!     match session.run(mobula_bench::Suite::Store) {
//!         Ok(()) => ExitCode::SUCCESS,
//!         Err(_) => ExitCode::FAILURE,
//!     }
//! }
//! ```

#![deny(unsafe_code)]

mod child;
#[allow(unsafe_code, reason = "reads the time stamp counter")]
mod clock;
mod error;
mod limits;
mod machine;
mod process;
mod report;
mod sample;
mod session;
#[allow(unsafe_code, reason = "maps memory that two processes share")]
mod shared;
mod suites;
mod watchdog;

pub use child::{CHILD, run_child_role};
pub use clock::Clock;
pub use error::{Error, Result};
pub use machine::Machine;
pub use report::{JsonSink, Row, Sink, Skipped, TableSink, Unit};
pub use sample::Samples;
pub use session::{Session, Suite};
