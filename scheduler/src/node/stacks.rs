//! Asking all workers for their stacks.
//!
//! ```text
//!   asker --AskStacks--> node --TellStacks--> each worker          (stopped: says so at once)
//!         <--Reply------      <--Stacks------                      (ended, or silent for too long: says so)
//! ```
//!
//! - SC-53: who asks gets an answer [`PATIENCE`] after the question at the latest, with an entry for every worker that
//!   there was.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use super::drivers::Visitor;
use super::state::State;
use crate::ids::ProcessId;
use crate::protocol::{Answer, ToProcess};
use crate::stacks::{ThreadStack, WorkerStacks};

/// How long a worker may take: reading the names of functions out of a large executable takes seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who wants to know.
#[derive(Debug)]
pub(super) enum Asker {
    Process {
        process: ProcessId,
        request: u64,
    },
    /// Somebody at the door.
    Visitor(Visitor),
}

/// A question that is not answered yet.
#[derive(Debug)]
pub(super) struct Inquiry {
    number: u64,
    asker: Asker,
    /// Who has not answered, by the worker's number: its pid and what it runs.
    open: HashMap<u64, (u32, String)>,
    found: Vec<WorkerStacks>,
    deadline: Instant,
}

impl State {
    pub(super) fn ask_stacks(&mut self, asker: Asker) {
        let number = self.next_inquiry;
        self.next_inquiry += 1;
        let deadline = Instant::now() + PATIENCE;
        let mut inquiry = Inquiry { number, asker, open: HashMap::new(), found: Vec::new(), deadline };
        let mut asked = Vec::new();
        for (&worker, entry) in &self.workers {
            let (pid, name) = (entry.pid, entry.label.text());
            if entry.is_gone() {
                continue;
            }
            let trouble = if entry.is_starting() {
                Some("it has not joined yet".to_owned())
            } else if is_stopped(pid) {
                Some("it is stopped".to_owned())
            } else {
                None
            };
            match trouble {
                Some(trouble) => inquiry.found.push(WorkerStacks::without(pid, name, trouble)),
                None => {
                    inquiry.open.insert(worker, (pid, name));
                    asked.push(entry.process);
                }
            }
        }
        self.inquiries.push(inquiry);
        for process in asked {
            self.send(process, ToProcess::TellStacks(number));
        }
        self.close_inquiries(Instant::now());
    }

    pub(super) fn stacks(&mut self, process: ProcessId, number: u64, threads: Vec<ThreadStack>) {
        let worker = self.processes.get(&process).and_then(|entry| entry.worker);
        let inquiry = self.inquiries.iter_mut().find(|inquiry| inquiry.number == number);
        if let (Some(worker), Some(inquiry)) = (worker, inquiry)
            && let Some((pid, name)) = inquiry.open.remove(&worker)
        {
            inquiry.found.push(WorkerStacks::new(pid, name, threads));
        }
        self.close_inquiries(Instant::now());
    }

    pub(super) fn next_inquiry_deadline(&self) -> Option<Instant> {
        self.inquiries.iter().map(|inquiry| inquiry.deadline).min()
    }

    /// Answers the questions to which nothing more will come.
    pub(super) fn close_inquiries(&mut self, now: Instant) {
        for inquiry in &mut self.inquiries {
            let late = inquiry.deadline <= now;
            let gone = |worker: &u64| self.workers.get(worker).is_none_or(super::workers::Worker::is_gone);
            for (_, (pid, name)) in inquiry.open.extract_if(|worker, _| late || gone(worker)) {
                let trouble = match fs::exists(format!("/proc/{pid}")) {
                    Ok(true) if is_stopped(pid) => "it is stopped".to_owned(),
                    Ok(true) => format!("it has not answered within {} s", PATIENCE.as_secs()),
                    _ => "it has ended".to_owned(),
                };
                inquiry.found.push(WorkerStacks::without(pid, name, trouble));
            }
        }
        for mut inquiry in self.inquiries.extract_if(.., |inquiry| inquiry.open.is_empty()).collect::<Vec<_>>() {
            inquiry.found.sort_by_key(|stacks| stacks.pid);
            match inquiry.asker {
                Asker::Process { process, request } => {
                    self.send(process, ToProcess::Reply { request, answer: Answer::Stacks(inquiry.found) });
                }
                Asker::Visitor(visitor) => visitor.answer(inquiry.found),
            }
        }
    }
}

/// True for a process that does nothing because it was stopped, or a debugger holds it.
fn is_stopped(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
}
