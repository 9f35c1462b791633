//! One thread of a worker: it does whatever comes to its mind to the store, and checks what it sees.
//!
//! | file | what it works on | what it knows |
//! |---|---|---|
//! | `kept.rs` | objects of its own that stay until deleted | exactly what is there |
//! | `stream.rs` | short-lived objects that others wait for | that a wait ends |
//! | `private.rs` | counted objects, alone and in trees, arrays | that they go with their last holder |
//! | `shared.rs` | objects that everybody makes, holds, deletes | that they are whole |
//! | `look.rs` | `wait`, `get_many`, `list`, `info`, `stats`, `check`, `evict` | its own objects among all; others' are whole |
//! | `client.rs` | further clients, some that only read, forked children | what they may and may not do |
//!
//! A step that sees something that must not be returns it as an error; the process then ends and the
//! run with it.

mod client;
mod kept;
mod look;
mod private;
mod shared;
mod stream;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mobula_store::{Error, ObjectHold, ObjectId, ObjectView, Store};

use crate::torture::content::{self, Key, Kind, Stamp};
use crate::torture::journal::{Journal, Op, Record, Tag};
use crate::torture::lane::kept::Draft;
use crate::torture::ledger::Tally;
use crate::torture::random::Random;
use crate::torture::worker::Cast;

/// What a step saw that must not be.
pub(crate) type Step = Result<(), String>;

/// How many views and holds a lane keeps at most, of all kinds.
const BAG: usize = 24;
/// How often a lane tells what it has counted.
const TALLY: Duration = Duration::from_millis(100);
/// What must happen at once may take this long on a busy machine, with others stopped.
const GRACE: Duration = Duration::from_secs(10);

/// One thread's part.
pub(crate) struct Lane<'a> {
    cast: &'a Cast,
    journal: &'a Journal,
    number: u8,
    random: Random,
    client: Store,
    /// A further client of this process.
    guest: Option<Store>,
    /// A client that can only read.
    reader: Option<Store>,
    kept: BTreeMap<u64, Stamp>,
    drafts: Vec<Draft>,
    stream: [Option<Stamp>; stream::LEN as usize],
    private: Vec<(ObjectHold, Stamp)>,
    next_private: u64,
    views: Vec<(ObjectView, Stamp)>,
    holds: Vec<ObjectHold>,
    tally: Tally,
    told: Instant,
}

