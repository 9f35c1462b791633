//! The node's side of the template process: orders, and what becomes of those that it does not carry out.
//!
//! ```text
//!            hello                 forked: the word of each order has a pid
//!   Starting -----> Ready: orders --------------------------------------> workers, watched as all are
//!      |              |
//!      +--------------+--> gone: orders with a pid are workers, the others are carried out by `posix_spawn`
//! ```
//!
//! A template is started when the loop begins, and again when it is gone. Work waits for the first one
//! only: as long as another is in the making, or after [`MOST_FAILURES`] that forked nothing, workers
//! are started one by one. An order that lies unanswered for [`PATIENCE`] means that the template is
//! stopped: it is killed, and so becomes one that is gone. The protocol is in `template.rs`.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ipc_channel::ipc::IpcSender;
use rustix::process::{Pid, Signal, kill_process};

use super::crews::{Crew, CrewId};
use super::launch::{self, Launched};
use super::state::{Parts, State};
use super::workers::{Origin, Purpose};
use crate::bootstrap::Hello;
use crate::ids::ProcessId;
use crate::logs::{self, Label};
use crate::protocol::{Envelope, Welcome};
use crate::sys::pids::PidPage;
use crate::template::{self, FAILED, Order};
use crate::trace::tell;
use crate::watch;

/// How long work waits for the first template.
const START: Duration = Duration::from_secs(1);

/// How long an order may lie unanswered.
const PATIENCE: Duration = Duration::from_millis(250);

/// After so many templates in a row that forked nothing there is no other.
const MOST_FAILURES: u32 = 3;

/// How many workers a template may be asked for at once: what its socket takes unread.
pub(super) const ORDERS_AT_ONCE: usize = 32;

/// What the node knows of its template.
#[derive(Debug, Default)]
pub(super) struct Template {
    running: Option<Running>,
    /// Templates in a row that are gone and have forked nothing.
    failures: u32,
    /// There will be no other.
    given_up: bool,
    /// Work does not wait for the next one.
    had_one: bool,
}

#[derive(Debug)]
struct Running {
    /// Its number among the workers.
    number: u64,
    pid: Pid,
    stream: UnixStream,
    page: PidPage,
    /// Where orders go once it is ready.
    orders: Option<IpcSender<Envelope<Order>>>,
    /// Orders without an answer, oldest first.
    open: VecDeque<Open>,
    next_word: u32,
    /// When it is killed if it is not ready by then.
    deadline: Option<Instant>,
    /// It has been killed, or is no use: it gets no orders.
    ending: bool,
}

#[derive(Debug)]
struct Open {
    word: u32,
    worker: u64,
    deadline: Instant,
}

impl Running {
    /// Kills the template alone: workers that it has just forked may still be in its group.
    fn kill(&mut self) {
        self.ending = true;
        let _ = kill_process(self.pid, Signal::KILL);
    }

    fn order(&mut self, worker: u64, order: Ordered<'_>) -> io::Result<()> {
        let Some(orders) = &self.orders else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let Ordered { gpus, welcome, out, err } = order;
        let word = self.next_word;
        self.page.word(word as usize).store(0, Ordering::Relaxed);
        orders.send(Envelope::new(Order { word, gpus, welcome })).map_err(io::Error::other)?;
        // From here on it may be carried out whatever this side sees.
        self.next_word = self.next_word.wrapping_add(1);
        self.open.push_back(Open { word, worker, deadline: Instant::now() + PATIENCE });
        template::send_fds(&self.stream, &[out.as_fd(), err.as_fd()])
    }
}

/// What a worker is born with.
struct Ordered<'a> {
    gpus: Option<String>,
    welcome: Welcome,
    out: &'a io::PipeWriter,
    err: &'a io::PipeWriter,
}

impl Template {
    pub(super) fn is(&self, number: u64) -> bool {
        self.running.as_ref().is_some_and(|running| running.number == number)
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    fn is_ready(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.orders.is_some() && !running.ending)
    }

