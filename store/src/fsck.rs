//! Checking a store that nobody works on: a dump of its control segment, or the segment itself.
//!
//! ```text
//!   Store::dump ----> file ---.
//!   /dev/shm/<name>.ctl ------+--> private copy --> locks given up, caches built anew --> the checks of check.rs
//! ```
//!
//! The file is copied before anything of it is believed: who changes or cuts it meanwhile hurts nobody,
//! and nothing is ever written to it. Only what is not a hole is copied, so that a dump is as small as
//! what the store has used of its tables.
//!
//! In the copy every lock is free. Who held the allocator's was in the middle of something that the next
//! owner would have put right, so that is done first, as a survivor does it.
//!
//! What it does not do: without the arena there are no lists of contained objects, so that counts of
//! nested objects (ST-19) are compared only if no object contains another; and it looks at no payload
//! and no spill file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, SeekFrom, seek};
use rustix::io::retry_on_intr;

use crate::alloc::{self, Alloc};
use crate::arena::Arena;
use crate::check::{self, CheckReport};
use crate::client::ClientKey;
use crate::ctl::Ctl;
use crate::error::{Error, ErrorKind, Result};
use crate::holds::{Actor, Looks};
use crate::layout::{H_CTL_LEN, H_MAGIC, Layout, MAGIC};
use crate::lock::{self, Lock};
use crate::shared::Shared;
use crate::slot::{self, Slot};
use crate::store::Store;
use crate::sync::Ordering;
use crate::sys::aligned::AlignedMap;
use crate::sys::memory;

/// How much is copied at a time.
const STRETCH: usize = 1 << 20;

impl Store {
    /// Writes the shared words, without the objects' bytes, to a file for [`fsck`]; a file that is there is replaced.
    ///
    /// Nobody is stopped: words that others change meanwhile may contradict each other in the dump. Of a
    /// store at work, [`check`](Store::check) says more.
    ///
    /// # Errors
    ///
    /// [`is_forked`](Error::is_forked), or that of the file system.
    pub fn dump(&self, path: impl AsRef<Path>) -> Result<()> {
        self.inner().usable()?;
        let path = path.as_ref();
        let failed = |e: io::Error| Error::io(format!("could not write the dump {}", path.display()), e);
        let ctl = &self.inner().shared.ctl;
        let from = ctl.file().ok_or_else(|| failed(io::ErrorKind::Unsupported.into()))?;
        let to = File::create(path).map_err(failed)?;
        to.set_len(ctl.len() as u64).and_then(|()| copy(from, &to, ctl.len() as u64)).map_err(failed)
    }
}

/// Checks a dump of a store, or the control segment of one that nobody works on; never writes to it.
///
/// # Errors
///
/// [`is_corrupt`](Error::is_corrupt), listing all that is broken, also for a file that is no control
/// segment; otherwise that of the file system.
///
/// # Examples
///
/// ```
/// # use mobula_store::{Store, StoreOptions, ObjectId, fsck};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("dump");
/// let store = Store::create(StoreOptions::new(1 << 20))?;
/// store.put(ObjectId::random(), b"here")?;
/// store.dump(&path)?;
/// assert_eq!(fsck(&path)?.objects, 1);
/// # Ok(())
/// # }
/// ```
pub fn fsck(path: impl AsRef<Path>) -> Result<CheckReport> {
    let path = path.as_ref();
    let failed = |e: io::Error| Error::io(format!("could not read {}", path.display()), e);
    let corrupt = |what: String| Error::from(ErrorKind::Corrupt(vec![format!("{}: {what}", path.display())]));
    let file = open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    if !is_control(&file, len) {
        return Err(corrupt(format!("the file of {len} bytes is no control segment")));
    }
    let ctl = memory::anonymous("mobula-fsck", len as usize).map_err(failed)?;
    copy(&file, &ctl, len).map_err(failed)?;
    let map = AlignedMap::new(&ctl, len as usize, true).map_err(failed)?;
    let ctl = Ctl::mapped(map, ctl);
    let layout = Layout::read(&ctl).map_err(corrupt)?;
    // The arena of a copy is a hole as large as it.
    let arena = memory::anonymous("mobula-fsck", layout.arena_len())
        .and_then(|file| Arena::map(file, layout.arena_len()))
        .map_err(failed)?;
    let (shared, looks) = (Shared::new(ctl, layout), Looks::default());
    let actor = Actor { shared: &shared, arena: &arena, looks: &looks, me: ClientKey { index: 0, generation: 0 } };
    free_locks(&shared);
    let contains = |index: u32| {
        let slot = Slot::of(&shared, index);
        slot.state().state() != slot::FREE && slot.linked().load(Ordering::Relaxed) != 0
    };
    let any_contains = (0..alloc::slots_ever(&shared)).any(contains);
    check::check_still(actor, !any_contains)
}

/// Opens a plain file; anything else is an error, at once.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a plain file")) }
}

/// Says whether a file starts as a control segment of its length does: what else there is may be large.
fn is_control(file: &File, len: u64) -> bool {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at as u64).map(|()| u64::from_le_bytes(bytes)).ok()
    };
    word(H_MAGIC) == Some(MAGIC) && word(H_CTL_LEN) == Some(len)
}

/// Frees all locks of a private copy; the allocator's cache is built anew if its owner was in the middle.
fn free_locks(shared: &Shared) {
    let held: Vec<Lock> = lock::all().filter(|&lock| lock::force_free(shared, lock)).collect();
    if held.contains(&Lock::Alloc) {
        let mut alloc = Alloc::lock(shared, ClientKey { index: 0, generation: 0 });
        alloc::rebuild(&mut alloc);
    }
}

/// Copies what is not a hole, up to `len` bytes.
fn copy(from: &File, to: &File, len: u64) -> io::Result<()> {
    let mut bytes = vec![0; STRETCH];
    let mut at = 0;
    while at < len {
        let start = match seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole is left.
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            // A file system that knows no holes.
            Err(rustix::io::Errno::INVAL) => at,
            Err(e) => return Err(e.into()),
        };
        let end = seek(from, SeekFrom::Hole(start)).unwrap_or(len).min(len);
        at = start;
        while at < end {
            let want = bytes.len().min((end - at) as usize);
            let got = from.read_at(&mut bytes[..want], at)?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            to.write_all_at(&bytes[..got], at)?;
            at += got as u64;
        }
        if end <= start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
