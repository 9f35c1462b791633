//! One round: what happens to the workers, and what must hold after each death and at the end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mobula_store::{ObjectId, ObjectState, Store};
use rustix::process::Signal;

use crate::torture::content::{self, Key, Kind, Stamp};
use crate::torture::ledger::Entry;
use crate::torture::plan::Plan;
use crate::torture::process;
use crate::torture::random::Random;
use crate::torture::report::Report;
use crate::torture::stage::{Stage, Worker};
use crate::torture::watchdog::Watchdog;
use crate::torture::worker::descriptors;

/// What a survivor does for the dead is done in 5 ms as a rule; this is for a busy machine on which others are stopped.
const REAPED: Duration = Duration::from_secs(10);
/// Objects whose author is gone and that are kept and looked at again.
const ORPHANS: usize = 48;

/// What must be there, and a view would show.
type Orphan = (ObjectId, Entry);

/// A round as it is played.
pub(crate) struct Round<'a> {
    plan: Plan,
    report: &'a mut Report,
    watchdog: &'a Watchdog,
    random: Random,
    orphans: Vec<Orphan>,
}

impl<'a> Round<'a> {
    /// Prepares a round.
    pub(crate) fn new(plan: Plan, report: &'a mut Report, watchdog: &'a Watchdog) -> Round<'a> {
        let random = Random::of(&[plan.seed, plan.round, u64::MAX]);
        Round { plan, report, watchdog, random, orphans: Vec::new() }
    }

    /// Plays it; what is wrong goes into the report.
    pub(crate) fn play(mut self, time: Duration) {
        let before = descriptors();
        let played = match Stage::open(&self.plan) {
            Ok(mut stage) => {
                let acted = self.act(&mut stage, time).and_then(|()| self.end(&mut stage));
                if let Err(what) = &acted {
                    self.testify(&mut stage, what);
                }
                acted
            }
            Err(what) => Err(what),
        };
        let left = match played {
            Ok(()) => nothing_is_left(&self.plan, &before),
            Err(what) => {
                // Its node was killed, and the name of a segment outlives that.
                segments(&self.plan).iter().for_each(|path| drop(std::fs::remove_file(path)));
                Err(what)
            }
        };
        if let Err(what) = left {
            self.report.violations.push(format!("round {}: {what} [{:?}]", self.plan.round, self.plan));
        }
    }

    fn act(&mut self, stage: &mut Stage, time: Duration) -> Result<(), String> {
        for number in 0..self.plan.workers {
            stage.start_worker(number, 0)?;
        }
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.watchdog.now("looking at the workers");
            std::thread::sleep(Duration::from_micros(self.random.below(20_000)));
            for worker in &mut stage.workers {
                worker.look()?;
            }
            match self.random.below(100) {
                0..32 => self.kill(stage, 1)?,
                32..38 => self.kill(stage, 2)?,
                38..42 => self.dismiss(stage)?,
                42..65 => self.stop(stage),
                65..75 => self.check(&stage.store)?,
                75..79 if self.plan.restarts => self.restart_node(stage)?,
                _ => self.look_at_orphan(&stage.store)?,
            }
        }
        Ok(())
    }

    /// Kills some workers at once, then looks at what they left and replaces them.
    fn kill(&mut self, stage: &mut Stage, count: usize) -> Result<(), String> {
        let mut dead = Vec::new();
        for _ in 0..count.min(stage.workers.len()) {
            let worker = stage.workers.swap_remove(self.random.index(stage.workers.len()));
            worker.process.signal(Signal::KILL);
            self.report.worker_kills += 1;
            dead.push((worker, Instant::now()));
        }
        for (mut worker, killed) in dead {
            self.watchdog.now(format!("burying {worker}"));
            worker.bury()?;
            self.settle(stage, &mut worker, killed)?;
            stage.start_worker(worker.number, worker.incarnation + 1)?;
        }
        Ok(())
    }

    /// Lets a worker end in good order.
    fn dismiss(&mut self, stage: &mut Stage) -> Result<(), String> {
        let mut worker = stage.workers.swap_remove(self.random.index(stage.workers.len()));
        self.leave(stage, &mut worker)?;
        stage.start_worker(worker.number, worker.incarnation + 1)
    }

    fn leave(&mut self, stage: &mut Stage, worker: &mut Worker) -> Result<(), String> {
        self.watchdog.now(format!("waiting for the end of {worker}"));
        worker.process.ask_to_leave();
        let status = worker.bury();
        let said = worker.ledger().violations.clone();
        if !said.is_empty() {
            return Err(said.join("\n"));
        }
        if !status?.success() {
            return Err(format!("{worker} should have ended by itself and ended badly"));
        }
        self.report.worker_leaves += 1;
        self.settle(stage, worker, Instant::now())
    }

    fn stop(&mut self, stage: &mut Stage) {
        let nth = self.random.index(stage.workers.len());
        if let Some(worker) = stage.workers.get_mut(nth) {
            let most = if self.random.one_in(25) { 3000 } else { 300 };
            worker.stop(Duration::from_millis(self.random.below(most)), &stage.pauses);
            self.report.worker_stops += 1;
        }
        if self.random.one_in(8) {
            stage.pauses.stop(stage.node.pidfd(), Duration::from_millis(self.random.below(200)));
            self.report.node_stops += 1;
        }
    }

    /// Ends the node, lets the others go on without it, and starts it again (T-6).
    fn restart_node(&mut self, stage: &mut Stage) -> Result<(), String> {
        if self.random.one_in(4) {
            self.watchdog.now("ending the node");
            stage.close()?;
            self.report.node_leaves += 1;
        } else {
            self.watchdog.now("killing the node");
            stage.kill_node()?;
            self.report.node_kills += 1;
        }
        self.watchdog.now("attaching without a node");
        match Store::attach(&self.plan.address) {
            Err(error) if error.is_disconnected() => {}
            other => return Err(format!("the node is dead and an attach answered {other:?}")),
        }
        for _ in 0..self.random.below(3) {
            match self.random.below(4) {
                0 => self.kill(stage, 1)?,
                1 => self.stop(stage),
                2 => std::thread::sleep(Duration::from_millis(self.random.below(100))),
                _ => self.look_at_orphan(&stage.store)?,
            }
        }
        if self.random.one_in(3) {
            self.watchdog.now("killing a node that begins");
            stage.start_doomed_node(Duration::from_micros(self.random.below(30_000)))?;
            self.report.node_kills += 1;
        }
        self.watchdog.now("starting the node again");
        stage.restart_node()?;
        self.report.adoptions += 1;
        self.check(&stage.store)?;
        for (id, entry) in self.orphans.clone() {
            self.verify(&stage.store, id, entry)?;
        }
        Ok(())
    }

    fn check(&mut self, store: &Store) -> Result<(), String> {
        self.watchdog.now("checking the store");
        self.report.checks += 1;
        store.check().map(drop).map_err(|error| format!("check answered: {error}"))
    }

    /// Holds the store against the books of a process that has ended.
    fn settle(&mut self, stage: &Stage, worker: &mut Worker, ended: Instant) -> Result<(), String> {
        self.check(&stage.store)?;
        self.watchdog.now(format!("waiting until {worker} is reaped"));
        self.reaped(&stage.store, worker, ended)?;
        self.watchdog.now(format!("looking at what {worker} has left"));
        let said = worker.ledger().violations.clone();
        if !said.is_empty() {
            return Err(said.join("\n"));
        }
        let mut left: Vec<Orphan> = worker.ledger().objects.iter().map(|(id, entry)| (*id, *entry)).collect();
        left.sort_by_key(|(id, _)| *id);
        let tally = worker.ledger().tally.clone();
        self.report.add(&tally);
        for (id, entry) in left {
            let there = self.verify(&stage.store, id, entry).map_err(|what| {
                self.report.evidence.extend(worker.ledger().evidence(Some(id), 20));
                format!("after the end of {worker}: {what}")
            })?;
            if !there {
                continue;
            }
            let kept = Key::of(id).is_some_and(|key| key.kind == Kind::Kept);
            if kept && self.random.one_in(3) {
                self.orphans.push((id, Entry { sure: true, ..entry }));
            } else {
                self.delete(&stage.store, id)?;
            }
        }
        while self.orphans.len() > ORPHANS.min(self.plan.kept as usize) {
            let (id, entry) = self.orphans.swap_remove(self.random.index(self.orphans.len()));
            if self.verify(&stage.store, id, entry)? {
                self.delete(&stage.store, id)?;
            }
        }
        self.check(&stage.store)
    }

    /// Waits until nothing is held, being made or counted by a process that has ended (T-3).
    fn reaped(&mut self, store: &Store, worker: &Worker, ended: Instant) -> Result<(), String> {
        let pid = worker.process.pid();
        loop {
            let remains = store.list().into_iter().find(|info| {
                let own = info.creator_pid == pid;
                let gone_with_it = match Key::of(info.id) {
                    Some(key) => {
                        key.kind == Kind::Private
                            && key.worker == worker.number
                            && key.number >> 32 == u64::from(worker.incarnation)
                    }
                    // An array: counted, and nobody else knows its id.
                    None => own,
                };
                gone_with_it || own && info.state == ObjectState::Created || info.holders.iter().any(|h| h.pid == pid)
            });
            let Some(remains) = remains else { break };
            if ended.elapsed() > REAPED {
                return Err(format!("{worker} ended {:?} ago and has left {remains:?}", ended.elapsed()));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        self.report.reaped(ended.elapsed());
        Ok(())
    }

    /// Looks at an object of a process that has ended: it is there if it must be, and whole (T-1, T-2).
    fn verify(&mut self, store: &Store, id: ObjectId, entry: Entry) -> Result<bool, String> {
        let view = match store.get(id, Some(Duration::ZERO)) {
            Ok(view) => view,
            Err(error) if error.is_timeout() && (!entry.sure || self.plan.evicts) => return Ok(false),
            Err(error) => return Err(format!("object {id}, {entry:?}, cannot be read: {error}; {:?}", store.info(id))),
        };
        let stamp = content::verify(&view)?;
        let right = Stamp { version: entry.version, len: entry.len as usize, counted: false };
        if stamp != right {
            return Err(format!("object {id} is {stamp:?} and should be {right:?}"));
        }
        self.report.objects_verified += 1;
        self.report.orphans_verified += 1;
        self.report.bytes_verified += view.len() as u64;
        Ok(true)
    }

    /// Deletes what was just seen.
    fn delete(&self, store: &Store, id: ObjectId) -> Result<(), String> {
        match store.delete(id) {
            Err(error) if !(error.is_not_found() && self.plan.evicts) => {
                Err(format!("delete of {id}, which is there, answered: {error}"))
            }
            _ => Ok(()),
        }
    }

    fn look_at_orphan(&mut self, store: &Store) -> Result<(), String> {
        match self.random.pick(&self.orphans).copied() {
            Some((id, entry)) => self.verify(store, id, entry).map(drop),
            None => Ok(()),
        }
    }

    /// Ends all workers, half of them by force, and sees that the store is as empty as at the beginning.
    fn end(&mut self, stage: &mut Stage) -> Result<(), String> {
        for mut worker in std::mem::take(&mut stage.workers) {
            if self.random.one_in(2) {
                self.leave(stage, &mut worker)?;
                continue;
            }
            worker.process.signal(Signal::KILL);
            self.report.worker_kills += 1;
            worker.bury()?;
            self.settle(stage, &mut worker, Instant::now())?;
        }
        self.watchdog.now("emptying the store");
        for (id, entry) in std::mem::take(&mut self.orphans) {
            if self.verify(&stage.store, id, entry)? {
                self.delete(&stage.store, id)?;
            }
        }
        let clients = 2;
        let begun = Instant::now();
        loop {
            self.delete_uncounted(&stage.store)?;
            let stats = stage.store.stats();
            let idle = stats.objects == 0 && stats.used_bytes == 0 && stats.queued_creates == 0;
            let idle = idle && stats.spilled_bytes == 0 && stats.spilled_objects == 0 && stats.fallback_bytes == 0;
            if idle && stats.free_bytes == stats.capacity_bytes && stats.clients == clients {
                break;
            }
            if begun.elapsed() > REAPED {
                let left: Vec<_> = stage.store.list().into_iter().take(5).collect();
                return Err(format!("everybody has gone, but {stats:?} is left, such as {left:?}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.check(&stage.store)?;
        self.watchdog.now("filling the empty store");
        let id = ObjectId::random();
        let most = stage.store.stats().capacity_bytes as usize / 8 * 7;
        drop(stage.store.create_object(id, most).map_err(|e| format!("the empty store has no room for {most}: {e}"))?);
        self.check(&stage.store)?;
        self.watchdog.now("ending the node");
        stage.close()
    }

    /// Deletes what stays until it is deleted; what is counted must have gone by itself.
    fn delete_uncounted(&mut self, store: &Store) -> Result<(), String> {
        for info in store.list().into_iter().filter(|info| info.state != ObjectState::Deleted) {
            let Ok(view) = store.get(info.id, Some(Duration::ZERO)) else { continue };
            let stamp = content::verify(&view)?;
            self.report.objects_verified += 1;
            self.report.bytes_verified += view.len() as u64;
            drop(view);
            if !stamp.counted {
                self.delete(store, info.id)?;
            }
        }
        Ok(())
    }

    /// Collects what can be seen around a violation.
    fn testify(&mut self, stage: &mut Stage, what: &str) {
        self.watchdog.now(format!("collecting evidence of: {what}"));
        let hex = what.split(|c: char| !c.is_ascii_hexdigit()).find(|word| word.len() == 32);
        let id = hex.and_then(|hex| hex.parse::<ObjectId>().ok());
        let evidence = &mut self.report.evidence;
        for worker in &stage.workers {
            let (about, most) = if id.is_some() { (id, 30) } else { (None, 8) };
            let lines = worker.ledger().evidence(about, most);
            evidence.push(format!("{worker}: {}", process::describe(worker.process.pid())));
            evidence.extend(lines);
        }
        evidence.push(format!("stats: {:?}", stage.store.stats()));
        let listed = stage.store.list();
        let about = |info: &&mobula_store::ObjectInfo| id.is_none_or(|id| info.id == id);
        evidence.extend(listed.iter().filter(about).take(40).map(|info| format!("listed: {info:?}")));
        let checked = stage.store.check().map_or_else(|error| error.to_string(), |report| format!("{report:?}"));
        self.report.evidence.push(format!("check: {checked}"));
    }
}

/// The files of a named segment.
fn segments(plan: &Plan) -> Vec<PathBuf> {
    let names = plan.name.iter().flat_map(|name| [name.clone(), format!("{name}.ctl")]);
    names.map(|name| Path::new("/dev/shm").join(name)).collect()
}

/// Nothing of a round outlives it: processes, descriptors, sockets, segments.
fn nothing_is_left(plan: &Plan, before: &[String]) -> Result<(), String> {
    let processes = process::leftovers();
    if !processes.is_empty() {
        return Err(format!("processes {processes:?} are left"));
    }
    if Path::new(&plan.address).exists() {
        return Err(format!("the socket {} is left", plan.address));
    }
    if let Some(path) = segments(plan).iter().find(|path| path.exists()) {
        return Err(format!("{} is left", path.display()));
    }
    if let Some(dir) = &plan.spill_dir
        && let Ok(mut left) = std::fs::read_dir(dir)
        && let Some(Ok(entry)) = left.next()
    {
        return Err(format!("{} is left of what was spilled", entry.path().display()));
    }
    let after = descriptors();
    if after != before { Err(format!("the supervisor has {after:?} open, and had {before:?}")) } else { Ok(()) }
}
