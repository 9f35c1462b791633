//! The disk side of a store: objects that were spilled, and memory of last resort.
//!
//! ```text
//!   slot --place--> Record -------------> spill-<n>      records of many objects, append-only (record.rs)
//!        `--place--> number of a file --> fallback-<n>   the memory of one object, mapped
//!                       |
//!   ctl: table of spill files (table.rs): what is alive in each; the last record takes its file along
//!   folder (folder.rs): goes with the store, at the latest when the next one starts
//! ```
//!
//! Nothing on disk is worth anything without the slot that names it, so nothing is ever synced,
//! scanned or recovered: a write that fails or dies leaves garbage behind the cursor, which the next
//! write covers or which goes with the file. Every read checks that it got the bytes of exactly this
//! object of exactly this store: it may fail, it never gives wrong bytes. No file is kept open
//! between two calls, so a file that is removed gives its space back at once (mappings aside).
//!
//! What the caller sees to:
//! - [`Disk::write`] and [`Disk::recount`] run under the lock that moves objects; all else at any time.
//! - A record is named by at most one place word, which [`Disk::release`] takes it out of.
//! - After the death of a process that held that lock, or that was reclaiming a slot: [`Disk::recount`] with
//!   all records that slots name, or [`Table::make_due`] so that the lock's next owner does it.
//! - A reader whose object may be moved meanwhile looks at the place again before it believes an error.
//! - A fallback number stands in its slot *before* [`Disk::fallback_create`] and until *after*
//!   [`Disk::fallback_remove`]: whoever finds the slot of a dead process removes the file.
//!
//! It does not guard against other programs of the same user that change its files under a mapping, and
//! not against the signal that the kernel sends for writing beyond `RLIMIT_FSIZE` to who does not ignore it.

mod error;
mod folder;
#[allow(unsafe_code, reason = "slices of mapped records")]
mod map;
mod record;
mod table;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::io::{Errno, preadv, pwritev, retry_on_intr};

pub(crate) use error::DiskError;
pub(crate) use map::{Mapped, Mapping};
pub(crate) use record::{Head, Record};
#[cfg(test)]
pub(crate) use table::Spilled;
pub(crate) use table::{FILES, LAYOUT, SECTION_BYTES, Table};

use error::means_full;
use folder::Folder;
use record::HEAD_BYTES;
use table::Room;

use crate::id::ObjectId;
use crate::sys::memory;

/// How much is checked and copied at a time, so that the second of both finds it in the cache.
const STRETCH: usize = 256 << 10;

/// One process's access to the files of a store.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: Folder,
    uuid: [u8; 16],
}

impl Disk {
    /// Makes the folder of a new store in `base`, after removing what dead stores left there.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made or locked.
    pub(crate) fn create(base: &Path, uuid: [u64; 2]) -> Result<Disk, DiskError> {
        Ok(Disk { folder: Folder::create(base, uuid)?, uuid: ObjectId::from_words(uuid).to_bytes() })
    }

    /// Opens the folder of a store that another process made and has open.
    ///
    /// # Errors
    ///
    /// If there is no such folder, or if it is being removed.
    pub(crate) fn open(base: &Path, uuid: [u64; 2]) -> Result<Disk, DiskError> {
        Ok(Disk { folder: Folder::open(base, uuid)?, uuid: ObjectId::from_words(uuid).to_bytes() })
    }

    /// Returns the store's folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Appends a record; `payload` is data, metadata and children as they lie in memory.
    ///
    /// Under the lock that moves objects, which is held until the record stands in its slot.
    ///
    /// # Errors
    ///
    /// [`DiskError::is_full`] if there is no room; nothing is on disk then.
    pub(crate) fn write(&self, table: Table<'_>, head: &Head, payload: &[u8]) -> Result<Record, DiskError> {
        if head.payload() != Some(payload.len() as u64) {
            return Err(DiskError::io("spill to", self.path(), io::ErrorKind::InvalidInput));
        }
        let Some(room) = table.reserve(head.units()) else { return Err(DiskError::Files(FILES)) };
        match self.fill(room, head, payload) {
            Ok(()) => {
                table.written(room);
                Ok(room.record)
            }
            Err(error) => {
                table.close_current();
                self.release(table, room.record, head, || true);
                Err(self.failed("write", &spill_name(room.record), room.units * record::UNIT, error))
            }
        }
    }

