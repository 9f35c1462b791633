//! `mobula torture`: many processes use a store at random while they are killed and stopped, and
//! every byte is checked.
//!
//! ```text
//!   supervisor (this process)                       node                 workers, 2 to 48
//!     plan of a round  ----start-----------------> create  <---attach--- lanes: random calls,
//!     SIGKILL, SIGSTOP, restart ------------------->  .  ------------->    all they see verified
//!     ledger of each worker <-----------journal: start, done, tally, violation-----------+
//!     a worker is dead: what it had done is there, what it was doing is whole or absent,
//!     what only it held is gone, the store is clean
//! ```
//!
//! A run is a row of rounds, each with a store of another size and shape, from nothing to nothing:
//! at its end no object, no client, no process, no descriptor and no file is left, and all memory is
//! free. What is tried follows from the seed; how it interleaves does not.
//!
//! The oracle, besides what each lane knows of its own objects (`lane.rs`):
//! - T-1: an object whose seal was told and whose deletion was not begun is there, bit by bit.
//! - T-2: what was being made or deleted when its process died is whole or absent.
//! - T-3: what is counted and held by nobody goes; so does all that a dead process was making.
//! - T-4: nothing takes longer than it may; a lane that is silent has hung.
//! - T-5: `check` finds nothing wrong, at any time.
//! - T-6: without a node nobody is let in, and all else goes on; the next node adopts the store with all that is in it.

mod content;
#[allow(unsafe_code, reason = "forks without exec")]
mod fork;
mod journal;
mod lane;
mod ledger;
mod node;
mod pauses;
mod plan;
mod process;
mod random;
mod report;
mod round;
mod stage;
mod watchdog;
mod worker;

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::args::TortureArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::torture::plan::Plan;
use crate::torture::process::Part;
use crate::torture::report::Report;
use crate::torture::round::Round;
use crate::torture::watchdog::Watchdog;

/// How long a round lasts at most, without its end.
const ROUND: Duration = Duration::from_secs(8);

/// Plays a part if this process was started for one; then `main` returns the exit code at once.
pub(crate) fn run_child_role() -> Option<ExitCode> {
    let (name, played) = match process::role()? {
        Ok(Part::Node(plan)) => ("the node", node::play(&plan)),
        Ok(Part::Worker(cast)) => ("a worker", worker::play(&cast)),
        Err(what) => ("a child", Err(what)),
    };
    Some(match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            let _ = writeln!(std::io::stderr(), "{name}: {what}");
            ExitCode::FAILURE
        }
    })
}

/// Runs rounds until the time is over or something is wrong.
pub(crate) fn run(args: &TortureArgs, out: &mut Output) -> Result<(), Failure> {
    let seed = args.seed.unwrap_or_else(|| random::mix(content::now_ns() ^ u64::from(std::process::id())));
    let folder = Folder::make()?;
    let begun = Instant::now();
    let mut report = Report { seed, ..Report::default() };
    let watchdog = Watchdog::start(seed, args.json).map_err(Failure::io("could not start the watchdog"))?;
    while report.violations.is_empty() && (report.rounds == 0 || begun.elapsed() < args.seconds) {
        let plan = Plan::draw(seed, report.rounds, args.workers, &folder.0);
        let time = ROUND.min(args.seconds.saturating_sub(begun.elapsed()));
        if !args.json {
            progress(&plan, &report, begun.elapsed());
        }
        Round::new(plan, &mut report, &watchdog).play(time);
        report.rounds += 1;
    }
    report.seconds = begun.elapsed().as_secs_f64();
    watchdog.end();
    report.print(args.json, out)?;
    if report.violations.is_empty() { Ok(()) } else { Err(Failure::Reported) }
}

/// Says on standard error what comes next.
fn progress(plan: &Plan, report: &Report, elapsed: Duration) {
    let _ = writeln!(
        std::io::stderr(),
        "{:>6.1} s  round {}: {} MiB, {} workers of {} lanes{}{}{}{}{}{}{}; so far {} operations, {} kills",
        elapsed.as_secs_f64(),
        plan.round,
        plan.capacity >> 20,
        plan.workers,
        plan.lanes,
        plan.max_objects.map_or(String::new(), |n| format!(", {n} slots")),
        plan.max_clients.map_or(String::new(), |n| format!(", {n} clients")),
        if plan.name.is_some() { ", named" } else { "" },
        if plan.evicts { ", evicting" } else { "" },
        if plan.spill_dir.is_some() { ", spilling" } else { "" },
        if plan.fallback { ", falling back" } else { "" },
        if plan.restarts { ", restarting" } else { "" },
        report.operations,
        report.worker_kills
    );
}

/// The folder of a run's sockets; it goes with the run.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Folder, Failure> {
        let path = std::env::temp_dir().join(format!("mobula-torture-{}", std::process::id()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(Failure::io(format!("could not make the folder {}", path.display())))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
