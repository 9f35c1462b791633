//! Adopting the store of a dead server.
//!
//! Who creates a store at an address whose server is gone takes the old store over if any of its
//! clients lives. They need not do anything for that: each keeps the control segment open, whose name
//! carries the hash of the socket's path, and the kernel shows a process's open files to its user.
//!
//! ```text
//!   creator, with the folder of the socket locked (address.rs)
//!     1  somebody listens at the address: in use
//!     2  look through the files of the user's processes for control segments of this address or name
//!     3  its server lives (or still does when the time is over): in use
//!     4  no living process has a client record in it: nothing to adopt
//!     5  give up who was joining, take a client record
//!     6  serve (server.rs): reap the dead, watch the living, announce it, let others in
//! ```
//!
//! `Store::create` returns when the dead are reaped, or when its time is over: somebody may be stopped
//! inside a lock that this takes. An adopter that dies on the way has changed nothing that a server would
//! not: the next one starts at 1. Clients hear of the new server by the announcement and connect to it
//! (guard.rs). Processes whose files their user may not see (they changed their user, or refuse to be
//! traced) are not found; a store that only such processes have is not adopted.
//!
//! - ST-A1: client records are taken only by the living server, or by who holds the folder's lock while there is none.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::arena::Arena;
use crate::client::{self, ClientKey};
use crate::ctl::Ctl;
use crate::error::{Error, ErrorKind, Result};
use crate::holds::{Actor, Looks};
use crate::layout::Layout;
use crate::origin::{self, Origin};
use crate::outlet;
use crate::reap;
use crate::segment::{self, CTL_PREFIX, CTL_SUFFIX, NAMED_FOLDER};
use crate::shared::Shared;
use crate::sys::aligned::AlignedMap;
use crate::sys::{memory, process};

/// How long an adopter leaves a place alone that somebody else is freeing.
const PAUSE: Duration = Duration::from_millis(1);

/// A store without a server, with living clients.
#[derive(Debug)]
pub(crate) struct Survivor {
    shared: Shared,
    arena: File,
    origin: Origin,
}

/// A store of which this process has become a client without being let in.
pub(crate) struct Adopted {
    pub(crate) shared: Arc<Shared>,
    pub(crate) arena: Arc<Arena>,
    pub(crate) looks: Arc<Looks>,
    pub(crate) me: ClientKey,
    pub(crate) origin: Origin,
}

/// Looks for a store at an address, or of a name, that nobody serves and that has living clients.
///
/// # Errors
///
/// `is_address_in_use` if one of them has a server that lives, or that has not ended at the deadline.
pub(crate) fn find(address: &Address, name: Option<&str>, deadline: Instant) -> Result<Option<Survivor>> {
    let hash = address.hash();
    let mut seen = HashSet::new();
    let mut found = None;
    for file in control_files() {
        if file.address().is_some_and(|of| of != hash) {
            continue;
        }
        let Some(survivor) = file.open(&mut seen) else { continue };
        let same_name = name.is_some() && survivor.origin.name.as_deref() == name;
        if survivor.origin.address != hash && !same_name {
            continue;
        }
        if !wait_for_end(&survivor.shared, deadline) {
            return Err(ErrorKind::AddressInUse(address.text.clone()).into());
        }
        if found.is_none() && client::living(&survivor.shared).next().is_some() {
            found = Some(survivor);
        }
    }
    Ok(found)
}

/// Returns the hashes of the addresses whose segments some process of this user has open.
pub(crate) fn addresses_in_use() -> HashSet<u64> {
    control_files().filter_map(|file| file.address()).collect()
}

impl Survivor {
    /// Becomes a client of it (step 5).
    ///
    /// # Errors
    ///
    /// `is_store_full` if all places for clients are taken by living ones, or still by others at the deadline.
    pub(crate) fn take_over(self, deadline: Instant) -> Result<Adopted> {
        let Survivor { shared, arena, origin } = self;
        let len = shared.layout.arena_len();
        let arena =
            Arena::map(arena, len).map_err(|e| Error::io(format!("could not map an arena of {len} bytes"), e))?;
        let (shared, arena, looks) = (Arc::new(shared), Arc::new(arena), Arc::new(Looks::default()));
        outlet::open(&shared, &looks, false)?;
        let pid = std::process::id();
        let start = process::start_time(pid)
            .ok_or_else(|| Error::io("could not read this process's start time", io::ErrorKind::NotFound.into()))?;
        for joiner in (0..shared.layout.clients).filter_map(|index| client::at(&shared, index, client::JOINING)) {
            client::cancel(&shared, joiner);
        }
        let as_client = |me| Actor { shared: &shared, arena: &arena, looks: &looks, me };
        let me = place(&shared, (pid, start), origin.clients, deadline, |dead| reap::reap(&as_client(dead), dead))
            .ok_or_else(|| Error::from(ErrorKind::ClientsFull(origin.clients)))?;
        if let Err(error) = segment::commit_holds(&shared, me.index) {
            client::cancel(&shared, me);
            return Err(Error::io("no memory for the tables of one more client", error));
        }
        client::confirm(&shared, me);
        Ok(Adopted { shared, arena, looks, me, origin })
    }
}

