//! Outlets: where a store's objects go when memory is short, as its creator chose it for all clients.
//!
//! The creator writes the options and the folder into the header before the store is ready; everybody
//! else reads them there and opens the folder while attaching, so that it stays as long as anybody
//! has the store (disk/folder.rs).
//!
//! ```text
//!   header:  104  options: 1 least recently used goes   2 spills   4 falls back to files
//!           2048  length of the folder's path, then the path
//! ```

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::holds::Looks;
use crate::layout::{H_DIR, H_OPTIONS, HEADER_BYTES};
use crate::options::{Eviction, StoreOptions};
use crate::shared::Shared;
use crate::sync::Ordering;
use crate::sys::process;

const LRU: u64 = 1;
const SPILLS: u64 = 2;
const FALLS_BACK: u64 = 4;
/// The longest path that the header has room for.
const MAX_PATH: usize = HEADER_BYTES - H_DIR - 8;

/// Writes the creator's choice into the header of a store that is not ready yet.
///
/// # Errors
///
/// If the folder's path is too long or has no absolute form.
pub(crate) fn publish(shared: &Shared, options: &StoreOptions) -> Result<()> {
    let lru = if options.eviction == Eviction::LeastRecentlyUsed { LRU } else { 0 };
    let spills = if options.spill_dir.is_some() { SPILLS } else { 0 };
    let falls_back = if options.fallback { FALLS_BACK } else { 0 };
    shared.ctl.u64(H_OPTIONS).store(lru | spills | falls_back, Ordering::Release);
    let base = match &options.spill_dir {
        Some(dir) => dir.clone(),
        None if options.fallback => std::env::temp_dir().join(format!("mobula-{}-files", process::uid())),
        None => return Ok(()),
    };
    let base = std::path::absolute(&base)
        .map_err(|e| Error::io(format!("could not make the folder {} absolute", base.display()), e))?;
    let bytes = base.as_os_str().as_bytes();
    if bytes.len() > MAX_PATH {
        let len = bytes.len();
        return Err(Error::invalid(format!("the path of spill_dir has {len} bytes, at most {MAX_PATH} are allowed")));
    }
    shared.ctl.u64(H_DIR).store(bytes.len() as u64, Ordering::Relaxed);
    for (i, part) in bytes.chunks(8).enumerate() {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        shared.ctl.u64(H_DIR + 8 + 8 * i).store(u64::from_le_bytes(word), Ordering::Relaxed);
    }
    Ok(())
}

/// Opens the store's folder for a client if it has one; its creator makes it.
///
/// # Errors
///
/// If the folder cannot be made or used.
pub(crate) fn open(shared: &Shared, looks: &Looks, creator: bool) -> Result<()> {
    let Some(base) = folder(shared) else { return Ok(()) };
    let uuid = shared.uuid();
    let disk = if creator { Disk::create(&base, uuid) } else { Disk::open(&base, uuid) };
    looks.open_disk(disk.map_err(|e| Error::folder(&base, e))?);
    Ok(())
}

/// Reads the folder in which the store's own lies.
fn folder(shared: &Shared) -> Option<PathBuf> {
    let len = shared.ctl.u64(H_DIR).load(Ordering::Relaxed) as usize;
    if len == 0 || len > MAX_PATH {
        return None;
    }
    let word = |i: usize| shared.ctl.u64(H_DIR + 8 + 8 * i).load(Ordering::Relaxed).to_le_bytes();
    let bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(word).take(len).collect();
    let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
    Path::is_absolute(&path).then_some(path)
}

#[inline]
fn has(shared: &Shared, option: u64) -> bool {
    shared.ctl.u64(H_OPTIONS).load(Ordering::Relaxed) & option != 0
}

/// Says whether the least recently used objects go when memory is short.
#[inline]
pub(crate) fn evicts(shared: &Shared) -> bool {
    has(shared, LRU)
}

/// Says whether the order in which objects are used matters; counted ones are not evicted.
#[inline]
pub(crate) fn orders(shared: &Shared, is_counted: bool) -> bool {
    has(shared, if is_counted { SPILLS } else { LRU | SPILLS })
}

/// Says whether objects go to disk when memory is short.
pub(crate) fn spills(shared: &Shared) -> bool {
    has(shared, SPILLS)
}

/// Says whether objects that find no memory are made in files.
pub(crate) fn falls_back(shared: &Shared) -> bool {
    has(shared, FALLS_BACK)
}
