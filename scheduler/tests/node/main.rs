//! Drives a node by hand: this binary is driver and worker at once.
//!
//! ```text
//!   driver.rs  <--- messages.rs --->  the node  <--- messages.rs --->  worker.rs
//!   speaks message by message         in this process                  obeys class and function names
//! ```
//!
//! | scenarios of | file |
//! |---|---|
//! | actors | `actors.rs` |
//! | names of actors | `names.rs` |
//! | restarts of actors | `restarts.rs` |
//! | tasks and what they hold | `tasks.rs` |
//! | tasks and calls that are cancelled | `cancels.rs` |
//! | workers lent to callers | `leases.rs` |
//! | workers that cannot start | `starts.rs` |
//! | the template of workers | `template.rs` |
//! | the end of a runtime | `ends.rs` |
//!
//! Every scenario starts a node of its own in the same process, so that starting again after a shutdown is tested
//! throughout, and none may leave a child. All run twice: with workers that are copies of a template, and with such
//! that are started by themselves.

#![allow(clippy::print_stdout, reason = "the test runner and the workers print")]
#![allow(clippy::unwrap_used, reason = "a test without harness is not recognised as one")]
#![allow(clippy::zombie_processes, reason = "that a program dies with its worker is what is tested")]

use std::sync::atomic::Ordering;
use std::time::Instant;

use mobula_scheduler::bootstrap;

use self::driver::FORKS;
use self::processes::children;

/// Lists scenarios with their names.
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        &[$((stringify!($name), $name as fn())),+]
    };
}

mod actors;
mod cancels;
mod driver;
mod ends;
mod leases;
mod messages;
mod names;
mod processes;
mod restarts;
mod starts;
mod tasks;
mod template;
mod worker;

/// A scenario and its name.
type Scenario = (&'static str, fn());

/// What a worker does before it joins: set in its environment.
const MODE: &str = "MOBULA_TEST_MODE";

/// Set in the environment of a driver whose workers are not to be copies.
const SPAWN: &str = "MOBULA_TEST_SPAWN";

fn main() {
    if bootstrap::is_worker() {
        unreachable!("nobody has taken the mark yet");
    }
    match std::env::var(MODE).as_deref() {
        Ok("no_init") => {
            eprintln!("I do not know what a worker is");
            std::process::exit(3);
        }
        Ok("silent") => loop {
            std::thread::park();
        },
        Ok("threads") => drop(std::thread::spawn(std::thread::park)),
        _ => {}
    }
    if let Some(mark) = bootstrap::take_mark() {
        worker::run(mark.join());
    }
    let filter = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    FORKS.store(std::env::var_os(SPAWN).is_none(), Ordering::Relaxed);
    match std::env::var(MODE).as_deref() {
        Ok("driver") => return ends::die_as_driver(),
        Ok("printer") => return actors::let_workers_print(),
        Ok("inert") => return println!("no worker"),
        _ => {}
    }
    for forks in [true, false] {
        FORKS.store(forks, Ordering::Relaxed);
        let how = if forks { "forked" } else { "spawned" };
        for (area, (name, scenario)) in areas() {
            let name = format!("{area}::{name}");
            if filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())) {
                let begin = Instant::now();
                scenario();
                assert!(children().is_empty(), "{name} leaves {:?}", children());
                println!("test {name}, {how} ... ok ({:?})", begin.elapsed());
            }
        }
    }
}

fn areas() -> impl Iterator<Item = (&'static str, Scenario)> {
    let areas = [
        ("actors", actors::ALL),
        ("names", names::ALL),
        ("restarts", restarts::ALL),
        ("tasks", tasks::ALL),
        ("cancels", cancels::ALL),
        ("leases", leases::ALL),
        ("starts", starts::ALL),
        ("template", template::ALL),
        ("ends", ends::ALL),
    ];
    areas.into_iter().flat_map(|(area, scenarios)| scenarios.iter().map(move |&scenario| (area, scenario)))
}
