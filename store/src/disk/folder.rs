//! The folder of one store on disk, which goes with the store.
//!
//! ```text
//!   <spill_dir>/<uuid>/             0700
//!       alive                       locked, shared, by every process that has the store open
//!       spill-<n>  fallback-<n>
//!   <spill_dir>/<uuid>.mobula-<k>/  being made, or being removed
//! ```
//!
//! The kernel drops the lock of a process with the process, so the folder of a dead store is one
//! whose `alive` can be locked exclusively. Whoever makes a folder first removes such folders beside it:
//! nothing of a store survives the next start, also after a power cut. The last one out removes its own.
//!
//! - Making: make it under another name, lock `alive`, rename it. Before the lock a cleaner may take it away;
//!   the maker notices (the lock is refused, or the file it locked has no name any more) and tries again.
//! - Removing: lock `alive` exclusively, rename the folder, remove the files, `alive`, the folder. Who
//!   dies in between leaves a folder of the second kind, which the next cleaner finds.
//!
//! Only folders of these names with an `alive` in them are touched (or empty ones of the second kind),
//! only those of the same user, and only files of these names are removed: `spill_dir` may hold
//! anything else.

use std::ffi::CStr;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, RawDir, flock, fstat, fstatvfs, mkdirat, openat, renameat,
    unlinkat,
};
use rustix::io::{Errno, retry_on_intr};

use super::error::DiskError;
use crate::id::ObjectId;
use crate::sys::{fork, process};

const ALIVE: &str = "alive";
const UNFINISHED: &str = ".mobula-";
const UUID_DIGITS: usize = 32;
/// How often a folder that is taken away while it is made is made again.
const TRIES: u32 = 64;

/// A store's folder, locked as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
    base: File,
    dir: File,
    alive: File,
    name: String,
    path: PathBuf,
    /// The process that opened it (sys/fork.rs): a forked child shares the lock and must leave it alone.
    stamp: u32,
}

impl Folder {
    /// Makes the folder of a new store, after the folders of dead stores beside it are gone.
    pub(super) fn create(base: &Path, uuid: [u64; 2]) -> Result<Folder, DiskError> {
        let failed = |e: io::Error| DiskError::io("make a folder in", base, e);
        DirBuilder::new().recursive(true).mode(0o700).create(base).map_err(failed)?;
        let base_dir = open_base(base).map_err(|e| failed(e.into()))?;
        clean(&base_dir);
        let name = name(uuid);
        for attempt in 0..TRIES {
            let made = make(&base_dir, &format!("{name}{UNFINISHED}{attempt}"), &name);
            match made.map_err(|e| failed(e.into()))? {
                Some((dir, alive)) => return Ok(Folder::of(base, base_dir, dir, alive, name)),
                // Another process that started at the same moment has cleaned it away.
                None => std::thread::yield_now(),
            }
        }
        Err(failed(io::Error::new(io::ErrorKind::WouldBlock, "others remove it as fast as it is made")))
    }

    /// Opens the folder of a store that lives.
    pub(super) fn open(base: &Path, uuid: [u64; 2]) -> Result<Folder, DiskError> {
        let name = name(uuid);
        let failed = |e: Errno| DiskError::io("open the folder", base.join(&name), e);
        let base_dir = open_base(base).map_err(failed)?;
        let dir = open_dir(&base_dir, &name).map_err(failed)?;
        if fstat(&dir).map_err(failed)?.st_uid != process::uid() {
            // Somebody who may write to the folder above put it there.
            return Err(failed(Errno::PERM));
        }
        let alive = open_alive(&dir, OFlags::empty()).map_err(failed)?;
        if !share(&alive).map_err(failed)? {
            return Err(failed(Errno::NOENT));
        }
        Ok(Folder::of(base, base_dir, dir, alive, name))
    }

    fn of(base: &Path, base_dir: File, dir: File, alive: File, name: String) -> Folder {
        Folder { path: base.join(&name), base: base_dir, dir, alive, name, stamp: fork::stamp() }
    }

    /// Returns where the folder is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file that must not be there yet.
    pub(super) fn make_file(&self, name: &str) -> io::Result<File> {
        self.open_file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// Opens a file, for reading or for both.
    pub(super) fn file(&self, name: &str, writable: bool) -> io::Result<File> {
        self.open_file(name, if writable { OFlags::RDWR } else { OFlags::RDONLY })
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        // What is no plain file was put there by somebody else: a pipe would keep whoever opens it waiting.
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::from(retry_on_intr(|| openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR))?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a plain file")) }
    }

    /// Removes a file; one that is gone is no error.
    pub(super) fn remove_file(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Returns how many bytes this user can still write there.
    pub(super) fn free(&self) -> Option<u64> {
        let fs = fstatvfs(&self.dir).ok()?;
        fs.f_bavail.checked_mul(fs.f_frsize)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if fork::current() == self.stamp {
            remove_if_dead(&self.base, &self.name, &self.dir, &self.alive);
        }
    }
}

fn name(uuid: [u64; 2]) -> String {
    ObjectId::from_words(uuid).to_string()
}

/// Opens the folder that holds those of all stores.
fn open_base(path: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| openat(CWD, path, flags, Mode::empty()))?.into())
}

/// Opens a folder, not through a link.
fn open_dir(at: &File, name: &str) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(retry_on_intr(|| openat(at, name, flags, Mode::empty()))?.into())
}

fn open_alive(dir: &File, flags: OFlags) -> Result<File, Errno> {
    let flags = flags | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(retry_on_intr(|| openat(dir, ALIVE, flags, Mode::RUSR | Mode::WUSR))?.into())
}

