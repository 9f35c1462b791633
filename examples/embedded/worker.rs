//! The worker program of the `embedded` example: what runs the actors.
//!
//! It is started by the host and ends with it. All it needs is the check at the top of `main` and the actors linked in.

use std::process::ExitCode;

// Nothing here names the actors, but being linked is what registers them.
use embedded_actors as _;

#[mobula::main]
fn main() -> ExitCode {
    // A program that Mobula started never comes here.
    eprintln!("embedded_worker: this runs the actors of the example `embedded`, which starts it by itself");
    ExitCode::from(2)
}
