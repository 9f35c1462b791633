//! The workloads and figures of Mobula, as a library: the binary `mobula-bench` is a thin shell over
//! it, and so is whatever else wants to run them.
//!
//! Every figure crosses real processes where the thing it measures does, is checked (a call's result,
//! a copy's bytes) and stands beside the physical limit that was measured in the same run:
//!
//! ```text
//!   Session --limit--> limits/       two processes and a cache line, a futex, a copy, a spawn
//!      |                   |
//!      +----suite--> suites/         the same thing through Mobula
//!      |                   |
//!      v                   v
//!     Sink  <------------ Row        { p50, p99 of single operations | value | limit }
//!                          |
//!                       Verdict      targets.rs: what it should be, scaled to this machine
//! ```
//!
//! What a row's figures mean:
//! - `p50` and `p99` are always nanoseconds of single operations, each timed alone, the clock's own
//!   cost subtracted ([`Clock`]). Where operations only exist in batches they are a batch's time
//!   divided by its operations.
//! - `value` is the row's figure in its unit. In rows of nanoseconds it is the median of batches that
//!   hold no clock, if operations are that short, and `p50` otherwise. Trust it more than `p50`
//!   below 50 ns: some processors' counters move in steps of 10 ns.
//! - `limit` is the `value` of the row `limit_row` of the same suite: a physical limit, or the same
//!   operation without what the row is about (get beside others and alone).
//! - The table also shows the row's target and whether it is met; [`Verdict`] has how targets scale.
//!
//! Suites of somebody's own stand beside the limits in the same way: [`Session::run_own`] shows one, and so
//! does the example `own_suite`.
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
//!     match mobula_bench::run(&mobula_bench::Options::new().suite(mobula_bench::Suite::Store).quick(true)) {
//!         Ok(()) => ExitCode::SUCCESS,
//!         Err(complaint) => {
//!             eprintln!("{complaint}");
//!             ExitCode::FAILURE
//!         }
//!     }
//! }
//! ```

#![deny(unsafe_code)]

mod child;
#[allow(unsafe_code, reason = "reads the time stamp counter")]
mod clock;
mod error;
mod html;
mod limits;
mod machine;
mod peers;
mod process;
mod report;
mod runner;
mod sample;
mod session;
#[allow(unsafe_code, reason = "maps memory that two processes share")]
mod shared;
#[allow(unsafe_code, reason = "copies with vector instructions")]
mod streamed;
mod suites;
mod targets;
mod watchdog;

pub use child::{CHILD, run_child_role};
pub use clock::Clock;
pub use error::{Error, Result, check};
pub use html::HtmlSink;
pub use limits::{BATCH, IDLE, Limit};
pub use machine::Machine;
pub use peers::{Against, Peers};
pub use report::{JsonSink, Row, Sink, Skipped, TableSink, Unit};
pub use runner::{Options, run};
pub use sample::{Samples, asleep, batches, in_turns, singles, warmed};
pub use session::{Figure, Session, Suite};
pub use targets::Verdict;