/// Locks `alive` as one of many; false if its folder is being removed.
fn share(alive: &File) -> Result<bool, Errno> {
    match flock(alive, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e),
        Ok(()) => Ok(fstat(alive)?.st_nlink > 0),
    }
}

/// Makes a folder as `making`, locks it and names it `name`; `None` if it was taken away on the way.
fn make(base: &File, making: &str, name: &str) -> Result<Option<(File, File)>, Errno> {
    let gone = |e: Errno| if matches!(e, Errno::NOENT | Errno::EXIST) { Ok(None) } else { Err(e) };
    if let Err(e) = mkdirat(base, making, Mode::RWXU) {
        return gone(e);
    }
    let dir = match open_dir(base, making) {
        Ok(dir) => dir,
        Err(e) => return gone(e),
    };
    let alive = match open_alive(&dir, OFlags::CREATE | OFlags::EXCL) {
        Ok(alive) => alive,
        Err(e) => return gone(e),
    };
    if !share(&alive)? {
        return Ok(None);
    }
    // From here on no cleaner gets the lock.
    renameat(base, making, base, name)?;
    Ok(Some((dir, alive)))
}

/// Removes the folders of dead stores; what cannot be removed is left for the next time.
fn clean(base: &File) {
    let Ok(entries) = Dir::read_from(base) else { return };
    for entry in entries {
        let Ok(entry) = entry else { return };
        let Some(name) = store_name(entry.file_name()) else { continue };
        let Ok(dir) = open_dir(base, name) else { continue };
        if fstat(&dir).is_ok_and(|stat| stat.st_uid != process::uid()) {
            continue;
        }
        match open_alive(&dir, OFlags::empty()) {
            Ok(alive) => remove_if_dead(base, name, &dir, &alive),
            // Its maker or its remover died (or will try again): there is nothing in it.
            Err(Errno::NOENT) if name.len() > UUID_DIGITS => _ = unlinkat(base, name, AtFlags::REMOVEDIR),
            Err(_) => {}
        }
    }
}

/// Returns the name of a store's folder, finished or not; `None` for any other name.
fn store_name(name: &CStr) -> Option<&str> {
    let name = name.to_str().ok()?;
    let (uuid, rest) = name.split_at_checked(UUID_DIGITS)?;
    let is_uuid = uuid.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_ours = is_uuid && (rest.is_empty() || rest.strip_prefix(UNFINISHED).is_some_and(is_number));
    is_ours.then_some(name)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Removes a folder unless another process has the store open.
fn remove_if_dead(base: &File, name: &str, dir: &File, alive: &File) {
    if flock(alive, FlockOperation::NonBlockingLockExclusive).is_err() {
        return;
    }
    // Another remover may have come first.
    if !fstat(alive).is_ok_and(|stat| stat.st_nlink > 0) {
        return;
    }
    let mut name = name.to_owned();
    if name.len() == UUID_DIGITS {
        let removing = format!("{name}{UNFINISHED}0");
        if renameat(base, name.as_str(), base, removing.as_str()).is_ok() {
            name = removing;
        }
    }
    if let Err(error) = empty(dir) {
        tracing::debug!(%name, %error, "could not remove all files of a dead store");
        return;
    }
    let _ = unlinkat(dir, ALIVE, AtFlags::empty());
    if let Err(error) = unlinkat(base, name.as_str(), AtFlags::REMOVEDIR) {
        tracing::debug!(%name, %error, "could not remove the folder of a dead store");
    }
}

/// Removes the spill and fallback files of a folder.
fn empty(dir: &File) -> Result<(), Errno> {
    // A folder that shrinks while it is read may skip entries: read it until nothing is left to remove.
    loop {
        let mut removed = false;
        let again = open_dir(dir, ".")?;
        let mut buffer = [std::mem::MaybeUninit::uninit(); 8192];
        let mut entries = RawDir::new(again, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let ours = entry.file_name().to_str().ok().and_then(|n| n.split_once('-'));
            if ours.is_some_and(|(kind, number)| matches!(kind, "spill" | "fallback") && is_number(number)) {
                removed |= unlinkat(dir, entry.file_name(), AtFlags::empty()).is_ok();
            }
        }
        if !removed {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_came_too_late_is_no_lock() {
        let base = tempfile::TempDir::new().unwrap();
        let dir = open_base(base.path()).unwrap();
        let alive = open_alive(&dir, OFlags::CREATE | OFlags::EXCL).unwrap();
        let other = open_alive(&dir, OFlags::empty()).unwrap();
        flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(share(&alive), Ok(false), "a cleaner has it");
        unlinkat(&dir, ALIVE, AtFlags::empty()).unwrap();
        drop(other);
        assert_eq!(share(&alive), Ok(false), "a cleaner has had it");
        let alive = open_alive(&dir, OFlags::CREATE | OFlags::EXCL).unwrap();
        assert_eq!(share(&alive), Ok(true));
    }

    #[test]
    fn only_folders_of_stores_have_their_names() {
        let uuid = "0123456789abcdef".repeat(2);
        let names = |suffix: &str| std::ffi::CString::new(format!("{uuid}{suffix}")).unwrap();
        for ours in ["", ".mobula-0", ".mobula-63"] {
            assert!(store_name(&names(ours)).is_some(), "{ours}");
        }
        for foreign in ["0", "-", ".mobula", ".mobula-", ".mobula-x", ".mobula-0x", ".bak"] {
            assert_eq!(store_name(&names(foreign)), None, "{foreign}");
        }
        assert_eq!(store_name(c"0123456789ABCDEF0123456789ABCDEF"), None);
        assert_eq!(store_name(c""), None);
        assert_eq!(store_name(c"0123456789abcdef0123456789abcde\xc3\xa9"), None);
    }
}
