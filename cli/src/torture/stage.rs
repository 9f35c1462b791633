//! What a round plays on: the node, the supervisor's own client, and the workers with their ledgers.

use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mobula_store::Store;
use rustix::process::Signal;

use crate::torture::journal::Record;
use crate::torture::ledger::Ledger;
use crate::torture::node::{ADOPTED, CREATED};
use crate::torture::pauses::Pauses;
use crate::torture::plan::Plan;
use crate::torture::process::{Part, Process, describe};
use crate::torture::worker::Cast;

/// A silent lane has hung. The longest that a lane does without a word is a wait of 1.5 s.
const SILENCE: Duration = Duration::from_secs(25);
/// A process that should begin or end takes no longer.
const PATIENCE: Duration = Duration::from_secs(25);

/// A worker process and what is known of it.
pub(crate) struct Worker {
    pub(crate) number: u16,
    pub(crate) incarnation: u32,
    pub(crate) process: Process,
    ledger: Arc<Mutex<Ledger>>,
    reader: Option<JoinHandle<()>>,
    /// When it was started, or goes on after it was stopped.
    since: Instant,
}

impl Worker {
    fn start(plan: &Plan, number: u16, incarnation: u32) -> Result<Worker, String> {
        let part = Part::Worker(Cast { plan: plan.clone(), worker: number, incarnation });
        let (process, out) = Process::start(part).map_err(|error| format!("could not start a worker: {error}"))?;
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let books = ledger.clone();
        let reader = std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            while let Some(record) = Record::read(&mut out) {
                books.lock().unwrap_or_else(PoisonError::into_inner).book(record);
            }
        });
        let since = Instant::now();
        Ok(Worker { number, incarnation, process, ledger, reader: Some(reader), since })
    }

    /// Returns its books; they are complete once it is buried.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops it for some time.
    pub(crate) fn stop(&mut self, time: Duration, pauses: &Pauses) {
        self.since = Instant::now() + time;
        pauses.stop(self.process.pidfd(), time);
    }

    /// Waits for its end and for all that it has said.
    pub(crate) fn bury(&mut self) -> Result<ExitStatus, String> {
        let status = self.process.wait(PATIENCE).ok_or_else(|| format!("{self} does not end within {PATIENCE:?}"))?;
        // A child that it forked dies with it, and has the pipe open until then.
        if let Some(reader) = self.reader.take() {
            reader.join().map_err(|_| "a reader panicked".to_owned())?;
        }
        Ok(status)
    }

    /// Looks whether it has said or done something wrong.
    pub(crate) fn look(&mut self) -> Result<(), String> {
        if let Some(status) = self.process.ended() {
            let _ = self.bury();
            let said = self.ledger().violations.clone();
            return Err(if said.is_empty() { format!("{self} ended with {status}") } else { said.join("\n") });
        }
        let ledger = self.ledger();
        if !ledger.violations.is_empty() {
            return Err(ledger.violations.join("\n"));
        }
        let heard = |at: Instant| at.max(self.since).elapsed() > SILENCE;
        let hung = match ledger.ready {
            false => heard(self.since).then(|| "it has not attached".to_owned()),
            true => ledger
                .lanes
                .iter()
                .find(|(_, (at, left))| !left && heard(*at))
                .map(|(lane, _)| format!("lane {lane} is silent")),
        };
        match hung {
            None => Ok(()),
            Some(what) => Err(format!("{self} hangs: {what} for {SILENCE:?}; {}", describe(self.process.pid()))),
        }
    }
}

impl std::fmt::Display for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "worker {} (incarnation {}, pid {})", self.number, self.incarnation, self.process.pid())
    }
}

/// A round's processes; dropping it kills them.
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) workers: Vec<Worker>,
    pub(crate) store: Store,
    pub(crate) node: Process,
    pub(crate) pauses: Pauses,
}

impl Stage {
    /// Starts the node and attaches to its store.
    pub(crate) fn open(plan: &Plan) -> Result<Stage, String> {
        let node = start_node(plan, CREATED)?;
        let store =
            Store::attach(&plan.address).map_err(|error| format!("the supervisor's attach answered: {error}"))?;
        let pauses = Pauses::start().map_err(|error| format!("could not start a thread: {error}"))?;
        Ok(Stage { plan: plan.clone(), workers: Vec::new(), store, node, pauses })
    }

    /// Starts a worker in the place of one that has ended, or as a further one.
    pub(crate) fn start_worker(&mut self, number: u16, incarnation: u32) -> Result<(), String> {
        let worker = Worker::start(&self.plan, number, incarnation)?;
        self.workers.push(worker);
        Ok(())
    }

    /// Kills the node and waits until it has ended.
    pub(crate) fn kill_node(&mut self) -> Result<(), String> {
        self.node.signal(Signal::KILL);
        self.node.wait(PATIENCE).map(drop).ok_or_else(|| format!("the killed node does not end within {PATIENCE:?}"))
    }

    /// Starts a node that is killed after `time`, whatever it has come to.
    pub(crate) fn start_doomed_node(&mut self, time: Duration) -> Result<(), String> {
        let (node, _out) = begin_node(&self.plan)?;
        self.node = node;
        std::thread::sleep(time);
        self.kill_node()
    }

    /// Starts a node again, which must adopt the store.
    pub(crate) fn restart_node(&mut self) -> Result<(), String> {
        self.node = start_node(&self.plan, ADOPTED)?;
        Ok(())
    }

    /// Lets the node end in good order.
    pub(crate) fn close(&mut self) -> Result<(), String> {
        self.node.ask_to_leave();
        match self.node.wait(PATIENCE) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("the node ended with {status}")),
            None => Err(format!("the node does not end within {PATIENCE:?}; {}", describe(self.node.pid()))),
        }
    }
}

/// Starts a node and does not wait until others can attach.
fn begin_node(plan: &Plan) -> Result<(Process, ChildStdout), String> {
    Process::start(Part::Node(plan.clone())).map_err(|error| format!("could not start the node: {error}"))
}

/// Starts a node and waits until others can attach; it must have made or adopted its store, as is `expected`.
fn start_node(plan: &Plan, expected: &str) -> Result<Process, String> {
    let (mut node, out) = begin_node(plan)?;
    let mut line = String::new();
    let _ = BufReader::new(out).read_line(&mut line);
    match line.trim_end() {
        said if said == expected => Ok(node),
        "" => Err(format!("the node ended before it was ready, with {:?}", node.wait(PATIENCE))),
        said => Err(format!("the node says that its store is {said}, and it should be {expected}")),
    }
}
