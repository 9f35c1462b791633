//! A quiet moment: nobody has a view or an unsealed buffer, and the promise of paragraph 18 must hold to the byte.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mobula_store::{Deleted, ObjectId, Store};
use rustix::time::{ClockId, clock_gettime};

use crate::random::Random;
use crate::{LOADS, Report, SMALLEST, content};

/// Creations of one quiet moment; in every fourth one until nothing is free.
const CHECKS: u64 = 3;
const ALL_CHECKS: u64 = 24;

/// What is known from one quiet moment to the next.
pub(crate) struct Quiet<'a> {
    store: &'a Store,
    /// Where this process saw the objects.
    places: HashMap<ObjectId, usize>,
    next: u64,
}

impl<'a> Quiet<'a> {
    pub(crate) fn new(store: &'a Store) -> Quiet<'a> {
        Quiet { store, places: HashMap::new(), next: 0 }
    }

    /// Looks for moved objects, makes new ones, checks everything; `objects` is how many there are.
    pub(crate) fn look(&mut self, objects: u64, random: &mut Random, report: &mut Report) {
        let list = self.store.list();
        let viewed = list.iter().find(|info| !info.holders.is_empty());
        assert_eq!((list.len() as u64, viewed), (objects, None), "nothing is lost, and nobody views anything");
        self.find_moved(report);
        let stats = self.store.stats();
        let fill = stats.used_bytes * 1000 / stats.capacity_bytes;
        report.fill = (report.fill.0.min(fill), report.fill.1.max(fill), report.fill.2 + fill);
        report.seasons += 1;
        let most = if report.seasons.is_multiple_of(4) { ALL_CHECKS } else { CHECKS };
        let mut made = Vec::new();
        for n in 0..most {
            let stats = self.store.stats();
            let longest = (stats.free_bytes / 2).min(stats.capacity_bytes / 8);
            if longest == 0 {
                break;
            }
            // The hardest first; of the others some are smaller.
            let len = if n % 3 == 2 { random.log_uniform(SMALLEST.min(longest), longest) } else { longest };
            made.extend(self.create(len, report));
        }
        self.find_moved(report);
        for &id in self.places.keys() {
            let view = self.store.get(id, Some(Duration::ZERO)).expect("an object");
            content::verify(&view).unwrap_or_else(|what| panic!("{what}"));
            report.verified += 1;
            report.verified_bytes += view.len() as u64;
        }
        for id in made {
            assert_eq!(self.store.delete(id).expect("an object of mine"), Deleted::Now);
        }
        self.store.check().expect("a whole store");
    }

    /// Creates an object, which must succeed within the store's deadline.
    fn create(&mut self, len: u64, report: &mut Report) -> Option<ObjectId> {
        let id = content::id(LOADS, self.next);
        self.next += 1;
        report.checks += 1;
        let (begun, worked) = (Instant::now(), processor_time());
        let created = self.store.create_object(id, len as usize);
        report.worst_check = report.worst_check.max((begun.elapsed(), processor_time() - worked));
        match created {
            Ok(mut buffer) => {
                content::fill(id, &mut buffer);
                drop(buffer.seal().expect("a buffer of mine"));
                Some(id)
            }
            Err(error) => {
                report.failures += 1;
                println!("FAILED after {:?}: {len} bytes: {error}; {:?}", begun.elapsed(), self.store.stats());
                None
            }
        }
    }

    /// Counts the objects that lie elsewhere than when they were last seen.
    fn find_moved(&mut self, report: &mut Report) {
        let before = std::mem::take(&mut self.places);
        for info in self.store.list() {
            let view = self.store.get(info.id, Some(Duration::ZERO)).expect("an object");
            let place = view.as_ptr() as usize;
            if before.get(&info.id).is_some_and(|&before| before != place) {
                report.moves += 1;
                report.moved_bytes += info.len;
            }
            self.places.insert(info.id, place);
        }
    }
}

/// Returns how long this thread has worked, without what it waited for a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
