//! The backings of the two segments, and their names.
//!
//! Anonymous segments are memfds. Their names, which nobody can open, carry the hash of the socket's
//! path, so that a creator at the address of a dead server finds them in the processes that still
//! have them open (adopt.rs).
//!
//! Named segments are files of shared memory, `<name>.ctl` and `<name>`. A file system of that kind may
//! be small (64 MB in many containers), so whatever of `ctl` can be touched is committed first:
//! the tables at creation, a client's hold words or a reader's area before it is let in, a ring before it is
//! opened.
//! Names go when the server ends in good order. If it was killed, its last client that ends in good
//! order removes them, and the next creation of the name otherwise.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;

use shared_memory::{Shmem, ShmemConf, ShmemError};

use crate::error::{Error, Result};
use crate::id::ObjectId;
use crate::layout::{H_NAME, Layout, RING_BYTES, RING_HEADER_BYTES};
use crate::options::Segment;
use crate::readers;
use crate::shared::Shared;
use crate::sync::Ordering;
use crate::sys::memory;

/// The most bytes of a segment's name.
pub(crate) const MAX_NAME: usize = 64;
/// How the names of anonymous control segments begin; the hash of the socket's path follows.
pub(crate) const CTL_PREFIX: &str = "mobula-ctl-";
/// What the name of a control segment ends with.
pub(crate) const CTL_SUFFIX: &str = ".ctl";
/// Where the kernel keeps named shared memory.
pub(crate) const NAMED_FOLDER: &str = "/dev/shm";

/// The files behind a store.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) ctl: File,
    pub(crate) arena: File,
}

/// Makes both segments, zeroed, for the store `uuid` whose socket's path has the hash `address`.
///
/// Of a name that exists already nobody has a living store: it is left over and replaced.
pub(crate) fn create(segment: &Segment, layout: &Layout, address: u64, uuid: ObjectId) -> Result<Files> {
    match segment {
        Segment::Anonymous => {
            let make = |name: String, len: usize| {
                memory::anonymous(&name, len)
                    .map_err(|e| Error::io(format!("could not make the segment {name} of {len} bytes"), e))
            };
            Ok(Files {
                ctl: make(format!("{CTL_PREFIX}{address:016x}-{uuid}"), layout.len)?,
                arena: make(format!("mobula-arena-{address:016x}-{uuid}"), layout.arena_len())?,
            })
        }
        Segment::Named(name) => {
            check_name(name)?;
            let ctl_name = format!("{name}{CTL_SUFFIX}");
            let ctl = create_named(&ctl_name, layout.len)?;
            let arena = match create_named(name, layout.arena_len()) {
                Ok(arena) => arena,
                Err(error) => {
                    unlink(&ctl_name);
                    return Err(error);
                }
            };
            let files = Files { ctl, arena };
            if let Err(error) = commit_tables(&files.ctl, layout) {
                remove_names(name, &files.ctl, &files.arena);
                return Err(Error::io(format!("no memory for the tables of the named segment {name}"), error));
            }
            Ok(files)
        }
    }
}

/// Commits what every process touches: all of `ctl` but hold words, rings and areas of readers.
fn commit_tables(ctl: &File, layout: &Layout) -> io::Result<()> {
    memory::commit(ctl, 0, layout.holds_at)?;
    memory::commit(ctl, layout.alloc_at, layout.rings_at - layout.alloc_at)?;
    memory::commit(ctl, layout.queue_at, layout.readers_at - layout.queue_at)
}

/// Commits the hold words of the client at `index`, before it is one.
pub(crate) fn commit_holds(shared: &Shared, index: u16) -> io::Result<()> {
    commit(shared, shared.layout.hold(index.into(), 0), shared.layout.slots * 8)
}

/// Commits the area of the read-only client at `index`, before it is one.
pub(crate) fn commit_reader(shared: &Shared, index: u16) -> io::Result<()> {
    commit(shared, shared.layout.reader(index.into()), readers::AREA)
}

/// Commits a ring before it is opened.
pub(crate) fn commit_ring(shared: &Shared, index: usize) -> io::Result<()> {
    commit(shared, shared.layout.ring(index), RING_HEADER_BYTES + RING_BYTES)
}

/// Commits a part of `ctl` if the memory behind it could run out: that of a named segment.
fn commit(shared: &Shared, at: usize, len: usize) -> io::Result<()> {
    match shared.ctl.file() {
        Some(file) if shared.ctl.u64(H_NAME).load(Ordering::Relaxed) != 0 => memory::commit(file, at, len),
        _ => Ok(()),
    }
}

/// Returns how many bytes named segments can have together at most, if the kernel says.
pub(crate) fn named_limit() -> Option<u64> {
    let stat = rustix::fs::statvfs(NAMED_FOLDER).ok()?;
    // Zero blocks: a file system without a limit.
    Some(stat.f_blocks.saturating_mul(stat.f_frsize)).filter(|&bytes| bytes > 0)
}

/// Says whether a file lies where named segments do: their length cannot be sealed.
pub(crate) fn may_be_named(file: &File) -> bool {
    let device = |meta: io::Result<fs::Metadata>| meta.map(|meta| meta.dev()).ok();
    device(file.metadata()).is_some_and(|of| Some(of) == device(fs::metadata(NAMED_FOLDER)))
}

/// Refuses names that are no plain file name.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('.') || !name.chars().all(plain) {
        return Err(Error::invalid(format!(
            "a segment's name has 1 to {MAX_NAME} letters, digits, '-', '_' or '.', got {name:?}"
        )));
    }
    Ok(())
}

/// Removes the names of a store's segments, unless they are another store's by now.
pub(crate) fn remove_names(name: &str, ctl: &File, arena: &File) {
    for (name, file) in [(format!("{name}{CTL_SUFFIX}"), ctl), (name.to_owned(), arena)] {
        if memory::open_named(&name).is_ok_and(|now| memory::is_same(&now, file)) {
            unlink(&name);
        }
    }
}

fn unlink(name: &str) {
    let _ = rustix::shm::unlink(name);
}

fn create_named(name: &str, len: usize) -> Result<File> {
    let conf = || ShmemConf::new().size(len).os_id(name);
    let failed = |e: ShmemError| {
        Error::io(format!("could not make the named segment {name} of {len} bytes"), io::Error::other(e))
    };
    let mut made: Shmem = match conf().create() {
        Err(ShmemError::MappingIdExists) => {
            unlink(name);
            conf().create().map_err(failed)?
        }
        other => other.map_err(failed)?,
    };
    // The name must outlive this handle; if it cannot be opened it goes with it.
    let file = memory::open_named(name);
    let file = file.map_err(|e| Error::io(format!("could not open the named segment {name}"), e))?;
    made.set_owner(false);
    Ok(file)
}
