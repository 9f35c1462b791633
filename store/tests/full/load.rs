//! A load: a process that keeps its part of the store full.

use std::collections::VecDeque;
use std::process::Command;
use std::time::{Duration, Instant};

use mobula_store::{Deleted, ObjectBuffer, ObjectId, ObjectOptions, ObjectView, Store};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::random::Random;
use crate::{LOADS, SMALLEST, Tally, content};

const PART: &str = "MOBULA_FULL_PART";
/// Views and buffers that a load keeps at a time.
const VIEWS: usize = 4;
const BUFFERS: usize = 2;
/// The most objects of one load.
const OBJECTS: usize = 50_000;
/// How long a creation waits while others have views; in quiet moments the store's default holds.
const PATIENCE: Duration = Duration::from_millis(300);

/// What tells a load apart.
pub(crate) struct Part {
    pub(crate) address: String,
    pub(crate) number: u8,
    pub(crate) seed: u64,
    /// How many bytes it keeps.
    pub(crate) budget: u64,
}

/// What a load says when it is quiet.
pub(crate) struct Said {
    /// How many objects it has.
    pub(crate) objects: u64,
    pub(crate) tally: Tally,
}

impl Said {
    fn print(&self) {
        let Tally { puts, gets, deletes, refused, worst_us } = self.tally;
        println!("quiet {} {puts} {gets} {deletes} {refused} {worst_us}", self.objects);
    }

    /// Reads what a load printed; `None` if it says something else.
    pub(crate) fn read(line: &str) -> Option<Said> {
        let words = line.strip_prefix("quiet ")?.split(' ').map(|word| word.parse().ok());
        let &[objects, puts, gets, deletes, refused, worst_us] = &words.collect::<Option<Vec<u64>>>()?[..] else {
            return None;
        };
        Some(Said { objects, tally: Tally { puts, gets, deletes, refused, worst_us } })
    }
}

impl Part {
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env(PART, format!("{} {} {} {}", self.number, self.seed, self.budget, self.address));
    }

    /// Reads which load this process is, if it is one.
    pub(crate) fn of_this_process() -> Option<Part> {
        let text = std::env::var(PART).ok()?;
        let mut words = text.splitn(4, ' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (load, seed, budget) = (number()?, number()?, number()?);
        Some(Part { address: words.next()?.to_owned(), number: load as u8, seed, budget })
    }

    /// Does what it is told until nobody tells it anything.
    pub(crate) fn play(self) {
        set_parent_process_death_signal(Some(Signal::KILL)).expect("bound to the supervisor");
        let store = Store::attach(&self.address).expect("the supervisor's store");
        let random = Random::of(&[self.seed, 1 + u64::from(self.number)]);
        let mut load = Load {
            store,
            part: self,
            random,
            mine: Vec::new(),
            bytes: 0,
            next: 0,
            views: VecDeque::new(),
            buffers: VecDeque::new(),
            tally: Tally::default(),
        };
        for order in std::io::stdin().lines().map_while(Result::ok) {
            let words: Vec<&str> = order.split(' ').collect();
            let done = match words[..] {
                ["season", millis, largest] => load.season(
                    Duration::from_millis(millis.parse().expect("milliseconds")),
                    largest.parse().expect("bytes"),
                ),
                _ => load.end(),
            };
            match done {
                Ok(()) => Said { objects: load.mine.len() as u64, tally: std::mem::take(&mut load.tally) }.print(),
                Err(what) => return println!("is wrong: {what}"),
            }
        }
    }
}

struct Load {
    store: Store,
    part: Part,
    random: Random,
    /// The objects that this load has made and not deleted, with the bytes that they take.
    mine: Vec<(ObjectId, u64)>,
    bytes: u64,
    next: u64,
    views: VecDeque<ObjectView>,
    /// Buffers that are being written for a while, with the bytes that they take.
    buffers: VecDeque<(ObjectBuffer, u64)>,
    tally: Tally,
}