/// Takes a place for a process, pid and start time; if all are taken one of the dead makes room, reaped in its own name.
///
/// Others reap the dead, too, so a place may come free between two looks at it; and one of them may be stopped in the
/// midst, so that a place on its way out stays for a while.
fn place(
    shared: &Shared,
    (pid, start): (u32, u64),
    most: usize,
    deadline: Instant,
    mut reap: impl FnMut(ClientKey) -> bool,
) -> Option<ClientKey> {
    let mut seized = None;
    loop {
        if let Some(me) = client::take(shared, pid, start, most) {
            return Some(me);
        }
        // With this process's own pid in its record nobody takes it for dead any more.
        seized = client::seize(shared, pid, start).or(seized).filter(|dead| client::is_recorded(shared, *dead));
        let leaves = |index| {
            let is_dead = || client::at(shared, index, client::ALIVE).is_some() && client::is_dead(shared, index);
            client::at(shared, index, client::REAPING).is_some() || is_dead()
        };
        match seized {
            // If that is left to another reaper, it takes a while.
            Some(dead) => _ = reap(dead),
            None if !(0..shared.layout.clients).any(leaves) => return client::take(shared, pid, start, most),
            None => std::thread::sleep(PAUSE),
        }
        if Instant::now() >= deadline {
            return client::take(shared, pid, start, most);
        }
    }
}

/// Waits until a store has no server; false if it keeps one.
fn wait_for_end(shared: &Shared, deadline: Instant) -> bool {
    while let Some(server) = origin::living_server(shared) {
        let pid = client::pid(shared, server.index.into());
        // A killed process stops to listen a little before it has ended.
        let left = deadline.saturating_duration_since(Instant::now());
        if pid == std::process::id() || left.is_zero() {
            return false;
        }
        if let Ok(pidfd) = process::watch(pid) {
            process::wait_end(pidfd, left);
        }
    }
    true
}

/// A file of some process that looks like a control segment.
struct ControlFile {
    /// The folder of the process's open files.
    files: PathBuf,
    path: PathBuf,
    target: String,
}

/// Lists what the processes of this user have open that may be control segments.
fn control_files() -> impl Iterator<Item = ControlFile> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mine = processes.filter(|entry| {
        let number = entry.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
        number && entry.metadata().is_ok_and(|meta| meta.uid() == process::uid())
    });
    mine.flat_map(|entry| {
        let files = entry.path().join("fd");
        let open = fs::read_dir(&files).into_iter().flatten().flatten();
        open.filter_map(move |entry| {
            let target = target(&entry.path())?;
            let file = ControlFile { files: files.clone(), path: entry.path(), target };
            file.is_control().then_some(file)
        })
    })
}

/// Returns what an open file of a process is, without the mark of a file that has no name any more.
fn target(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?.into_os_string().into_string().ok()?;
    Some(target.strip_suffix(" (deleted)").map(str::to_owned).unwrap_or(target))
}

impl ControlFile {
    fn memfd(&self) -> Option<&str> {
        self.target.strip_prefix("/memfd:")?.strip_prefix(CTL_PREFIX)
    }

    fn is_control(&self) -> bool {
        self.memfd().is_some() || Path::new(&self.target).starts_with(NAMED_FOLDER) && self.target.ends_with(CTL_SUFFIX)
    }

    /// Returns the hash in the name of an anonymous segment.
    fn address(&self) -> Option<u64> {
        u64::from_str_radix(self.memfd()?.get(..16)?, 16).ok()
    }

    /// Opens the store, if it is one that this program can use and that was not seen before.
    fn open(&self, seen: &mut HashSet<(u64, u64)>) -> Option<Survivor> {
        let ctl = open_plain(&self.path)?;
        let meta = ctl.metadata().ok()?;
        // A file whose length can change could be taken away under our feet.
        let fixed = self.memfd().is_none() || memory::has_fixed_length(&ctl);
        if !fixed || !seen.insert((meta.dev(), meta.ino())) {
            return None;
        }
        let map = AlignedMap::new(&ctl, usize::try_from(meta.len()).ok()?, true).ok()?;
        let ctl = Ctl::mapped(map, ctl);
        let layout = match Layout::read(&ctl) {
            Ok(layout) => layout,
            Err(why) => {
                if self.memfd().is_some() {
                    tracing::warn!(segment = %self.target, why, "a store that a process has open cannot be adopted");
                }
                return None;
            }
        };
        let origin = Origin::read(&ctl);
        let arena = self.arena(&origin, layout.arena_len() as u64);
        if arena.is_none() {
            // Another process may have it.
            seen.remove(&(meta.dev(), meta.ino()));
        }
        Some(Survivor { shared: Shared::new(ctl, layout), arena: arena?, origin })
    }