impl<'a> Lane<'a> {
    /// Makes a lane of a process that is attached as `client`.
    pub(crate) fn new(cast: &'a Cast, journal: &'a Journal, client: Store, number: u8) -> Lane<'a> {
        let plan = &cast.plan;
        let seeds = [plan.seed, plan.round, cast.worker.into(), cast.incarnation.into(), number.into()];
        Lane {
            cast,
            journal,
            number,
            random: Random::of(&seeds),
            client,
            guest: None,
            reader: None,
            kept: BTreeMap::new(),
            drafts: Vec::new(),
            stream: [None; stream::LEN as usize],
            private: Vec::new(),
            next_private: 0,
            views: Vec::new(),
            holds: Vec::new(),
            tally: Tally::default(),
            told: Instant::now(),
        }
    }

    /// Works until it is told to stop; then lets go of everything.
    pub(crate) fn run(mut self, stop: &AtomicBool) -> Step {
        while !stop.load(Ordering::Relaxed) {
            self.step()?;
            if self.told.elapsed() > TALLY {
                self.tell();
            }
        }
        self.leave()?;
        self.tell();
        self.say(Record::new(Tag::Left, Op::Release, self.number));
        Ok(())
    }

    fn step(&mut self) -> Step {
        let further = self.guest.is_some() || self.reader.is_some();
        if further && self.cast.plan.max_clients.is_some() && self.random.one_in(50) {
            // Every worker finds a place and further clients hardly: one that is started again waits for it.
            return self.leave();
        }
        match self.random.below(1000) {
            0..240 => self.make_kept(),
            240..380 => self.read_kept(),
            380..460 => self.delete_kept(),
            460..520 => self.go_on_with_a_draft(),
            520..560 => self.publish(),
            560..580 => self.follow(),
            580..650 => self.work_on_private(),
            650..670 => self.make_array(),
            670..860 => self.work_on_shared(),
            860..890 => self.wait_for_some(),
            890..915 => self.get_several(),
            915..935 => self.look_at_own(),
            935..941 => self.list_all(),
            941..951 => self.read_stats(),
            951..953 => self.check_all(),
            953..960 => self.change_client(),
            960..962 => self.fork(),
            962..966 => self.evict(),
            966..969 => self.lurk(),
            969..976 => self.only_read(),
            _ => self.let_go(),
        }
    }

    /// Drops some views and holds, having looked at the bytes once more.
    fn let_go(&mut self) -> Step {
        for _ in 0..self.random.within(1, 6) {
            if self.views.is_empty() {
                break;
            }
            let (view, stamp) = self.views.swap_remove(self.random.index(self.views.len()));
            let now = self.verified(&view)?;
            if now != stamp {
                return Err(format!("object {} changed under a view: {stamp:?} became {now:?}", view.id()));
            }
            self.count(Op::Release);
        }
        let left = self.random.index(BAG);
        self.holds.truncate(left);
        Ok(())
    }

    /// Ends in good order: everything is dropped, what is not counted stays.
    fn leave(&mut self) -> Step {
        while !self.drafts.is_empty() {
            self.go_on_with_a_draft()?;
        }
        while !self.private.is_empty() {
            self.drop_private()?;
        }
        while !self.views.is_empty() {
            self.let_go()?;
        }
        self.holds.clear();
        self.guest = None;
        self.reader = None;
        Ok(())
    }

    /// Lets go of much, since the store has no room.
    fn make_room(&mut self) -> Step {
        self.views.clear();
        self.holds.clear();
        for _ in 0..self.kept.len().div_ceil(3) {
            self.delete_kept()?;
        }
        if !self.drafts.is_empty() {
            self.go_on_with_a_draft()?;
        }
        Ok(())
    }

    /// Keeps a view for a while.
    fn keep_view(&mut self, view: ObjectView, stamp: Stamp) {
        if self.views.len() < BAG {
            self.views.push((view, stamp));
        }
    }

    fn keep_hold(&mut self, hold: ObjectHold) {
        if self.holds.len() < BAG {
            self.holds.push(hold);
        }
    }

    /// Says whether an object that nobody deletes may be gone all the same.
    ///
    /// A hold does not say which of several objects of an id it is of, so only views count.
    fn may_be_evicted(&self, id: ObjectId, stamp: Stamp) -> bool {
        self.cast.plan.evicts && !self.views.iter().any(|(view, other)| view.id() == id && *other == stamp)
    }

    /// Forgets an object that was evicted.
    fn evicted(&mut self, id: ObjectId) -> Step {
        self.done(Op::Delete, id, true);
        let numbers: Vec<u64> = self.kept.keys().copied().filter(|&n| self.key(Kind::Kept, n) == id).collect();
        for number in numbers {
            self.kept.remove(&number);
        }
        Ok(())
    }

    /// Returns one of this process's clients.
    fn store(&mut self) -> Store {
        match &self.guest {
            Some(guest) if self.random.one_in(2) => guest.clone(),
            _ => self.client.clone(),
        }
    }

    fn key(&self, kind: Kind, number: u64) -> ObjectId {
        let number = u64::from(self.cast.incarnation) << 32 | number;
        Key { kind, worker: self.cast.worker, lane: self.number, number }.id()
    }

    /// Draws a size: nothing, some bytes, up to the plan's largest; small ones often.
    fn size(&mut self) -> usize {
        let largest = self.cast.plan.largest;
        let most = match self.random.below(100) {
            0..3 => 0,
            3..40 => 256,
            40..70 => 8 << 10,
            70..90 => 128 << 10,
            90..97 => 1 << 20,
            _ => largest,
        };
        let drawn = self.random.index(most + 1);
        // Sizes at the edges of classes and pages, too.
        let drawn = if self.random.one_in(4) { drawn.next_power_of_two() } else { drawn };
        drawn.min(largest)
    }

    /// Draws how much metadata there is beyond the stamp.
    fn padding(&mut self) -> usize {
        match self.random.below(100) {
            0 => 60_000,
            1..10 => self.random.index(2000),
            _ => self.random.index(40),
        }
    }

    fn patience(&mut self) -> Duration {
        match self.random.below(4) {
            0 => Duration::ZERO,
            1 => Duration::from_millis(self.random.below(50)),
            _ => self.cast.plan.patience,
        }
    }

    /// Checks every byte of an object and counts it.
    fn verified(&mut self, view: &ObjectView) -> Result<Stamp, String> {
        let stamp = content::verify(view)?;
        self.tally.objects += 1;
        self.tally.bytes += view.len() as u64;
        Ok(stamp)
    }

    /// Says what is about to be done.
    fn start(&mut self, op: Op, id: ObjectId, stamp: Stamp) {
        let (version, len) = (stamp.version, stamp.len as u64);
        self.say(Record { id, version, len, ..Record::new(Tag::Start, op, self.number) });
    }

    /// Says what came of it.
    fn done(&mut self, op: Op, id: ObjectId, ok: bool) {
        self.count(op);
        self.say(Record { id, ok, ..Record::new(Tag::Done, op, self.number) });
    }

    fn count(&mut self, op: Op) {
        *self.tally.ops.entry(op).or_default() += 1;
    }

    fn say(&self, record: Record) {
        // It fails only when the supervisor is gone, and then this process is about to be killed.
        let _ = self.journal.put(&record);
    }

    /// Tells what was counted since the last time.
    fn tell(&mut self) {
        self.told = Instant::now();
        let tally = std::mem::take(&mut self.tally);
        let (mut objects, mut bytes) = (tally.objects, tally.bytes);
        for (op, n) in tally.ops {
            let (version, more) = (std::mem::take(&mut objects), std::mem::take(&mut bytes));
            self.say(Record { len: n, version, more, ..Record::new(Tag::Tally, op, self.number) });
        }
        if tally.slowest_wake_ns > 0 {
            self.say(Record { len: tally.slowest_wake_ns, ..Record::new(Tag::Woken, Op::Get, self.number) });
        }
    }
}

/// Says that a call answered with an error that it must not answer with.
fn unexpected(what: &str, id: ObjectId, error: &Error) -> String {
    format!("{what} of {id} answered: {error}")
}

/// Waits for something that must happen at once.
fn promptly(what: impl Fn() -> String, mut happened: impl FnMut() -> bool) -> Step {
    let begun = Instant::now();
    while !happened() {
        if begun.elapsed() > GRACE {
            return Err(format!("{} for {:?}", what(), begun.elapsed()));
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}