impl Load {
    /// Works for a while, then fills its part up and gives up every view and every buffer.
    fn season(&mut self, time: Duration, largest: u64) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            match self.random.below(16) {
                0..10 => {
                    let len = self.random.log_uniform(SMALLEST, largest);
                    self.put(len)?;
                }
                10..12 => self.get_own()?,
                12..14 => self.get_other()?,
                14 => self.delete()?,
                _ => drop(self.views.pop_front()),
            }
        }
        self.views.clear();
        while self.part.budget.saturating_sub(self.bytes) > self.part.budget / 64 && self.mine.len() < OBJECTS {
            let room = self.part.budget.saturating_sub(self.bytes);
            let len = self.random.log_uniform(SMALLEST, room.min(self.part.budget / 4));
            self.put(len)?;
            self.views.clear();
        }
        self.quiet()
    }

    /// Deletes all that it has.
    fn end(&mut self) -> Result<(), String> {
        while !self.mine.is_empty() {
            self.delete()?;
        }
        self.quiet()
    }

    fn quiet(&mut self) -> Result<(), String> {
        while let Some((buffer, takes)) = self.buffers.pop_front() {
            self.seal(buffer, takes)?;
        }
        self.views.clear();
        Ok(())
    }

    fn put(&mut self, len: u64) -> Result<(), String> {
        let takes = takes(len);
        while self.bytes + takes > self.part.budget || self.mine.len() >= OBJECTS {
            match self.buffers.pop_front() {
                Some((buffer, takes)) if self.mine.is_empty() => self.seal(buffer, takes)?,
                buffer => {
                    self.buffers.extend(buffer);
                    self.delete()?;
                }
            }
        }
        let id = content::id(self.part.number, self.next);
        self.next += 1;
        let begun = Instant::now();
        let mut buffer = match self.store.create_object_with(id, len as usize, &ObjectOptions::new().timeout(PATIENCE))
        {
            Ok(buffer) => buffer,
            Err(error) if error.is_store_full() => {
                self.tally.refused += 1;
                // It may be what this load views.
                self.views.clear();
                return Ok(());
            }
            Err(error) => return Err(format!("creating {id} of {len} bytes: {error}")),
        };
        self.tally.worst_us = self.tally.worst_us.max(begun.elapsed().as_micros() as u64);
        self.tally.puts += 1;
        if self.random.below(32) == 0 {
            return Ok(());
        }
        content::fill(id, &mut buffer);
        self.bytes += takes;
        self.buffers.push_back((buffer, takes));
        // Most are sealed at once, some when two more have been made.
        let keeps = if self.random.below(8) == 0 { BUFFERS } else { 0 };
        while self.buffers.len() > keeps {
            let Some((buffer, takes)) = self.buffers.pop_front() else { break };
            self.seal(buffer, takes)?;
        }
        Ok(())
    }

    fn seal(&mut self, buffer: ObjectBuffer, takes: u64) -> Result<(), String> {
        let view = buffer.seal().map_err(|error| format!("sealing: {error}"))?;
        self.mine.push((view.id(), takes));
        if self.random.below(8) == 0 {
            self.keep(view);
        }
        Ok(())
    }

    fn keep(&mut self, view: ObjectView) {
        self.views.push_back(view);
        if self.views.len() > VIEWS {
            self.views.pop_front();
        }
    }

    fn get_own(&mut self) -> Result<(), String> {
        if self.mine.is_empty() {
            return Ok(());
        }
        let (id, _) = self.mine[self.random.below(self.mine.len() as u64) as usize];
        let view = self.store.get(id, Some(Duration::ZERO)).map_err(|error| format!("{id} is mine: {error}"))?;
        self.look(view)
    }

    /// Looks at what another load has made lately, if it is there still.
    fn get_other(&mut self) -> Result<(), String> {
        let back = self.random.below(200);
        let id = content::id(self.random.below(LOADS.into()) as u8, self.next.saturating_sub(back));
        match self.store.get(id, Some(Duration::ZERO)) {
            Ok(view) => self.look(view),
            Err(error) if error.is_timeout() => Ok(()),
            Err(error) => Err(format!("{id}: {error}")),
        }
    }

    fn look(&mut self, view: ObjectView) -> Result<(), String> {
        content::verify(&view)?;
        self.tally.gets += 1;
        if self.random.below(2) == 0 {
            self.keep(view);
        }
        Ok(())
    }

    fn delete(&mut self) -> Result<(), String> {
        if self.mine.is_empty() {
            return Ok(());
        }
        let (id, takes) = self.mine.swap_remove(self.random.below(self.mine.len() as u64) as usize);
        self.bytes -= takes;
        self.tally.deletes += 1;
        match self.store.delete(id) {
            Ok(Deleted::Now | Deleted::AtLastRelease) => Ok(()),
            Err(error) => Err(format!("deleting {id}: {error}")),
        }
    }
}

/// Returns what an object takes, as the store rounds it (nearly so).
fn takes(len: u64) -> u64 {
    len.next_multiple_of(if len > 14 << 10 { 16 << 10 } else { 64 })
}
