//! A worker process: one client, several lanes, until its standard input ends or it is killed.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mobula_store::Store;
use serde::{Deserialize, Serialize};

use crate::torture::journal::{Journal, Op, Record, Tag};
use crate::torture::lane::Lane;
use crate::torture::plan::Plan;

/// How long a worker tries to attach: the node may just be starting again, or have to let others go first.
const ATTACH: Duration = Duration::from_secs(20);

/// Which worker of which round a process is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cast {
    pub(crate) plan: Plan,
    pub(crate) worker: u16,
    pub(crate) incarnation: u32,
}

/// Plays a worker; the error has been told to the supervisor.
pub(crate) fn play(cast: &Cast) -> Result<(), String> {
    let pipe = std::io::stdout().as_fd().try_clone_to_owned().map_err(|e| format!("has no journal: {e}"))?;
    let journal = Journal::new(pipe);
    let name = format!("worker {} (incarnation {})", cast.worker, cast.incarnation);
    let tell = |lane: u8, what: String| {
        let text = format!("{name}, lane {lane}: {what}");
        let _ = journal.put(&Record { text, ..Record::new(Tag::Violation, Op::Check, lane) });
        Err(what)
    };
    let before = descriptors();
    let store = match attach(&cast.plan.address) {
        Ok(store) => store,
        Err(what) => return tell(0, what),
    };
    let _ = journal.put(&Record::new(Tag::Ready, Op::Attach, 0));
    let stop = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..cast.plan.lanes)
            .map(|number| {
                let (journal, store, stop, tell) = (&journal, store.clone(), &stop, &tell);
                scope.spawn(move || {
                    let lane = Lane::new(cast, journal, store, number);
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lane.run(stop)))
                        .unwrap_or_else(|_| Err("it panicked; standard error says where".to_owned()));
                    outcome.or_else(|what| tell(number, what))
                })
            })
            .collect();
        // The supervisor says that it is enough by closing its end.
        let _ = std::io::stdin().read(&mut [0]);
        stop.store(true, Ordering::Relaxed);
        lanes.into_iter().try_for_each(|lane| lane.join().unwrap_or_else(|_| Err("a lane panicked".to_owned())))
    });
    outcome?;
    drop(store);
    let after = descriptors();
    if after != before {
        tell(0, format!("has descriptors {after:?} at its end, {before:?} at its start"))
    } else {
        Ok(())
    }
}

fn attach(address: &str) -> Result<Store, String> {
    let begun = Instant::now();
    loop {
        match Store::attach(address) {
            Ok(store) => return Ok(store),
            Err(error) if (error.is_disconnected() || error.is_store_full()) && begun.elapsed() < ATTACH => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(format!("could not attach for {:?}: {error}", begun.elapsed())),
        }
    }
}

/// What this process has open, without the folder that is being read.
pub(crate) fn descriptors() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let targets = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let own = |path: &Path| path.starts_with("/proc") && path.ends_with("fd");
    let mut targets: Vec<String> =
        targets.filter(|path| !own(path)).map(|path| path.to_string_lossy().into_owned()).collect();
    targets.sort();
    targets
}
