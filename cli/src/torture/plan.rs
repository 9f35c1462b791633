//! What a run and each of its rounds are like; all of it follows from the seed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mobula_store::{Eviction, Segment, StoreOptions};
use serde::{Deserialize, Serialize};

use crate::torture::random::Random;

/// One round: a fresh store, its node and its workers, from nothing to nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The run's seed.
    pub(crate) seed: u64,
    /// Which round of the run this is.
    pub(crate) round: u64,
    /// The path of the attach socket.
    pub(crate) address: String,
    /// The segment's name, if it has one.
    pub(crate) name: Option<String>,
    /// Bytes of the store.
    pub(crate) capacity: usize,
    /// Slots of the store; `None` for the default.
    pub(crate) max_objects: Option<usize>,
    /// Clients of the store; `None` for the default.
    pub(crate) max_clients: Option<usize>,
    /// Bytes that are committed ahead.
    pub(crate) prefault: usize,
    /// Worker processes at a time.
    pub(crate) workers: u16,
    /// Threads of each that work on one client.
    pub(crate) lanes: u8,
    /// Ids that everybody works on.
    pub(crate) shared_ids: u64,
    /// Objects that each lane tries to have.
    pub(crate) kept: u64,
    /// The largest object.
    pub(crate) largest: usize,
    /// Whether sealed objects that nobody holds may go.
    pub(crate) evicts: bool,
    /// Where objects go that do not fit into memory.
    pub(crate) spill_dir: Option<PathBuf>,
    /// Whether objects may lie in files.
    pub(crate) fallback: bool,
    /// Whether the node dies, too, and its store is adopted.
    pub(crate) restarts: bool,
    /// How long a creation waits at most.
    pub(crate) patience: Duration,
}

impl Plan {
    /// Draws a round.
    pub(crate) fn draw(seed: u64, round: u64, workers: Option<u16>, folder: &Path) -> Plan {
        let mut random = Random::of(&[seed, round]);
        let capacity = (1usize << random.within(22, 27)) + 4096 * random.index(1000);
        let drawn = random.within(2, 8) as u16;
        let workers = workers.unwrap_or(drawn);
        let lanes = random.within(1, 3) as u8;
        let all = u64::from(workers) * u64::from(lanes);
        let name = random.one_in(4).then(|| format!("mobula-torture-{}-{round}", std::process::id()));
        let max_objects = random.one_in(3).then(|| 64 * all as usize + random.index(512));
        Plan {
            seed,
            round,
            address: folder.join(format!("round-{round}")).to_string_lossy().into_owned(),
            name,
            capacity,
            max_objects,
            workers,
            lanes,
            shared_ids: random.within(4, 48),
            kept: random.within(4, 64),
            largest: capacity / random.within(6, 40) as usize,
            evicts: random.one_in(3),
            spill_dir: random.one_in(2).then(|| folder.join(format!("spill-{round}"))),
            fallback: random.one_in(3),
            restarts: random.one_in(2),
            // The node, the supervisor and all workers find a place, further clients not always.
            max_clients: random.one_in(4).then(|| 2 + usize::from(workers) + random.index(all as usize)),
            prefault: if random.one_in(6) { random.index(capacity) } else { 0 },
            patience: Duration::from_millis(random.within(20, 1000)),
        }
    }

    /// Returns the options of the round's store.
    pub(crate) fn options(&self) -> StoreOptions {
        let mut options = StoreOptions::new(self.capacity)
            .address(self.address.clone())
            .create_timeout(self.patience)
            .fallback(self.fallback)
            .prefault(self.prefault);
        if self.evicts {
            options = options.eviction(Eviction::LeastRecentlyUsed);
        }
        if let Some(dir) = &self.spill_dir {
            options = options.spill_dir(dir);
        }
        if let Some(name) = &self.name {
            options = options.segment(Segment::Named(name.clone()));
        }
        if let Some(objects) = self.max_objects {
            options = options.max_objects(objects);
        }
        if let Some(clients) = self.max_clients {
            options = options.max_clients(clients);
        }
        options
    }
}