    /// Kills it; its end is heard of as every process's.
    pub(super) fn kill(&mut self) {
        self.given_up = true;
        if let Some(running) = &mut self.running {
            running.kill();
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let running = self.running.as_ref().filter(|running| !running.ending)?;
        let order = running.open.front().map(|order| order.deadline);
        running.deadline.into_iter().chain(order).min()
    }

    /// Kills it if it is late.
    pub(super) fn check_deadline(&mut self, now: Instant) {
        let late = self.next_deadline().is_some_and(|deadline| deadline <= now);
        if let Some(running) = self.running.as_mut().filter(|_| late) {
            tell!(Debug, debug, pid = running.pid.as_raw_pid(), "the template does not answer and is killed");
            running.kill();
        }
    }
}

impl State {
    /// Starts a template if there is to be one and is none.
    pub(super) fn tend_template(&mut self, id: CrewId) {
        let number = self.next_worker;
        let Some(crew) = self.crews.get_mut(&id) else {
            return;
        };
        if crew.template.running.is_some() || crew.template.given_up || !crew.recipe.forks() {
            return;
        }
        self.next_worker += 1;
        match start_template(&self.parts, id, crew, number) {
            Ok(running) => crew.template.running = Some(running),
            Err(error) => {
                tell!(Debug, debug, %error, "no template process could be started");
                crew.template.given_up = true;
            }
        }
    }

    /// Returns the crew whose template has this number.
    pub(super) fn crew_of_template(&self, number: u64) -> Option<CrewId> {
        self.crews.iter().find(|(_, crew)| crew.template.is(number)).map(|(&id, _)| id)
    }

    /// Kills the template of this number; false if there is none.
    pub(super) fn kill_template(&mut self, number: u64) -> bool {
        let crew = self.crews.values_mut().find(|crew| crew.template.is(number));
        crew.map(|crew| crew.template.kill()).is_some()
    }

    /// True if work is to wait for the template, which will soon be ready.
    pub(super) fn awaits_template(&self, id: CrewId) -> bool {
        let Some(crew) = self.crews.get(&id) else {
            return true;
        };
        let Some(running) = crew.template.running.as_ref().filter(|running| !running.ending) else {
            return false;
        };
        // What a worker is born with says what the driver's registry is.
        !crew.template.had_one && running.orders.is_none() || running.orders.is_some() && crew.registry.is_none()
    }

    /// How many processes may be in the making at once, if a template makes them.
    pub(super) fn orders_at_once(&self, id: CrewId) -> usize {
        if self.crews.get(&id).is_some_and(|crew| crew.template.is_ready()) { ORDERS_AT_ONCE } else { 0 }
    }

    /// Has the template make a worker; false if it cannot, and nothing has happened.
    pub(super) fn order(&mut self, id: CrewId, purpose: Option<Purpose>, gpu_ids: &[u32]) -> bool {
        let Some(crew) = self.crews.get(&id).filter(|crew| crew.template.is_ready()) else {
            return false;
        };
        let gpus = crew.recipe.gpus(gpu_ids).filter(|_| !gpu_ids.is_empty());
        let process = ProcessId::random();
        let number = self.next_number();
        let ordered = (|| {
            let ((out, child_out), (err, child_err)) = (io::pipe()?, io::pipe()?);
            let welcome = self.welcome(process, id, Some(number))?;
            let crew = self.crews.get_mut(&id);
            let running = crew.and_then(|crew| crew.template.running.as_mut()).ok_or(io::ErrorKind::NotConnected)?;
            let ordered = Ordered { gpus, welcome, out: &child_out, err: &child_err };
            let sent = running.order(number, ordered);
            if sent.is_err() {
                running.kill();
                if running.open.back().is_none_or(|open| open.worker != number) {
                    return sent.map(|()| (out, err));
                }
            }
            // Half an order is found when the template is gone.
            Ok((out, err))
        })();
        match ordered {
            Ok(output) => {
                self.add_worker(number, process, id, purpose, Origin::Ordered(output));
                true
            }
            Err(error) => {
                tell!(Debug, debug, %error, "the template got no order");
                self.processes.remove(&process);
                false
            }
        }
    }