    /// Reads the payload of a record into memory of its length, and makes sure that it is the right one.
    ///
    /// # Errors
    ///
    /// [`DiskError::is_damaged`] if it is not; then `into` holds anything.
    pub(crate) fn read(&self, record: Record, head: &Head, into: &mut [u8]) -> Result<(), DiskError> {
        if head.payload() != Some(into.len() as u64) {
            return Err(DiskError::io("restore from", self.path(), io::ErrorKind::InvalidInput));
        }
        let file = self.open_record(record)?;
        let (first, rest) = into.split_at_mut(into.len().min(STRETCH));
        let mut bytes = [0; HEAD_BYTES];
        let start = record.offset();
        read_both_at(&file, &mut bytes, first, start).map_err(|e| self.unreadable(record, e))?;
        let expected = head.check(self.uuid, &bytes).map_err(|what| self.damaged(record, what))?;
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(first);
        let mut at = start + (HEAD_BYTES + first.len()) as u64;
        for stretch in rest.chunks_mut(STRETCH) {
            file.read_exact_at(stretch, at).map_err(|e| self.unreadable(record, e))?;
            checksum.update(stretch);
            at += stretch.len() as u64;
        }
        self.compare(record, expected, checksum.finalize())
    }

    /// Maps the payload of a record to be read in place, and makes sure that it is the right one.
    ///
    /// # Errors
    ///
    /// [`DiskError::is_damaged`] if it is not.
    pub(crate) fn map(&self, record: Record, head: &Head) -> Result<Mapped, DiskError> {
        let file = self.open_record(record)?;
        let has = file.metadata().map_err(|e| self.unreadable(record, e))?.len();
        let end = head.payload().and_then(|len| len.checked_add(record.offset() + HEAD_BYTES as u64));
        if end.is_none_or(|end| end > has) {
            return Err(self.damaged(record, "the file ends inside of the record".to_owned()));
        }
        let len = head.payload().and_then(|len| usize::try_from(len).ok()).unwrap_or(usize::MAX);
        let mapped = Mapped::new(&file, record.offset(), len);
        let mapped = mapped.map_err(|e| DiskError::io("map", self.file_path(&spill_name(record)), e))?;
        let (bytes, payload) = mapped.parts();
        let expected = head.check(self.uuid, bytes).map_err(|what| self.damaged(record, what))?;
        self.compare(record, expected, crc32fast::hash(payload))?;
        Ok(mapped)
    }

    /// Gives a record back once `take` has taken it out of its place word, by compare-and-swap.
    ///
    /// If `take` returns false, somebody else did and nothing happens. The last record takes its file
    /// along. If [`Table::is_recount_due`] afterwards, somebody should [`recount`](Self::recount).
    pub(crate) fn release(&self, table: Table<'_>, record: Record, head: &Head, take: impl FnOnce() -> bool) {
        if table.give_back(record, head.units(), take) {
            self.remove(table, record.file());
        }
    }

    /// Counts anew what is alive, and removes the files in which nothing is.
    ///
    /// Under the lock that moves objects. `live` looks at every slot, each time it is called, and returns
    /// the records that place words name.
    pub(crate) fn recount<I>(&self, table: Table<'_>, mut live: impl FnMut() -> I)
    where
        I: IntoIterator<Item = (Record, Head)>,
    {
        let dead = table.recount(|| live().into_iter().map(|(record, head)| (record, head.units())));
        for number in dead {
            self.remove(table, number);
        }
    }

    /// Makes the fallback file `number` ([`Table::next_fallback`]) with all of its `len` bytes on disk, and maps it.
    ///
    /// # Errors
    ///
    /// [`DiskError::is_full`] if there is no room; then there is no file.
    pub(crate) fn fallback_create(&self, number: u64, len: usize) -> Result<Mapping, DiskError> {
        let name = fallback_name(number);
        if self.folder.free().is_some_and(|free| free < len as u64) {
            // Some file systems would take all that is left before they say so.
            return Err(self.failed("allocate", &name, len as u64, Errno::NOSPC.into()));
        }
        let file = self.folder.make_file(&name).map_err(|e| self.failed("make", &name, len as u64, e))?;
        let mapped = allocate(&file, len).and_then(|()| Mapping::new(&file, len, true));
        mapped.map_err(|e| {
            self.fallback_remove(number);
            self.failed("allocate", &name, len as u64, e)
        })
    }

    /// Maps the fallback file `number`.
    ///
    /// # Errors
    ///
    /// [`DiskError::is_damaged`] if it is missing or shorter than `len` bytes.
    pub(crate) fn fallback_map(&self, number: u64, len: usize, writable: bool) -> Result<Mapping, DiskError> {
        let name = fallback_name(number);
        let damaged = |what: String| DiskError::Damaged { path: self.file_path(&name), offset: 0, what };
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => damaged("the file is missing".to_owned()),
            _ => DiskError::io("map", self.file_path(&name), e),
        };
        let file = self.folder.file(&name, writable).map_err(failed)?;
        let has = file.metadata().map_err(failed)?.len();
        if has < len as u64 {
            return Err(damaged(format!("the file has {has} bytes, not {len}")));
        }
        Mapping::new(&file, len, writable).map_err(failed)
    }

    /// Removes the fallback file `number`; mappings of it stay usable.
    pub(crate) fn fallback_remove(&self, number: u64) {
        self.remove_file(&fallback_name(number));
    }