    /// Finds the arena among the open files of the same process.
    fn arena(&self, origin: &Origin, len: u64) -> Option<File> {
        let files = fs::read_dir(&self.files).ok()?.flatten();
        let plausible = |path: &PathBuf| {
            target(path).is_some_and(|name| {
                name.starts_with("/memfd:mobula-arena-") || Path::new(&name).starts_with(NAMED_FOLDER)
            })
        };
        let open = files.map(|entry| entry.path()).filter(plausible).filter_map(|path| open_plain(&path));
        open.into_iter().find(|file| {
            let fits = |meta: fs::Metadata| meta.ino() == origin.arena && meta.len() >= len;
            let fixed = origin.name.is_some() || memory::has_fixed_length(file);
            fixed && file.metadata().is_ok_and(fits)
        })
    }
}

fn open_plain(path: &Path) -> Option<File> {
    let plain = fs::metadata(path).is_ok_and(|meta| meta.is_file());
    plain.then(|| File::options().read(true).write(true).open(path).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::C_START;
    use crate::lock::{self, Lock};
    use crate::sync::Ordering;
    use crate::{Store, StoreOptions};

    /// A store of three clients whose first one, the server, is taken for dead.
    fn full() -> (Store, [Store; 2]) {
        let server = Store::create(StoreOptions::new(1 << 20).max_clients(3)).unwrap();
        let others = [(); 2].map(|()| Store::attach(server.address()).unwrap());
        let shared = &others[0].inner().shared;
        shared.ctl.u64(shared.layout.client(server.client().index.into()) + C_START).store(1, Ordering::Relaxed);
        (server, others)
    }

    fn adopt(store: &Store, mut reap: impl FnMut(&Actor<'_>, ClientKey) -> bool) -> Option<ClientKey> {
        let shared = &store.inner().shared;
        let (pid, time) = (std::process::id(), Instant::now() + Duration::from_secs(60));
        let as_client = |me| Actor { me, ..store.inner().actor() };
        place(shared, (pid, process::start_time(pid).unwrap()), 3, time, |dead| reap(&as_client(dead), dead))
    }

    #[test]
    fn a_full_store_takes_the_adopter_in_once_a_stopped_reaper_goes_on() {
        let (server, [_first, other]) = full();
        let mut tries = 0;
        let place = adopt(&other, |actor, dead| {
            tries += 1;
            tries > 2 && reap::reap(actor, dead)
        });
        assert_eq!(place.map(|place| place.index), Some(server.client().index));
        assert!(client::confirm(&other.inner().shared, place.unwrap()));
        assert_eq!(adopt(&other, |_, _| panic!("nobody is dead")), None, "all places are taken by the living");
        std::mem::forget(server);
    }

    #[test]
    fn who_died_inside_a_lock_is_left_to_those_who_take_it_over() {
        let (server, [survivor, other]) = full();
        let shared = &survivor.inner().shared;
        std::mem::forget(lock::acquire(shared, Lock::Reap, server.client()));
        let (pid, start) = (std::process::id(), process::start_time(std::process::id()).unwrap());
        assert_eq!(client::seize(shared, pid, start), None);
        let place = std::thread::scope(|scope| {
            scope.spawn(|| survivor.reap(server.client()));
            // Once that one has the lock, both may reap.
            adopt(&other, |actor, dead| {
                assert!(!lock::is_owner(shared, dead), "{dead:?} holds a lock");
                reap::reap(actor, dead)
            })
        });
        assert_eq!(place.map(|place| place.index), Some(server.client().index));
        assert!(client::confirm(shared, place.unwrap()));
        survivor.check().unwrap();
        std::mem::forget(server);
    }

    #[test]
    fn a_place_that_comes_free_between_two_looks_is_found() {
        let (server, [survivor, other]) = full();
        let shared = &survivor.inner().shared;
        let at = usize::from(server.client().index);
        let (record, start) = (shared.ctl.u64(shared.layout.client(at)), shared.layout.client(at) + C_START);
        for round in 0..2000_u32 {
            let generation = client::generation(client::load(shared, at));
            shared.ctl.u64(start).store(1, Ordering::Relaxed);
            record.store(client::word(generation, client::REAPING), Ordering::SeqCst);
            let place = std::thread::scope(|scope| {
                scope.spawn(|| {
                    (0..round % 64).for_each(|_| std::hint::spin_loop());
                    record.store(client::word(generation + 1, client::FREE), Ordering::SeqCst);
                });
                adopt(&other, |_, _| true)
            });
            assert!(place.is_some_and(|place| client::confirm(shared, place)), "round {round}");
        }
        std::mem::forget(server);
    }
}