    /// The template is ready, or says that it never will be.
    pub(super) fn template_hello(&mut self, id: CrewId, hello: Hello) {
        let Some(template) = self.crews.get_mut(&id).map(|crew| &mut crew.template) else {
            return;
        };
        let Some(running) = &mut template.running else {
            return;
        };
        running.deadline = None;
        if running.ending {
            return;
        }
        if !hello.has_server() {
            // It tells why on its stderr.
            running.ending = true;
            template.given_up = true;
            return;
        }
        let reached = hello.connect();
        self.parts.clear_boot(running.pid.as_raw_pid().unsigned_abs());
        match reached {
            Ok(orders) => {
                running.orders = Some(orders);
                template.had_one = true;
            }
            Err(error) => {
                tell!(Debug, debug, %error, "the template cannot be reached");
                running.kill();
            }
        }
    }

    /// Takes over the workers that have been forked for a crew.
    pub(super) fn look_at_forks(&mut self, id: CrewId) {
        let Some(running) = self.crews.get_mut(&id).and_then(|crew| crew.template.running.as_mut()) else {
            return;
        };
        let mut seen = Vec::new();
        running.open.retain(|open| {
            // SYNC pid: written by the kernel before the worker runs, or by the template before it says so.
            let word = running.page.word(open.word as usize).load(Ordering::Acquire);
            if word != 0 {
                seen.push((open.worker, word));
            }
            word == 0
        });
        for (worker, word) in seen {
            match i32::try_from(word).ok().and_then(Pid::from_raw) {
                Some(pid) => {
                    if let Some(crew) = self.crews.get_mut(&id) {
                        crew.template.failures = 0;
                    }
                    self.adopt(worker, pid);
                }
                None => {
                    let error = io::Error::from_raw_os_error((word & !FAILED).cast_signed());
                    tell!(Debug, debug, %error, "the template could not fork");
                    self.spawn_instead(worker);
                }
            }
        }
    }

    /// The template of a crew has ended: what it has not carried out is done without it.
    pub(super) fn template_gone(&mut self, id: CrewId) {
        let Some(template) = self.crews.get_mut(&id).map(|crew| &mut crew.template) else {
            return;
        };
        if let Some(running) = &mut template.running {
            self.parts.clear_boot(running.pid.as_raw_pid().unsigned_abs());
            let status = launch::describe(launch::reap(running.pid));
            tell!(Debug, debug, pid = running.pid.as_raw_pid(), status, "the template has ended");
            self.parts.logs.post(logs::Order::Finish { worker: running.number });
            running.ending = true;
        }
        template.had_one = true;
        template.failures += 1;
        self.look_at_forks(id);
        let Some(template) = self.crews.get_mut(&id).map(|crew| &mut crew.template) else {
            return;
        };
        template.given_up |= template.failures >= MOST_FAILURES;
        let Some(running) = template.running.take() else {
            return;
        };
        for open in running.open {
            self.spawn_instead(open.worker);
        }
    }
}

fn start_template(parts: &Parts, id: CrewId, crew: &Crew, number: u64) -> io::Result<Running> {
    let (page, file) = PidPage::create()?;
    let streams = UnixStream::pair()?;
    template::send_fds(&streams.0, &[file.as_fd()])?;
    let Launched { pid, pidfd, stream, out, err } = crew.recipe.launch_template(streams)?;
    let watched = stream.try_clone();
    let label = Label::new();
    label.set("template");
    let text = pid.as_raw_pid().unsigned_abs();
    parts.logs.post(logs::Order::Add { worker: number, driver: id.number(), pid: text, label, out, err });
    let patience = parts.start_timeout.min(START);
    let mut running = Running {
        number,
        pid,
        stream,
        page,
        orders: None,
        open: VecDeque::new(),
        next_word: 0,
        deadline: Some(Instant::now() + patience),
        ending: false,
    };
    let words = match watched {
        Ok(stream) => watch::Words::Template(stream),
        Err(_) => {
            running.kill();
            watch::Words::None
        }
    };
    parts.watch.post(watch::Order::Add { worker: number, pidfd, words });
    Ok(running)
}