    /// Writes a record into its room, the header in the last call.
    fn fill(&self, room: Room, head: &Head, payload: &[u8]) -> io::Result<()> {
        let name = spill_name(room.record);
        let file = if room.fresh { self.folder.make_file(&name)? } else { self.folder.file(&name, true)? };
        let start = room.record.offset();
        let (first, rest) = payload.split_at(payload.len().min(STRETCH));
        let written = || {
            let mut checksum = crc32fast::Hasher::new();
            checksum.update(first);
            let mut at = start + (HEAD_BYTES + first.len()) as u64;
            for stretch in rest.chunks(STRETCH) {
                checksum.update(stretch);
                file.write_all_at(stretch, at)?;
                at += stretch.len() as u64;
            }
            write_both_at(&file, &head.encode(self.uuid, checksum.finalize()), first, start)
        };
        written().inspect_err(|_| {
            // The space of what was written is given back; all other records lie before it.
            let _ = file.set_len(start);
        })
    }

    fn open_record(&self, record: Record) -> Result<File, DiskError> {
        self.folder.file(&spill_name(record), false).map_err(|e| self.unreadable(record, e))
    }

    fn compare(&self, record: Record, expected: u32, found: u32) -> Result<(), DiskError> {
        if expected == found {
            return Ok(());
        }
        let what = format!("the checksum of the object's bytes is {found:08x}, not {expected:08x}");
        Err(self.damaged(record, what))
    }

    /// Removes a spill file in which nothing lives.
    fn remove(&self, table: Table<'_>, number: u64) {
        if self.remove_file(&spill_name(Record::new(number, 0))) {
            table.removed(number);
        }
    }

    /// Says whether a file is gone.
    fn remove_file(&self, name: &str) -> bool {
        let removed = self.folder.remove_file(name);
        if let Err(error) = &removed {
            tracing::warn!(path = %self.file_path(name).display(), %error, "could not remove a file that nobody needs");
        }
        removed.is_ok()
    }

    fn file_path(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn damaged(&self, record: Record, what: String) -> DiskError {
        DiskError::Damaged { path: self.file_path(&spill_name(record)), offset: record.offset(), what }
    }

    fn unreadable(&self, record: Record, error: io::Error) -> DiskError {
        match error.kind() {
            io::ErrorKind::NotFound => self.damaged(record, "the file is missing".to_owned()),
            io::ErrorKind::UnexpectedEof => self.damaged(record, "the file ends inside of the record".to_owned()),
            _ => DiskError::io("read", self.file_path(&spill_name(record)), error),
        }
    }

    fn failed(&self, what: &'static str, name: &str, needed: u64, error: io::Error) -> DiskError {
        if means_full(&error) {
            return DiskError::Full { needed, path: self.file_path(name), free: self.folder.free(), source: error };
        }
        DiskError::io(what, self.file_path(name), error)
    }
}

fn spill_name(record: Record) -> String {
    format!("spill-{}", record.file())
}

fn fallback_name(number: u64) -> String {
    format!("fallback-{number}")
}

/// Writes one after the other, as a rule in one call.
fn write_both_at(file: &File, first: &[u8], second: &[u8], at: u64) -> io::Result<()> {
    let done = retry_on_intr(|| pwritev(file, &[IoSlice::new(first), IoSlice::new(second)], at))?;
    if let Some(rest) = first.get(done..) {
        file.write_all_at(rest, at + done as u64)?;
    }
    let done = done.saturating_sub(first.len());
    file.write_all_at(&second[done..], at + (first.len() + done) as u64)
}

/// Reads one after the other, as a rule in one call.
fn read_both_at(file: &File, first: &mut [u8], second: &mut [u8], at: u64) -> io::Result<()> {
    let done = retry_on_intr(|| preadv(file, &mut [IoSliceMut::new(first), IoSliceMut::new(second)], at))?;
    if let Some(rest) = first.get_mut(done..) {
        file.read_exact_at(rest, at + done as u64)?;
    }
    let done = done.saturating_sub(first.len());
    file.read_exact_at(&mut second[done..], at + (first.len() + done) as u64)
}

/// Gives a new file all of its bytes: touching them can never fail for want of space.
fn allocate(file: &File, len: usize) -> io::Result<()> {
    file.set_len(len as u64)?;
    match memory::commit(file, 0, len) {
        // File systems that cannot allocate ahead are written to.
        Err(e) if Errno::from_io_error(&e) == Some(Errno::OPNOTSUPP) => {
            let zeros = vec![0; STRETCH.min(len)];
            let mut at = 0;
            while at < len {
                let n = zeros.len().min(len - at);
                file.write_all_at(&zeros[..n], at as u64)?;
                at += n;
            }
            Ok(())
        }
        other => other,
    }
}
